"""Parking what a native redrive has given up on, by the delivery's own state."""

from dataclasses import replace

from longstop.model.delivery import Attempt, DeadReason, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.stores.aws.store.inbox import AwsInbox
from longstop.stores.aws.units import View

WORKER = "dead letters"
CRASHED = "crashed: a function ended under it again and again, and the queue gave it up"


class AwsCrashed(AwsInbox):
    """What becomes of deliveries that dead letters name."""

    async def park_crashed(self, delivery_id: str, now_ms: int) -> bool | None:
        """Park it where a worker has died under it; whether it was. None: somebody is at it, so ask again later."""

        async def unit(view: View[bool | None]) -> bool | None:
            row = await view.get(self.keys.live(delivery_id))
            if row is None:
                return False
            old = await self.deliveries.read(view, row)
            if old.state is State.LEASED and (old.lease_until_ms or 0) > now_ms:
                return None
            if old.lost == 0 and old.state is not State.LEASED:
                # Nobody died under it: it stands in line beside one under which somebody did.
                return False
            parked, attempt = _parked(old, now_ms)
            await self.deliveries.change(view, old, parked)
            if attempt is not None:
                view.put_new(self.attempt_item(old.id, attempt))
            return True

        (parked,) = await self.units.run([unit])
        return parked


def _parked(old: Delivery, now_ms: int) -> tuple[Delivery, Attempt | None]:
    """It parked, and the try whose end nobody has told."""
    attempt = None
    if old.state is State.LEASED:
        leased, began_ms = old.tried(Outcome(OutcomeKind.LOST, error=CRASHED)), old.leased_at_ms or now_ms
        attempt = Attempt(
            leased.attempts, leased.round, began_ms, max(0, now_ms - began_ms), OutcomeKind.LOST, None, CRASHED
        )
    else:
        leased = old.leased(WORKER, now_ms, now_ms)
    dead = leased.after(Transition(Trigger.PARK, now_ms, reason=DeadReason.CRASHED))
    return replace(dead, last_error=CRASHED), attempt
