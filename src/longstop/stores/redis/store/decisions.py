"""What people decide: ports.Decisions over Redis."""

from collections.abc import Sequence

from longstop.model.action import Action, ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.errors import StoreUnavailableError, TransitionError, UnreadableRowError
from longstop.stores.redis.packing import (
    item,
    pack,
    pack_action,
    pack_delivery,
    pack_edit,
    pack_pause,
    to_delivery,
    to_pause,
)
from longstop.stores.redis.parking import RedisParking
from longstop.stores.redis.reading import readable

ROUNDS_MAX = 20
"""So often what somebody else changed meanwhile is looked at anew."""


class RedisDecisions(RedisParking):
    """See ports.Decisions."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Decisions."""
        results: list[Delivery | None] = [None] * len(actions)
        left = list(range(len(actions)))
        for _ in range(ROUNDS_MAX):
            if not left:
                return results
            left = await self._act(actions, left, results)
        raise StoreUnavailableError("the deliveries are changed again and again by others")

    async def _act(self, actions: Sequence[Action], places: list[int], results: list[Delivery | None]) -> list[int]:
        """Carry out the actions at these places; those where somebody was quicker than our look."""
        rows = await self._rows({actions[place].delivery_id for place in places})
        steps: list[tuple[object, ...]] = []
        taken: list[int] = []
        for place in places:
            action = actions[place]
            seen = rows[action.delivery_id]
            if seen is not None and readable(to_delivery, seen, action.delivery_id) is None:
                await self._park_unread(action.delivery_id, action.transition.at_ms)
                (seen,) = await self._packed_deliveries([action.delivery_id])
            changed = None if seen is None else _after(seen, action)
            results[place] = changed
            if changed is not None:
                new = rows[action.delivery_id] = pack_delivery(changed)
                record = ActionRecord(action.transition.trigger, action.transition.at_ms, action.by, action.why)
                steps.append((action.delivery_id, seen, new, pack_action(record), record.at_ms))
                taken.append(place)
        if not steps:
            return []
        done = await self.call("act", pack(steps))
        return [place for place, each in zip(taken, done, strict=True) if not each]

    async def _rows(self, delivery_ids: set[str]) -> dict[str, bytes | None]:
        ids = sorted(delivery_ids)
        (rows,) = await self.pipeline(("MGET", *(f"{self._prefix}delivery:{each}" for each in ids)))
        return dict(zip(ids, rows, strict=True))

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """See ports.Decisions."""
        apart = (await self._put_bodies([append])).get(append.event.id)
        await self.call("replace", pack((item(append, apart), edit.parent, pack_edit(edit), list(delivery_ids))))

    async def pause(self, pause: Pause) -> bool:
        """See ports.Decisions."""
        (begun,) = await self.call("pause", pause.destination, pack_pause(pause))
        return bool(begun)

    async def resume(self, destination: str) -> bool:
        """See ports.Decisions."""
        (ended,) = await self.call("resume", destination)
        return bool(ended)

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Decisions."""
        (packed,) = await self.pipeline(("HVALS", f"{self._prefix}pauses"))
        return sorted(map(to_pause, packed), key=lambda each: each.destination)


def _after(row: bytes, action: Action) -> Delivery | None:
    try:
        return to_delivery(row).after(action.transition)
    except (TransitionError, UnreadableRowError):
        return None
