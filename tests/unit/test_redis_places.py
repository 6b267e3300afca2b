"""A cluster, and a failover among several servers: the store finds the one that has its keys and may be written to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ResponseError

from acceptance.harness import free_port
from longstop.model.errors import StoreUnavailableError
from longstop.stores.redis import RedisStore
from longstop.stores.redis.places import Places
from longstop.testing.builders import event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease_one, settled
from redis_server import SAFE, RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

T = TypeVar("T")

SLOT = key_slot(b"longstop")
QUICK = ("--cluster-node-timeout", "3000", "--repl-diskless-sync-delay", "0")


def test_an_address_of_a_cluster_is_reached_as_the_one_before() -> None:
    places = Places(["rediss://me:pw@a.example:7000"])
    places.go_to("10.0.0.7:7001")
    assert places.url == "rediss://me:pw@10.0.0.7:7001"
    places.go_to(":7002")
    assert places.url == "rediss://me:pw@10.0.0.7:7002"
    places.go_to("fd00::1:7003")
    assert places.url == "rediss://me:pw@[fd00::1]:7003"
    assert places.go_on()
    assert places.url == "rediss://me:pw@a.example:7000"
    assert not places.go_on(), "there is no other"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longstop.stores.redis.database.PATIENCE_S", 0.3)
    monkeypatch.setattr("longstop.stores.redis.replicas.WAITS_MS", (2, 8, 40, 150, 2_000))


@contextmanager
def servers(number: int, *settings: str) -> Iterator[list[RedisServer]]:
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            folder = stack.enter_context(TemporaryDirectory(prefix="longstop-redis-"))
            bus = ("--cluster-port", str(free_port())) if settings else ()
            made.append(RedisServer(Path(folder), (*SAFE, *QUICK, *settings, *bus), free_port()))
            made[-1].start()
            stack.callback(made[-1].stop)
        yield made


def url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


def bus_of(node: RedisServer) -> str:
    """The port by which the nodes of a cluster speak to each other."""
    return node.settings[-1]


async def command(server: RedisServer, *words: object) -> object:
    async with Redis.from_url(server.url) as client:
        return await client.execute_command(*words)


async def until(server: RedisServer, words: tuple[object, ...], said: str) -> None:
    for _ in range(1_000):
        if said in str(await command(server, *words)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{words} does not say {said}")


async def in_the_end(call: Callable[[], Awaitable[T]]) -> T:
    """What it says when the store can be had again, which it is by itself."""
    for _ in range(500):
        with suppress(StoreUnavailableError):
            return await call()
        await asyncio.sleep(0.02)
    raise AssertionError("the store does not come back")


@pytest.fixture
async def cluster() -> AsyncIterator[list[RedisServer]]:
    """Three nodes; the second has the slot of the store's keys."""
    with servers(3, "--cluster-enabled", "yes") as nodes:
        ranges = ((0, SLOT - 1), (SLOT, SLOT), (SLOT + 1, 16383))
        for node, (first, last) in zip(nodes, ranges, strict=True):
            await command(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
            await command(node, "CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus_of(nodes[0]))
        for node in nodes:
            await until(node, ("CLUSTER", "INFO"), "cluster_state:ok")
            await until(node, ("CLUSTER", "INFO"), "cluster_known_nodes:3")
        yield nodes


async def node_id(server: RedisServer) -> str:
    return str((await command(server, "CLUSTER", "MYID")).decode())  # type: ignore[attr-defined]


async def test_a_cluster_says_where_the_keys_are(cluster: list[RedisServer]) -> None:
    store = RedisStore(url(cluster[0]))
    await store.open()
    woken = asyncio.Event()
    other = RedisStore(url(cluster[2]))
    other.on_arrival(woken.set)
    await other.open()
    await store.append([make_append(1)])
    await asyncio.wait_for(woken.wait(), 10)
    await settled(other, delivered(await lease_one(other)))
    assert [await command(node, "DBSIZE") for node in cluster][::2] == [0, 0]
    await store.close()
    await other.close()


async def test_while_the_slot_is_moved_all_is_refused_and_then_goes_on_where_it_is(cluster: list[RedisServer]) -> None:
    store = RedisStore(url(cluster[0]))
    await store.open()
    await store.append([make_append(1, dedup=b"k")])
    there, here = cluster[2], cluster[1]
    await command(there, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", await node_id(here))
    await command(here, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", await node_id(there))
    before = await command(here, "DBSIZE")
    with pytest.raises(StoreUnavailableError, match="moving the keys' slot"):
        await store.append([make_append(2)])
    assert await command(here, "DBSIZE") == before, "nothing of it is half done"
    keys = await command(here, "CLUSTER", "GETKEYSINSLOT", SLOT, 1_000)
    await command(here, "MIGRATE", "127.0.0.1", there.port, "", 0, 5_000, "KEYS", *keys)  # type: ignore[misc]
    await command(there, "CLUSTER", "SETSLOT", SLOT, "NODE", await node_id(there))
    # Without a slot of its own it may have become a replica by then.
    with suppress(ResponseError):
        await command(here, "CLUSTER", "SETSLOT", SLOT, "NODE", await node_id(there))
    (receipt,) = await store.append([make_append(3, dedup=b"k")])
    assert receipt.event_id == event_id(1)
    await store.close()


async def test_a_replica_that_was_promoted_is_found_among_those_that_the_url_names() -> None:
    with servers(2) as (first, second):
        store = RedisStore(url(second), others=[url(first)], replicas=1)
        await command(second, "REPLICAOF", "127.0.0.1", first.port)
        await until(second, ("INFO", "replication"), "'master_link_status': 'up'")
        await store.open()
        await store.append([make_append(1)])
        assert await command(first, "EXISTS", f"{{longstop}}:event:{event_id(1)}") == 1
        first.kill()
        await command(second, "REPLICAOF", "NO", "ONE")
        assert await store.event(event_id(1)) is not None
        with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
            await store.append([make_append(2)])
        first.start()
        await command(first, "REPLICAOF", "127.0.0.1", second.port)
        await until(first, ("INFO", "replication"), "'master_link_status': 'up'")
        await store.append([make_append(3)])
        await store.close()


async def test_a_node_of_a_cluster_that_dies_is_followed_by_its_replica(cluster: list[RedisServer]) -> None:
    with servers(1, "--cluster-enabled", "yes", "--cluster-replica-validity-factor", "0") as (replica,):
        await command(replica, "CLUSTER", "MEET", "127.0.0.1", cluster[0].port, bus_of(cluster[0]))
        for node in (*cluster, replica):
            await until(node, ("CLUSTER", "INFO"), "cluster_known_nodes:4")
        await command(replica, "CLUSTER", "REPLICATE", await node_id(cluster[1]))
        await until(replica, ("INFO", "replication"), "'master_link_status': 'up'")
        for node in (*cluster, replica):
            await until(node, ("CLUSTER", "NODES"), "slave")
        store = RedisStore(url(cluster[1]), others=[url(cluster[0]), url(cluster[2])], replicas=1)
        await store.open()
        await store.append([make_append(1, dedup=b"k")])
        cluster[1].kill()
        # What the others would vote for after a time.
        await command(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        await until(replica, ("ROLE",), "master")
        after = RedisStore(url(cluster[1]), others=[url(cluster[0]), url(cluster[2])])
        # Until the others have heard of it, they point to the one that is dead.
        assert await in_the_end(lambda: store.event(event_id(1))) is not None
        await in_the_end(after.open)
        (receipt,) = await in_the_end(lambda: after.append([make_append(2, dedup=b"k")]))
        assert receipt.event_id == event_id(1)
        await store.close()
        await after.close()


async def test_of_many_calls_that_a_server_turns_away_one_moves_and_all_are_carried_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with servers(3) as (first, second, third):
        store = RedisStore(url(first), others=[url(second), url(third)])
        await store.open()
        for behind in (first, third):
            await command(behind, "REPLICAOF", "127.0.0.1", second.port)
        left: list[str] = []
        go_on = Places.go_on

        def counted(places: Places) -> bool:
            left.append(places.url)
            return go_on(places)

        monkeypatch.setattr(Places, "go_on", counted)
        await asyncio.gather(*(store.append([make_append(number)]) for number in range(1, 33)))
        assert left == [url(first)]
        assert (await store.counts()).events == 32
        await store.close()
