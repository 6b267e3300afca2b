"""People's decisions."""

from collections.abc import Sequence
from dataclasses import replace

from longstop.model.action import Action, ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.errors import TransitionError
from longstop.stores.memory.rows import MemoryRows


class MemoryDecisions(MemoryRows):
    """What people decided."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """Carry out people's decisions."""
        results = [self._act_one(action) for action in actions]
        self._wake_if_enlisted()
        return results

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """Keep an event in the place of another one."""
        self._refuse_taken_ids([append])
        self._keep(append)
        self._edits[edit.event_id] = edit
        for id_ in delivery_ids:
            if id_ in self._deliveries:
                self._put(replace(self._deliveries[id_], replaced_by=edit.event_id))
        self._wake_if_enlisted()

    async def pause(self, pause: Pause) -> bool:
        """Let nothing more be leased for a destination."""
        earlier = self._pauses.get(pause.destination)
        self._pauses[pause.destination] = pause if earlier is None else replace(pause, at_ms=earlier.at_ms)
        return earlier is None

    async def resume(self, destination: str) -> bool:
        """End a destination's pause."""
        ended = self._pauses.pop(destination, None) is not None
        self._enlisted |= ended
        self._wake_if_enlisted()
        return ended

    async def pauses(self) -> Sequence[Pause]:
        """The destinations that are paused."""
        return [self._pauses[name] for name in sorted(self._pauses)]

    def _act_one(self, action: Action) -> Delivery | None:
        delivery = self._deliveries.get(action.delivery_id)
        if delivery is None:
            return None
        try:
            changed = delivery.after(action.transition)
        except TransitionError:
            return None
        self._put(changed)
        record = ActionRecord(action.transition.trigger, action.transition.at_ms, action.by, action.why)
        self._actions.setdefault(delivery.id, []).append(record)
        return changed
