"""The files of the store: whose they are, and whether they are still those that were opened."""

import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from longstop.model.errors import StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.model.listing import EventFilter, Page
from longstop.stores.sqlite import SqliteStore, file_guard
from longstop.testing.builders import make_append


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, watch_s=None, threaded=False)
    await store.open()
    return store


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
async def test_database_and_log_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    with capture_logs() as logs:
        store = await opened(tmp_path / "store.db")
    # From the first moment on: nothing had to be changed.
    assert logs == []
    await store.append([make_append(1)])
    await store.counts()
    assert modes(tmp_path) == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    await store.close()


@pytest.mark.usefixtures("open_umask")
async def test_files_that_others_could_read_are_closed_to_them_and_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    # As an older version left it: open to all, with a log beside it.
    first = await opened(path)
    await first.append([make_append(1)])
    for each in tmp_path.iterdir():
        each.chmod(0o644)
    with capture_logs() as logs:
        second = await opened(path)
    assert set(modes(tmp_path).values()) == {0o600}
    told = [(Path(each["path"]).name, each["mode_was"]) for each in logs if each["event"] == "made_private"]
    assert told == [("store.db", "0644"), ("store.db-wal", "0644"), ("store.db-shm", "0644")]
    await second.close()
    await first.close()


async def test_another_programs_database_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "customers.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE customers (name)")
    connection.close()
    path.chmod(0o644)
    with pytest.raises(Exception, match="another program"):
        await opened(path)
    assert modes(tmp_path) == {"customers.db": 0o644}


async def test_opening_and_asking_writes_nothing(tmp_path: Path) -> None:
    """Or every command that looks would wake every gateway."""
    path = tmp_path / "store.db"
    first = await opened(path)
    await first.append([make_append(1)])
    watching = apsw.Connection(str(path))
    before = watching.execute("PRAGMA data_version").get
    second = await opened(path)
    await second.counts()
    await second.find_events(EventFilter(), Page())
    assert watching.execute("PRAGMA data_version").get == before
    watching.close()
    await second.close()
    await first.close()


# -- moved ------------------------------------------------------------------------------------------------


async def test_a_lost_file_is_said_once_and_opened_again_when_it_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_guard, "SETTLED_S", 0.0)
    path, away = tmp_path / "store.db", tmp_path / "away"
    store = await opened(path)
    await store.append([make_append(1)])
    assert store.ready()
    away.mkdir()
    names = [each.name for each in tmp_path.iterdir() if each.is_file()]
    for name in names:
        (tmp_path / name).rename(away / name)
    with capture_logs() as logs:
        for number in (2, 3, 4):
            with pytest.raises(StoreUnavailableError, match=r"store\.db: .*gone"):
                await store.append([make_append(number)])
        assert not store.ready()
        with pytest.raises(StoreUnavailableError):
            await store.counts()
        assert [each.name for each in tmp_path.iterdir()] == ["away"], "an empty database was made"
        for name in names:
            (away / name).rename(tmp_path / name)
        await store.append([make_append(5)])
    assert store.ready()
    assert [each["event"] for each in logs] == ["file_moved", "file_reopened"]
    kept = [row for number in (1, 5) if (row := await store.event(make_append(number).event.id))]
    assert len(kept) == 2
    await store.close()


