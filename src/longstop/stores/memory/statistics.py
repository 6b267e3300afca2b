"""Statistics, in a dict."""

from collections.abc import Sequence
from itertools import islice

from longstop.model.statistics import Bucket, StatisticsQuery, added, summed

_Key = tuple[int, int, str, str, str]


class MemoryStatistics:
    """What happened when."""

    def __init__(self) -> None:
        super().__init__()
        self._statistics: dict[_Key, Bucket] = {}

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """Add to what is kept."""
        for each in buckets:
            key = (each.step_ms, each.at_ms, each.series, each.source, each.destination)
            kept = self._statistics.get(key)
            together = each if kept is None else Bucket(*key, kept.n + each.n, added(kept.bins, each.bins))
            self._statistics[key] = together

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """The sums that are asked for."""
        return summed(self._statistics.values(), wanted)

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """Drop what is old."""
        old = list(islice((key for key in self._statistics if key[0] == step_ms and key[1] < before_ms), limit))
        for key in old:
            del self._statistics[key]
        return len(old)
