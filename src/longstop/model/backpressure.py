"""Backpressure's arithmetic: how much a source may send, how full it is, and when a sender should come back.

Nothing here refuses anybody or looks at a clock; `longstop.accepting.backpressure` does that with what it finds here.
"""

import math
import random
from dataclasses import dataclass

REOPEN_AT = 0.9
"""A backlog that reached its mark has to fall to this share of it, so that the door does not flap."""
SMOOTHING = 0.3
"""How much the newest look counts in the drain rate; the rest is what was seen before."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """From where on nothing more is taken."""

    max_backlog: int = 1_000_000
    """So many deliveries wait."""
    min_free_bytes: int = 0
    """Less than so much room is left on the store's disk."""


class TokenBucket:
    """A rate limit: so many a second, and `burst_s` seconds' worth of them (at least one) at once."""

    def __init__(self, rate_per_s: float, now_ms: int, burst_s: float = 1.0) -> None:
        self._rate_per_s = rate_per_s
        self._burst_s = burst_s
        self._tokens = self._burst
        self._at_ms = now_ms

    @property
    def _burst(self) -> float:
        return max(1.0, self._rate_per_s * self._burst_s)

    def change(self, rate_per_s: float, now_ms: int) -> None:
        """From now on it is another rate. What is there by the old one stays, as far as the new one lets it."""
        self.available(now_ms)
        self._rate_per_s = rate_per_s
        self._tokens = min(self._tokens, self._burst)

    def take(self, now_ms: int) -> float:
        """0 where the request is within the rate; otherwise the seconds until the next one will be."""
        if not self.available(now_ms):
            return self.wait_s()
        self.spend()
        return 0.0

    def available(self, now_ms: int) -> int:
        """How many are within the rate now."""
        # A clock that was set back grants nothing, and takes nothing away.
        elapsed_s = max(0, now_ms - self._at_ms) / 1000
        self._at_ms = now_ms
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._rate_per_s)
        return max(0, int(self._tokens))

    def spend(self) -> None:
        """Take one that was available."""
        self._tokens -= 1

    def wait_s(self) -> float:
        """The seconds until one is available, from the time that was last told; 0 where one is."""
        return max(0.0, (1 - self._tokens) / self._rate_per_s)


class Backlog:
    """How many deliveries wait, whether that is too many, and how fast they go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting = 0
        self._ended = 0
        self._at_ms: int | None = None
        self._drain_per_s: float | None = None
        self.full = False

    def seen(self, waiting: int, ended: int, now_ms: int) -> None:
        """What a look into the store found: deliveries that wait, and those that ever came to an end."""
        if self._at_ms is not None and now_ms > self._at_ms:
            # A replay takes deliveries out of those that ended; that is no negative speed.
            rate = max(0, ended - self._ended) * 1000 / (now_ms - self._at_ms)
            before = rate if self._drain_per_s is None else self._drain_per_s
            self._drain_per_s = before + SMOOTHING * (rate - before)
        self._waiting, self._ended, self._at_ms = waiting, ended, now_ms
        self.full = waiting > (self._most * REOPEN_AT if self.full else self._most)

    def wait_s(self) -> float | None:
        """How long until there is room again at the speed seen last; None where nothing moves."""
        if not self._drain_per_s:
            return None
        return max(0.0, self._waiting - self._most * REOPEN_AT) / self._drain_per_s


def retry_after_s(wait_s: float | None, most_s: int, rng: random.Random) -> int:
    """Whole seconds for a Retry-After: not before `wait_s`, at least 1, at most `most_s`, and spread.

    wait_s: how long it will take, None where nobody knows. most_s: the longest that the sender's own retry rules
    make sensible. Spread over half as much again (where the most is reached: over its upper half), because senders
    that were refused together would come back together.
    """
    if wait_s is not None and wait_s < most_s:
        soonest = max(1, math.ceil(wait_s))
        return min(soonest + int(rng.random() * (soonest / 2 + 1)), most_s)
    return max(1, math.ceil(most_s * (1 - rng.random() / 2)))
