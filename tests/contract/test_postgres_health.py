"""What a PostgreSQL is warned of: who holds an old snapshot, by whatever means, and what it may forget."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from longstop.model.store_health import OLD_SNAPSHOT_MS, StoreWarningKind
from longstop.ports import Store
from longstop.stores.postgres import PostgresStore, ServerSettings, health
from longstop.testing.builders import AT_MS
from postgres_server import PostgresServer
from stores_at_hand import Place

LATER_MS = AT_MS + OLD_SNAPSHOT_MS


@pytest.fixture
async def other(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection."""
    made = await asyncpg.connect(url, server_settings={"application_name": "a report"})
    yield made
    await made.close()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is open at all is warned of."""
    monkeypatch.setattr(health, "OLD_SNAPSHOT_MS", 0)


async def old_snapshots(store: Store, now_ms: int = AT_MS) -> list[tuple[dict[str, str | int], str]]:
    found = (await store.health(now_ms)).warnings
    return [(dict(each.details), each.text) for each in found if each.kind is StoreWarningKind.OLD_SNAPSHOT]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("isolation", "statement"),
    [
        ("REPEATABLE READ", "SELECT 'a secret' FROM longstop.nodes"),
        ("READ COMMITTED", "INSERT INTO longstop.pauses VALUES ('a secret', 1, 'ada', NULL)"),
    ],
)
async def test_who_holds_a_snapshot_is_named_and_no_text_of_a_query(
    store: Store, other: asyncpg.Connection, isolation: str, statement: str
) -> None:
    await other.execute(f"BEGIN ISOLATION LEVEL {isolation}")
    await other.execute(statement)
    ((details, text),) = await old_snapshots(store)
    pid = str(other.get_server_pid())
    named = {"pid": pid, "application_name": "a report", "state": "idle in transaction"}
    assert details == {"kind": "session", **named}
    assert all(value in text for value in named.values())
    assert "secret" not in text
    await other.execute("ROLLBACK")
    # The store itself and the server have questions, for a moment.
    async with asyncio.timeout(20):
        while await old_snapshots(store):
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("at_once")
async def test_of_several_the_one_that_keeps_most_is_named(store: Store, other: asyncpg.Connection, url: str) -> None:
    await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    await store.pauses()
    await store.live_until(AT_MS)
    younger = await asyncpg.connect(url)
    await younger.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    assert [details["pid"] for details, _ in await old_snapshots(store)] == [str(other.get_server_pid())]
    await younger.close()


@pytest.mark.usefixtures("at_once")
async def test_a_prepared_transaction_is_named(store: Store, other: asyncpg.Connection) -> None:
    await other.execute("BEGIN; CREATE TABLE forgotten (); PREPARE TRANSACTION 'left behind'")
    try:
        ((details, _),) = await old_snapshots(store)
        assert details == {"kind": "prepared transaction", "name": "left behind", "state": "prepared"}
    finally:
        await other.execute("ROLLBACK PREPARED 'left behind'")


async def test_what_the_server_does_not_tell_is_counted_from_when_it_was_seen_first(
    postgresql: PostgresServer, url: str, other: asyncpg.Connection
) -> None:
    """A role without pg_read_all_stats sees that another's transaction is open, and not since when."""
    role = f"plain_{other.get_server_pid()}"
    await other.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA longstop TO {role}")
    await other.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA longstop TO {role}")
    store = PostgresStore(ServerSettings(url.replace("longstop@", f"{role}@"), relaxed=True))
    await store.open()
    try:
        await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        assert await old_snapshots(store, AT_MS) == []
        ((details, _),) = await old_snapshots(store, LATER_MS)
        assert details == {"kind": "session", "pid": str(other.get_server_pid()), "application_name": "a report"}
        assert (await store.health(LATER_MS)).warnings[0].since_ms == AT_MS
        await other.execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM longstop.nodes")
        await store.live_until(AT_MS)
        await other.execute("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        assert await old_snapshots(store, LATER_MS + 1) == [], "another place is another snapshot"
    finally:
        await store.close()
        await other.execute(f"ROLLBACK; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_its_own_questions_and_a_young_transaction_are_nothing_to_warn_of(
    store: Store, other: asyncpg.Connection
) -> None:
    await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    await asyncio.gather(*(store.counts() for _ in range(3)))
    found = await store.health(AT_MS)
    assert [each.kind for each in found.warnings] == [StoreWarningKind.DURABILITY_RELAXED]
    assert found.oldest_snapshot_ms is not None


async def test_what_the_server_forgets_is_told_where_that_was_accepted(postgresql_place: Place) -> None:
    """The tests' server is one that forgets."""
    store = postgresql_place()
    await store.open()
    (warning,) = (await store.health(AT_MS)).warnings
    assert warning.kind is StoreWarningKind.DURABILITY_RELAXED
    assert set(warning.details) == {"fsync", "full_page_writes", "synchronous_commit"}
    assert "durability=relaxed" in warning.text
    await store.close()


async def test_who_does_the_same_for_a_moment_does_not_hide_whose_age_is_not_told() -> None:
    """A statement that has just begun holds the place of a transaction that has written nothing."""
    first = {"kind": "session", "name": "1", "application_name": "a report", "state": None, "age_ms": None}
    moment = {"kind": "session", "name": "2", "application_name": "longstop", "state": "active", "age_ms": 3}
    rows = [each | {"place": "700", "held": 5} for each in (first, moment)]

    class Server:
        async def fetch(self, _: str) -> list[dict[str, object]]:
            return rows

    server: Any = Server()
    watch = health.Watch(relaxed=False)
    assert (await watch.look(server, AT_MS)).warnings == ()
    assert [each.details["pid"] for each in (await watch.look(server, LATER_MS)).warnings] == ["1"]
