"""What there is to warn of: ports.Health over PostgreSQL."""

from longstop.model.store_health import StoreHealth
from longstop.stores.postgres.database import PostgresDatabase


class PostgresHealth(PostgresDatabase):
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:
        """See ports.Health."""
        return await self.view(lambda connection: self._health.look(connection, now_ms))
