"""Taking over what stood elsewhere: ports.Transfer over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.dedup import DedupKey
from longstop.model.retention import WholeEvent
from longstop.stores.postgres import restore
from longstop.stores.postgres.database import PostgresDatabase


class PostgresTransfer(PostgresDatabase):
    """See ports.Transfer."""

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """See ports.Transfer."""
        results = await self.transact(lambda connection: restore.restore(connection, events))
        self.floors.forget()
        self._arrivals.arrived()
        return results

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """See ports.Transfer."""
        return await self.view(lambda connection: restore.keys(connection, after, limit))

    async def keep_dedup_keys(self, keys: Sequence[DedupKey]) -> None:
        """See ports.Transfer."""
        await self.transact(lambda connection: restore.keep_keys(connection, keys))
