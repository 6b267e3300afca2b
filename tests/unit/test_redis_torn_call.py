"""Redis: a call that was torn, by a power cut, and that nobody makes again: the gateway lost power, too.

Such a half comes back when the log is read the second time, unless it is cut off the log before: Valkey does so by
itself since 9.1.2, and `redis-check-aof --fix` for any server (docs/stores/redis.md).
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from longstop.model.delivery import Delivery
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import lease
from redis_server import RedisServer, binary, valkey

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

CHECK = shutil.which("redis-check-aof")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


def _tear(server: RedisServer) -> None:
    """Kill it, and leave its log as if the end of the last call had not reached the disk."""
    server.kill()
    (log,) = (server.folder / "appendonlydir").glob("*.incr.aof")
    written = log.read_bytes()
    log.write_bytes(written[:-40])


def _check(server: RedisServer) -> None:
    (manifest,) = (server.folder / "appendonlydir").glob("*.manifest")
    subprocess.run([str(CHECK), "--fix", str(manifest)], input=b"y\n", capture_output=True, check=True)


async def _changed_by_half_a_lease(server: RedisServer, checked: bool) -> bool:
    """Whether anything is left of a lease that was torn, two starts later."""
    server.start()
    try:
        gone = RedisStore(server.url)
        await gone.open()
        await gone.append([make_append(number) for number in (1, 2)])
        before = await _rows(gone)
        await lease(gone)
        _tear(server)
        for _ in range(2):
            if checked:
                _check(server)
            server.start()
            store = RedisStore(server.url)
            await store.open()
            await store.live_until(AT_MS)
            await store.close()
            server.kill()
        server.start()
        store = RedisStore(server.url)
        await store.open()
        after = await _rows(store)
        assert [each.event.id for each in (await lease(store)).claims] == [event_id(1), event_id(2)]
        await store.close()
        await gone.close()
    finally:
        server.stop()
    return before != after


async def _rows(store: RedisStore) -> list[Delivery | None]:
    return [await store.delivery(make_append(number).deliveries[0].id) for number in (1, 2)]


@pytest.mark.skipif(CHECK is None, reason="no redis-check-aof on the PATH")
async def test_half_of_a_lease_is_nothing_where_the_log_is_checked_before_each_start(folder: Path) -> None:
    assert not await _changed_by_half_a_lease(RedisServer(folder), checked=True)


@pytest.mark.skipif(valkey() is None, reason="no valkey-server")
async def test_half_of_a_lease_is_nothing_on_valkey(folder: Path) -> None:
    assert not await _changed_by_half_a_lease(RedisServer(folder, program=valkey()), checked=False)
