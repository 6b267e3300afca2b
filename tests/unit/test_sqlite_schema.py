"""Opening a file: created, migrated or refused, by one process or several at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.event import Event
from longstop.stores.sqlite import SqliteStore, schema
from longstop.testing.builders import make_append

NEWEST = len(schema.MIGRATIONS)


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name)")
        connection.execute("INSERT INTO customers VALUES ('Ada')")
    connection.close()


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path, watch_s=None)
    await store.open()
    return store


def version_of(path: Path) -> int:
    connection = apsw.Connection(str(path))
    version = int(connection.execute("PRAGMA user_version").get)
    connection.close()
    return version


async def test_a_new_file_gets_the_newest_schema_and_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await (await opened(path)).close()
    connection = apsw.Connection(str(path))
    assert version_of(path) == NEWEST
    assert connection.execute("PRAGMA application_id").get == schema.APPLICATION_ID
    assert connection.execute("PRAGMA journal_mode").get == "wal"
    connection.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await opened(path)
    await store.append([make_append(1)])
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaError) as caught:
        await opened(path)
    assert str(caught.value) == (
        f"{path}: the database has schema version {NEWEST + 1}; this program knows versions up to {NEWEST}. "
        "Run the newer Longstop that wrote it, or restore a copy from before the upgrade."
    )
    assert path.read_bytes() == before


ADDED = ("CREATE TABLE one (x); INSERT INTO one VALUES (1);", "ALTER TABLE one ADD COLUMN y; UPDATE one SET y = x + 1;")


def migrated(path: Path, migrations: tuple[str, ...]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    schema.prepare(connection, str(path), migrations)
    return connection


def test_an_older_schema_is_migrated_step_by_step_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrated(path, schema.MIGRATIONS).close()
    for known in (ADDED[:1], ADDED, ADDED):
        connection = migrated(path, (*schema.MIGRATIONS, *known))
        assert connection.execute("PRAGMA user_version").get == NEWEST + len(known)
        connection.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT x, y FROM one").fetchall() == [(1, 2)]
    connection.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    migrated(path, schema.MIGRATIONS).close()
    with pytest.raises(apsw.SQLError):
        migrated(path, (*schema.MIGRATIONS, ADDED[0], "this is no SQL"))
    connection = migrated(path, schema.MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'one'").get == 0
    connection.close()


INSERT_OLD = """
    INSERT INTO deliveries (id, event_id, source, key, received_at_ms, destination, state, due_at_ms, lane, round,
        round_at_ms, attempts, tries, lost, token, held)
    VALUES (:id, :id, :source, 'k', 0, :to, :state, 0, :lane, 1, 0, 0, 0, 0, 0, :held)
"""
OLD = [
    # id, source, destination, state, lane, held
    ("01", "shop", "crm", "dead", "k", 0),
    ("02", "forum", "crm", "scheduled", "k", 1),
    ("03", "shop", "crm", "scheduled", "k", 1),
    ("04", "forum", "crm", "scheduled", "k", 1),
    ("05", "shop", "lake", "leased", "k", 0),
    ("06", "shop", "lake", "scheduled", "k", 1),
    ("07", "till", "lake", "scheduled", "k", 1),
    ("08", "shop", "crm", "delivered", "k", 0),
    ("09", "shop", "bi", "scheduled", None, 0),
]
LANES_BY_SOURCE = next(n for n, script in enumerate(schema.MIGRATIONS) if "source || ':' || lane" in script)


async def test_what_waited_in_a_lane_of_a_key_waits_in_one_of_its_source(tmp_path: Path) -> None:
    """A lane that many sources shared falls apart; each part keeps its order, also with what comes now."""
    path = tmp_path / "store.db"
    connection = migrated(path, schema.MIGRATIONS[:LANES_BY_SOURCE])
    names = ("id", "source", "to", "state", "lane", "held")
    connection.executemany(INSERT_OLD, [dict(zip(names, row, strict=True)) for row in OLD])
    schema.prepare(connection, str(path))
    found = {row[0]: row[1:] for row in connection.execute("SELECT id, lane, held FROM deliveries")}
    connection.close()
    assert found == {
        "01": ("shop:k", 0),
        "02": ("forum:k", 0),
        "03": ("shop:k", 1),
        "04": ("forum:k", 1),
        "05": ("shop:k", 0),
        "06": ("shop:k", 1),
        "07": ("till:k", 0),
        "08": ("k", 0),
        "09": (None, 0),
    }


async def test_another_programs_database_is_refused_and_not_a_byte_of_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "customers.db"
    foreign(path)
    before = path.read_bytes()
    with pytest.raises(SchemaError) as caught:
        await opened(path)
    assert str(caught.value) == f"{path}: an SQLite database of another program. Name another file in store.url."
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["customers.db"]


@pytest.mark.parametrize("content", [b"hello, I am a text\n" * 100, b"\x89PNG" + b"\0" * 5_000])
async def test_what_is_no_database_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(SchemaError) as caught:
        await opened(path)
    assert str(caught.value) == f"{path}: not an SQLite database. Name another file in store.url."
    assert path.read_bytes() == content


async def test_a_folder_that_is_not_there_is_unavailable_and_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "store.db"
    with pytest.raises(StoreUnavailableError, match=str(path)):
        await opened(path)


async def test_a_refused_file_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "customers.db"
    foreign(path)
    store = SqliteStore(path, watch_s=None)
    for _ in range(2):
        with pytest.raises(SchemaError):
            await store.open()
        open_files = (
            [link.resolve() for link in Path("/proc/self/fd").iterdir()] if Path("/proc/self/fd").exists() else []
        )
        assert path not in open_files


OPENER = """
import asyncio, sys
from longstop.model.errors import LongstopError
from longstop.stores.sqlite import SqliteStore

async def once(path):
    store = SqliteStore(path, watch_s=None)
    await store.open()
    await store.counts()
    await store.close()

print("ready", flush=True)
for line in sys.stdin:
    try:
        asyncio.run(once(line.strip()))
        print("opened", flush=True)
    except LongstopError as error:
        print(error, flush=True)
"""


def test_processes_that_open_a_new_file_at_once_all_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(3)
    ]
    try:
        assert [child.stdout.readline() for child in children] == ["ready\n"] * 3  # type: ignore[union-attr]
        for number in range(60):
            for child in children:
                child.stdin.write(f"{tmp_path / f'{number}.db'}\n")  # type: ignore[union-attr]
            said = [child.stdout.readline() for child in children]  # type: ignore[union-attr]
            assert said == ["opened\n"] * 3
            assert version_of(tmp_path / f"{number}.db") == NEWEST
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdin.close()  # type: ignore[union-attr]
            child.stdout.close()  # type: ignore[union-attr]


async def test_a_file_of_the_first_version_is_opened_with_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    old = migrated(path, schema.MIGRATIONS[:1])
    old.execute(
        "INSERT INTO events (id, source, received_at_ms, origin, routed, headers, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ("e", "shop", 5, "webhook", 0, b"\x90", b"{}"),
    )
    old.close()
    store = await opened(path)
    kept = await store.event("e")
    assert kept is not None
    assert kept.event == Event("e", "shop", 5, b"{}")
    await store.close()
    assert version_of(path) == NEWEST
