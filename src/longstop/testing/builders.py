"""Events, deliveries and appends with sensible defaults, for tests. The same numbers always make the same ids.

Numbers order ids: what is built with a higher one is younger, as `ids.IdFactory` would have it.
"""

import uuid
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.event import Event, Headers, Origin
from longstop.model.ids import format_uuid7

AT_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when every event arrives unless told otherwise."""

WINDOW_MS = 60_000
"""How long a dedup key is kept unless told otherwise."""


class EventFields(TypedDict, total=False):
    """Fields of Event."""

    id: str
    source: str
    received_at_ms: int
    body: bytes
    headers: Headers
    type: str | None
    key: str | None
    dedup: bytes | None
    origin: Origin
    parent: str | None
    occurred_at_ms: int | None


def event_id(number: int) -> str:
    """The id of the event with this number (0 or more)."""
    return format_uuid7(AT_MS + number, 0)


def delivery_id(of_event: str, position: int) -> str:
    """The id of an event's delivery: next to the event's own, so that deliveries are ordered as their events are."""
    return str(uuid.UUID(int=uuid.UUID(of_event).int + position + 1))


def make_event(number: int = 1, **changes: Unpack[EventFields]) -> Event:
    """An event of the source `shop` with a JSON body; `changes` are fields of Event."""
    event = Event(
        id=event_id(number),
        source="shop",
        received_at_ms=AT_MS,
        body=b'{"number":%d}' % number,
        headers=Headers([("Content-Type", "application/json")]),
        type="order.paid",
        key=f"order-{number}",
    )
    return replace(event, **changes)


def make_delivery(event: Event, destination: str = "crm", position: int = 0, **changes: Any) -> Delivery:
    """A scheduled delivery of an event, due on arrival; `changes` are fields of Delivery."""
    delivery = Delivery(
        id=delivery_id(event.id, position),
        event_id=event.id,
        source=event.source,
        type=event.type,
        key=event.key,
        received_at_ms=event.received_at_ms,
        destination=destination,
        state=State.SCHEDULED,
        due_at_ms=event.received_at_ms,
        round_at_ms=event.received_at_ms,
    )
    return replace(delivery, **changes)


def make_append(
    number: int = 1,
    to: tuple[str, ...] = ("crm",),
    due_at_ms: int | None = None,
    window_ms: int = WINDOW_MS,
    **changes: Unpack[EventFields],
) -> Append:
    """An event with one scheduled delivery for each destination; `changes` are fields of Event.

    `due_at_ms` None: on arrival. The dedup window, where there is a `dedup` key, begins on arrival.
    """
    event = make_event(number, **changes)
    due = event.received_at_ms if due_at_ms is None else due_at_ms
    deliveries = (make_delivery(event, name, place, due_at_ms=due) for place, name in enumerate(to))
    return Append(event, tuple(deliveries), event.received_at_ms + window_ms)


def make_quarantined(number: int = 1, **changes: Unpack[EventFields]) -> Append:
    """An event that could not be read, with the dead delivery that stands for it; `changes` are fields of Event."""
    unread: EventFields = {"body": b"\x00\xff{not json", "type": None, "key": None}
    unread.update(changes)
    event = make_event(number, **unread)
    dead = make_delivery(
        event,
        destination="",
        state=State.DEAD,
        reason=DeadReason.MALFORMED,
        last_error="the body is not JSON",
        ended_at_ms=event.received_at_ms,
    )
    return Append(event, (dead,))
