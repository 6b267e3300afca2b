"""How many attempts may be under way at a destination: a fixed number, or one that follows what it can take. Pure."""

START = 8
"""An adaptive limit begins here: a destination that can take more has shown it within a few round trips."""
SLOW_TIMES = 2.0
SLOW_MS = 20
"""An answer is slow that takes SLOW_TIMES as long as the quickest lately, and SLOW_MS more. A queue at the
destination shows in its answers' times before it shows in errors."""
FORGET_PER_S = 0.02
"""By so much of it the quickest answer lately is forgotten each second: destinations change."""
AFTER_ERROR = 0.5
AFTER_SLOW = 0.9


class Limiter:
    """The limit of one destination in one worker.

    Fixed: `most`, but after `ramp` it begins at one and grows by one with each success, so it doubles with every
    round trip. Adaptive (AIMD: additive increase, multiplicative decrease): it grows by one each round trip that
    used all of it, is halved by an error and lowered by slow answers, once for all that were under way together.
    """

    def __init__(self, most: int, adaptive: bool = False) -> None:
        self._most = most
        self._adaptive = adaptive
        self._limit = float(min(most, START) if adaptive else most)
        self._doubles_to = float(most)
        """Below, each success adds one; above, each round trip does."""
        self._quickest_ms: float | None = None
        self._at_ms = 0
        self._lowered_at_ms = -1

    @property
    def limit(self) -> int:
        """Attempts that may be under way."""
        return int(self._limit)

    def ramp(self) -> None:
        """Begin anew, with one: the destination has just come back."""
        if self._adaptive:
            self._doubles_to = max(1.0, self._limit / 2)
        self._limit = 1.0

    def ended(self, worked: bool, started_at_ms: int, now_ms: int, running: int) -> None:
        """An attempt has ended. running: how many were under way, with this one."""
        slow = worked and self._adaptive and self._is_slow(max(0, now_ms - started_at_ms), now_ms)
        if worked and not slow:
            self._grow(running)
        elif self._adaptive and started_at_ms > self._lowered_at_ms:
            self._limit = max(1.0, self._limit * (AFTER_SLOW if worked else AFTER_ERROR))
            self._doubles_to = self._limit
            self._lowered_at_ms = now_ms

    def _grow(self, running: int) -> None:
        # What was not used up says nothing of what more would do.
        if running < int(self._limit):
            return
        step = 1.0 if self._limit < self._doubles_to else 1.0 / self._limit
        self._limit = min(float(self._most), self._limit + step)

    def _is_slow(self, took_ms: int, now_ms: int) -> bool:
        if self._quickest_ms is not None:
            elapsed_s = max(0, now_ms - self._at_ms) / 1000
            self._quickest_ms *= 1 + min(1.0, FORGET_PER_S * elapsed_s)
        self._at_ms = now_ms
        if self._quickest_ms is None or took_ms < self._quickest_ms:
            self._quickest_ms = float(took_ms)
        return took_ms > SLOW_TIMES * self._quickest_ms + SLOW_MS
