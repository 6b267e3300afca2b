"""The store: a part for each subject of the ports, over one schema of a database."""

from longstop.stores.postgres.store.accounts import PostgresAccounts
from longstop.stores.postgres.store.alerts import PostgresAlertBooks
from longstop.stores.postgres.store.audit import PostgresAudit
from longstop.stores.postgres.store.decisions import PostgresDecisions
from longstop.stores.postgres.store.health import PostgresHealth
from longstop.stores.postgres.store.inbox import PostgresInbox
from longstop.stores.postgres.store.jobs import PostgresJobs
from longstop.stores.postgres.store.keyed_requests import PostgresKeyedRequests
from longstop.stores.postgres.store.lookups import PostgresLookups
from longstop.stores.postgres.store.nodes import PostgresNodes
from longstop.stores.postgres.store.rejections import PostgresRejections
from longstop.stores.postgres.store.retention import PostgresRetention
from longstop.stores.postgres.store.spans import PostgresSpans
from longstop.stores.postgres.store.statistics import PostgresStatistics
from longstop.stores.postgres.store.transfer import PostgresTransfer


class PostgresStore(
    PostgresInbox,
    PostgresDecisions,
    PostgresLookups,
    PostgresJobs,
    PostgresNodes,
    PostgresHealth,
    PostgresRetention,
    PostgresSpans,
    PostgresRejections,
    PostgresKeyedRequests,
    PostgresStatistics,
    PostgresAccounts,
    PostgresAudit,
    PostgresAlertBooks,
    PostgresTransfer,
):
    """Inbox and Ledger in PostgreSQL."""
