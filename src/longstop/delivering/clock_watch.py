"""The wall clock is watched: a jump is noticed, logged and repaired, and counts nobody's time wrongly.

The rules are in `model.clock_guard`.
"""

from collections.abc import Mapping

import structlog

from longstop.model.breaker import BreakerPolicy
from longstop.model.clock_guard import REPAIRS_MAX, ClockGuard, ClockRepair
from longstop.model.delivery import Delivery
from longstop.model.errors import StoreUnavailableError
from longstop.model.retry import RetryPolicy
from longstop.ports import Clock, Inbox

log = structlog.get_logger("longstop.delivering.clock_watch")

LOOK_EVERY_S = 1.0
REPAIR_EVERY_S = 10.0
"""What other processes wrote before they noticed, and what was held in a lane until now, is found this late."""


class ClockWatch:
    """What this process knows of its wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard: ClockGuard | None = None
        self._set_forward_at_ms: int | None = None
        self.jumps = 0
        """How often it was set."""

    def look(self) -> int:
        """Compare the clocks, log a jump; the wall clock's milliseconds."""
        now_ms, monotonic_ms = self._clock.now_ms(), self._clock.monotonic_ms()
        if self._guard is None:
            self._guard = ClockGuard(now_ms, monotonic_ms)
        jump = self._guard.look(now_ms, monotonic_ms)
        if jump is not None:
            self.jumps += 1
            if jump.by_ms > 0:
                self._set_forward_at_ms = monotonic_ms
            log.error("clock_jumped", by_s=jump.by_ms / 1000, from_ms=jump.from_ms, to_ms=jump.to_ms)
        return now_ms

    def in_step(self, delivery: Delivery) -> Delivery:
        """A delivery whose round began, and which expires, by the clock as it is now."""
        return self._watched().in_step(delivery, self._clock.now_ms())

    def expired_by_ms(self) -> int:
        """What expires by then is of no use any more, whichever clock noted it."""
        return self._clock.now_ms() - self._watched().ahead_ms()

    def set_forward_within(self, ms: int) -> bool:
        """Whether it was set forward so lately."""
        self.look()
        at_ms = self._set_forward_at_ms
        return at_ms is not None and self._clock.monotonic_ms() - at_ms < ms

    def steady_ms(self) -> int:
        """For how long it has not jumped."""
        return self._watched().steady_ms(self._clock.monotonic_ms())

    def _watched(self) -> ClockGuard:
        self.look()
        assert self._guard is not None
        return self._guard


class ClockRepairs:
    """Has the store mended: thoroughly at the start and after a jump, and now and then what has come to light."""

    def __init__(
        self, inbox: Inbox, clock: Clock, watch: ClockWatch, waits: Mapping[str, int], lease_ms: int, dedup_ms: int
    ) -> None:
        """waits, lease_ms, dedup_ms: as in ClockRepair."""
        self._inbox = inbox
        self._clock = clock
        self._watch = watch
        self._waits = waits
        self._lease_ms = lease_ms
        self._dedup_ms = dedup_ms
        self._jumps: int | None = None
        """As many as have been repaired; None: nobody has looked yet what was left from before the start."""
        self._repaired_at_ms = 0

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except StoreUnavailableError as error:
                log.debug("clock_repair_failed", error=str(error))
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Repair, if it is time to."""
        now_ms, jumps = self._watch.look(), self._watch.jumps
        thorough = self._jumps != jumps
        monotonic_ms = self._clock.monotonic_ms()
        if thorough or monotonic_ms - self._repaired_at_ms >= REPAIR_EVERY_S * 1000:
            await self._repair(ClockRepair(now_ms, self._waits, self._lease_ms, self._dedup_ms, thorough))
            self._jumps, self._repaired_at_ms = jumps, monotonic_ms

    async def _repair(self, repair: ClockRepair) -> None:
        total = 0
        while repaired := await self._inbox.repair_clock(repair):
            total += repaired
            if repaired < REPAIRS_MAX:
                break
        if total:
            log.warning("clock_repaired", entries=total)


def longest_wait_ms(retry: RetryPolicy, breaker: BreakerPolicy, timeout_ms: int) -> int:
    """The longest that anything waits at a destination without a person's asking for it."""
    return max(retry.first_ms, retry.cap_ms, retry.retry_after_cap_ms, breaker.probe_cap_ms, 2 * timeout_ms)
