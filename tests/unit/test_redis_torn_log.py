"""Redis: what a call writes may be written twice.

A server that was killed while it wrote its log carries out the half of the last call that is in it when it reads that
log the second time, beside the whole one that was made again (docs/stores/redis.md). Here that befalls every call of
the store contract: its log is carried out once as it is, and once more with a half before each whole.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis

from longstop.model.delivery import State
from longstop.model.lease import Claim
from longstop.model.listing import EventFilter, Page
from longstop.stores.redis import RedisStore
from longstop.testing import store_contract
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    delivered,
    expedite,
    lease,
    lease_one,
    ordered_append,
    parked,
    replay,
    rescued,
    settled,
    standing,
    to_retry,
)
from redis_log import Command, all_keys, calls_in, carry_out
from redis_server import QUICK, RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

Calls = AsyncGenerator[set[str], None]
"""Gives the events that have been accepted, and then makes the call that is torn."""
LOGGING = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0", *QUICK)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


@contextmanager
def started(folder: Path, options: Sequence[str]) -> Iterator[RedisServer]:
    """A server with a folder of its own."""
    folder.mkdir()
    made = RedisServer(folder, options)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RedisServer]:
    with started(folder / "logging", LOGGING) as made:
        yield made


@pytest.fixture(scope="module")
def reading(folder: Path) -> Iterator[RedisServer]:
    """A server that is given logs to carry out."""
    with started(folder / "reading", QUICK) as made:
        yield made


@pytest.fixture(scope="module")
def reader(reading: RedisServer) -> Iterator[Redis]:
    """A way to it."""
    with Redis(unix_socket_path=str(reading.socket)) as client:
        yield client


HALVES: dict[str, Callable[[int], int]] = {
    "one command": lambda _: 1,
    "half": lambda commands: commands // 2,
    "all but one": lambda commands: commands - 1,
}


async def test_half_of_a_call_and_then_all_of_it_is_what_the_call_does(server: RedisServer, reader: Redis) -> None:
    for number, check in enumerate(store_contract.CHECKS):
        store = RedisStore(server.url, prefix=f"check-{number}", relaxed=True)
        await store.open()
        await check.run(store)
        await store.close()
    await _forget_two_attempts_of_three(server)
    calls = calls_in(server)
    once = _left_by(reader, [command for call in calls for command in call])
    for name, half in HALVES.items():
        found = _left_by(reader, [command for call in calls for command in (*call[: half(len(call))], *call)])
        changed = sorted(key for key in {*once, *found} if once.get(key) != found.get(key))
        assert changed == [], f"{name}: {[(once.get(key), found.get(key)) for key in changed[:3]]}"


def _left_by(reader: Redis, commands: list[Command]) -> dict[bytes, object]:
    reader.flushall()
    carry_out(reader, commands)
    return all_keys(reader)


async def _forget_two_attempts_of_three(server: RedisServer) -> None:
    """What no check does: of a delivery that ended by a clock that was behind, its last attempt stays."""
    store = RedisStore(server.url, prefix="attempts", relaxed=True)
    await store.open()
    await store.append([make_append(1)])
    for number in range(2):
        await settled(store, to_retry(await lease_one(store, AT_MS + number * 1_000), AT_MS + (number + 1) * 1_000))
    claim = await lease_one(store, AT_MS + 2_000)
    await settled(store, delivered(claim, AT_MS + 500))
    assert await store.forget_attempts([event_id(1)], AT_MS + 1_500) == 2
    assert [each.number for each in (await store.history(claim.delivery.id)).attempts] == [3]
    await store.close()


RELATIVE = re.compile(
    r"'(INCR\w*|DECR\w*|HINCR\w*|ZINCR\w*|APPEND|SETRANGE|[LRSZ]POP\w*|LREM|LINSERT|LPUSH\w*|RPUSH\w*|LTRIM)'"
)
"""Commands that do something else when they are carried out twice."""


def test_no_function_writes_what_depends_on_what_is_there() -> None:
    functions = files("longstop.stores.redis") / "functions"
    found = {
        (file.name, command) for file in functions.iterdir() for command in RELATIVE.findall(file.read_text("utf-8"))
    }
    assert found == {("history.lua", "RPUSH"), ("history.lua", "LTRIM")}, "these two are made to be carried out twice"


# -- half of a call, and nothing behind it ----------------------------------------------------------------


async def _appended(store: RedisStore) -> Calls:
    yield set()
    await store.append([make_append(1, dedup=b"k"), make_append(2)])


async def _appended_in_lane(store: RedisStore) -> Calls:
    yield set()
    await store.append([ordered_append(number, "k") for number in (1, 2)])


async def _leased(store: RedisStore) -> Calls:
    await store.append([make_append(1), make_append(2)])
    yield {event_id(1), event_id(2)}
    await lease(store)


async def _settled(store: RedisStore) -> Calls:
    await store.append([make_append(1), make_append(2), ordered_append(3, "k"), ordered_append(4, "k")])
    claims = (await lease(store)).claims
    yield {event_id(number) for number in range(1, 5)}
    await store.settle([delivered(claims[0]), to_retry(claims[1], AT_MS + 100), delivered(claims[2])])


async def _retried_in_lane(store: RedisStore) -> Calls:
    await store.append([ordered_append(number, "k") for number in (1, 2)])
    claim = await lease_one(store)
    yield {event_id(1), event_id(2)}
    await store.settle([to_retry(claim, AT_MS + 100)])


TORN = {call.__name__.strip("_"): call for call in (_appended, _appended_in_lane, _leased, _settled, _retried_in_lane)}


@pytest.mark.parametrize("name", TORN)
async def test_half_of_a_call_that_stands_alone_strands_no_delivery(
    server: RedisServer, reader: Redis, reading: RedisServer, name: str
) -> None:
    begun = len(calls_in(server))
    before = RedisStore(server.url, prefix=name, relaxed=True)
    await before.open()
    await before.live_until(AT_MS)
    steps = TORN[name](before)
    accepted = await anext(steps)
    done = len(calls_in(server)) - begun
    assert await anext(steps, None) is None
    *whole, torn = calls_in(server)[begun:]
    assert len(whole) == done, "it was one call"
    await before.close()
    for half in range(len(torn)):
        reader.flushdb()
        carry_out(reader, [*(command for call in whole for command in call), *torn[:half]])
        store = RedisStore(reading.url, prefix=name, relaxed=True)
        await store.open()
        again = await store.append([make_append(11, dedup=b"k"), ordered_append(12, "k")])
        ended = await _all_delivered(store)
        assert accepted | {each.event_id for each in again} <= ended, f"{half} of {len(torn)}"
        assert await store.expired(AT_MS + 10**12, 1) == [], "nothing is in the way of who rescues"
        await store.close()


async def test_a_replay_of_which_half_stands_alone_is_asked_for_again_or_expedited(
    server: RedisServer, reader: Redis, reading: RedisServer
) -> None:
    begun = len(calls_in(server))
    before = RedisStore(server.url, prefix="replayed", relaxed=True)
    await before.open()
    await before.append([make_append(1)])
    dead = await settled(before, parked(await lease_one(before)))
    await before.act([replay(dead.id)])
    *whole, torn = calls_in(server)[begun:]
    await before.close()
    for half in range(len(torn)):
        reader.flushdb()
        carry_out(reader, [*(command for call in whole for command in call), *torn[:half]])
        store = RedisStore(reading.url, prefix="replayed", relaxed=True)
        await store.open()
        asked = replay if (await standing(store, dead.id)).state is State.DEAD else expedite
        assert await store.act([asked(dead.id)]) != [None]
        assert (await lease_one(store, AT_MS + 1_000)).delivery.id == dead.id
        await store.close()


async def _all_delivered(store: RedisStore) -> set[str]:
    """The events that come to an end when workers and who rescues go on."""
    for turn in range(1, 8):
        now_ms = AT_MS + turn * LEASE_MS
        for delivery in await store.expired(now_ms, 100):
            await rescued(store, Claim(delivery, make_append(1).event), now_ms)
        claims = (await lease(store, now_ms, crm=100)).claims
        await store.settle([delivered(each, now_ms + 1) for each in claims])
    rows = (await store.find_events(EventFilter(), Page(100))).rows
    return {row.event.id for row in rows if all(each.state is State.DELIVERED for each in row.deliveries)}
