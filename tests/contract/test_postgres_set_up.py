"""A database as its administrators give it: a role that may do little, and settings of their own."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

import postgres_server
from longstop.model.append import Append
from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres import PostgresStore, ServerSettings, schema
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease


def in_a_lane(number: int) -> Append:
    made = make_append(number)
    return replace(made, deliveries=tuple(replace(each, lane="one") for each in made.deliveries))


async def administer(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statements)
    await connection.close()


async def test_a_role_that_may_make_no_schema_takes_the_one_it_is_given(
    postgresql: postgres_server.PostgresServer,
) -> None:
    with postgresql.database("template0") as url:
        await administer(url, "CREATE ROLE webhooks LOGIN; CREATE SCHEMA given AUTHORIZATION webhooks;")
        try:
            theirs = url.replace("longstop@", "webhooks@")
            store = PostgresStore(ServerSettings(theirs, schema="given", relaxed=True))
            await store.open()
            await store.append([make_append(1)])
            await store.prepare_spans(AT_MS)
            assert (await store.counts()).events == 1
            await store.close()
        finally:
            await administer(url, "DROP OWNED BY webhooks; DROP ROLE webhooks;")


async def test_processes_on_a_schema_with_a_long_name_hear_of_each_other(
    postgresql: postgres_server.PostgresServer,
) -> None:
    with postgresql.database("template0") as url:
        one, other = [PostgresStore(ServerSettings(url, schema="s" * 63, relaxed=True, poll_s=60)) for _ in range(2)]
        heard = asyncio.Event()
        other.on_arrival(heard.set)
        for store in (one, other):
            await store.open()
        async with asyncio.timeout(20):
            # Who has not begun to listen yet hears of the next one.
            for number in range(1_000):
                await one.append([make_append(number)])
                await asyncio.sleep(0.05)
                if heard.is_set():
                    break
        assert heard.is_set()
        for store in (one, other):
            await store.close()


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_database_with_an_isolation_of_its_own_keeps_lanes_going(
    postgresql: postgres_server.PostgresServer, pooled: bool
) -> None:
    with postgresql.database() as url:
        name = url.partition("?")[0].rpartition("/")[2]
        await administer(url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        stores = [PostgresStore(ServerSettings(url, relaxed=True, pooled=pooled)) for _ in range(2)]
        for store in stores:
            await store.open()
        for start in range(0, 24, 6):
            appends = [in_a_lane(start + n) for n in range(6)]
            await asyncio.gather(*(stores[n % 2].append([item]) for n, item in enumerate(appends)))
        for _ in range(24):
            (claim,) = (await lease(stores[0], AT_MS + 1_000)).claims
            assert await stores[1].settle([delivered(claim)]) == [None]
        for store in stores:
            await store.close()


async def test_whoever_reads_for_long_keeps_an_upgrade_waiting_and_nobody_behind_it(
    postgresql: postgres_server.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump, say. What a migration waits for is waited for by all who come after it."""
    monkeypatch.setattr(schema, "PAUSE_S", 0.05)
    with postgresql.database("template0") as url:
        settings = ServerSettings(url, relaxed=True)
        dump, other = [await asyncpg.connect(url, server_settings=settings.session()) for _ in range(2)]
        async with other.transaction():
            await schema.prepare(other, settings.schema, schema.MIGRATIONS[:3])
        reading = dump.transaction()
        await reading.start()
        await dump.execute("LOCK TABLE events, deliveries IN ACCESS SHARE MODE")
        store = PostgresStore(settings)
        upgrading = asyncio.create_task(store.open())
        # Long enough for the upgrade to ask for the lock, and far less than it waits in all.
        for _ in range(40):
            await other.fetch("SELECT FROM events LIMIT 1", timeout=20)
            await asyncio.sleep(0.02)
        assert not upgrading.done()
        await reading.rollback()
        await upgrading
        await store.append([make_append(1)])
        await store.close()
        for connection in (dump, other):
            await connection.close()


async def test_a_server_that_is_told_to_forget_while_it_runs_is_not_written_to() -> None:
    postgres_server.needed()
    with postgres_server.running() as server:
        store = PostgresStore(ServerSettings(server.url("postgres")))
        await store.open()
        await store.append([make_append(1)])
        for number, value in enumerate(("off", "on"), 2):
            server.sql(f"ALTER SYSTEM SET synchronous_commit = {value}")
            server.sql("SELECT pg_reload_conf()")
            async with asyncio.timeout(20):
                while store.ready() is (value == "off"):
                    await asyncio.sleep(0.02)
            if value == "off":
                with pytest.raises(StoreUnavailableError, match="synchronous_commit off"):
                    await store.append([make_append(number)])
            else:
                await store.append([make_append(number)])
        assert (await store.counts()).events == 2
        await store.close()
