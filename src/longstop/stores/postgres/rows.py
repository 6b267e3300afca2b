"""Between rows and the model: the columns, in one order, and both directions.

A delivery that is not over has a narrow row in `queue` beside its wide one in `deliveries`: what a lease writes stands
only there. So a delivery is read from both (`DELIVERIES`, `DELIVERY`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import structlog

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger, Wait
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event, Headers, Origin

T = TypeVar("T")
Row = Sequence[Any]

log = structlog.get_logger("longstop.store")

DELIVERY_COLUMNS = (
    "id event_id source type key received_at_ms destination state due_at_ms lane round round_at_ms attempts tries lost "
    "token leased_at_ms lease_until_ms worker reason last_status last_error ended_at_ms expires_at_ms skipped "
    "wait replaced_by"
).split()
EVENT_COLUMNS = "id source received_at_ms type key dedup origin parent occurred_at_ms headers body".split()
ATTEMPT_COLUMNS = "number round started_at_ms duration_ms outcome status error answer frames".split()

_IN_QUEUE = {
    "state": "CASE WHEN q.lease_until_ms IS NULL THEN d.state ELSE 'leased' END",
    "token": "coalesce(q.token, d.token)",
    **{name: f"q.{name}" for name in ("leased_at_ms", "lease_until_ms", "worker")},
}

DELIVERIES = "deliveries d LEFT JOIN queue q ON q.id = d.id"
"""Where a delivery is read from; scheduled: `q.lease_until_ms IS NULL` of a `q.id` that is there; held: `q.held`."""
DELIVERY = ", ".join(f"{_IN_QUEUE.get(name, f'd.{name}')} AS {name}" for name in DELIVERY_COLUMNS)
"""The columns of a delivery as it stands, in the order of DELIVERY_COLUMNS."""
EVENT = ", ".join(f"e.{name}" for name in EVENT_COLUMNS)
"""The columns of an event, in the order of EVENT_COLUMNS."""

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


def columns(names: Iterable[str], table: str = "") -> str:
    """The column list of a SELECT or INSERT, qualified by `table` if given."""
    return ", ".join(f'{table}."{name}"' if table else f'"{name}"' for name in names)


def reader(what: str, make: Callable[[Row], T], known_by: int = 0) -> Callable[[Row], T]:
    """`make`, which raises ValueError or TypeError for what it cannot read, as one that raises UnreadableRowError.

    what: what a row is, for people. known_by: the place of the column that says which.
    """

    def read(row: Row) -> T:
        try:
            return make(row)
        except (TypeError, ValueError) as error:
            raise UnreadableRowError(f"{what} {row[known_by]}", str(error)) from None

    return read


def each(rows: Iterable[Row], read: Callable[[Row], T], of: str = "") -> Iterator[T]:
    """What can be read of these rows; what cannot is told and left out. of: what they belong to, for people."""
    for row in rows:
        try:
            made = read(row)
        except UnreadableRowError as error:
            _tell(f"{error.row} of {of}" if of else error.row, error.trouble)
            continue
        yield made


@lru_cache(maxsize=1_000)
def _tell(row: str, trouble: str) -> None:
    """Once: most of what reads it does so again and again."""
    log.error("row_unreadable", row=row, error=trouble)


def event_row(event: Event) -> tuple[Any, ...]:
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


to_event = reader("event", _to_event)
"""The event of a row in the order of EVENT_COLUMNS. This and the others raise UnreadableRowError."""

_STATE = DELIVERY_COLUMNS.index("state")
_REASON = DELIVERY_COLUMNS.index("reason")
_WAIT = DELIVERY_COLUMNS.index("wait")


def _to_delivery(row: Row) -> Delivery:
    values = list(row)
    values[_STATE] = State(values[_STATE])
    values[_REASON] = DeadReason(values[_REASON]) if values[_REASON] else None
    values[_WAIT] = Wait(values[_WAIT]) if values[_WAIT] else None
    return Delivery(*values)


to_delivery = reader("delivery", _to_delivery)
"""The delivery of a row in the order of DELIVERY_COLUMNS."""


def delivery_row(d: Delivery) -> tuple[Any, ...]:
    """A delivery's row, in the order of DELIVERY_COLUMNS."""
    values = [getattr(d, name) for name in DELIVERY_COLUMNS]
    for place in (_STATE, _REASON, _WAIT):
        values[place] = values[place] and values[place].value
    return tuple(values)


def attempt_row(a: Attempt) -> tuple[Any, ...]:
    """An attempt's row, in the order of ATTEMPT_COLUMNS."""
    return (a.number, a.round, a.started_at_ms, a.duration_ms, a.outcome.value, a.status, a.error, a.answer, a.frames)


def _to_attempt(row: Row) -> Attempt:
    number, round_, started_at_ms, duration_ms, outcome, status, error, answer, frames = row
    return Attempt(number, round_, started_at_ms, duration_ms, OutcomeKind(outcome), status, error, answer, frames)


to_attempt = reader("attempt", _to_attempt)
"""The attempt of a row in the order of ATTEMPT_COLUMNS."""


def _to_action(row: Row) -> ActionRecord:
    trigger, at_ms, by, why = row
    return ActionRecord(Trigger(trigger), at_ms, by, why)


to_action = reader("action", _to_action)
"""The record of an action from (trigger, at_ms, by, why)."""
