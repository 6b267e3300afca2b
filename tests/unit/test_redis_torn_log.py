"""Redis: what a call writes may be written twice.

A server that was killed while it wrote its log carries out the half of the last call that is in it when it reads that
log the second time, beside the whole one that was made again (docs/stores/redis.md). Here that befalls every call of
the store contract: its log is carried out once as it is, and once more with a half before each whole.
"""

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis

from longstop.stores.redis import RedisStore
from longstop.testing import store_contract
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease_one, settled, to_retry
from redis_log import Command, all_keys, calls_in, carry_out
from redis_server import QUICK, RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

LOGGING = ("--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0", *QUICK)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RedisServer]:
    (folder / "logging").mkdir()
    made = RedisServer(folder / "logging", LOGGING)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[Redis]:
    """A way to a server that is given logs to carry out."""
    (folder / "reading").mkdir()
    made = RedisServer(folder / "reading", QUICK)
    made.start()
    with Redis(unix_socket_path=str(made.socket)) as client:
        yield client
    made.stop()


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
