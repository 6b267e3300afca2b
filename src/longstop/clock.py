"""The clock adapter: the one place that reads the wall clock and really sleeps."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

if hasattr(time, "CLOCK_BOOTTIME"):
    # CLOCK_MONOTONIC stands still while the machine is suspended, and that is no jump of the wall clock.
    _rising_ns: Callable[[], int] = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
else:
    _rising_ns = time.monotonic_ns


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds of a clock that only rises, and goes on while the machine sleeps where there is such a one."""
        return _rising_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)
