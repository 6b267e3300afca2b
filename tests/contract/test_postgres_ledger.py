"""What is PostgreSQL's own in the operators' side: what two processes do at once, and what the database refuses."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from longstop.model.delivery import State
from longstop.model.error_group import group_of
from longstop.model.listing import Drift
from longstop.model.rejection import HoldSettings, RejectionCount, RejectionReason
from longstop.stores.postgres import PostgresStore, decisions, recount
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.audit import make_entry
from longstop.testing.store_contract.held_requests import make_held
from longstop.testing.store_contract.jobs import NOW_MS, UNTIL_MS, make_job
from longstop.testing.store_contract.retention import ALL_GONE
from longstop.testing.store_contract.steps import lease_one, parked, replay, settled, standing
from stores_at_hand import Place

PIECES = (
    "order", " ", "4711", "0x1f", "7f3c9a10b2", "sha256", "#", "-", ".", "2026-01-02T03:04:05.6Z", "T", "Z", "_",
    "550e8400-e29b-41d4-a716-446655440000", "550e8400e29b41d4a716446655440000", "abcdefgh1", "é", "ж12345678", "\n",
    "(", "a1", "192.0.2.1", ":", "0x", "0xg", "12345678", "x" * 90, "+", ",", "/", "%", "\\",
)  # fmt: skip
TURNS = 20


@pytest.fixture
async def stores(postgresql_place: Place) -> AsyncIterator[Sequence[PostgresStore]]:
    """Two processes on one database."""
    made = [postgresql_place(), postgresql_place()]
    for store in made:
        await store.open()
    yield made  # type: ignore[misc]
    for store in made:
        await store.close()


async def waiting_for_a_lock(store: PostgresStore) -> None:
    """Until somebody waits for another's transaction."""
    query = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    for _ in range(1_000):
        if (await store.rows(query))[0]["n"]:
            return
    raise AssertionError("nobody waits for a lock")


async def test_the_database_groups_errors_as_the_model_does(stores: Sequence[PostgresStore]) -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 14))) for _ in range(4_000)]
    query = (
        "SELECT error_group(this::text) AS it FROM unnest($1::varchar[]) WITH ORDINALITY AS t (this, at) ORDER BY at"
    )
    found = [row["it"] for row in await stores[0].rows(query, texts)]
    assert found == list(map(group_of, texts))


async def test_an_entry_of_the_audit_log_cannot_be_changed_by_anybody(stores: Sequence[PostgresStore]) -> None:
    await stores[0].note([make_entry(1)])
    with pytest.raises(Exception, match="cannot be changed"):
        await stores[1].rows("UPDATE audit SET why = 'nothing'")


async def test_two_who_hold_at_once_do_not_hold_more_than_there_is_room_for(stores: Sequence[PostgresStore]) -> None:
    limits = {"shop": HoldSettings(max_requests=TURNS)}
    held = [
        store.hold([make_held(2 * number + place)], limits)
        for number in range(TURNS)
        for place, store in enumerate(stores)
    ]
    taken = [room for some in await asyncio.gather(*held) for room in some]
    assert taken.count(True) == TURNS
    assert [each.requests for each in await stores[0].held_counts()] == [TURNS]


async def test_counts_of_two_processes_add_up_in_whatever_order_they_come(stores: Sequence[PostgresStore]) -> None:
    reasons = (RejectionReason.NO_PROOF, RejectionReason.RATE)
    counts = [RejectionCount(source, reason, 1, AT_MS, AT_MS) for source in ("shop", "till") for reason in reasons]
    await asyncio.gather(
        *(
            store.record_rejections(counts[:: 1 if number % 2 else -1], [])
            for number in range(TURNS)
            for store in stores
        )
    )
    assert [each.count for each in await stores[0].rejection_counts()] == [2 * TURNS] * 4


async def test_a_job_is_one_workers(stores: Sequence[PostgresStore]) -> None:
    for number in range(1, 6):
        await stores[0].add_job(make_job(number))
    leased = await asyncio.gather(
        *(store.lease_jobs(f"worker-{number}", NOW_MS, UNTIL_MS, 1) for number in range(TURNS) for store in stores)
    )
    taken = [job.id for some in leased for job in some]
    assert len(taken) == len(set(taken))


async def test_a_counter_that_two_find_wrong_is_put_right_once(stores: Sequence[PostgresStore]) -> None:
    await stores[0].rows("INSERT INTO counters (subject, name, state, slot, n) VALUES ('events', 'shop', '', 3, 7)")
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slowly(connection: asyncpg.Connection) -> list[Drift]:
        drifts = await recount.repair(connection, (0, "shop"))
        begun.set()
        await let_go.wait()
        return drifts

    first = asyncio.create_task(stores[0].transact(slowly))
    await begun.wait()
    second = asyncio.create_task(stores[1].recount())
    await waiting_for_a_lock(stores[0])
    let_go.set()
    assert (await first, (await second).drifts) == ([Drift("events shop", 7, 0)], ())
    assert (await stores[0].counts()).events == 0
    assert (await stores[0].recount()).drifts == ()


async def test_what_is_sent_again_while_it_is_forgotten_stays(stores: Sequence[PostgresStore]) -> None:
    """The replay has the delivery when forgetting comes to it, and ends first: what was found is judged anew."""
    await stores[0].append([make_append(1)])
    dead = await settled(stores[0], parked(await lease_one(stores[0])))
    begun = asyncio.Event()
    let_go = asyncio.Event()

    async def slowly(connection: asyncpg.Connection) -> None:
        await decisions.act(connection, [replay(dead.id)])
        begun.set()
        await let_go.wait()

    replaying = asyncio.create_task(stores[0].transact(slowly))
    await begun.wait()
    forgetting = asyncio.create_task(stores[1].forget([event_id(1)], ALL_GONE))
    await waiting_for_a_lock(stores[0])
    let_go.set()
    await replaying
    assert await forgetting == 0
    assert (await standing(stores[0], dead.id)).state is State.SCHEDULED
    assert (await stores[0].recount()).drifts == ()
