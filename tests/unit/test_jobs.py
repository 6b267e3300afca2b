"""Jobs as people ask for them: what one would be of, and what may be done with it."""

import random
from dataclasses import replace

import pytest
from services import on_virtual_time
from test_replay import dead

from longstop.model.delivery import DeadReason, State
from longstop.model.errors import JobRefusedError, JobRequestError, NotFoundError
from longstop.model.ids import IdFactory
from longstop.model.job import JobAction, JobState
from longstop.model.listing import DeliveryFilter
from longstop.operating import jobs
from longstop.operating.jobs import JobRequest, JobService
from longstop.operating.survey import SAMPLE
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_quarantined
from longstop.testing.clock import VirtualClock

ALL = DeliveryFilter()
REPLAY, DISCARD = JobAction


def service(store: MemoryStore, by: str = "ada") -> JobService:
    return JobService(store, VirtualClock(), IdFactory(random.Random(2)), by)


@on_virtual_time
async def test_a_survey_says_what_it_would_be_of_and_keeps_nothing() -> None:
    store = MemoryStore()
    every = await dead(store, count=700, to=("bi", "crm"), key="one")
    await store.append([make_quarantined(900)])
    found = await service(store).survey(JobRequest(REPLAY, ALL))
    assert (found.count, found.exact, found.keys) == (1_401, True, 1)
    assert found.destinations == {"bi": 700, "crm": 700, "": 1}
    assert (found.oldest_at_ms, found.newest_at_ms) == (AT_MS, AT_MS)
    assert found.sample == tuple(every[:SAMPLE])
    narrow = await service(store).survey(
        JobRequest(REPLAY, DeliveryFilter(destination="crm", reason=DeadReason.MALFORMED))
    )
    assert (narrow.count, narrow.oldest_at_ms, narrow.sample) == (0, None, ())
    assert not (await store.find_jobs(None, jobs.Page())).rows


@on_virtual_time
async def test_a_job_keeps_who_asked_for_what_and_why() -> None:
    store = MemoryStore()
    every = await dead(store, count=3)
    job = await service(store).create(JobRequest(REPLAY, ALL, "INC-7", 2.5, including_edited=True))
    assert await store.job(job.id) == job
    assert (job.by, job.why, job.rate_per_s, job.including_edited) == ("ada", "INC-7", 2.5, True)
    assert (job.total, job.exact, job.state, job.places) == (3, True, JobState.RUNNING, {"crm": ""})
    assert (job.wanted, job.last_id, job.ended_until_ms) == (
        DeliveryFilter(state=State.DEAD), every[-1].id, job.created_at_ms + 1,
    )  # fmt: skip


