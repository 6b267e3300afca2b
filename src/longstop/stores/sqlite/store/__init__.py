"""The store: a part for each subject of the ports, over one file."""

from pathlib import Path

from longstop.model.listing import (
    BackedUp,
)
from longstop.stores.sqlite import backup
from longstop.stores.sqlite.store.accounts import SqliteAccounts
from longstop.stores.sqlite.store.alerts import SqliteAlertBooks
from longstop.stores.sqlite.store.audit import SqliteAudit
from longstop.stores.sqlite.store.decisions import SqliteDecisions
from longstop.stores.sqlite.store.health import SqliteHealth
from longstop.stores.sqlite.store.inbox import SqliteInbox
from longstop.stores.sqlite.store.jobs import SqliteJobs
from longstop.stores.sqlite.store.keyed_requests import SqliteKeyedRequests
from longstop.stores.sqlite.store.lookups import SqliteLookups
from longstop.stores.sqlite.store.nodes import SqliteNodes
from longstop.stores.sqlite.store.rejections import SqliteRejections
from longstop.stores.sqlite.store.retention import SqliteRetention
from longstop.stores.sqlite.store.statistics import SqliteStatistics
from longstop.stores.sqlite.store.transfer import SqliteTransfer


class SqliteStore(
    SqliteInbox,
    SqliteLookups,
    SqliteDecisions,
    SqliteJobs,
    SqliteNodes,
    SqliteHealth,
    SqliteRetention,
    SqliteRejections,
    SqliteKeyedRequests,
    SqliteStatistics,
    SqliteAccounts,
    SqliteAudit,
    SqliteAlertBooks,
    SqliteTransfer,
):
    """Inbox and Ledger in one SQLite file; see Database for its arguments."""

    async def backup(self, target: Path) -> BackedUp:
        """See ports.Backups."""
        return await self._searcher.view(lambda connection: backup.backup(connection, target))
