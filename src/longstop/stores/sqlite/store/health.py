"""What there is to warn of: ports.Health over an SQLite file."""

from longstop.model.store_health import StoreHealth
from longstop.stores.sqlite.database import Database


class SqliteHealth(Database):
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:  # noqa: ARG002
        """Nothing: there is no server that could be set up otherwise."""
        return StoreHealth()
