"""The audit log: ports.AuditLog over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.audit import AuditEntry, AuditFilter
from longstop.model.listing import Listing, Page
from longstop.stores.postgres import audit
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.statements import unsynced


class PostgresAudit(PostgresDatabase):
    """See ports.AuditLog."""

    async def note(self, entries: Sequence[AuditEntry]) -> None:
        """See ports.AuditLog."""
        await self.transact(lambda connection: audit.note(connection, entries))

    async def audit(self, wanted: AuditFilter, page: Page) -> Listing[AuditEntry]:
        """See ports.AuditLog."""
        return await self.view(lambda connection: audit.audit(connection, wanted, page))

    async def forget_audit(self, before_ms: int, limit: int) -> int:
        """See ports.AuditLog."""
        return await self.transact(unsynced(lambda connection: audit.forget(connection, before_ms, limit)))
