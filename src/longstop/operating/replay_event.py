"""Sending one event again, whole: to its destinations, to others, or edited; first as a plan, then for good."""

from collections.abc import Sequence
from dataclasses import dataclass

from longstop.model.delivery import Delivery, State
from longstop.model.event import Event
from longstop.operating.replay import DEAD_OR_ENDED, Done, EditPlan, Replay, ReplayError
from longstop.ports import Store


@dataclass(frozen=True, slots=True)
class EventReplay:
    """What sending an event again comes to."""

    again: tuple[Delivery, ...] = ()
    """Kept deliveries that start a new round."""
    anew: EditPlan | None = None
    """A new event in its place: an edited one, one for destinations that it never went to, or one routed anew."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent: a result for each delivery, and the new event where there is one."""

    done: tuple[Done, ...]
    event: Event | None


async def plan_event(
    store: Store, service: Replay, id_: str, to: Sequence[str] = (), body: bytes | None = None
) -> EventReplay:
    """What it would come to; nothing is changed. id_: an event's, or one of its deliveries' for that one alone.

    to: only to these destinations, whether it went there before or not. body: this in the place of the kept one.
    Raises NotFoundError, and ReplayError where there is nothing that can be sent.
    """
    if body is not None:
        return EventReplay(anew=await service.plan_edit(id_, body, to))
    chosen = await service.by_id(id_, DEAD_OR_ENDED)
    delivery = await store.delivery(id_)
    kept = await store.event(delivery.event_id if delivery else id_)
    deliveries = kept.deliveries if kept else ()
    if to:
        again = tuple(each for each in deliveries if each.destination in to)
        _refuse_what_is_under_way(again)
        elsewhere = [name for name in to if name not in {each.destination for each in again}]
        return EventReplay(again, await service.plan_elsewhere(id_, elsewhere) if elsewhere else None)
    if not chosen and deliveries:
        _refuse_what_is_under_way(deliveries)
    return EventReplay(chosen) if chosen else EventReplay(anew=await service.plan_elsewhere(id_))


def _refuse_what_is_under_way(deliveries: Sequence[Delivery]) -> None:
    under_way = [each for each in deliveries if each.state in (State.SCHEDULED, State.LEASED)]
    if under_way:
        listed = ", ".join(f"for {each.destination} it is {each.state}" for each in under_way)
        raise ReplayError(f"event {under_way[0].event_id}: {listed}; only what has ended is sent again")


async def send_event(service: Replay, plan: EventReplay, why: str | None = None) -> Sent:
    """Carry a plan out."""
    done = await service.replay(plan.again, why=why) if plan.again else []
    if plan.anew is None:
        return Sent(tuple(done), None)
    event = await service.carry_out(plan.anew, why)
    made = (Done(each.id, event.id, each.state) for each in plan.anew.append.deliveries)
    return Sent((*done, *made), event)
