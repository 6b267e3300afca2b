"""What there is to warn of: ports.Health over Redis."""

from longstop.model.store_health import StoreHealth, durability_relaxed
from longstop.stores.redis.database import RedisDatabase


class RedisHealth(RedisDatabase):
    """See ports.Health."""

    async def health(self, now_ms: int) -> StoreHealth:  # noqa: ARG002
        """What the server said of itself when it was connected to last; it is not asked again."""
        return StoreHealth((durability_relaxed("Redis", self._given_up),) if self._given_up else ())
