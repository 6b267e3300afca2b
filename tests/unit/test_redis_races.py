"""What is decided here and written there: where somebody changes it in between, it is decided again or not done."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Trigger
from longstop.model.job import JobChange, JobTrigger
from longstop.model.lease import LeaseBatch
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.rejection import RejectionCount, RejectionReason
from longstop.model.retention import Cutoffs
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.accounts import make_session, make_user
from longstop.testing.store_contract.jobs import NOW_MS, UNTIL_MS, job_id, make_decision, make_job, make_step
from longstop.testing.store_contract.steps import (
    delivered,
    discard,
    expedite,
    lease,
    lease_one,
    parked,
    replay,
    settled,
    standing,
)
from stores_at_hand import Place

ALL_GONE = Cutoffs(*[AT_MS + 10**9] * 4)


@pytest.fixture
async def stores(redis_place: Place) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Two processes."""
    made = (redis_place(), redis_place())
    for each in made:
        await each.open()
    first, second = made
    assert isinstance(first, RedisStore)
    assert isinstance(second, RedisStore)
    yield first, second
    for each in made:
        await each.close()


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, store: RedisStore, function: str, others: Callable[[], Awaitable[Any]]
) -> list[int]:
    """Let `others` happen just before the store calls a function for the first time; how often it was called."""
    call, calls = store.call, [0]

    async def interrupted(name: str, *args: Any) -> Any:
        if name == function:
            calls[0] += 1
            if calls[0] == 1:
                await others()
        return await call(name, *args)

    monkeypatch.setattr(store, "call", interrupted)
    return calls


async def a_dead_one(store: RedisStore, number: int = 1) -> Any:
    await store.append([make_append(number)])
    return await settled(store, parked(await lease_one(store)))


