"""What there is to warn of: ports.Health over Redis."""

from longstop.model.store_health import StoreHealth
from longstop.stores.redis.database import RedisDatabase


class RedisHealth(RedisDatabase):
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:  # noqa: ARG002
        """Nothing yet."""
        return StoreHealth()
