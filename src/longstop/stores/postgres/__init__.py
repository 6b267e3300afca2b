"""A store in PostgreSQL: `PostgresStore`. Needs the extra `postgresql`."""

from longstop.stores.postgres.database import ServerSettings
from longstop.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore", "ServerSettings"]
