"""Between rows and the model: the columns, in one order, and both directions."""

from functools import cache
from itertools import chain

import apsw
import msgspec

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger, Wait
from longstop.model.event import Event, Headers, Origin
from longstop.stores.sqlite import unreadable

Row = unreadable.Row

ROWS_MAX = 64
"""How many rows go into one statement. There is a prepared one for every number up to it."""

DELIVERY_COLUMNS = (
    "id event_id source type key received_at_ms destination state due_at_ms lane round round_at_ms attempts tries lost "
    "token leased_at_ms lease_until_ms worker reason last_status last_error ended_at_ms expires_at_ms skipped "
    "wait replaced_by"
).split()
EVENT_COLUMNS = "id source received_at_ms type key dedup origin parent occurred_at_ms headers body".split()
ATTEMPT_COLUMNS = "number round started_at_ms duration_ms outcome status error answer frames".split()


_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


def columns(names: list[str], table: str = "") -> str:
    """The column list of a SELECT or INSERT, qualified by `table` if given."""
    return ", ".join(f"{table}.{name}" if table else name for name in names)


def insert_rows(connection: apsw.Connection, table: str, names: list[str], rows: list[Row], behind: str = "") -> int:
    """Insert rows, many to a statement; how many were inserted or changed. `behind`: what follows the VALUES.

    The interpreter's lock is let go and taken again around every step of a statement. A thread that does so for
    each row waits for its turn so often, beside a busy event loop, that the waiting costs more than the work.
    """
    changed = 0
    for start in range(0, len(rows), ROWS_MAX):
        some = rows[start : start + ROWS_MAX]
        connection.execute(_insert(table, tuple(names), len(some), behind), tuple(chain.from_iterable(some)))
        changed += connection.changes()
    return changed


@cache
def _insert(table: str, names: tuple[str, ...], rows: int, behind: str) -> str:
    row = f"({', '.join('?' * len(names))})"
    # OR ROLLBACK: one bad row undoes the transaction, which is what we do anyway; no undo log for the statement then.
    return f"INSERT OR ROLLBACK INTO {table} ({columns(list(names))}) VALUES {', '.join([row] * rows)} {behind}"


def event_row(event: Event) -> Row:
    """An event's row, in the order of EVENT_COLUMNS."""
    return (
        event.id,
        event.source,
        event.received_at_ms,
        event.type,
        event.key,
        event.dedup,
        event.origin.value,
        event.parent,
        event.occurred_at_ms,
        msgspec.msgpack.encode(event.headers.raw),
        event.body,
    )


def _to_event(row: Row) -> Event:
    id_, source, received_at_ms, type_, key, dedup, origin, parent, occurred_at_ms, raw, body = row
    try:
        headers = Headers.from_wire(_decode_headers(raw))
    except ValueError as error:
        raise ValueError(f"headers: {error}") from None
    return Event(id_, source, received_at_ms, body, headers, type_, key, dedup, Origin(origin), parent, occurred_at_ms)


to_event = unreadable.reader("event", EVENT_COLUMNS, _to_event)
"""The event of a row in the order of EVENT_COLUMNS. This and the others raise UnreadableRowError."""

_STATE = DELIVERY_COLUMNS.index("state")
_REASON = DELIVERY_COLUMNS.index("reason")
_SKIPPED = DELIVERY_COLUMNS.index("skipped")
_WAIT = DELIVERY_COLUMNS.index("wait")


def delivery_row(d: Delivery) -> Row:
    """A delivery's row, in the order of DELIVERY_COLUMNS."""
    return (
        *(d.id, d.event_id, d.source, d.type, d.key, d.received_at_ms, d.destination, d.state.value, d.due_at_ms),
        *(d.lane, d.round, d.round_at_ms, d.attempts, d.tries, d.lost, d.token, d.leased_at_ms, d.lease_until_ms),
        *(d.worker, d.reason.value if d.reason else None, d.last_status, d.last_error, d.ended_at_ms),
        *(d.expires_at_ms, d.skipped, d.wait.value if d.wait else None, d.replaced_by),
    )


def _to_delivery(row: Row) -> Delivery:
    values = list(row)
    values[_STATE] = State(values[_STATE])
    values[_REASON] = DeadReason(values[_REASON]) if values[_REASON] else None
    values[_SKIPPED] = bool(values[_SKIPPED])
    values[_WAIT] = Wait(values[_WAIT]) if values[_WAIT] else None
    return Delivery(*values)


to_delivery = unreadable.reader("delivery", DELIVERY_COLUMNS, _to_delivery)
"""The delivery of a row in the order of DELIVERY_COLUMNS."""


def attempt_row(a: Attempt) -> Row:
    """An attempt's row, in the order of ATTEMPT_COLUMNS."""
    return (a.number, a.round, a.started_at_ms, a.duration_ms, a.outcome.value, a.status, a.error, a.answer, a.frames)


def _to_attempt(row: Row) -> Attempt:
    number, round_, started_at_ms, duration_ms, outcome, status, error, answer, frames = row
    return Attempt(number, round_, started_at_ms, duration_ms, OutcomeKind(outcome), status, error, answer, frames)


to_attempt = unreadable.reader("attempt", ATTEMPT_COLUMNS, _to_attempt)
"""The attempt of a row in the order of ATTEMPT_COLUMNS."""


def _to_action(row: Row) -> ActionRecord:
    trigger, at_ms, by, why = row
    return ActionRecord(Trigger(trigger), at_ms, by, why)


to_action = unreadable.reader("action", ["trigger", "at_ms", "by", "why"], _to_action)
"""The record of an action from (trigger, at_ms, by, why)."""
