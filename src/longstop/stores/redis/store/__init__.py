"""The store: a part for each subject of the ports, over one server."""

from longstop.stores.redis.store.accounts import RedisAccounts
from longstop.stores.redis.store.alerts import RedisAlertBooks
from longstop.stores.redis.store.audit import RedisAudit
from longstop.stores.redis.store.decisions import RedisDecisions
from longstop.stores.redis.store.health import RedisHealth
from longstop.stores.redis.store.inbox import RedisInbox
from longstop.stores.redis.store.jobs import RedisJobs
from longstop.stores.redis.store.keyed_requests import RedisKeyedRequests
from longstop.stores.redis.store.lookups import RedisLookups
from longstop.stores.redis.store.nodes import RedisNodes
from longstop.stores.redis.store.rejections import RedisRejections
from longstop.stores.redis.store.retention import RedisRetention
from longstop.stores.redis.store.statistics import RedisStatistics
from longstop.stores.redis.store.transfer import RedisTransfer


class RedisStore(
    RedisInbox,
    RedisLookups,
    RedisDecisions,
    RedisJobs,
    RedisNodes,
    RedisHealth,
    RedisRetention,
    RedisRejections,
    RedisKeyedRequests,
    RedisStatistics,
    RedisAccounts,
    RedisAudit,
    RedisAlertBooks,
    RedisTransfer,
):
    """Inbox and Ledger on one Redis; see RedisDatabase for its arguments."""
