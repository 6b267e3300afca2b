"""Rescuing: deliveries whose worker died or stood still come back; dedup keys whose window is over are forgotten."""

import random
from collections.abc import Mapping

import structlog

from longstop.delivering.attempt import settled
from longstop.delivering.clock_watch import ClockWatch
from longstop.model.delivery import Delivery, Outcome, OutcomeKind
from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import Settlement
from longstop.model.retry import RetryPolicy
from longstop.ports import Clock, Store

log = structlog.get_logger("longstop.delivering.rescue")

EVERY_S = 1.0
BATCH = 500
FORGET_EVERY_MS = 600_000
FORGET_AFTER_MS = 3_600_000
"""A clock that was wrong at the start is mostly set within minutes; one that is ahead would forget every key."""


class Rescue:
    """Looks after what nobody else will."""

    def __init__(
        self,
        store: Store,
        policies: Mapping[str, RetryPolicy],
        clock: Clock,
        rng: random.Random,
        lease_ms: int = 30_000,
        clock_watch: ClockWatch | None = None,
    ) -> None:
        self._lease_ms = lease_ms
        self._clock_watch = clock_watch or ClockWatch(clock)
        self._store = store
        self._policies = policies
        self._clock = clock
        self._rng = rng
        self._forgot_at_ms = 0

    async def run(self) -> None:
        """Rescue for ever."""
        while True:
            try:
                await self.rescue()
                await self.forget()
            except StoreUnavailableError as error:
                log.debug("rescue_failed", error=str(error))
            await self._clock.sleep(EVERY_S)

    async def rescue(self) -> int:
        """Bring back every delivery whose lease has run out; how many there were.

        It settles them with the token of the very lease that ran out. A worker that reports at the same
        moment either comes first, and the rescue is refused, or last, and is refused itself.
        """
        if self._clock_watch.set_forward_within(self._lease_ms):
            # Every lease seems to have run out. Until then those that are alive have extended theirs.
            return 0
        rescued = 0
        while expired := await self._store.expired(self._clock.now_ms(), BATCH):
            results = await self._store.settle([self._lost(delivery) for delivery in expired])
            for delivery, refused in zip(expired, results, strict=True):
                if refused is None:
                    rescued += 1
                    log.warning(
                        "rescued",
                        delivery_id=delivery.id,
                        event_id=delivery.event_id,
                        destination=delivery.destination,
                        worker=delivery.worker,
                    )
            if len(expired) < BATCH:
                break
        return rescued

    async def forget(self) -> None:
        """Drop the dedup keys whose window is over, every ten minutes; not by a clock that jumped within an hour."""
        steady_ms, now_ms = self._clock_watch.steady_ms(), self._clock.monotonic_ms()
        if steady_ms >= FORGET_AFTER_MS and now_ms - self._forgot_at_ms >= FORGET_EVERY_MS:
            await self._store.forget_dedup(self._clock.now_ms())
            self._forgot_at_ms = now_ms

    def _lost(self, delivery: Delivery) -> Settlement:
        error = f"lost: worker {delivery.worker} did not report before its lease ran out (a crash, or it stood still)"
        policy = self._policies.get(delivery.destination, RetryPolicy())
        delivery, started_at_ms = self._clock_watch.in_step(delivery), delivery.leased_at_ms or 0
        outcome = Outcome(OutcomeKind.LOST, error=error)
        return settled(delivery, outcome, started_at_ms, policy, self._clock.now_ms(), self._rng)
