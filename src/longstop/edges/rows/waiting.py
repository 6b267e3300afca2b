"""What holds deliveries back at this moment, as it is gathered once for a listing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from longstop.edges.rows.looking import Looking
from longstop.model.delivery import Delivery, State
from longstop.model.listing import KeptEvent
from longstop.model.waiting import Standing, Waiting


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a delivery waits, and for which one, where it is held."""

    waiting: Waiting | None
    held_by: str | None


NOT = Waits(None, None)


async def standing(parts: Looking) -> Standing:
    """Ask the store for everything that holds deliveries back."""
    now_ms = parts.clock.now_ms()
    nodes = await parts.store.nodes()
    return Standing(
        now_ms,
        any("work" in node.roles and node.runs(now_ms) for node in nodes),
        {each.destination: each for each in await parts.store.pauses()},
        {each.destination: each for each in await parts.store.circuits()},
        frozenset(each.name for each in parts.config.destinations if each.rate_per_s is not None),
    )


async def waits(parts: Looking, stands: Standing, delivery: Delivery) -> Waits:
    """Why one delivery waits. Only what has a lane can be held, so the store is asked of no other."""
    if delivery.state is not State.SCHEDULED:
        return NOT
    ahead = await parts.store.ahead(delivery.id) if delivery.lane is not None else None
    return Waits(stands.waiting(delivery, ahead is not None), ahead.id if ahead else None)


async def why_they_wait(parts: Looking, events: Sequence[KeptEvent]) -> Mapping[str, Waits]:
    """Delivery id to why it waits, for those of these events that do."""
    return await why_each_waits(parts, [each for kept in events for each in kept.deliveries])


async def why_each_waits(parts: Looking, deliveries: Sequence[Delivery]) -> Mapping[str, Waits]:
    """Delivery id to why it waits, for those that do."""
    waiting = [each for each in deliveries if each.state is State.SCHEDULED]
    if not waiting:
        return {}
    stands = await standing(parts)
    return {each.id: await waits(parts, stands, each) for each in waiting}
