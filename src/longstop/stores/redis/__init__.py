"""A store on Redis or Valkey, for many gateways and many workers. See docs/stores/redis.md."""

from longstop.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
