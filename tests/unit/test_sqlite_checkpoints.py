"""The log beside the database: moved by a thread of its own, and begun anew under load."""

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from longstop.model.lease import LeaseRequest
from longstop.stores.sqlite import SqliteStore, checkpoints
from longstop.testing.builders import AT_MS, make_append

BODY = bytes(20_000)
BATCH = 50
PATIENCE_S = 20


def log_bytes(path: Path) -> int:
    return path.with_name(path.name + "-wal").stat().st_size


async def test_the_log_does_not_grow_for_ever_while_events_keep_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    monkeypatch.setattr(checkpoints, "LONG_PAGES", 100)
    path = tmp_path / "store.db"
    store = SqliteStore(path, watch_s=None)
    await store.open()
    sizes = []
    for batch in range(60):
        first = batch * BATCH + 1
        await store.append([make_append(number, body=BODY) for number in range(first, first + BATCH)])
        sizes.append(log_bytes(path))
    written = 60 * BATCH * len(BODY)
    await store.close()
    assert max(sizes) < written / 4, f"{max(sizes)} bytes of log for {written} bytes of events"


async def test_a_pause_is_enough_to_move_everything(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, watch_s=None)
    await store.open()
    before = path.stat().st_size
    await store.append([make_append(number, body=BODY) for number in range(1, BATCH)])
    async with asyncio.timeout(PATIENCE_S):
        while path.stat().st_size < before + BATCH * len(BODY) // 2:
            await asyncio.sleep(0.01)
    kept = await store.event(make_append(7).event.id)
    assert kept is not None
    assert kept.event.body == BODY
    await store.close()


async def test_what_is_written_during_a_look_is_looked_at_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is written any more: the look may have come too early for it."""
    looks, begun, go_on = 0, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def look(_connection: object) -> int:
        nonlocal looks
        looks += 1
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(PATIENCE_S)
        return 0

    monkeypatch.setattr(checkpoints, "_move_many", look)
    store = SqliteStore(tmp_path / "store.db", watch_s=None)
    await store.open()
    async with asyncio.timeout(PATIENCE_S):
        await store.append([make_append(1)])
        await begun.wait()
        await store.append([make_append(2)])
        begun.clear()
        go_on.set()
        await begun.wait()
    await store.close()
    assert looks == 2


async def test_a_few_pages_are_left_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, moved = asyncio.Event(), []
    loop, look = asyncio.get_running_loop(), checkpoints._move_many

    def looked(connection: apsw.Connection) -> int:
        before = connection.execute("PRAGMA wal_checkpoint(NOOP)").get
        pages = look(connection)
        moved.append(connection.execute("PRAGMA wal_checkpoint(NOOP)").get != before)
        loop.call_soon_threadsafe(asked.set)
        return pages

    monkeypatch.setattr(checkpoints, "_move_many", looked)
    store = SqliteStore(tmp_path / "store.db", watch_s=None)
    await store.open()
    for number, body in ((1, b"{}"), (2, BODY * 50)):
        await store.append([make_append(number, body=body)])
        async with asyncio.timeout(PATIENCE_S):
            await asked.wait()
        asked.clear()
    await store.close()
    assert moved == [False, True]


async def test_what_only_works_keeps_its_log_short_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, watch_s=None)
    await store.open()
    await store.append([make_append(number) for number in range(1, BATCH)])
    loop, looked = asyncio.get_running_loop(), asyncio.Event()

    def look(_connection: object) -> int:
        loop.call_soon_threadsafe(looked.set)
        return 0

    monkeypatch.setattr(checkpoints, "_move_many", look)
    async with asyncio.timeout(PATIENCE_S):
        await looked.wait()
        looked.clear()
        await store.lease(LeaseRequest("worker", {"crm": 1}, AT_MS, AT_MS + 1_000))
        await looked.wait()
    await store.close()
