"""Statistics, in a dict."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple
from itertools import islice

from longstop.model.statistics import Bucket, StatisticsQuery, summed

_Key = tuple[int, int, str, str, str]


class MemoryStatistics:
    """What happened when."""

    def __init__(self) -> None:
        super().__init__()
        self._statistics: dict[_Key, int] = defaultdict(int)

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """Add to what is kept."""
        for each in buckets:
            *key, n = astuple(each)
            self._statistics[*key,] += n

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """The sums that are asked for."""
        return summed((Bucket(*key, n) for key, n in self._statistics.items()), wanted)

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """Drop what is old."""
        old = list(islice((key for key in self._statistics if key[0] == step_ms and key[1] < before_ms), limit))
        for key in old:
            del self._statistics[key]
        return len(old)
