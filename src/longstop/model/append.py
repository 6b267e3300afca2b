"""What is accepted, as a store keeps it: an event together with its first deliveries."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.event import Event
from longstop.model.routing import Target
from longstop.model.value import value


@value(frozen=True, slots=True)
class Append:
    """An event and its first deliveries, to be kept together or not at all."""

    event: Event
    deliveries: tuple[Delivery, ...] = ()
    """New ones: never leased and never tried."""
    dedup_until_ms: int = 0
    """Until when another event of the same source and dedup key is a duplicate (exclusive)."""

    @property
    def in_turn(self) -> bool:
        """Whether one of its deliveries has a place in an order: it is kept before what came after it."""
        return any(each.lane is not None for each in self.deliveries)


def initial_deliveries(
    event: Event, destinations: Mapping[str, Target], make_id: Callable[[], str]
) -> tuple[Delivery, ...]:
    """The deliveries that an event begins with: one for each destination, by its name, due at once."""
    deliveries = []
    for name, target in destinations.items():
        fresh_ms = target.expire_after_ms
        expires_at_ms = None if fresh_ms is None else event.received_at_ms + fresh_ms
        deliveries.append(new_delivery(event, name, make_id(), State.SCHEDULED, target.lane, expires_at_ms))
    return tuple(deliveries)


def quarantine_delivery(event: Event, why: str, delivery_id: str) -> Delivery:
    """What an unreadable event is kept under: a delivery that is dead from the start and has no destination yet."""
    dead = new_delivery(event, "", delivery_id, State.DEAD)
    return replace(dead, reason=DeadReason.MALFORMED, last_error=why, ended_at_ms=event.received_at_ms)


def new_delivery(
    event: Event,
    destination: str,
    delivery_id: str,
    state: State,
    lane: str | None = None,
    expires_at_ms: int | None = None,
) -> Delivery:
    """A delivery of an event that nobody has tried, due since the event came."""
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
