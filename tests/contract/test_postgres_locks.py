"""Who locks what in which order: two who come at once wait for each other in turn, and never crosswise.

PostgreSQL ends such a deadlock after a second, and it is begun again: nothing is lost but that second, for all who
wait.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from longstop.model.append import Append
from longstop.model.delivery import Delivery, State
from longstop.model.job import JobDecision
from longstop.stores.postgres import PostgresStore, ServerSettings, lanes
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract import jobs as job_steps
from longstop.testing.store_contract.steps import dead_of, lease, replay

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
async def other(url: str, store: PostgresStore) -> AsyncIterator[asyncpg.Connection]:
    """Somebody else's connection."""
    connection = await asyncpg.connect(url, server_settings=ServerSettings(url).session())
    yield connection
    await connection.close()


async def somebody_waits(store: PostgresStore) -> None:
    async with asyncio.timeout(20):
        while not (await store.rows(WAITS))[0]["count"]:
            await asyncio.sleep(0.01)


def in_a_lane(number: int) -> Append:
    made = make_append(number)
    return replace(made, deliveries=tuple(replace(each, lane="one") for each in made.deliveries))


async def dead(store: PostgresStore, append: Append, error: str) -> Delivery:
    await store.append([append])
    (claim,) = (await lease(store, AT_MS + 60_000)).claims
    await store.settle([dead_of(claim, error, 400)])
    found = await store.delivery(claim.delivery.id)
    assert found is not None
    return found


async def test_a_step_of_a_job_that_waits_for_a_lane_holds_no_delivery_of_it(
    store: PostgresStore, other: asyncpg.Connection
) -> None:
    parked = await dead(store, in_a_lane(1), "error")
    await store.add_job(job_steps.make_job())
    (job,) = await store.lease_jobs("w", job_steps.NOW_MS, job_steps.UNTIL_MS, 1)
    place = lanes.place(parked)
    assert place is not None
    async with other.transaction():
        await lanes.lock(other, [place])
        action = replay(parked.id, job_steps.NOW_MS)
        step = asyncio.create_task(store.advance_job(job_steps.make_step(job, [JobDecision(action, parked)])))
        await somebody_waits(store)
        await other.fetch("SELECT FROM deliveries WHERE id = $1 FOR UPDATE NOWAIT", parked.id)
    assert await step is not None
    assert (await store.delivery(parked.id)).state is State.SCHEDULED  # type: ignore[union-attr]


async def test_groups_of_the_dead_are_locked_in_one_order_by_who_dies_and_who_lives_again(
    store: PostgresStore, other: asyncpg.Connection
) -> None:
    # The group that comes first by its error has the higher number.
    for number, error in enumerate(("error b", "error a")):
        await dead(store, make_append(number), error)
    low, high = [row["id"] for row in await store.rows("SELECT id FROM dead_groups ORDER BY id")]
    await store.append([make_append(number) for number in (3, 4)])
    one, two = (await lease(store, AT_MS + 60_000)).claims
    async with other.transaction():
        await other.fetch("SELECT FROM dead_groups WHERE id = $1 FOR UPDATE", low)
        settling = asyncio.create_task(store.settle([dead_of(one, "error a", 400), dead_of(two, "error b", 400)]))
        await somebody_waits(store)
        await other.fetch("SELECT FROM dead_groups WHERE id = $1 FOR UPDATE NOWAIT", high)
    assert await settling == [None, None]
    assert sorted(group.count for group in await store.dead_groups()) == [2, 2]


async def test_a_recount_that_mends_a_counter_locks_none(store: PostgresStore, other: asyncpg.Connection) -> None:
    """What is folded in the background is locked in an order of its own."""
    await store.append([make_append(1)])
    async with asyncio.timeout(20):
        while not await store.rows("SELECT FROM counters"):
            await asyncio.sleep(0.01)
    await store.rows("UPDATE counters SET n = n + 5")
    drifts, after, more = 0, None, True
    async with other.transaction():
        await other.fetch("SELECT FROM counters FOR UPDATE")
        while more:
            step = await asyncio.wait_for(store.recount(after), 20)
            drifts += len(step.drifts)
            after, more = step.next_after, step.next_after is not None
    assert drifts == 2
    counts = await store.counts()
    assert (counts.events, counts.deliveries["crm"]) == (1, {State.SCHEDULED: 1})
