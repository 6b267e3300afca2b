"""`migrate-store`, killed again and again: the next start goes on, and in the end everything is there once."""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acceptance.harness import LIMIT_S, environment, free_port
from full_store import fill
from longstop.ports import Store
from longstop.stores.redis import RedisStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import make_append
from postgres_server import PostgresServer
from redis_server import RedisServer
from stores_at_hand import Place

KILLS = int(os.environ.get("MOVE_KILLS", "3"))
SEED = int(os.environ.get("SEED", "20261128"))
EVENTS = 6_000
CONFIG = """
[sources.shop]
kind = "generic"
verify = { scheme = "none" }
"""


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Place]]:
    """Where to move to, as its URL and as what tests make a store by."""
    if request.param == "sqlite":
        yield "sqlite:///new.db", lambda: SqliteStore(tmp_path / "new.db")
    elif request.param == "redis":
        request.getfixturevalue("redis_server")
        server = RedisServer(tmp_path, port=free_port())
        server.start()
        yield f"redis://127.0.0.1:{server.port}", lambda: RedisStore(f"redis://127.0.0.1:{server.port}")
        server.stop()
    else:
        from longstop.stores.postgres import PostgresStore, ServerSettings

        postgresql: PostgresServer = request.getfixturevalue("postgresql")
        with postgresql.database() as url:
            yield f"{url}&durability=relaxed", lambda: PostgresStore(ServerSettings(url, relaxed=True))


@contextmanager
def moving(folder: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "longstop", "migrate-store", "sqlite:///old.db", url, "--json"]
    popen = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        yield popen
    finally:
        popen.kill()
        popen.communicate(timeout=LIMIT_S)


async def make_full(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await fill(store)
    numbers = range(100, 100 + EVENTS)
    await store.append([make_append(n, dedup=b"k%d" % n, body=b'{"n": %d}' % n) for n in numbers])
    await store.close()


async def come(store: Store) -> int:
    """How many events are there by now; a store that is not made yet has none."""
    return (await store.counts()).events


async def killed_somewhere(folder: Path, url: str, store: Store, rng: random.Random) -> int:
    """Start a move, and kill it when a part of the rest has come; how many have come."""
    here = await come(store)
    at_least = here + rng.randrange(1, max(2, (EVENTS - here) // 2))
    with moving(folder, url) as popen:
        until_s = time.monotonic() + LIMIT_S
        while await come(store) < at_least and popen.poll() is None:
            assert time.monotonic() < until_s, "nothing moves"
            await asyncio.sleep(0.005)
        assert popen.poll() is None, f"it ended with {popen.returncode} before it was killed"
    return await come(store)


async def test_a_move_that_is_killed_goes_on_and_doubles_nothing(target: tuple[str, Place], tmp_path: Path) -> None:
    url, place = target
    (tmp_path / "longstop.toml").write_text(CONFIG)
    await make_full(tmp_path / "old.db")
    store, rng = place(), random.Random(SEED)
    await store.open()
    come_by_now = [await killed_somewhere(tmp_path, url, store, rng) for _ in range(KILLS)]
    assert 0 < come_by_now[0] < EVENTS
    assert come_by_now == sorted(come_by_now)

    with moving(tmp_path, url) as popen:
        said, _ = popen.communicate(timeout=LIMIT_S * 2)
    rows = {row["rows"]: row for row in map(json.loads, said.splitlines())}
    assert popen.returncode == 0, said
    assert [name for name, row in rows.items() if not row["agrees"] or row["besides"]] == []
    assert rows["events"]["number"] == EVENTS + 16
    assert rows["events"]["moved"] <= EVENTS + 16 - come_by_now[-1]
    assert (await store.recount()).drifts == ()
    await store.close()
