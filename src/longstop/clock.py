"""The clock adapter: the one place that reads the wall clock and really sleeps."""

import asyncio
import time


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)
