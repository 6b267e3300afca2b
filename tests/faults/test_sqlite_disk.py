"""The disk under SQLite: full, failing, slow. What was acknowledged is there; what is not, was not acknowledged.

A shim between SQLite and the operating system records every write and sync of the database and its log, and can
fail a sync or hold it up.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from longstop.group_commit import GroupCommit
from longstop.model.append import Append
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.model.listing import EventFilter, Page
from longstop.model.retention import Cutoffs
from longstop.stores.sqlite import SqliteStore
from longstop.stores.sqlite.connection import in_unsynced_transaction
from longstop.testing.builders import make_append, make_event

PATIENCE_S = 20


class ShimFile(apsw.VFSFile):  # type: ignore[misc]
    """One open file: the database ("db") or its log ("wal")."""

    def __init__(self, shim: "Shim", name: Any, flags: list[int]) -> None:
        self._shim = shim
        text = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._kind = "wal" if text.endswith("-wal") else "db"
        shim.log.append((self._kind, "open"))
        super().__init__(shim.base_vfs, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._shim.log.append((self._kind, "write"))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._shim.log.append((self._kind, "truncate"))

    def xSync(self, flags: int) -> None:
        self._shim.before_sync(self._kind)
        super().xSync(flags)
        self._shim.log.append((self._kind, "sync"))


class Shim(apsw.VFS):  # type: ignore[misc]
    """The default file system of SQLite while a test runs."""

    def __init__(self) -> None:
        self.base_vfs = apsw.vfs_names()[0]
        self.log: list[tuple[str, str]] = []
        self.syncs_to_fail = 0
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        super().__init__("shim", self.base_vfs, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> ShimFile:
        return ShimFile(self, name, flags)

    def before_sync(self, kind: str) -> None:
        if kind == "wal":
            self.entered.set()
            assert self.go_on.wait(PATIENCE_S)
            if self.syncs_to_fail:
                self.syncs_to_fail -= 1
                self.log.append((kind, "failed"))
                raise apsw.IOError("fsync: told to fail")


@pytest.fixture
def shim() -> Iterator[Shim]:
    made = Shim()
    yield made
    made.unregister()


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, watch_s=None)
    await store.open()
    return store


async def ids(store: SqliteStore) -> list[str]:
    return [kept.event.id for kept in (await store.find_events(EventFilter(), Page(1_000, newest_first=False))).rows]


def large(number: int, size: int = 100_000) -> Append:
    return Append(make_event(number, body=bytes(size)))


def done_to_log(log: Sequence[tuple[str, str]]) -> list[str]:
    """What was done to the log. The thread of the checkpoints opens it at any time, which does nothing to it."""
    return [what for kind, what in log if kind == "wal" and what != "open"]


# -- syncs --------------------------------------------------------------------------------------------


async def test_every_append_is_synced_before_it_returns(shim: Shim, tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    for number in range(1, 6):
        shim.log.clear()
        await store.append([make_append(number)])
        of_log = done_to_log(shim.log)
        assert "write" in of_log
        assert of_log[-1] == "sync", "the log was written to after its last sync, or never synced"
    await store.close()


async def test_forgetting_waits_for_no_sync_and_the_next_append_is_synced_all_the_same(
    shim: Shim, tmp_path: Path
) -> None:
    store = await opened(tmp_path / "store.db")
    gone = Append(make_event(1))
    await store.append([gone])
    everything = Cutoffs(*[gone.event.received_at_ms + 1] * 4)
    shim.log.clear()
    assert await store.forget([gone.event.id], everything) == 1
    assert done_to_log(shim.log)[-1] == "write", "it is done again after a power cut"
    await expect_synced_append(store, shim, 2)

    def fails(_connection: apsw.Connection) -> None:
        raise ValueError("told to fail")

    with pytest.raises(ValueError, match="told to fail"):
        await store._writer.call(lambda connection: in_unsynced_transaction(connection, fails))
    await expect_synced_append(store, shim, 3)
    await store.close()


async def expect_synced_append(store: SqliteStore, shim: Shim, number: int) -> None:
    shim.log.clear()
    await store.append([make_append(number)])
    assert done_to_log(shim.log)[-1] == "sync"


async def test_nothing_is_acknowledged_while_the_sync_is_under_way(shim: Shim, tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    group = GroupCommit(store.append)
    shim.entered.clear()
    shim.go_on.clear()
    waiting = asyncio.create_task(group.submit(make_append(1)))
    assert await asyncio.to_thread(shim.entered.wait, PATIENCE_S)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    # A reader sees no trace of it either: nothing is kept before it is committed.
    assert await ids(store) == []
    shim.go_on.set()
    assert (await waiting).status is ReceiptStatus.ACCEPTED
    assert await ids(store) == [make_append(1).event.id]
    await store.close()


async def test_a_sync_that_fails_is_not_acknowledged_and_never_taken_back(shim: Shim, tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    await store.append([make_append(1)])
    shim.syncs_to_fail = 1
    with pytest.raises(StoreUnavailableError, match=r"store\.db: .*IOError"):
        await store.append([make_append(2)])
    failed_at = shim.log.index(("wal", "failed"))
    await store.append([make_append(3)])
    after = shim.log[failed_at + 1 :]
    # Reopened, and all that the log holds is moved to the database and synced there, before the next answer.
    assert ("db", "open") in after
    rewritten = [what for what in after if what in (("db", "sync"), ("wal", "truncate"))]
    assert ("db", "sync") in rewritten
    assert ("wal", "truncate") in rewritten
    assert after.index(("db", "sync")) < after.index(("wal", "truncate"))
    assert done_to_log(after)[-1] == "sync"
    found = await ids(store)
    assert {make_append(1).event.id, make_append(3).event.id} <= set(found)
    await store.close()


# The shim's exception also comes out of closing, where SQLite itself would keep it to itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_disk_that_keeps_failing_acknowledges_nothing_until_it_is_well(shim: Shim, tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    await store.append([make_append(1)])
    shim.syncs_to_fail = 10**6
    for number in range(2, 5):
        with pytest.raises(StoreUnavailableError):
            await store.append([make_append(number, dedup=b"k")])
    shim.syncs_to_fail = 0
    (receipt,) = await store.append([make_append(5, dedup=b"k")])
    kept = await store.event(receipt.event_id)
    assert kept is not None
    await store.close()
    again = await opened(tmp_path / "store.db")
    assert {make_append(1).event.id, receipt.event_id} <= set(await ids(again))
    await again.close()


async def test_a_failed_sync_fails_all_who_shared_it(shim: Shim, tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    group = GroupCommit(store.append)
    shim.syncs_to_fail = 1
    results = await asyncio.gather(*(group.submit(make_append(n)) for n in range(1, 6)), return_exceptions=True)
    assert [type(each) for each in results] == [StoreUnavailableError] * 5
    await store.close()


# -- room ---------------------------------------------------------------------------------------------


async def test_a_full_disk_takes_nothing_more_loses_nothing_and_recovers(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")

    async def pages(limit: int) -> None:
        def set_limit(connection: apsw.Connection) -> None:
            connection.execute(f"PRAGMA max_page_count = {limit}")

        await store._writer.call(set_limit)

    await pages(200)
    kept: list[str] = []

    async def fill() -> None:
        for number in range(1, 100):
            (receipt,) = await store.append([large(number)])
            kept.append(receipt.event_id)

    with pytest.raises(StoreUnavailableError, match="FullError"):
        await fill()
    assert kept
    assert await ids(store) == kept
    with pytest.raises(StoreUnavailableError, match="FullError"):
        # All of a batch or nothing of it.
        await store.append([make_append(200), large(201)])
    assert await ids(store) == kept
    await pages(100_000)
    await store.append([large(300)])
    await store.close()
    again = await opened(tmp_path / "store.db")
    assert await ids(again) == [*kept, large(300).event.id]
    await again.close()
