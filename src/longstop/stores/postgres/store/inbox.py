"""The way of every event: ports.Inbox over PostgreSQL."""

from longstop.stores.postgres.database import PostgresDatabase


class PostgresInbox(PostgresDatabase):
    """See ports.Inbox."""