@on_virtual_time
async def test_there_are_only_so_many_jobs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks in a loop is told; what runs goes on, and what is over takes no room."""
    monkeypatch.setattr(jobs, "UNFINISHED_MAX", 4)
    store, asked = MemoryStore(), JobRequest(REPLAY, ALL)
    await dead(store, count=1)
    making = service(store)
    made = [await making.create(asked) for _ in range(4)]
    await making.pause(made[0].id)
    with pytest.raises(JobRefusedError, match="found 4 jobs that run or rest, expected fewer than 4"):
        await making.create(asked)
    assert (await making.survey(asked)).count == 1, "to look is not to make one"
    await making.cancel(made[1].id)
    await making.create(asked)
    assert len((await store.find_jobs(None, jobs.Page())).rows) == 5


@on_virtual_time
async def test_what_was_edited_is_counted_where_it_is_asked_for() -> None:
    store = MemoryStore()
    one, _ = await dead(store, count=2)
    store._put(replace(one, replaced_by="e"))
    assert (await service(store).survey(JobRequest(REPLAY, ALL))).count == 1
    assert (await service(store).survey(JobRequest(REPLAY, ALL, including_edited=True))).count == 2


@on_virtual_time
async def test_where_a_clock_was_ahead_the_ids_alone_bound_it() -> None:
    store = MemoryStore()
    one, _ = await dead(store, count=2)
    store._put(replace(one, ended_at_ms=AT_MS + 86_400_000))
    job = await service(store).create(JobRequest(REPLAY, ALL))
    assert (job.total, job.ended_until_ms) == (2, None)


@on_virtual_time
async def test_of_nothing_it_is_done_at_once() -> None:
    job = await service(MemoryStore()).create(JobRequest(REPLAY, ALL))
    assert (job.state, job.total, job.ended_at_ms) == (JobState.DONE, 0, job.created_at_ms)


@pytest.mark.parametrize(
    ("wanted", "estimate"),
    [
        (DeliveryFilter(), 30),
        (DeliveryFilter(destination="crm"), 15),
        (DeliveryFilter(reason=DeadReason.REJECTED, status=422), 30),
        (DeliveryFilter(status=503), 10),
        (DeliveryFilter(type="order.paid"), 10),
        (DeliveryFilter(state=State.DELIVERED), 0),
    ],
)
def test_too_many_to_count_are_estimated(
    wanted: DeliveryFilter, estimate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE", 10)
    monkeypatch.setattr(jobs, "PATIENCE_MS", 0)
    monkeypatch.setattr(jobs, "LOOK_MS", 0)

    @on_virtual_time
    async def scenario() -> None:
        store = MemoryStore()
        await dead(store, count=15, to=("bi", "crm"))
        found = await service(store).survey(JobRequest(REPLAY, wanted))
        if wanted.status == 503:
            assert (found.count, found.exact) == (0, True)
        else:
            assert (found.count, found.exact) == (estimate, estimate == 0)

    scenario()


@pytest.mark.parametrize(("wanted", "exact"), [(DeliveryFilter(), False), (DeliveryFilter(type="order.paid"), True)])
def test_who_only_looks_waits_for_no_count_that_the_counters_know(
    wanted: DeliveryFilter, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE", 10)
    monkeypatch.setattr(jobs, "LOOK_MS", 0)

    @on_virtual_time
    async def scenario() -> None:
        store = MemoryStore()
        await dead(store, count=15, to=("bi", "crm"))
        found = await service(store).survey(JobRequest(REPLAY, wanted))
        assert (found.count, found.exact) == (30, exact)
        made = await service(store).create(JobRequest(REPLAY, wanted))
        assert (made.total, made.exact) == (30, True), "a job knows what it is of"

    scenario()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (JobRequest(DISCARD, ALL), "why: found nothing"),
        (JobRequest(DISCARD, ALL, "  "), "why: found nothing"),
        (JobRequest(DISCARD, ALL, "x", 5.0), "rate: found a rate for a discard"),
        (JobRequest(REPLAY, ALL, rate_per_s=0.0), "rate: found 0; expected a number above 0"),
        (JobRequest(REPLAY, DeliveryFilter(state=State.SCHEDULED)), "expected dead or delivered or discarded for"),
        (JobRequest(DISCARD, DeliveryFilter(state=State.DELIVERED), "x"), "found delivered; expected dead or sched"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_job_says_why(asked: JobRequest, said: str) -> None:
    @on_virtual_time
    async def scenario() -> None:
        store = MemoryStore()
        await dead(store)
        with pytest.raises(JobRequestError, match=said):
            await service(store).create(asked)
        assert not (await store.find_jobs(None, jobs.Page())).rows

    scenario()


@on_virtual_time
async def test_people_stop_it_and_let_it_go_on() -> None:
    store = MemoryStore()
    await dead(store)
    made, bob = await service(store).create(JobRequest(REPLAY, ALL)), service(store, "bob")
    with pytest.raises(JobRefusedError, match="is running; it goes on already"):
        await bob.resume(made.id)
    paused = await bob.pause(made.id, "lunch")
    assert (paused.state, paused.state_by, paused.state_why, paused.by) == (JobState.PAUSED, "bob", "lunch", "ada")
    with pytest.raises(JobRefusedError, match="is paused; only what runs can be paused"):
        await bob.pause(made.id)
    assert (await bob.resume(made.id)).state is JobState.RUNNING
    assert (await bob.cancel(made.id)).state is JobState.CANCELLED
    with pytest.raises(JobRefusedError, match="is cancelled; it is over; make another one"):
        await bob.resume(made.id)
    for ask in (bob.pause, bob.job):
        with pytest.raises(NotFoundError, match="no job has the id nonsense"):
            await ask("nonsense")


@on_virtual_time
async def test_an_end_or_a_beginning_means_a_job() -> None:
    store = MemoryStore()
    one, two = [await service(store).create(JobRequest(REPLAY, ALL)) for _ in range(1)] + [
        await JobService(store, VirtualClock(), IdFactory(random.Random(3)), "x").create(JobRequest(REPLAY, ALL))
    ]
    asked = service(store)
    assert await asked.meant(one.id) == (one.id,)
    assert await asked.meant(f" {one.id[-8:].upper()} ") == (one.id,)
    assert set(await asked.meant(one.id[:8])) == {one.id, two.id}
    assert await asked.meant("zzzz") == ()