async def test_a_connection_that_is_opened_late_makes_no_empty_database(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    for each in tmp_path.iterdir():
        each.unlink()
    # The first question of all: its connection is opened only now.
    with pytest.raises(StoreUnavailableError):
        await store.counts()
    assert list(tmp_path.iterdir()) == []
    await store.close()


ANOTHER = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("INSERT INTO pauses VALUES ('crm', 1, 'ada', NULL)")
connection.close()
"""


async def test_letting_go_of_a_lost_log_harms_nothing_of_the_one_in_its_place(tmp_path: Path) -> None:
    """SQLite deletes the log when the last connection is closed, by its name: by then that may be another's."""
    path = tmp_path / "store.db"
    lost = await opened(path)
    await lost._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
    await lost.append([make_append(1)])
    for end in ("-wal", "-shm"):
        path.with_name(f"store.db{end}").unlink()
    # A command of another process: its log stays, because the database is still open here.
    subprocess.run([sys.executable, "-c", ANOTHER, str(path)], check=True)
    with pytest.raises(StoreUnavailableError):
        await lost.append([make_append(2)])
    await lost.close()
    third = apsw.Connection(str(path))
    assert third.execute("SELECT destination FROM pauses").get == "crm"
    third.close()


async def test_what_is_still_being_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(file_guard.time, "monotonic", lambda: now[0])
    path = tmp_path / "store.db"
    store = await opened(path)
    await store.append([make_append(1)])
    path.rename(tmp_path / "old.db")
    copied = (tmp_path / "old.db").read_bytes()
    for length in (1_000, 20_000, len(copied)):
        path.write_bytes(copied[:length])
        now[0] += 0.6
        with pytest.raises(StoreUnavailableError):
            await store.append([make_append(2)])
    now[0] += 1.1
    for each in tmp_path.glob("store.db-*"):
        each.unlink()
    await store.append([make_append(3)])
    await store.close()


async def test_room_that_is_given_back_is_not_taken_for_a_loss(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    await store.append([make_append(number, body=bytes(50_000)) for number in range(1, 60)])

    def shrink(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM events")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    await store._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
    before = path.stat().st_size
    await store._writer.call(shrink)
    assert path.stat().st_size < before / 2
    await store.append([make_append(100, body=bytes(100_000))])
    assert store.ready()
    await store.close()


@pytest.mark.parametrize("left", [0, 100, 8192 * 3, 8192 * 3 + 5])
async def test_a_file_that_was_cut_off_acknowledges_nothing(left: int, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    await store.append([make_append(number, body=bytes(50_000)) for number in range(1, 60)])
    await store._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
    await store.counts()
    await store.append([make_append(60)])
    os.truncate(path, left)
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(61)])
    assert not store.ready()
    path.unlink()
    await store.close()


async def test_what_is_left_of_a_batch_that_failed_never_comes_with_another(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    await store.append([make_append(1)])
    store._writer._connection.execute("INSERT INTO temp.arrivals (id, source) VALUES ('left', 'shop')")
    with pytest.raises(StoreUnavailableError, match="other rows"):
        await store.append([make_append(2)])
    await store.append([make_append(3)])
    rows = (await store.find_events(EventFilter(), Page(10))).rows
    assert [each.event.id for each in rows] == [make_append(3).event.id, make_append(1).event.id]
    await store.close()


async def test_a_batch_whose_receipts_were_never_read_counts_nothing_twice(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    first = make_append(1)
    await store.append([first])
    left = (make_append(2).event.id, first.event.id, "shop", 1)
    store._writer._connection.execute("INSERT INTO temp.repeated VALUES (?, ?, ?, ?)", left)
    receipts = await store.append([make_append(2)])
    assert [each.status for each in receipts] == [ReceiptStatus.ACCEPTED]
    assert (await store.counts()).events == 2
    kept = await store.event(first.event.id)
    assert kept is not None
    assert kept.redeliveries == 0
    await store.close()


async def test_a_batch_that_cannot_be_committed_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    store = await opened(tmp_path / "store.db")
    await store.append([make_append(1)])
    connection = store._writer._connection
    # The rows' own commit, into memory, is the first; the second is the batch's.
    commits = itertools.count()
    connection.set_commit_hook(lambda: next(commits) == 1)
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(2)])
    connection.set_commit_hook(None)
    assert connection.execute("SELECT count(*) FROM temp.arrivals").get == 0
    await store.append([make_append(3)])
    counts = await store.counts()
    assert counts.events == 2
    await store.close()
