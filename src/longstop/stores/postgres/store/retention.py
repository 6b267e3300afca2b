"""Forgetting: ports.Retention over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent
from longstop.stores.postgres import retention
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.statements import unsynced


class PostgresRetention(PostgresDatabase):
    """See ports.Retention."""

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        return await self.view(lambda connection: retention.forgettable(connection, kind, before, after, limit))

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """See ports.Retention."""
        return await self.view(lambda connection: retention.whole(connection, event_ids))

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """See ports.Retention."""
        return await self.transact(unsynced(lambda connection: retention.forget(connection, event_ids, before)))

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        return await self.view(lambda connection: retention.old_attempts(connection, before_ms, after, limit))

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """See ports.Retention."""
        return await self.transact(
            unsynced(lambda connection: retention.forget_attempts(connection, event_ids, before_ms))
        )

    async def lived_until(self) -> int | None:
        """See ports.Retention."""
        return await self.view(retention.lived_until)

    async def live_until(self, at_ms: int) -> None:
        """See ports.Retention."""
        await self.transact(lambda connection: retention.live_until(connection, at_ms))

    async def give_back(self) -> bool:
        """See ports.Retention. PostgreSQL's own vacuum does."""
        return False

    async def forget_dedup(self, now_ms: int) -> int:
        """See ports.Retention. Some at a time: no transaction that lasts holds up what the server's vacuum does."""
        forgotten = some = await self.transact(unsynced(lambda connection: retention.forget_dedup(connection, now_ms)))
        while some == retention.DEDUP_AT_ONCE:
            some = await self.transact(unsynced(lambda connection: retention.forget_dedup(connection, now_ms)))
            forgotten += some
        return forgotten
