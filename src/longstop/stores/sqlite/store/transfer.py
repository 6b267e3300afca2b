"""Taking over what stood elsewhere: ports.Transfer over an SQLite file."""

from collections.abc import Sequence

from longstop.model.dedup import DedupKey
from longstop.model.retention import WholeEvent
from longstop.stores.sqlite import restore
from longstop.stores.sqlite.database import Database


class SqliteTransfer(Database):
    """See ports.Transfer."""

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """See ports.Transfer."""
        results = await self._transact(lambda connection: restore.restore(connection, events))
        self._wake()
        return results

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """See ports.Transfer."""
        return await self._searcher.view(lambda connection: restore.keys(connection, after, limit))

    async def keep_dedup_keys(self, keys: Sequence[DedupKey]) -> None:
        """See ports.Transfer."""
        await self._transact(lambda connection: restore.keep_keys(connection, keys))
