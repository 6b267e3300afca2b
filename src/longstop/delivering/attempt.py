"""One attempt: send → Outcome → settle."""

import asyncio
import random
from dataclasses import dataclass, field

import structlog

from longstop.delivering.breaker import Breaker
from longstop.delivering.clock_watch import ClockWatch
from longstop.group_commit import GroupCommit
from longstop.model.breaker import BreakerPolicy, Circuit
from longstop.model.delivery import Attempt, Delivery, Outcome, OutcomeKind, State
from longstop.model.errors import HandlerRaisedError, LeaseLostError, StoreUnavailableError
from longstop.model.lease import Claim, LeaseRef, Settlement
from longstop.model.retry import RetryPolicy, decide, expiry
from longstop.ports import Clock, Sender, TransactionalSender, Transactions

log = structlog.get_logger("longstop.delivering.attempt")

SETTLE_AGAIN_S = 0.5
"""How long to wait before a settlement is tried again that the store could not take."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where deliveries go, and how persistently."""

    name: str
    sender: Sender
    policy: RetryPolicy
    concurrency: int
    """Attempts that may be under way at once, in this worker."""
    adaptive: bool = False
    """Whether there may be fewer, as many as the destination can take."""
    rate_per_s: float | None = None
    """Attempts that may begin in a second, in all workers together; None: any number."""
    timeout_ms: int = 10_000
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    transactional: TransactionalSender | None = None
    """Called within the store's transaction, in the place of `sender`."""


def settled(
    delivery: Delivery,
    outcome: Outcome,
    started_at_ms: int,
    policy: RetryPolicy,
    now_ms: int,
    rng: random.Random,
    probe: bool = False,
) -> Settlement:
    """The settlement of a leased delivery after one attempt: what it becomes, and the attempt's record."""
    tried = delivery.tried(outcome, probe)
    attempt = Attempt(
        number=tried.attempts,
        round=tried.round,
        started_at_ms=started_at_ms,
        duration_ms=max(0, now_ms - started_at_ms),
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
        frames=outcome.frames,
    )
    return Settlement(tried.after(decide(tried, outcome, policy, now_ms, rng, probe)), attempt)


