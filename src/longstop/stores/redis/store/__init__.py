"""The store: a part for each subject of the ports, over one server."""

from longstop.stores.redis.store.decisions import RedisDecisions
from longstop.stores.redis.store.inbox import RedisInbox
from longstop.stores.redis.store.lookups import RedisLookups


class RedisStore(RedisInbox, RedisLookups, RedisDecisions):
    """Inbox and Ledger on one Redis; see RedisDatabase for its arguments."""
