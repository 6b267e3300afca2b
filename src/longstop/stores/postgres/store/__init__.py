"""The store: a part for each subject of the ports, over one schema of a database."""

from longstop.stores.postgres.store.decisions import PostgresDecisions
from longstop.stores.postgres.store.inbox import PostgresInbox


class PostgresStore(PostgresInbox, PostgresDecisions):
    """Inbox and Ledger in PostgreSQL."""