class AttemptRunner:
    """Carries claimed deliveries through their attempt."""

    def __init__(
        self,
        settlements: GroupCommit[Settlement, None],
        clock: Clock,
        rng: random.Random,
        transactions: Transactions | None = None,
        clock_watch: ClockWatch | None = None,
    ) -> None:
        self.clock_watch = clock_watch or ClockWatch(clock)
        self._settlements = settlements
        self._transactions = transactions
        self._clock = clock
        self._rng = rng
        self._settling: set[LeaseRef] = set()

    def is_settling(self, lease: LeaseRef) -> bool:
        """Whether the attempt of this lease is over and its end is on its way into the store, which frees the lease."""
        return lease in self._settling

    async def run(
        self, claim: Claim, destination: Destination, breaker: Breaker, circuit: Circuit | None = None
    ) -> None:
        """Try a claimed delivery once and settle it; one that is of no use any more is not tried.

        circuit: the destination's, where it is open and this is its probe.
        When this is cancelled, the attempt is broken off and settled as interrupted before it leaves.
        """
        started_at_ms, began_ms = self.clock_watch.look(), self._clock.monotonic_ms()
        late = expiry(self.clock_watch.in_step(claim.delivery), started_at_ms)
        if late is not None:
            await self._submit(Settlement(claim.delivery.after(late)), claim.delivery)
            return
        probe = circuit is not None
        try:
            if destination.transactional is None:
                outcome = await _send(destination.sender, claim)
            else:
                outcome = await self._together(claim, destination.transactional, started_at_ms, destination, probe)
        except asyncio.CancelledError:
            error = "interrupted: the gateway stopped before the destination answered"
            await self._settle(claim, Outcome(OutcomeKind.INTERRUPTED, error=error), started_at_ms, destination)
            raise
        if outcome.traceback is not None:
            log.warning("handler_raised", exception=outcome.traceback, error=outcome.error, **_names(claim.delivery))
        # First the circuit: what is settled may let the next one go, and that had better know.
        await breaker.ended(claim.delivery, outcome, began_ms, circuit)
        if destination.transactional is None or outcome.kind is not OutcomeKind.SUCCESS:
            await self._settle(claim, outcome, started_at_ms, destination, probe)

    async def _together(
        self, claim: Claim, handler: TransactionalSender, started_at_ms: int, destination: Destination, probe: bool
    ) -> Outcome:
        """Call a transactional handler. Where that succeeds, the delivery is settled already, in its transaction."""
        assert self._transactions is not None, "checked when the gateway was wired"
        delivery, success = claim.delivery, Outcome(OutcomeKind.SUCCESS)

        def done() -> Settlement:
            now_ms = self._clock.now_ms()
            return settled(delivery, success, started_at_ms, destination.policy, now_ms, self._rng, probe)

        lease = LeaseRef(delivery.id, delivery.token)
        try:
            lost = await self._transactions.settle_with(
                lease, lambda transaction: handler.call(claim.event, transaction), done, handler.timeout_s
            )
        except HandlerRaisedError as raised:
            return handler.judge(raised.error)
        except StoreUnavailableError as error:
            return Outcome(OutcomeKind.RETRY, error=f"the transaction was not committed: {error}")
        if lost is not None:
            log.warning("lease_lost", **_names(delivery))
        else:
            log.debug("delivered", **_names(delivery))
        return success

    async def _settle(
        self, claim: Claim, outcome: Outcome, started_at_ms: int, destination: Destination, probe: bool = False
    ) -> None:
        delivery, now_ms = self.clock_watch.in_step(claim.delivery), self._clock.now_ms()
        settlement = settled(delivery, outcome, started_at_ms, destination.policy, now_ms, self._rng, probe)
        await self._submit(settlement, claim.delivery)

    async def _submit(self, settlement: Settlement, leased: Delivery) -> None:
        lease = LeaseRef(leased.id, leased.token)
        self._settling.add(lease)
        try:
            await self._submit_until_known(settlement, leased)
        finally:
            self._settling.discard(lease)

    async def _submit_until_known(self, settlement: Settlement, leased: Delivery) -> None:
        while True:
            try:
                await self._settlements.submit(settlement)
            except LeaseLostError:
                # Somebody else holds it by now and will record a try of its own: at least once, and explained.
                log.warning("lease_lost", **_names(leased))
                return
            except StoreUnavailableError as error:
                log.debug("settle_failed", error=str(error), **_names(leased))
                await self._clock.sleep(SETTLE_AGAIN_S)
            else:
                _report(settlement)
                return


async def _send(sender: Sender, claim: Claim) -> Outcome:
    try:
        return await sender.send(claim, claim.delivery.attempts + 1)
    except Exception as error:
        # A sender classifies all that a destination does; this is a fault of ours, and no reason to lose the event.
        log.exception("sender_failed", **_names(claim.delivery))
        return Outcome(OutcomeKind.RETRY, error=f"internal error: {type(error).__name__}")


def _report(settlement: Settlement) -> None:
    delivery, attempt = settlement.delivery, settlement.attempt
    if delivery.state is State.DELIVERED:
        log.debug("delivered", **_names(delivery))
    elif delivery.state is State.DEAD:
        skipped = {"skipped": True} if delivery.skipped else {}
        log.error("dead", reason=str(delivery.reason), error=attempt and attempt.error, **skipped, **_names(delivery))
    else:
        log.warning("retrying", error=attempt and attempt.error, due_at_ms=delivery.due_at_ms, **_names(delivery))


def _names(delivery: Delivery) -> dict[str, object]:
    return {
        "delivery_id": delivery.id,
        "event_id": delivery.event_id,
        "destination": delivery.destination,
        "attempts": delivery.attempts,
    }
