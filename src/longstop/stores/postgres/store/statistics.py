"""What happened when: ports.Statistics over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.statistics import Bucket, StatisticsQuery
from longstop.stores.postgres import statistics
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.statements import unsynced


class PostgresStatistics(PostgresDatabase):
    """See ports.Statistics."""

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """See ports.Statistics."""
        await self.transact(unsynced(lambda connection: statistics.add(connection, buckets)))

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """See ports.Statistics."""
        return await self.view(lambda connection: statistics.sums(connection, wanted))

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """See ports.Statistics."""
        return await self.transact(
            unsynced(lambda connection: statistics.forget(connection, step_ms, before_ms, limit))
        )
