"""Forgetting: ports.Retention over an SQLite file."""

from collections.abc import Sequence

from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent
from longstop.ports import WithoutSpans
from longstop.stores.sqlite import (
    ledger,
    retention,
    whole_events,
)
from longstop.stores.sqlite.database import Database


class SqliteRetention(Database, WithoutSpans):
    """See ports.Retention."""

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        return await self._searcher.view(
            lambda connection: retention.forgettable(connection, kind, before, after, limit)
        )

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """See ports.Retention."""
        return await self._searcher.view(lambda connection: whole_events.whole(connection, event_ids))

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """See ports.Retention."""
        return await self._transact_unsynced(lambda connection: retention.forget(connection, event_ids, before))

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        return await self._searcher.view(lambda connection: retention.old_attempts(connection, before_ms, after, limit))

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """See ports.Retention."""
        return await self._transact_unsynced(
            lambda connection: retention.forget_attempts(connection, event_ids, before_ms)
        )

    async def lived_until(self) -> int | None:
        """See ports.Retention."""
        return await self._reader.view(retention.lived_until)

    async def live_until(self, at_ms: int) -> None:
        """See ports.Retention."""
        await self._transact(lambda connection: retention.live_until(connection, at_ms))

    async def give_back(self) -> bool:
        """See ports.Retention."""
        return await self._transact(retention.give_back)

    async def forget_dedup(self, now_ms: int) -> int:
        """See ports.Retention."""
        return await self._transact(lambda connection: ledger.forget_dedup(connection, now_ms))
