"""Time, as the services see it."""

from typing import Protocol


class Clock(Protocol):
    """Time. The tests' clock jumps."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC, by a clock that somebody may set at any time."""

    def monotonic_ms(self) -> int:
        """Milliseconds of a clock that only rises: for how long something took, or is to last in this process."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
