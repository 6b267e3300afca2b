"""The connections of one process: no question and no handler keeps an event, a lease or a settlement from its own."""

import asyncio
import threading
from collections.abc import AsyncIterator

import asyncpg
import pytest

import postgres_server
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseRef
from longstop.stores.postgres import PostgresStore, ServerSettings, recount
from longstop.stores.postgres.folding import Folding
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease


@pytest.fixture(params=[2, 8])
async def store(
    request: pytest.FixtureRequest, postgresql: postgres_server.PostgresServer
) -> AsyncIterator[PostgresStore]:
    with postgresql.database() as url:
        made = PostgresStore(ServerSettings(url, relaxed=True, connections=request.param, connect_s=2))
        await made.open()
        yield made
        await made.close()


async def work_goes_on(store: PostgresStore) -> None:
    """An event comes, is leased and settled, and what has run out is looked for."""
    await store.append([make_append(1_000)])
    (claim,) = (await lease(store, AT_MS + 2_000)).claims
    assert await store.settle([delivered(claim)]) == [None]
    assert await store.expired(AT_MS, 10) == []


async def test_questions_that_take_long_keep_no_delivery_waiting(store: PostgresStore) -> None:
    over, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def ask(connection: asyncpg.Connection) -> None:
        await connection.fetch("SELECT 1")
        asked.release()
        await over.wait()

    questions = [asyncio.create_task(store.view(ask)) for _ in range(10)]
    await asked.acquire()
    await asyncio.wait_for(work_goes_on(store), 10)
    over.set()
    await asyncio.gather(*questions)


async def test_handlers_that_take_long_keep_no_event_waiting(store: PostgresStore) -> None:
    await store.append([make_append(number) for number in range(12)])
    claims = (await lease(store)).claims
    over, called = threading.Event(), threading.Semaphore(0)

    def work(_: Transaction) -> None:
        called.release()
        assert over.wait(60)

    handled = [
        asyncio.create_task(
            store.settle_with(LeaseRef(claim.delivery.id, claim.delivery.token), work, lambda c=claim: delivered(c), 60)
        )
        for claim in claims
    ]
    try:
        async with asyncio.timeout(20):
            # All of them at once for which there are connections, whatever the loop's own threads are at.
            for _ in range(store._settings.connections):
                while not called.acquire(blocking=False):
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(lambda: None)
        await asyncio.wait_for(work_goes_on(store), 10)
        assert (await store.counts()).events == 13
    finally:
        over.set()
    assert await asyncio.gather(*handled) == [None] * 12


async def test_a_count_that_takes_long_is_not_broken_off(
    postgresql: postgres_server.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be begun anew for ever."""
    slowly = "SELECT count(*) FROM pg_sleep(1.5), events WHERE source = $2"
    monkeypatch.setitem(recount._FOUND, ("events", ""), slowly)
    # What is noted stays noted, for this test to change.
    monkeypatch.setattr(Folding, "begin", lambda _self: None)
    with postgresql.database() as url:
        store = PostgresStore(ServerSettings(url, relaxed=True, statement_s=0.7, lock_s=0.1))
        await store.open()
        await store.append([make_append(1)])
        await store.rows("UPDATE counter_changes SET n = n + 1 WHERE subject = 'events'")
        (drift,) = (await store.recount()).drifts
        assert (drift.kept - drift.found) == 1
        await store.close()
