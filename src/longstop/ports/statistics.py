"""What happened when, in numbers that add up."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.statistics import Bucket, StatisticsQuery


class Statistics(Protocol):
    """Buckets of a minute or an hour. Nothing else depends on them: a crash may take the last few seconds of them."""

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """Add the numbers to those that are kept of the same time, series, source and destination.

        Several processes do so. They are there for everybody when this returns, and may be lost with the power.
        """

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """The sums that are asked for (`model.statistics.summed`), by time, source and destination; none of nothing."""

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """Drop buckets of this resolution that begin before a time, at most so many; how many there were."""
