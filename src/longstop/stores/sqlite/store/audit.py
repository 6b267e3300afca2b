"""The audit log: ports.AuditLog over an SQLite file."""

from collections.abc import Sequence

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.listing import Listing, Page
from longstop.stores.sqlite import audit
from longstop.stores.sqlite.database import Database


class SqliteAudit(Database):
    """See ports.AuditLog."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """See ports.AuditLog."""
        await self._transact(lambda connection: audit.note(connection, entries))

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """See ports.AuditLog."""
        return await self._searcher.call(lambda connection: audit.audit(connection, wanted, page))

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """See ports.AuditLog."""
        return await self._transact_unsynced(lambda connection: audit.forget(connection, before_ms, limit))
