"""Transactional handlers on PostgreSQL: what they write and `delivered` are one commit, whatever goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import postgres_server
from longstop.model.delivery import State
from longstop.model.errors import HandlerRaisedError, LeaseLostError, StoreUnavailableError
from longstop.model.handler import Transaction
from longstop.model.lease import Claim, LeaseRef, LeaseRequest
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, to_retry

Work = Callable[[Transaction], Any]
TABLE = "CREATE TABLE public.effects (event text PRIMARY KEY)"


@pytest.fixture
async def store(postgresql: postgres_server.PostgresServer) -> AsyncIterator[PostgresStore]:
    with postgresql.database() as url:
        made = PostgresStore(ServerSettings(url, relaxed=True))
        await made.open()
        await made.rows(TABLE)
        yield made
        await made.close()


async def _claim(store: PostgresStore) -> Claim:
    await store.append([make_append(1)])
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 30_000))).claims
    return claim


async def _handled(store: PostgresStore, claim: Claim, work: Work, timeout_s: float = 10) -> LeaseLostError | None:
    lease = LeaseRef(claim.delivery.id, claim.delivery.token)
    return await store.settle_with(lease, work, lambda: delivered(claim), timeout_s)


async def _stands(store: PostgresStore, claim: Claim) -> tuple[State, int]:
    """The delivery's state, and how many effects there are."""
    found = await store.delivery(claim.delivery.id)
    assert found is not None
    (row,) = await store.rows("SELECT count(*) AS n FROM public.effects")
    return found.state, row["n"]


def _write(transaction: Transaction) -> None:
    transaction.execute("INSERT INTO effects VALUES ($1)", ["e\x00"])
    assert transaction.execute("SELECT event FROM effects") == [("e\x00",)]


async def test_the_effect_and_the_settlement_are_one(store: PostgresStore) -> None:
    claim = await _claim(store)
    assert await _handled(store, claim, _write) is None
    assert await _stands(store, claim) == (State.DELIVERED, 1)


async def test_what_raises_leaves_nothing(store: PostgresStore) -> None:
    def work(transaction: Transaction) -> None:
        _write(transaction)
        raise KeyError("no")

    claim = await _claim(store)
    with pytest.raises(HandlerRaisedError) as raised:
        await _handled(store, claim, work)
    assert isinstance(raised.value.error, KeyError)
    assert await _stands(store, claim) == (State.LEASED, 0)


async def test_a_lost_lease_calls_nothing_and_one_lost_meanwhile_leaves_nothing(store: PostgresStore) -> None:
    claim = await _claim(store)
    await store.settle([to_retry(claim, AT_MS)])
    called: list[Transaction] = []
    assert isinstance(await _handled(store, claim, called.append), LeaseLostError)
    assert called == []
    (again,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 30_000))).claims

    def slow(transaction: Transaction) -> None:
        _write(transaction)

        asyncio.run_coroutine_threadsafe(store.settle([to_retry(again, AT_MS)]), loop).result()

    loop = asyncio.get_running_loop()
    assert isinstance(await _handled(store, again, slow), LeaseLostError)
    assert await _stands(store, again) == (State.SCHEDULED, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "/* a */ -- b\n ROLLBACK",
        "UPDATE longstop.deliveries SET state = 'dead'",
        'DELETE FROM "longstop".events',
        "SET search_path = longstop",
    ],
)
async def test_what_is_ours_is_refused(store: PostgresStore, statement: str) -> None:
    claim = await _claim(store)
    with pytest.raises(HandlerRaisedError) as raised:
        await _handled(store, claim, lambda transaction: transaction.execute(statement))
    assert isinstance(raised.value.error, PermissionError)
    assert await _stands(store, claim) == (State.LEASED, 0)


async def test_an_error_that_is_swallowed_keeps_nothing(store: PostgresStore) -> None:
    def work(transaction: Transaction) -> None:
        _write(transaction)
        with contextlib.suppress(Exception):
            transaction.execute("SELECT 1 / 0")

    claim = await _claim(store)
    with pytest.raises(HandlerRaisedError):
        await _handled(store, claim, work)
    assert await _stands(store, claim) == (State.LEASED, 0)


async def test_a_handler_whose_server_connection_ends_has_done_nothing(store: PostgresStore) -> None:
    def work(transaction: Transaction) -> None:
        _write(transaction)
        transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    claim = await _claim(store)
    with pytest.raises(StoreUnavailableError):
        await _handled(store, claim, work)
    assert await _stands(store, claim) == (State.LEASED, 0)


async def test_one_that_takes_too_long_is_undone(store: PostgresStore) -> None:
    def work(transaction: Transaction) -> None:
        _write(transaction)
        transaction.execute("SELECT pg_sleep(60)")

    claim = await _claim(store)
    with pytest.raises(HandlerRaisedError) as raised:
        await _handled(store, claim, work, timeout_s=0.5)
    assert isinstance(raised.value.error, TimeoutError)
    assert await _stands(store, claim) == (State.LEASED, 0)
