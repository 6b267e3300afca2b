"""The stores that tests run on, each by its name: `place` is an empty one, as a function that makes a store over it.

Every call makes another `Store` over the same place, closed yet: another process, or the same one after a restart.
What needs a server starts one for the session, in a folder of its own, and ends it; where the server cannot be had,
its tests are skipped with the reason, and fail where LONGSTOP_CI is set.
"""

import asyncio
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import postgres_server
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.redis import RedisStore
from longstop.stores.sqlite import SqliteStore
from redis_server import RedisServer, binary

Place = Callable[[], Store]

PERSISTING = ("sqlite", "postgresql", "redis")
"""What is there still when the store is closed."""
STORES = ("memory", *PERSISTING)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """An empty place for the store whose name is the parameter (`indirect`)."""
    made: Place = request.getfixturevalue(f"{request.param}_place")
    return made


@pytest.fixture
def memory_place() -> Place:
    return MemoryStore


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    return lambda: SqliteStore(tmp_path / "store.db")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres_server.PostgresServer]:
    """The session's PostgreSQL, with a migrated database to copy."""
    postgres_server.needed()
    from longstop.stores.postgres import PostgresStore, ServerSettings

    async def migrate(url: str) -> None:
        store = PostgresStore(ServerSettings(url, relaxed=True))
        await store.open()
        await store.close()

    with postgres_server.running(postgres_server.QUICK) as server:
        server.sql(f"CREATE DATABASE {postgres_server.TEMPLATE}")
        asyncio.run(migrate(server.url(postgres_server.TEMPLATE)))
        yield server


@pytest.fixture
def postgresql_place(postgresql: postgres_server.PostgresServer) -> Iterator[Place]:
    from longstop.stores.postgres import PostgresStore, ServerSettings

    with postgresql.database() as url:
        yield lambda: PostgresStore(ServerSettings(url, relaxed=True))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server of the session's own."""
    if binary() is None:
        missing = "no redis-server or valkey-server on the PATH; Debian: apt-get install redis-server"
        if os.environ.get("LONGSTOP_CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    # Not below pytest's folder: a socket's path has room for about 100 characters.
    with tempfile.TemporaryDirectory(prefix="longstop-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server
        server.stop()


_PREFIXES = itertools.count()


@pytest.fixture
def redis_place(redis_server: RedisServer) -> Place:
    prefix = f"test-{next(_PREFIXES)}"
    return lambda: RedisStore(redis_server.url, prefix=prefix)
