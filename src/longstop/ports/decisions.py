"""What people decide."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.action import Action, Edit, Pause
from longstop.model.append import Append
from longstop.model.delivery import Delivery


class Decisions(Protocol):
    """Decisions about deliveries, events and destinations, each kept with who made it."""

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """Carry out people's decisions and record who made them.

        For each, the delivery as it stands now, or None where its state does not allow the transition
        (somebody was quicker) or there is no such delivery; then nothing was changed.
        """

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """Keep the event that a person sends in the place of a kept one, and the record of it, together or not at all.

        The deliveries named, those of the kept one that it takes the place of, say so from then on (`replaced_by`);
        nothing else of them changes, and a worker that settles one of them later leaves it as it is. `KeptEvent` of
        both events has the record.
        """

    async def pause(self, pause: Pause) -> bool:
        """Let nothing more be leased for a destination. Where it is paused already, False: since when it was stays as
        it is, and by whom and why are this pause's.
        """

    async def resume(self, destination: str) -> bool:
        """End a destination's pause. False where there is none."""

    async def pauses(self) -> Sequence[Pause]:
        """The destinations that are paused, by name."""
