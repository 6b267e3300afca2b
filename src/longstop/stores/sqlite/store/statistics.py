"""What happened when: ports.Statistics over an SQLite file."""

from collections.abc import Sequence

from longstop.model.statistics import Bucket, StatisticsQuery
from longstop.stores.sqlite import statistics
from longstop.stores.sqlite.database import Database


class SqliteStatistics(Database):
    """See ports.Statistics."""

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """See ports.Statistics."""
        await self._transact_unsynced(lambda connection: statistics.add(connection, buckets))

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """See ports.Statistics."""
        return await self._searcher.view(lambda connection: statistics.sums(connection, wanted))

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """See ports.Statistics."""
        return await self._transact_unsynced(
            lambda connection: statistics.forget(connection, step_ms, before_ms, limit)
        )
