"""Whether a store is there, as /readyz asks: a server that is away, stands still or takes no writes is noticed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import pytest

import postgres_server
from longstop.model.errors import StoreUnavailableError
from longstop.model.node import Node
from longstop.ports import Store
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, make_append
from redis_server import RedisServer

NOTICED_S = 30
"""Far more than it takes, on a machine that is busy."""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(NOTICED_S):
        while not holds():
            await asyncio.sleep(0.05)


@pytest.fixture
def server() -> AsyncIterator[postgres_server.PostgresServer]:
    postgres_server.needed()
    with postgres_server.running({"fsync": "off"}) as made:
        made.sql("CREATE DATABASE longstop")
        yield made  # type: ignore[misc]


@pytest.fixture
async def store(server: postgres_server.PostgresServer) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(ServerSettings(server.url("longstop"), relaxed=True))
    assert not made.ready()
    await made.open()
    yield made
    await made.close()
    assert not made.ready()


async def test_postgresql_that_is_away_is_noticed_and_that_it_is_back(
    server: postgres_server.PostgresServer, store: PostgresStore
) -> None:
    assert store.ready()
    server.kill()
    await until(lambda: not store.ready())
    await asyncio.to_thread(server.start)
    await until(store.ready)
    assert len(await store.append([make_append(1)])) == 1


async def test_postgresql_that_stands_still_is_noticed(
    server: postgres_server.PostgresServer, store: PostgresStore
) -> None:
    server.signal(signal.SIGSTOP)
    try:
        await until(lambda: not store.ready())
    finally:
        server.signal(signal.SIGCONT)
    await until(store.ready)


async def test_postgresql_that_takes_no_writes_is_noticed(
    server: postgres_server.PostgresServer, store: PostgresStore
) -> None:
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    await until(lambda: not store.ready())
    with pytest.raises(StoreUnavailableError, match=r"read.write|read-only"):
        await store.append([make_append(1)])
    server.sql("ALTER SYSTEM RESET default_transaction_read_only")
    server.sql("SELECT pg_reload_conf()")
    await until(store.ready)


async def beaten(store: Store) -> bool:
    try:
        await store.beat(Node("one", ("work",), "1", AT_MS, AT_MS))
    except StoreUnavailableError:
        return False
    return True


async def test_redis_that_has_become_a_replica_is_noticed(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, prefix="test-ready", relaxed=True)
    await store.open()
    assert await beaten(store)
    assert store.ready()
    await store._command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert not await beaten(store)
        assert (await store.counts()).events == 0
        assert not store.ready()
    finally:
        await store._command("REPLICAOF", "NO", "ONE")
    assert await beaten(store)
    assert store.ready()
    await store.close()
