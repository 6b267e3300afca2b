"""Backpressure towards senders: who is over the rate, whether anything can be taken at all, when to come back.

Asked for every request, so it only looks at numbers in memory. The backlog and the disk are looked at by a task of
its own.
"""

import random
from collections.abc import Callable

import structlog

from longstop.model.backpressure import Backlog, TokenBucket, Watermarks, retry_after_s
from longstop.model.delivery import State
from longstop.model.errors import RateError, StoreUnavailableError, UnavailableError
from longstop.ports import Clock, Ledger, Source

log = structlog.get_logger("longstop.accepting.backpressure")

LOOK_EVERY_S = 2.0
LOOK_SHARE = 20
"""Counting a large store takes a while: at most one part in so many of the time is spent on it."""
HOLD_S = 0.25
"""How long a 429 is held back, give or take a half: a sender that asks again at once keeps nobody busy. Below every
sender's patience (the shortest known is a second)."""
HELD_MAX = 1_000
RESTART_S = 5.0
"""What a restart takes, when one is under way."""
TELL_EVERY_MS = 60_000
_WAITING = (State.SCHEDULED, State.LEASED)


def _unlimited() -> int:
    return 2**63


class Backpressure:
    """What is known of the load. `free_bytes` tells how much room the store's disk has left."""

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        ledger: Ledger,
        marks: Watermarks,
        free_bytes: Callable[[], int] = _unlimited,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._ledger = ledger
        self._marks = marks
        self._free_bytes = free_bytes
        self._backlog = Backlog(marks.max_backlog)
        self._low_on_disk = False
        self._blind = False
        """The store could not be looked at the last time."""
        self._down_since_ms: int | None = None
        self._buckets: dict[str, TokenBucket] = {}
        self._told_at_ms: dict[str, int] = {}
        self._held = 0

    # -- what is asked for every request -------------------------------------------------------------

    def check(self, source: Source) -> None:
        """Raise UnavailableError while the backlog or the disk is at its mark."""
        if self._low_on_disk:
            raise self._unavailable(source, "the disk is nearly full; send it again later", None)
        if self._backlog.full:
            wait_s = self._backlog.wait_s()
            raise self._unavailable(source, "too many deliveries are waiting; send it again later", wait_s)

    def over_rate_s(self, source: Source, now_ms: int) -> float:
        """Count a request that was proven to be the source's own; how long until the next is within the rate, or 0.

        Proven ones only: a stranger with a wrong signature must not use up what the real sender may send, nor learn
        from a 429 that the source exists.
        """
        if source.rate_per_s is None:
            return 0
        bucket = self._buckets.get(source.name)
        if bucket is None:
            bucket = self._buckets[source.name] = TokenBucket(source.rate_per_s, now_ms)
        wait_s = bucket.take(now_ms)
        if wait_s:
            self._tell(source, now_ms)
        return wait_s

    async def refused(self, source: Source, wait_s: float) -> RateError:
        """What a sender over its rate is told, after a moment."""
        await self._hold()
        after_s = retry_after_s(wait_s, source.retry_after_max_s, self._rng)
        return RateError("this source is over its rate limit; send it again later", after_s)

    async def _hold(self) -> None:
        if self._held >= HELD_MAX:
            return
        self._held += 1
        try:
            # Not all for as long: what was refused together must not come back in one burst.
            await self._clock.sleep(HOLD_S * (0.5 + self._rng.random()))
        finally:
            self._held -= 1

    def _tell(self, source: Source, now_ms: int) -> None:
        if now_ms - self._told_at_ms.get(source.name, -TELL_EVERY_MS) >= TELL_EVERY_MS:
            self._told_at_ms[source.name] = now_ms
            log.warning("over_rate", source=source.name, rate_per_s=source.rate_per_s)

    # -- what ingest meets ---------------------------------------------------------------------------

    def stopping(self, source: Source) -> UnavailableError:
        """What a sender is told before the gateway has started, and once it stops."""
        return self._unavailable(source, "the gateway is starting or stopping; send it again", RESTART_S)

    def store_failed(self, source: Source, message: str) -> UnavailableError:
        """What a sender is told when the store could not: come back after as long again as it has been failing."""
        now_ms = self._clock.monotonic_ms()
        if self._down_since_ms is None:
            self._down_since_ms = now_ms
        return self._unavailable(source, message, (now_ms - self._down_since_ms) / 1000)

    def crowded(self, source: Source) -> UnavailableError:
        """What a sender is told whose request waited too long for its turn."""
        return self._unavailable(source, "too many requests of this source at once; send it again", None)

    def store_works(self) -> None:
        """Something was just kept."""
        self._down_since_ms = None

    def _unavailable(self, source: Source, message: str, wait_s: float | None) -> UnavailableError:
        return UnavailableError(message, retry_after_s(wait_s, source.retry_after_max_s, self._rng))

    # -- looking -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for ever."""
        while True:
            began_ms = self._clock.monotonic_ms()
            await self.look()
            took_s = (self._clock.monotonic_ms() - began_ms) / 1000
            await self._clock.sleep(max(LOOK_EVERY_S, took_s * LOOK_SHARE))

    async def look(self) -> None:
        """Look at the disk and at the backlog once. A store that cannot tell leaves the last answer standing."""
        was_closed = self.closed
        try:
            self._low_on_disk = self._free_bytes() < self._marks.min_free_bytes
            # Numbers alone, as it asks so often.
            counts = await self._ledger.counts(False)
        except (OSError, StoreUnavailableError) as error:
            self._blind = True
            if isinstance(error, StoreUnavailableError):
                log.debug("look_failed", error=str(error))
            else:
                log.error("look_failed", error=str(error))
            return
        self._blind = False
        states = [(state, number) for each in counts.deliveries.values() for state, number in each.items()]
        waiting = sum(number for state, number in states if state in _WAITING)
        ended = sum(number for state, number in states if state not in _WAITING)
        self._backlog.seen(waiting, ended, self._clock.monotonic_ms())
        if self.closed != was_closed:
            self._tell_closed(waiting)

    @property
    def closed(self) -> bool:
        """Whether nothing is taken now."""
        return self._low_on_disk or self._backlog.full

    def why_closed(self, needs_store: bool = True) -> list[str]:
        """What keeps senders out, in words. needs_store: nothing can be taken without the store."""
        why = []
        if self._low_on_disk:
            why.append(f"the store's disk is nearly full: less than {self._marks.min_free_bytes} bytes are free")
        if self._backlog.full:
            why.append(f"too many deliveries wait: the mark is {self._marks.max_backlog}")
        if self._blind and needs_store:
            why.append("the store could not be read when it was last tried")
        return why

    def _tell_closed(self, waiting: int) -> None:
        if self.closed:
            log.error("closed", waiting=waiting, low_on_disk=self._low_on_disk)
        else:
            log.info("open_again", waiting=waiting)
