"""What goes into a store and what can be asked of it, apart from leases: appends, actions, listings, counts."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from longstop.model.delivery import Attempt, DeadReason, Delivery, State, Transition, Trigger
from longstop.model.event import Event
from longstop.model.value import value

T = TypeVar("T")


@value(frozen=True, slots=True)
class Append:
    """An event and its first deliveries, to be kept together or not at all."""

    event: Event
    deliveries: tuple[Delivery, ...] = ()
    """New ones: never leased and never tried."""
    dedup_until_ms: int = 0
    """Until when another event of the same source and dedup key is a duplicate (exclusive)."""


def first_deliveries(
    event: Event, destinations: Mapping[str, int | None], ordered: Collection[str], make_id: Callable[[], str]
) -> tuple[Delivery, ...]:
    """The deliveries that an event begins with: one for each destination, due at once; in its key's lane if ordered.

    destinations: name to for how many milliseconds the event is of use there; None: for ever.
    """
    deliveries = []
    for name, fresh_ms in destinations.items():
        lane = event.key if name in ordered else None
        expires_at_ms = None if fresh_ms is None else event.received_at_ms + fresh_ms
        deliveries.append(_delivery(event, name, make_id(), State.SCHEDULED, lane, expires_at_ms))
    return tuple(deliveries)


def quarantine_delivery(event: Event, why: str, delivery_id: str) -> Delivery:
    """What an unreadable event is kept under: a delivery that is dead from the start and has no destination yet."""
    dead = _delivery(event, "", delivery_id, State.DEAD)
    return replace(dead, reason=DeadReason.MALFORMED, last_error=why, ended_at_ms=event.received_at_ms)


def _delivery(
    event: Event,
    destination: str,
    delivery_id: str,
    state: State,
    lane: str | None = None,
    expires_at_ms: int | None = None,
) -> Delivery:
    return Delivery(
        id=delivery_id,
        event_id=event.id,
        source=event.source,
        type=event.type,
        key=event.key,
        received_at_ms=event.received_at_ms,
        destination=destination,
        state=state,
        due_at_ms=event.received_at_ms,
        lane=lane,
        round_at_ms=event.received_at_ms,
        expires_at_ms=expires_at_ms,
    )


@value(frozen=True, slots=True)
class Action:
    """What a person decided about a delivery: replay it or discard it."""

    delivery_id: str
    transition: Transition
    by: str
    why: str | None = None

    def __post_init__(self) -> None:
        if self.transition.trigger not in (Trigger.REPLAY, Trigger.DISCARD):
            raise ValueError(f"{self.transition.trigger} is no decision of a person's; expected replay or discard")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's decision that a destination gets nothing until further notice. What is for it waits."""

    destination: str
    at_ms: int
    by: str
    why: str | None = None


@value(frozen=True, slots=True)
class ActionRecord:
    """An action as it was recorded."""

    trigger: Trigger
    at_ms: int
    by: str
    why: str | None


@value(frozen=True, slots=True)
class KeptEvent:
    """An event with what has happened to it since."""

    event: Event
    redeliveries: int
    """How often the sender sent it again."""
    deliveries: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All that is recorded of a delivery, oldest first."""

    attempts: tuple[Attempt, ...]
    actions: tuple[ActionRecord, ...]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; None: any. Times select by `received_at_ms`: since inclusive, until exclusive."""

    source: str | None = None
    type: str | None = None
    key: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    contains: bytes | None = None
    """These bytes stand somewhere in the body."""
    unrouted: bool = False
    """Only events without any delivery."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; None: any. Times select by `ended_at_ms`: since inclusive, until exclusive."""

    state: State | None = None
    source: str | None = None
    destination: str | None = None
    type: str | None = None
    key: str | None = None
    reason: DeadReason | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    contains: bytes | None = None
    """These bytes stand somewhere in the event's body."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, by id, which is by age. Keyset paging: `after` is the last id of the page before."""

    limit: int = 50
    after: str | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The rows of one page; `next_after` asks for the following one, None where this was the last."""

    rows: tuple[T, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is."""

    events: int
    unrouted: int
    deliveries: Mapping[str, Mapping[State, int]]
    """Destination name to state to how many."""
    oldest_waiting_at_ms: int | None
    """When the oldest event was received that is still scheduled or leased somewhere."""
