"""The runner: every one goes out once, in order, at the rate; people stop it at once; nobody down holds up another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from job_world import DISCARD, JobWorld, Sends
from services import REJECTED, Works, all_deliveries, on_virtual_time
from test_replay import dead

from longstop.model.action import Pause
from longstop.model.delivery import Outcome, OutcomeKind, State
from longstop.model.job import LEASE_MS, Job, JobState
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.operating import job_work
from longstop.operating.job_work import AHEAD_MS, HELD_MAX, WAITING_MAX
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.fakes import SUCCESS


@asynccontextmanager
async def world(
    store: MemoryStore, *routes: Any, ordered: tuple[str, ...] = (), **senders: Any
) -> AsyncIterator[JobWorld]:
    """A runner and a dispatcher at work."""
    made = JobWorld(store, ordered=ordered)
    async with Works(store, **senders):
        made.start()
        try:
            yield made
        finally:
            await made.stop_all()


def counts(job: Job) -> tuple[JobState, int, int, int]:
    return job.state, job.done, job.failed, job.skipped


@on_virtual_time
async def test_all_of_it_goes_out_once_in_its_order() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=500)
    async with world(store, crm=(sends, 1)) as here:
        made = await here.make()
        done = await here.ended(made)
        await here.clock.sleep(10)
    assert counts(done) == (JobState.DONE, 500, 0, 0)
    assert sends.ids == [each.id for each in every]
    assert {each.state for each in await all_deliveries(store)} == {State.DELIVERED}
    (action,) = (await store.history(every[0].id)).actions
    assert (action.by, action.why) == ("ada", "INC-7")


@on_virtual_time
async def test_a_clock_that_was_ahead_makes_nothing_wait() -> None:
    store, sends = MemoryStore(), Sends()
    await dead(store, count=40)
    here = JobWorld(store)
    made = await here.make(rate_per_s=20)
    store._jobs[made.id] = replace(made, next_at_ms=AT_MS + 86_400_000.0)
    async with Works(store, crm=sends):
        here.start()
        assert (await here.ended(made, limit_s=10)).done == 40
        await here.clock.sleep(2)
        await here.stop_all()
    assert len(sends.came) == 40


@on_virtual_time
async def test_what_was_delivered_is_sent_again_once() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=150)
    async with world(store, crm=sends) as here:
        await here.ended(await here.make())
        await here.clock.sleep(5)
        done = await here.ended(await here.make(wanted=DeliveryFilter(state=State.DELIVERED)))
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 150, 0, 0)
    assert sends.ids == [each.id for each in every] * 2


@pytest.mark.parametrize("rate", [0.5, 7.0, 20.0, 150.0])
def test_the_rate_holds_for_what_goes_out(rate: float) -> None:
    @on_virtual_time
    async def scenario() -> None:
        store, sends = MemoryStore(), Sends()
        count = round(rate * 20)
        await dead(store, count=count)
        async with world(store, crm=sends) as here:
            began_ms = here.clock.now_ms()
            await here.ended(await here.make(rate_per_s=rate))
            await here.clock.sleep(5)
        assert len(sends.came) == count
        took_ms = sends.came[-1][0] - began_ms
        assert 0.95 * 20_000 <= took_ms + 1000 / rate <= 1.05 * 20_000 + 600
        for window_s in (1, 4, 10):
            assert sends.most_within(window_s * 1000) <= rate * window_s + 1

    scenario()


@on_virtual_time
async def test_a_pause_holds_at_once_and_it_goes_on_where_it_was() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=100)
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=10)
        await here.clock.sleep(3.05)
        came = len(sends.came)
        await here.people.pause(made.id, "lunch")
        await here.clock.sleep(3_600)
        assert came <= len(sends.came) <= came + AHEAD_MS / 100 + 1
        await here.people.resume(made.id)
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 100, 0, 0)
    assert sends.ids == [each.id for each in every]
    assert sends.most_within(1_000) <= 11


@on_virtual_time
async def test_what_is_cancelled_leaves_the_rest_as_it_was() -> None:
    store, sends = MemoryStore(), Sends()
    await dead(store, count=100)
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=10)
        await here.clock.sleep(2)
        job = await here.people.cancel(made.id)
        await here.clock.sleep(60)
    states = [each.state for each in await all_deliveries(store)]
    assert states == [State.DELIVERED] * job.done + [State.DEAD] * (100 - job.done)
    assert 20 <= job.done <= 24


@on_virtual_time
async def test_one_that_is_killed_is_gone_on_with_and_comes_in_no_heap() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=200)
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=20)
        for _ in range(3):
            await here.clock.sleep(2.03)
            await here.kill()
            here.start()
            await here.clock.sleep(LEASE_MS / 1000)
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 200, 0, 0)
    assert done.token == 4
    assert sends.ids == [each.id for each in every]
    assert sends.most_within(1_000) <= 21


@on_virtual_time
async def test_with_the_dispatcher_killed_too_the_leftover_takes_its_part_of_the_rate() -> None:
    store, sends = MemoryStore(), Sends(takes_s=0)
    await dead(store, count=100)
    here = JobWorld(store)
    works = Works(store, crm=sends)
    await works.__aenter__()
    here.start()
    made = await here.make(rate_per_s=20)
    await here.clock.sleep(2.03)
    # First who delivers: the runner releases what nobody takes.
    await works.crash()
    await here.clock.sleep(5)
    await here.kill()
    await here.clock.sleep(60)
    assert (await here.job(made)).done <= len(sends.came) + 7
    here.start()
    async with Works(store, crm=sends):
        await here.ended(made)
        await here.clock.sleep(5)
        await here.stop_all()
    assert len(sends.came) == 100
    later = [at_ms for at_ms, _ in sends.came if at_ms > AT_MS + 30_000]
    heap = sum(each < later[0] + 1_000 for each in later)
    assert heap <= 27, "what had waited came on top of the rate"
    assert sum(each < later[0] + 3_000 for each in later) <= 3 * 20 + 7


@on_virtual_time
async def test_who_stops_gives_it_up_at_once() -> None:
    store = MemoryStore()
    await dead(store, count=100)
    async with world(store, crm=Sends()) as here:
        made = await here.make(rate_per_s=10)
        await here.clock.sleep(2)
        await here.stop()
        before = await here.job(made)
        assert (before.state, before.worker) == (JobState.RUNNING, None)
        here.start("runner-2")
        await here.clock.sleep(1)
        assert (await here.job(made)).worker == "runner-2"


@on_virtual_time
async def test_who_goes_on_at_once_keeps_the_rate() -> None:
    store, sends = MemoryStore(), Sends(takes_s=0)
    every = await dead(store, count=150)
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=20)
        for _ in range(15):
            await here.clock.sleep(0.21)
            await here.stop()
            here.start()
        await here.ended(made)
        await here.clock.sleep(5)
    assert sends.ids == [each.id for each in every]
    assert sends.most_within(2_000) <= 41


@on_virtual_time
async def test_of_several_destinations_the_oldest_goes_first() -> None:
    store, sends = MemoryStore(), Sends(takes_s=0)
    every = await dead(store, count=20, to=("bi", "crm"))
    async with world(store, crm=sends, bi=sends) as here:
        await here.ended(await here.make(rate_per_s=20))
        await here.clock.sleep(5)
    assert sends.ids == [each.id for each in every]


@on_virtual_time
async def test_a_killed_ones_job_is_another_ones_once_its_lease_is_over() -> None:
    store = MemoryStore()
    await dead(store, count=100)
    async with world(store, crm=Sends()) as here:
        made = await here.make(rate_per_s=1)
        await here.clock.sleep(2)
        here.start("runner-2")
        await here.kill()
        await here.clock.sleep(LEASE_MS / 1000 - 3.5)
        assert (await here.job(made)).worker == "runner-1"
        await here.clock.sleep(4.5)
        assert (await here.job(made)).worker == "runner-2"


@on_virtual_time
async def test_who_stood_still_changes_nothing() -> None:
    """A step that comes after another runner has gone on is refused: nothing goes out twice."""
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=60)
    async with world(store, crm=sends) as here:
        await here.stop()
        gate = here.start().stall("advance_job")
        made = await here.make(rate_per_s=20)
        await here.clock.sleep(LEASE_MS / 1000 + 2)
        here.start("runner-2")
        await here.clock.sleep(1)
        gate.set()
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 60, 0, 0)
    assert sends.ids == [each.id for each in every]
    assert {each.round for each in await all_deliveries(store)} == {2}


@on_virtual_time
async def test_a_store_that_fails_for_a_while_is_no_end() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=100)
    async with world(store, crm=sends) as here:
        await here.stop()
        faulty = here.start()
        faulty.fail("lease_jobs", times=2)
        made = await here.make(rate_per_s=20)
        await here.clock.sleep(3)
        for method in ("advance_job", "released", "find_deliveries", "job"):
            faulty.fail(method, times=2)
            await here.clock.sleep(4)
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 100, 0, 0)
    assert sends.ids == [each.id for each in every]


@on_virtual_time
async def test_one_that_cannot_go_on_fails_alone_and_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    await dead(store, count=3)
    async with world(store, crm=Sends()) as here:

        async def broken(self: Any) -> None:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(job_work.JobWork, "turn", broken)
            made = await here.make()
            failed = await here.ended(made)
            assert (failed.state, failed.state_why) == (JobState.FAILED, "ZeroDivisionError: a bug")
        await here.people.resume(made.id)
        assert counts(await here.ended(made)) == (JobState.DONE, 3, 0, 0)


# -- destinations -------------------------------------------------------------------------------------


@on_virtual_time
async def test_one_that_takes_nothing_holds_up_no_other_and_gets_no_heap() -> None:
    store, crm, bi = MemoryStore(), Sends(), Sends()
    await dead(store, count=400, to=("bi", "crm"))
    await store.pause(Pause("bi", AT_MS, "bob"))
    async with world(store, crm=crm, bi=bi) as here:
        made = await here.make()
        await here.clock.sleep(30)
        here.start("runner-2")
        await here.clock.sleep(30)
        job = await here.job(made)
        assert (job.worker, job.token) == ("runner-1", 1), "while it waits it is its holder's"
        assert (len(crm.came), len(bi.came)) == (400, 0)
        assert (job.done, job.full, job.state) == (400 + WAITING_MAX, ("bi",), JobState.RUNNING)
        await store.resume("bi")
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 800, 0, 0)
    assert done.full == ()
    assert bi.ids == sorted(bi.ids)
    assert len(bi.came) == 400


@on_virtual_time
async def test_with_a_rate_a_destination_that_comes_back_gets_it_at_the_rate() -> None:
    store, sends = MemoryStore(), Sends(takes_s=0)
    await dead(store, count=100)
    await store.pause(Pause("crm", AT_MS, "bob"))
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=20)
        await here.clock.sleep(3_600)
        job = await here.job(made)
        assert job.done <= AHEAD_MS / 50 + 2
        await store.resume("crm")
        await here.ended(made)
        await here.clock.sleep(5)
    assert len(sends.came) == 100
    assert sends.most_within(1_000) <= 21
    assert sends.most_within(4_000) <= 81


@on_virtual_time
async def test_what_fails_again_is_not_waited_for() -> None:
    store, sends = MemoryStore(), Sends(outcome=lambda _claim: REJECTED)
    every = await dead(store, count=300)
    async with world(store, crm=sends) as here:
        done = await here.ended(await here.make())
        await here.clock.sleep(60)
    assert counts(done) == (JobState.DONE, 300, 0, 0)
    assert sends.ids == [each.id for each in every], "what died again was taken a second time"
    assert {each.round for each in await all_deliveries(store)} == {2}


@on_virtual_time
async def test_a_key_that_fails_holds_up_its_own_alone() -> None:
    """Two hundred of one key behind one that fails are held, and those of other keys go out all the same."""
    store = MemoryStore()
    poison = make_append(1).event.id
    down = Outcome(OutcomeKind.RETRY, status=500, error="no", retry_after_s=3_000.0)
    sends = Sends(outcome=lambda claim: down if claim.event.id == poison else SUCCESS)
    await dead(store, count=200, key="poison")
    await store.append([make_append(n, key=f"k{n}") for n in range(201, 301)])
    async with world(store, ordered=("crm",), crm=sends) as here:
        await here.clock.sleep(1)
        assert HELD_MAX > 200
        for each in await all_deliveries(store):
            if each.key != "poison":
                store._put(replace(each, state=State.DEAD, ended_at_ms=AT_MS))
        sends.came.clear()
        done = await here.ended(await here.make())
        await here.clock.sleep(5)
        assert counts(done) == (JobState.DONE, 300, 0, 0)
        assert len(sends.came) == 101


@on_virtual_time
async def test_where_nobody_delivers_nothing_is_waited_for() -> None:
    store = MemoryStore()
    await dead(store, count=500)
    here = JobWorld(store)
    here.start(delivers=False)
    done = await here.ended(await here.make())
    await here.stop_all()
    assert (counts(done), done.waiting) == ((JobState.DONE, 500, 0, 0), ())
    assert {each.state for each in await all_deliveries(store)} == {State.SCHEDULED}


# -- what is its own ----------------------------------------------------------------------------------


@on_virtual_time
async def test_what_comes_or_dies_meanwhile_is_not_its_own() -> None:
    store = MemoryStore()
    first = await dead(store, count=40)
    await store.append([make_append(50)])
    sends = Sends(outcome=lambda _claim: REJECTED)
    async with world(store, bi=sends) as here:
        made = await here.make(rate_per_s=10)
        assert made.total == 40
        await here.clock.sleep(1)
        # One that was under way when the job was made dies, and one that came later.
        async with Works(store, crm=sends):
            await store.append([make_append(60)])
            done = await here.ended(made)
            await here.clock.sleep(60)
    assert counts(done) == (JobState.DONE, 40, 0, 0)
    assert all(each.round == (2 if each.id in {one.id for one in first} else 1) for each in await all_deliveries(store))


@on_virtual_time
async def test_somebody_was_quicker_with_some() -> None:
    store, sends = MemoryStore(), Sends()
    every = await dead(store, count=30)
    async with world(store, crm=sends) as here:
        made = await here.make(rate_per_s=10)
        await here.clock.sleep(1)
        bob = here.replay("bob")
        await bob.discard(every[20:22], "a test")
        await bob.replay(every[25:26])
        done = await here.ended(made)
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 27, 0, 3)
    assert len(sends.came) == 28


@on_virtual_time
async def test_what_could_not_be_read_is_read_anew() -> None:
    store, sends = MemoryStore(), Sends()
    await store.append([
        make_quarantined(1, body=b'{"id": "a", "type": "t", "key": "k"}'),
        make_quarantined(2),
        make_quarantined(3, body=b'{"id": "b"}'),
    ])  # fmt: skip
    async with world(store, crm=sends) as here:
        done = await here.ended(await here.make(wanted=DeliveryFilter(destination=""), rate_per_s=1))
        await here.clock.sleep(5)
    assert counts(done) == (JobState.DONE, 2, 1, 0)
    (error,) = done.errors
    assert error.delivery_id == make_quarantined(2).deliveries[0].id
    assert "send it with --edit FILE" in error.error
    kept = (await store.find_events(EventFilter(), Page(newest_first=False))).rows
    first, second = sorted((each for each in kept if each.event.parent), key=lambda each: str(each.event.parent))
    old = [each for each in kept if each.event.parent is None]
    assert [(each.event.parent, each.event.type) for each in (first, second)] == [
        (old[0].event.id, "t"),
        (old[2].event.id, None),
    ]
    assert [each.deliveries[0].state for each in old] == [State.DISCARDED, State.DEAD, State.DISCARDED]
    assert first.made_by is not None
    assert (first.made_by.by, first.made_by.why) == ("ada", "INC-7")
    assert sends.ids == [each.deliveries[0].id for each in (first, second)]
    assert sends.came[1][0] - sends.came[0][0] >= 950


@on_virtual_time
async def test_a_discard_of_many_says_why_of_each() -> None:
    store = MemoryStore()
    every = await dead(store, count=300, to=("bi", "crm"))
    await store.append([make_quarantined(900)])
    async with world(store, crm=Sends()) as here:
        done = await here.ended(await here.make(DISCARD, DeliveryFilter(), why="a scanner"))
    assert counts(done) == (JobState.DONE, 601, 0, 0)
    assert {each.state for each in await all_deliveries(store)} == {State.DISCARDED}
    (action,) = (await store.history(every[-1].id)).actions
    assert (action.by, action.why) == ("ada", "a scanner")


@on_virtual_time
async def test_a_discard_of_what_waits_leaves_what_was_sent_again_since() -> None:
    store = MemoryStore()
    await store.append([make_append(n, due_at_ms=AT_MS + 10**9) for n in (1, 2)])
    gone, _ = await all_deliveries(store)
    async with world(store, bi=Sends()) as here:
        await here.stop()
        made = await here.make(DISCARD, DeliveryFilter(state=State.SCHEDULED), why="x")
        await here.clock.sleep(1)
        bob = here.replay("bob")
        await bob.discard([gone], "first")
        await bob.replay([gone], rate_per_s=0.001, offset=1)
        here.start()
        done = await here.ended(made)
    assert counts(done) == (JobState.DONE, 1, 0, 0)
    assert [each.state for each in await all_deliveries(store)] == [State.SCHEDULED, State.DISCARDED]


@on_virtual_time
async def test_fresh_ones_have_no_heap_in_front_of_them() -> None:
    store, sends = MemoryStore(), Sends(takes_s=0.1)
    await dead(store, count=1_000)
    async with world(store, crm=(sends, 4)) as here:
        made = await here.make()
        await here.clock.sleep(5)
        await store.append([make_append(2_000, due_at_ms=here.clock.now_ms())])
        began_ms = here.clock.now_ms()
        while make_append(2_000).deliveries[0].id not in sends.ids:
            await here.clock.sleep(0.05)
        assert here.clock.now_ms() - began_ms <= 500
        waiting = sum(each.state is State.SCHEDULED for each in await all_deliveries(store))
        assert waiting <= WAITING_MAX
        assert (await here.ended(made)).done == 1_000


@on_virtual_time
async def test_a_search_that_takes_long_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without a row, as a search of bodies gives them, move the place on."""
    store = MemoryStore()
    await dead(store, count=50)
    monkeypatch.setattr(job_work, "PAGE", 1)
    wanted = DeliveryFilter(contains=b'"number":49}')
    original = store.find_deliveries

    async def impatient(asked: DeliveryFilter, page: Page) -> Any:
        if asked.contains is None:
            return await original(asked, page)
        plain = await original(replace(asked, contains=None), replace(page, limit=1))
        fits = tuple(each for each in plain.rows if each.id == make_append(49).deliveries[0].id)
        return replace(plain, rows=fits)

    monkeypatch.setattr(store, "find_deliveries", impatient)
    async with world(store, crm=Sends()) as here:
        done = await here.ended(await here.make(wanted=wanted))
    assert counts(done) == (JobState.DONE, 1, 0, 0)