async def test_a_replay_between_the_look_and_the_forgetting_keeps_it(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead, other = await a_dead_one(one, 1), await a_dead_one(one, 2)
    calls = meanwhile(monkeypatch, one, "forget", lambda: two.act([replay(dead.id)]))
    assert await one.forget([dead.event_id, other.event_id], ALL_GONE) == 1
    assert calls == [1]
    assert (await standing(one, dead.id)).round == 2
    assert await one.event(event_id(2)) is None


async def test_what_only_changed_its_group_meanwhile_is_forgotten_all_the_same(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = await a_dead_one(one)

    async def dies_again() -> None:
        await two.act([replay(dead.id, AT_MS)])
        await settled(two, parked(await lease_one(two)))

    calls = meanwhile(monkeypatch, one, "forget", dies_again)
    assert await one.forget([dead.event_id], ALL_GONE) == 1
    assert calls == [2]


async def test_attempts_of_what_is_sent_again_meanwhile_stay(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = await a_dead_one(one)
    meanwhile(monkeypatch, one, "forget_attempts", lambda: two.act([replay(dead.id)]))
    assert await one.forget_attempts([dead.event_id], AT_MS + 1_000) == 0
    assert len((await one.history(dead.id)).attempts) == 1


async def test_a_step_of_a_job_decides_again_about_what_changed_meanwhile(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = [await a_dead_one(one, number) for number in (1, 2)]
    await one.add_job(make_job())
    (job,) = await one.lease_jobs("w", NOW_MS, UNTIL_MS, 1)
    calls = meanwhile(monkeypatch, one, "advance_job", lambda: two.act([replay(dead[0].id)]))
    step = make_step(job, [make_decision(each) for each in dead])
    after = await one.advance_job(step)
    assert after is not None
    assert (after.done, after.skipped, calls) == (1, 1, [2])
    assert [len((await one.history(each.id)).actions) for each in dead] == [1, 1]
    assert [(await standing(one, each.id)).round for each in dead] == [2, 2]


async def test_a_step_is_refused_where_the_job_is_paused_meanwhile(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = await a_dead_one(one)
    await one.add_job(make_job())
    (job,) = await one.lease_jobs("w", NOW_MS, UNTIL_MS, 1)
    pause = JobChange(job_id(1), JobTrigger.PAUSE, NOW_MS, "bob")
    meanwhile(monkeypatch, one, "advance_job", lambda: two.change_job(pause))
    assert await one.advance_job(make_step(job, [make_decision(dead)])) is None
    assert (await standing(one, dead.id)) == dead


async def test_a_session_that_ends_while_it_is_seen_has_ended(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    session = make_session(1)
    await one.add_session(session)
    meanwhile(monkeypatch, one, "change_each", lambda: two.end_sessions([session.id]))
    await one.see_session(session.id, AT_MS + 9)
    assert await one.session(session.id) is None
    assert (await one.sessions(None, Page())).rows == ()


async def test_a_session_that_is_seen_while_it_is_ended_has_ended(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    session = make_session(1)
    await one.add_session(session)
    meanwhile(monkeypatch, one, "change_each", lambda: two.see_session(session.id, AT_MS + 9))
    assert await one.end_sessions([session.id]) == 1
    assert await one.session(session.id) is None


async def test_who_is_removed_while_he_is_changed_is_removed(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    await one.add_user(make_user())
    meanwhile(monkeypatch, one, "change_each", lambda: two.remove_user("ada"))
    assert not await one.change_user(replace(make_user(), stamp="next"), "stamp-1")
    assert await one.user("ada") is None


async def test_no_count_of_refused_requests_is_lost(stores: tuple[RedisStore, RedisStore]) -> None:
    """Processes that add to one at the same time."""
    count = RejectionCount("shop", RejectionReason.WRONG_PROOF, 1, AT_MS, AT_MS)
    await asyncio.gather(*(stores[n % 2].record_rejections([count], []) for n in range(20)))
    assert [each.count for each in await stores[0].rejection_counts()] == [20]


async def test_what_another_process_forgets_first_is_counted_off_once(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process forgets it first: it is not counted twice."""
    one, two = stores
    await one.append([make_append(1)])
    await settled(one, delivered(await lease_one(one)))
    meanwhile(monkeypatch, one, "forget", lambda: two.forget([event_id(1)], ALL_GONE))
    assert await one.forget([event_id(1)], ALL_GONE) == 0
    counts = await one.counts()
    assert (counts.events, counts.deliveries, counts.sources) == (0, {}, {})


async def test_a_discard_between_the_look_and_the_replay_is_looked_at_anew(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = await a_dead_one(one)
    calls = meanwhile(monkeypatch, one, "act", lambda: two.act([discard(dead.id, AT_MS + 500)]))
    (replayed,) = await one.act([replay(dead.id)])
    assert calls == [2]
    assert replayed == await standing(two, dead.id)
    assert [each.trigger for each in (await one.history(dead.id)).actions] == [Trigger.DISCARD, Trigger.REPLAY]


async def test_two_discards_of_one_are_one(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    dead = await a_dead_one(one)
    meanwhile(monkeypatch, one, "act", lambda: two.act([discard(dead.id)]))
    assert await one.act([discard(dead.id)]) == [None]
    assert len((await one.history(dead.id)).actions) == 1


async def test_two_that_lease_at_once_send_one_probe(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    await one.append([make_append(number) for number in (1, 2, 3)])
    await one.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS, answer_ms=15_000, why="down"))
    leased: list[LeaseBatch] = []

    async def others() -> None:
        leased.append(await lease(two))

    meanwhile(monkeypatch, one, "lease_probe", others)
    assert (await lease(one)).claims == ()
    assert [len(each.claims) for each in leased] == [1]


async def test_what_waits_is_repaired_only_as_it_was_seen(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    await one.append([make_append(1, due_at_ms=AT_MS + 10**8)])
    (waiting,) = (await one.find_deliveries(DeliveryFilter(), Page())).rows
    meanwhile(monkeypatch, one, "repair_deliveries", lambda: two.act([expedite(waiting.id)]))
    assert await one.repair_clock(ClockRepair(AT_MS, {"crm": 1_000}, 1_000, 1_000)) == 0
    assert (await standing(one, waiting.id)).due_at_ms == AT_MS + 1_000


async def test_of_many_that_race_each_delivery_is_one_workers(stores: tuple[RedisStore, RedisStore]) -> None:
    await stores[0].append([make_append(number) for number in range(1, 201)])
    batches = await asyncio.gather(*(lease(stores[n % 2], crm=13) for n in range(20)))
    ids = [claim.delivery.id for batch in batches for claim in batch.claims]
    assert len(ids) == len(set(ids)) == 200
