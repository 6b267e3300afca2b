"""What holds deliveries back at this moment, as it is gathered once for a listing."""

from dataclasses import dataclass

from longstop.edges.cli.program import Parts
from longstop.model.delivery import Delivery, State
from longstop.model.waiting import Standing, Waiting


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a delivery waits, and for which one, where it is held."""

    waiting: Waiting | None
    held_by: str | None


NOT = Waits(None, None)


async def standing(parts: Parts) -> Standing:
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


async def waits(parts: Parts, stands: Standing, delivery: Delivery) -> Waits:
    """Why one delivery waits. Only what has a lane can be held, so the store is asked of no other."""
    if delivery.state is not State.SCHEDULED:
        return NOT
    ahead = await parts.store.ahead(delivery.id) if delivery.lane is not None else None
    return Waits(stands.waiting(delivery, ahead is not None), ahead.id if ahead else None)
