"""Events, deliveries, attempts and actions as rows: the columns, in one order, and both directions.

What reads a row raises ValueError for what it cannot read; each store makes an error of it that names the row.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger, Wait
from longstop.model.event import Event, Headers, Origin

Row = Sequence[Any]

DELIVERY_COLUMNS = (
    "id event_id source type key received_at_ms destination state due_at_ms lane round round_at_ms attempts tries lost "
    "token leased_at_ms lease_until_ms worker reason last_status last_error ended_at_ms expires_at_ms skipped "
    "wait replaced_by"
).split()
EVENT_COLUMNS = "id source received_at_ms type key dedup origin parent occurred_at_ms headers body".split()
ATTEMPT_COLUMNS = "number round started_at_ms duration_ms outcome status error answer frames".split()
ACTION_COLUMNS = "trigger at_ms by why".split()

_STATE = DELIVERY_COLUMNS.index("state")
_REASON = DELIVERY_COLUMNS.index("reason")
_SKIPPED = DELIVERY_COLUMNS.index("skipped")
_WAIT = DELIVERY_COLUMNS.index("wait")

_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[bytes, bytes], ...]).decode


def headers_value(headers: Headers) -> bytes:
    """Headers as one value, with every byte as it came."""
    return msgspec.msgpack.encode(headers.raw)


def headers_of(value: bytes) -> Headers:
    """Headers of that value. Raises ValueError."""
    try:
        return Headers.from_wire(_decode_headers(value))
    except ValueError as error:
        raise ValueError(f"headers: {error}") from None


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
        headers_value(event.headers),
        event.body,
    )


def event_of(row: Row) -> Event:
    """The event of a row in the order of EVENT_COLUMNS."""
    id_, source, received_at_ms, type_, key, dedup, origin, parent, occurred_at_ms, raw, body = row
    about = (type_, key, dedup, Origin(origin), parent, occurred_at_ms)
    return Event(id_, source, received_at_ms, body, headers_of(raw), *about)


def delivery_row(d: Delivery) -> tuple[Any, ...]:
    """A delivery's row, in the order of DELIVERY_COLUMNS."""
    return (
        *(d.id, d.event_id, d.source, d.type, d.key, d.received_at_ms, d.destination, d.state.value, d.due_at_ms),
        *(d.lane, d.round, d.round_at_ms, d.attempts, d.tries, d.lost, d.token, d.leased_at_ms, d.lease_until_ms),
        *(d.worker, d.reason.value if d.reason else None, d.last_status, d.last_error, d.ended_at_ms),
        *(d.expires_at_ms, d.skipped, d.wait.value if d.wait else None, d.replaced_by),
    )


def delivery_of(row: Row) -> Delivery:
    """The delivery of a row in the order of DELIVERY_COLUMNS."""
    values = list(row)
    values[_STATE] = State(values[_STATE])
    values[_REASON] = DeadReason(values[_REASON]) if values[_REASON] else None
    values[_SKIPPED] = bool(values[_SKIPPED])
    values[_WAIT] = Wait(values[_WAIT]) if values[_WAIT] else None
    return Delivery(*values)


def attempt_row(a: Attempt) -> tuple[Any, ...]:
    """An attempt's row, in the order of ATTEMPT_COLUMNS."""
    return (a.number, a.round, a.started_at_ms, a.duration_ms, a.outcome.value, a.status, a.error, a.answer, a.frames)


def attempt_of(row: Row) -> Attempt:
    """The attempt of a row in the order of ATTEMPT_COLUMNS."""
    number, round_, started_at_ms, duration_ms, outcome, status, error, answer, frames = row
    return Attempt(number, round_, started_at_ms, duration_ms, OutcomeKind(outcome), status, error, answer, frames)


def action_of(row: Row) -> ActionRecord:
    """The record of an action of a row in the order of ACTION_COLUMNS."""
    trigger, at_ms, by, why = row
    return ActionRecord(Trigger(trigger), at_ms, by, why)
