"""The store that the configuration names. What a kind needs besides is imported where that kind is asked for."""

import os
from collections.abc import Callable
from pathlib import Path

from longstop.clock import SystemClock
from longstop.config import StoreSettings
from longstop.model.errors import ConfigurationError
from longstop.model.s3_place import S3Place
from longstop.ports import Store
from longstop.ports.bodies import Bodies
from longstop.stores.bodies import FolderBodies


def make_store(settings: StoreSettings) -> Store:
    """The store, closed yet."""
    return _MAKE[settings.kind](settings)


def is_there(settings: StoreSettings) -> bool:
    """Whether there is a store that other processes can see: to open a file that is not there would make it."""
    return settings.is_shared and (settings.path is None or os.path.exists(settings.path))


def _memory(_: StoreSettings) -> Store:
    from longstop.stores.memory import MemoryStore

    return MemoryStore()


def _sqlite(settings: StoreSettings) -> Store:
    from longstop.stores.sqlite import SqliteStore

    assert settings.path is not None
    return SqliteStore(settings.path)


def _postgresql(settings: StoreSettings) -> Store:
    try:
        from longstop.stores.postgres import PostgresStore, ServerSettings
    except ImportError:
        problem = "store.url: found postgresql://…, without its driver; expected the extra"
        raise ConfigurationError((f"{problem}; pip install 'longstop[postgresql]'",)) from None
    asked = settings.postgresql
    assert asked is not None
    server = ServerSettings(asked.address, asked.schema, asked.relaxed, asked.pooled, asked.connections)
    return PostgresStore(server)


def _redis(settings: StoreSettings) -> Store:
    try:
        from longstop.stores.redis import RedisStore
    except ImportError:
        problem = "store.url: found redis://…, without its driver; expected the extra; pip install 'longstop[redis]'"
        raise ConfigurationError((problem,)) from None
    asked = settings.redis
    assert asked is not None
    store = RedisStore(
        asked.url, others=asked.others, prefix=asked.prefix, relaxed=asked.relaxed, replicas=asked.replicas
    )
    if asked.bodies is not None:
        store.keep_apart(_bodies(asked.bodies), asked.bodies_over)
    return store


def _bodies(place: str | S3Place) -> Bodies:
    if not isinstance(place, S3Place):
        return FolderBodies(Path(place))
    try:
        from longstop.stores.bodies.s3 import S3Bodies
    except ImportError:
        problem = "store.url: found bodies=s3://…, without aiobotocore; expected the extra; pip install 'longstop[aws]'"
        raise ConfigurationError((problem,)) from None
    return S3Bodies(place)


def _aws(settings: StoreSettings) -> Store:
    try:
        from longstop.stores.aws import AwsStore
    except ImportError:
        problem = "store.url: found aws://…, without its driver; expected the extra; pip install 'longstop[aws]'"
        raise ConfigurationError((problem,)) from None
    asked = settings.aws
    assert asked is not None
    now_ms = SystemClock().now_ms
    beside = {"queue": asked.queue, "endpoint": asked.endpoint}
    store = AwsStore(asked.region, asked.table, **beside, shards=asked.shards, now_ms=now_ms)
    if asked.bucket is not None:
        place = S3Place(asked.bucket, "bodies", asked.region, asked.endpoint)
        store.keep_apart(_bodies(place), asked.bodies_over)
    return store


_MAKE: dict[str, Callable[[StoreSettings], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "redis": _redis,
    "aws": _aws,
}
