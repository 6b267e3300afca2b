"""The way of every event through a store."""

from collections.abc import Callable, Sequence
from typing import Protocol

from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery
from longstop.model.errors import LeaseLostError
from longstop.model.event import Receipt
from longstop.model.lease import LeaseBatch, LeaseRef, LeaseRequest, Settlement


class Inbox(Protocol):
    """The way of every event: append, lease, extend, settle. All of it durable when the call returns.

    Every method raises StoreUnavailableError where the backend cannot do it now; then none of the batch
    was acknowledged, and trying again is safe.
    """

    @property
    def commits_at_once(self) -> int:
        """So many appends, and as many settlements, may be in flight together, where the store gains by it; else 1."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """Keep events with their deliveries; one receipt for each, in order.

        An event whose source and dedup key are already kept, within their window, is not kept again: its
        receipt is a duplicate and names the first event, which counts one more redelivery. Two appends of
        one key in the same batch, or racing in two processes, make one event.
        """

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """Claim scheduled deliveries that are due (`due_at_ms <= now_ms`).

        For each destination, half of its room for those that were never tried (`attempts == 0`) and half for the
        others, of each the longest due first; what one half does not use is the other's, but there are never more of
        the others than `retries` allows. So many that fail again and again hold up none that is new, nor the reverse.

        Nothing of a paused destination, and nothing of it in `next_due_at_ms`. Of one whose circuit is open, one
        delivery once its `probe_at_ms` has come, and none from then on until the circuit as it has `probed` says so;
        besides, what has expired (`expires_at_ms <= over_ms`): it will not be sent. The probe is one that was never
        tried: of the PROBE_CANDIDATES newest, or oldest, what `Circuit.probe` chooses. Where there is none, it is one
        of those with the fewest `tries`, the longest due first.
        """

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """Hold leases until a later time; for each, None or the error that says it is lost."""

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """End leases; for each, None or the error that says its token is no longer the delivery's.

        A lost one changes nothing, not even the attempts. A lease that ran out but that nobody has claimed
        or rescued since is still its holder's.
        """

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """Leased deliveries whose lease has run out (`lease_until_ms <= now_ms`); rescuing them is a settlement."""

    async def repair_clock(self, repair: ClockRepair) -> int:
        """Mend what a clock that was ahead has left behind; how much there was. At most REPAIRS_MAX at a time.

        Scheduled deliveries become what `repair.repaired` makes of them (those that are held in their lane only where
        the repair is thorough). Leases that last longer than `lease_ms` from now end then. Open circuits whose
        `probe_at_ms` is further away than their destination's longest wait may be probed now. Where it is thorough,
        dedup keys whose window lasts longer than `dedup_ms` from now are kept for that long.
        """

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """Put a destination's circuit in place of the one that has this version; None closes it.

        Version 0 stands for the closed circuit. False where the kept version is another: somebody was quicker, and
        nothing was changed.
        """

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Call `wake`, in the event loop, whenever there may be new deliveries to lease, wherever they came from."""
