"""What people decide: ports.Decisions over DynamoDB."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from longstop.model.action import Action, ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.errors import TransitionError
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.packing import pack, to_pause
from longstop.stores.aws.store.inbox import AwsInbox
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import read


class AwsDecisions(AwsInbox):
    """See ports.Decisions."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Decisions."""
        units = [self._acting(each) for each in actions]
        return await self.units.run(units, [key for each in actions for key in self.deliveries.keys(each.delivery_id)])

    def _acting(self, action: Action) -> Callable[[View[Delivery | None]], Awaitable[Delivery | None]]:
        async def unit(view: View[Delivery | None]) -> Delivery | None:
            return await self.carry_out(view, action)

        return unit

    async def carry_out(self, view: View[Delivery | None], action: Action) -> Delivery | None:
        """Carry out one decision; None where there is no such delivery, or it is not one that this can be done with."""
        old = await self.deliveries.get(view, action.delivery_id)
        if old is None:
            return None
        try:
            new = old.after(action.transition)
        except TransitionError:
            return None
        await self.deliveries.change(view, old, new)
        record = ActionRecord(action.transition.trigger, action.transition.at_ms, action.by, action.why)
        await self._record(view, action.delivery_id, record)
        return new

    async def _record(self, view: View[Delivery | None], delivery_id: str, record: ActionRecord) -> None:
        """Number it, behind the last one: a row of the delivery says which that was."""
        partition, order = keys.last_action(delivery_id)
        last = await view.get((partition, order))
        n = 1 + (0 if last is None else int(last["n"]))
        await view.put({"pk": partition, "sk": order, "n": n})
        view.put_new(self.action_item(delivery_id, n, record))

    def action_item(self, delivery_id: str, n: int, record: ActionRecord) -> Item:
        """An action's row."""
        row = pack((record.trigger, record.at_ms, record.by, record.why))
        item: Item = {"pk": f"A#{delivery_id}", "sk": f"x#{n:08}", "row": row}
        at = f"{number(record.at_ms)}#{delivery_id}#x#{n:08}"
        return item | {"of_end": f"R#x#{self.keys.shard_of(delivery_id)}", "at": at}

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """See ports.Decisions. Raises ValueError where an id is taken."""

        apart = (await self.put_bodies([append])).get(append.event.id)

        async def unit(view: View[Any]) -> None:
            await self.keep_edited(view, append, edit, apart)
            for id_ in delivery_ids:
                old = await self.deliveries.get(view, id_)
                if old is not None:
                    await self.deliveries.rewrite(view, replace(old, replaced_by=edit.event_id))

        needs = [key for id_ in delivery_ids for key in self.deliveries.keys(id_)]
        await self.units.run([unit], needs)

    async def keep_edited(self, view: View[Any], append: Append, edit: Edit, apart: str | None = None) -> None:
        """Keep an event that a person sends in the place of another. Raises ValueError where its id is taken."""
        if await view.get(keys.event(append.event.id)) is not None:
            raise ValueError(f"{append.event.id} is an event already")
        await self.keep(view, append, apart)
        row = pack((edit.event_id, edit.parent, edit.at_ms, edit.by, edit.why))
        partition, order = keys.edit(edit.parent, edit.event_id)
        await view.put({"pk": partition, "sk": order, "row": row})
        await view.bump(keys.event(edit.parent), "edited")

    async def pause(self, pause: Pause) -> bool:
        """See ports.Decisions."""

        async def unit(view: View[bool]) -> bool:
            kept = await view.get(keys.pause(pause.destination))
            earlier = None if kept is None else read(kept, to_pause)
            await view.put(_pause_item(pause if earlier is None else replace(pause, at_ms=earlier.at_ms)))
            return earlier is None

        (new,) = await self.units.run([unit])
        return new

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Decisions."""
        _, paused = await self.standing()
        return [paused[name] for name in sorted(paused)]

    async def resume(self, destination: str) -> bool:
        """See ports.Decisions."""

        async def unit(view: View[bool]) -> bool:
            kept = await view.get(keys.pause(destination))
            await view.drop(keys.pause(destination))
            return kept is not None

        (ended,) = await self.units.run([unit])
        if ended:
            self.wake()
        return ended


def _pause_item(pause: Pause) -> Item:
    partition, order = keys.pause(pause.destination)
    return {"pk": partition, "sk": order, "row": pack((pause.destination, pause.at_ms, pause.by, pause.why))}
