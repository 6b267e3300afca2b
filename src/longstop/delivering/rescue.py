"""Rescuing: deliveries whose worker died or stood still come back; dedup keys whose window is over are forgotten."""

import random
from collections.abc import Mapping

import structlog

from longstop.delivering.attempt import settled
from longstop.model.delivery import Delivery, Outcome, OutcomeKind
from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import Settlement
from longstop.model.retry import RetryPolicy
from longstop.ports import Clock, Store

log = structlog.get_logger("longstop.delivering.rescue")

EVERY_S = 1.0
BATCH = 500
FORGET_EVERY_MS = 600_000


class Rescue:
    """Looks after what nobody else will."""

    def __init__(self, store: Store, policies: Mapping[str, RetryPolicy], clock: Clock, rng: random.Random) -> None:
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
                log.error("rescue_failed", error=str(error))
            await self._clock.sleep(EVERY_S)

    async def rescue(self) -> int:
        """Bring back every delivery whose lease has run out; how many there were.

        It settles them with the token of the very lease that ran out. A worker that reports at the same
        moment either comes first, and the rescue is refused, or last, and is refused itself.
        """
        rescued = 0
        while expired := await self._store.expired(self._clock.now_ms(), BATCH):
            results = await self._store.settle([self._lost(delivery) for delivery in expired])
            for delivery, refused in zip(expired, results, strict=True):
                if refused is None:
                    rescued += 1
                    log.warning("rescued", delivery_id=delivery.id, event_id=delivery.event_id, worker=delivery.worker)
            if len(expired) < BATCH:
                break
        return rescued

    async def forget(self) -> None:
        """Drop the dedup keys whose window is over, every ten minutes."""
        now_ms = self._clock.now_ms()
        if now_ms - self._forgot_at_ms >= FORGET_EVERY_MS:
            await self._store.forget_dedup(now_ms)
            self._forgot_at_ms = now_ms

    def _lost(self, delivery: Delivery) -> Settlement:
        error = f"lost: worker {delivery.worker} did not report before its lease ran out (a crash, or it stood still)"
        policy = self._policies.get(delivery.destination, RetryPolicy())
        started_at_ms = delivery.leased_at_ms or 0
        outcome = Outcome(OutcomeKind.LOST, error=error)
        return settled(delivery, outcome, started_at_ms, policy, self._clock.now_ms(), self._rng)
