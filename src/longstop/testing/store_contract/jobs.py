"""Jobs: one worker has each at a time, a step is done whole or not at all, and people stop it at any moment."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from longstop.model.action import Action, ActionRecord, Edit
from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Delivery, State, Transition, Trigger
from longstop.model.event import Origin
from longstop.model.ids import format_uuid7
from longstop.model.job import (
    ERRORS_KEPT,
    LEASE_MS,
    WRITES_MAX,
    Job,
    JobAction,
    JobChange,
    JobDecision,
    JobError,
    JobState,
    JobStep,
    JobTrigger,
    Released,
)
from longstop.model.listing import DeliveryFilter, Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.store_contract.arrival import expect_wake
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    delivered,
    discard,
    expect_unchanged,
    in_lane,
    lease_one,
    parked,
    replay,
    settled,
    standing,
    to_retry,
)

NOW_MS = AT_MS + 60_000
UNTIL_MS = NOW_MS + LEASE_MS


def job_id(number: int) -> str:
    """The id of the job with this number."""
    return format_uuid7(NOW_MS + number, 7)


def make_job(number: int = 1, **changes: Any) -> Job:
    """A job that replays what is dead for `crm`; `changes` are fields of Job."""
    job = Job(
        id=job_id(number),
        action=JobAction.REPLAY,
        wanted=DeliveryFilter(state=State.DEAD, destination="crm"),
        by="ada",
        created_at_ms=NOW_MS,
        last_id=format_uuid7(NOW_MS, 0),
        why="INC-7",
        total=3,
        state_at_ms=NOW_MS,
        places={"crm": ""},
    )
    return replace(job, **changes)


def make_decision(delivery: Delivery, **changes: Any) -> JobDecision:
    """A replay of a delivery as it stands; `changes` are fields of JobDecision."""
    action = Action(delivery.id, Transition(Trigger.REPLAY, NOW_MS, due_at_ms=NOW_MS), "ada", "INC-7")
    return replace(JobDecision(action, delivery), **changes)


def make_step(job: Job, decisions: Sequence[JobDecision] = (), **changes: Any) -> JobStep:
    """A step of a job; the place behind the last decision, and more to come."""
    places = {"crm": decisions[-1].action.delivery_id} if decisions else job.places
    step = JobStep(job.id, job.token, NOW_MS, UNTIL_MS, places, tuple(decisions))
    return replace(step, **changes)


async def _dead(store: Store, count: int = 1) -> list[Delivery]:
    """Deliveries that their destination refused."""
    dead = []
    for number in range(1, count + 1):
        await store.append([make_append(number)])
        dead.append(await settled(store, parked(await lease_one(store))))
    return dead


async def _taken(store: Store, number: int = 1, **changes: Any) -> Job:
    """A job in the hands of a worker."""
    await store.add_job(make_job(number, **changes))
    (job,) = await store.lease_jobs("worker-1", NOW_MS, UNTIL_MS, 1)
    return job


async def _advanced(store: Store, step: JobStep) -> Job:
    job = await store.advance_job(step)
    expect(job is not None, "a step of the job's holder was refused")
    assert job is not None
    expect_equal(await store.job(step.job_id), job, "the job after a step")
    return job


async def _expect_refused(store: Store, step: JobStep) -> None:
    """Nothing of the step happens."""
    job = await store.job(step.job_id)
    seen = [await standing(store, each.action.delivery_id) for each in step.decisions]
    known = [await store.history(each.id) for each in seen]
    expect_equal(await store.advance_job(step), None, "result of a step that is not its holder's")
    expect_equal(await store.job(step.job_id), job, "the job after a step that was refused")
    for delivery, history in zip(seen, known, strict=True):
        await expect_unchanged(store, delivery, history)


async def _change(store: Store, trigger: JobTrigger, number: int = 1, by: str = "bob") -> Job | None:
    return await store.change_job(JobChange(job_id(number), trigger, NOW_MS + 7, by, "enough"))


# -- what is kept -------------------------------------------------------------------------------------


async def check_every_field_is_kept(store: Store) -> None:
    """Also bytes that are no text, places, and what it waits for."""
    wanted = DeliveryFilter(
        state=State.DEAD, source="shop", destination="", type="t", key="ж", reason=DeadReason.REJECTED, since_ms=1,
        until_ms=2, contains=b"\x00\xff", held=False, status=422, error="#", received_since_ms=3, received_until_ms=4,
    )  # fmt: skip
    full = make_job(
        wanted=wanted, ended_until_ms=5, rate_per_s=0.3, including_edited=True, exact=False, state_by="x",
        state_why="y", started_at_ms=6, done=7, failed=8, skipped=9, errors=(JobError("d", "e"),),
        places={"": "", "crm": "d"}, waiting=("d1", "d2"), full=("crm",), next_at_ms=1.5, token=3, lease_until_ms=11,
        worker="w",
    )  # fmt: skip
    for job in (full, make_job(2, why=None)):
        await store.add_job(job)
        expect_equal(await store.job(job.id), job, "a job as it was kept")
    expect_equal(await store.job(job_id(9)), None, "a job that is not there")


async def check_an_id_is_taken_once(store: Store) -> None:
    """A second job of the same id is refused, and the first stays."""
    await store.add_job(make_job())
    try:
        await store.add_job(make_job(by="eve"))
    except ValueError:
        pass
    else:
        raise AssertionError("a second job of the same id was kept")
    expect_equal(await store.job(job_id(1)), make_job(), "the first job")


async def check_jobs_are_listed_by_state(store: Store) -> None:
    """In both directions, page by page."""
    for number in range(1, 6):
        await store.add_job(make_job(number, state=JobState.PAUSED if number % 2 else JobState.RUNNING))
    for state, numbers in ((None, [1, 2, 3, 4, 5]), (JobState.PAUSED, [1, 3, 5]), (JobState.DONE, [])):
        for newest_first in (True, False):
            expected = [job_id(n) for n in (numbers[::-1] if newest_first else numbers)]
            found, after = [], None
            while True:
                listing = await store.find_jobs(state, Page(2, after, newest_first))
                found += [job.id for job in listing.rows]
                after = listing.next_after
                if after is None:
                    break
            expect_equal(found, expected, f"jobs of state {state}, newest first {newest_first}")


async def check_what_is_over_is_forgotten(store: Store) -> None:
    """In its time; what may go on is not."""
    for number, state in enumerate(JobState, start=1):
        await store.add_job(make_job(number, state=state, state_at_ms=NOW_MS))
    expect_equal(await store.forget_jobs(NOW_MS), 0, "jobs forgotten a moment too early")
    expect_equal(await store.forget_jobs(NOW_MS + 1), 2, "jobs forgotten")
    left = {job.state for job in (await store.find_jobs(None, Page())).rows}
    expect_equal(left, {JobState.RUNNING, JobState.PAUSED, JobState.FAILED}, "states of the jobs that are left")


# -- who has it ---------------------------------------------------------------------------------------


async def check_a_job_is_one_workers(store: Store) -> None:
    """The oldest first, each once, with a token of its own; also where many ask at the same time."""
    for number in (2, 1, 3):
        await store.add_job(make_job(number))
    (first,) = await store.lease_jobs("worker-1", NOW_MS, UNTIL_MS, 1)
    expect_equal(first, make_job(1).leased("worker-1", NOW_MS, UNTIL_MS), "the job that was taken")
    expect_equal(await store.job(first.id), first, "the job as it is kept")
    raced = await asyncio.gather(*(store.lease_jobs(f"w{n}", NOW_MS, UNTIL_MS, 5) for n in range(4)))
    taken = sorted(job.id for batch in raced for job in batch)
    expect_equal(taken, [job_id(2), job_id(3)], "jobs taken by those who came later")


async def check_one_job_is_taken_by_its_id(store: Store) -> None:
    """And no other in its place, also where it is not to be had."""
    for number in (1, 2):
        await store.add_job(make_job(number))
    (taken,) = await store.lease_jobs("worker-1", NOW_MS, UNTIL_MS, 5, job_id(2))
    expect_equal(taken.id, job_id(2), "the job that was taken")
    for absent in (job_id(2), job_id(9)):
        expect_equal(list(await store.lease_jobs("w2", NOW_MS, UNTIL_MS, 5, absent)), [], "jobs taken")


async def check_a_job_comes_free_when_its_lease_is_over(store: Store) -> None:
    """To the millisecond; and where a lease lasts longer than any, which a clock that was ahead has noted."""
    job = await _taken(store)
    expect_equal(list(await store.lease_jobs("w2", UNTIL_MS - 1, UNTIL_MS, 1)), [], "jobs taken a moment too early")
    (again,) = await store.lease_jobs("w2", UNTIL_MS, UNTIL_MS + LEASE_MS, 1)
    expect_equal((again.token, again.worker), (job.token + 1, "w2"), "token and worker of the next lease")
    expect_equal(again.started_at_ms, NOW_MS, "when it was first taken")
    long_ago_ms = NOW_MS - 86_400_000
    expect_equal(len(await store.lease_jobs("w3", long_ago_ms, long_ago_ms + 1, 1)), 1, "jobs after the clock is right")


async def check_a_job_is_given_up(store: Store) -> None:
    """Then the next may have it at once. Who shows an old token gives up nothing."""
    job = await _taken(store)
    await store.give_up_job(job.id, job.token - 1)
    await store.give_up_job(job_id(9), 1)
    expect_equal(await store.job(job.id), job, "the job after others gave it up")
    await store.give_up_job(job.id, job.token)
    expect_equal(await store.advance_job(make_step(job)), None, "a step of who has given it up")
    (again,) = await store.lease_jobs("w2", NOW_MS, UNTIL_MS, 1)
    expect_equal(again.token, job.token + 1, "token of the next")


# -- steps --------------------------------------------------------------------------------------------


async def check_a_step_is_done_whole(store: Store) -> None:
    """Deliveries, counts, places and what is waited for change together; who asked is on record."""
    dead = await _dead(store, 3)
    job = await _taken(store)
    decisions = [make_decision(each) for each in dead[:2]]
    errors = (JobError(dead[2].id, "why not"),)
    step = make_step(job, decisions, errors=errors, full=("crm",), next_at_ms=4.5, waiting=("earlier",))
    after = await _advanced(store, step)
    expect_equal(after, job.advanced(step, [True, True]), "the job")
    expect_equal((after.done, after.failed, after.skipped), (2, 1, 0), "counts")
    expect_equal(after.waiting, ("earlier", dead[0].id, dead[1].id), "what it waits for")
    for before in dead[:2]:
        expect_equal(await standing(store, before.id), before.after(decisions[0].action.transition), "a delivery")
        record = ActionRecord(Trigger.REPLAY, NOW_MS, "ada", "INC-7")
        expect_equal((await store.history(before.id)).actions, (record,), "actions")
    expect_equal(await standing(store, dead[2].id), dead[2], "the delivery that was passed over")


async def check_the_last_step_ends_it(store: Store) -> None:
    """A job without a place to go on from is done, and nobody's."""
    (dead,) = await _dead(store)
    job = await _taken(store)
    after = await _advanced(store, make_step(job, [make_decision(dead)], places={}))
    expect_equal((after.state, after.ended_at_ms, after.done), (JobState.DONE, NOW_MS, 1), "state, end and count")
    expect_equal(list(await store.lease_jobs("w2", UNTIL_MS * 2, UNTIL_MS * 2 + 1, 1)), [], "jobs to take")
    await _expect_refused(store, make_step(job))


async def check_what_is_released_is_leased_at_once(store: Store) -> None:
    """Workers that wait are woken."""
    (dead,) = await _dead(store)
    job = await _taken(store)
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    await _advanced(store, make_step(job, [make_decision(dead)]))
    await expect_wake(woken, "what a job has released")
    expect_equal((await lease_one(store, NOW_MS)).delivery.id, dead.id, "the claim")


async def check_an_old_token_does_nothing(store: Store) -> None:
    """Whoever stood still while another took the job changes nothing of it, nor of any delivery."""
    dead = await _dead(store, 2)
    late = await _taken(store)
    (job,) = await store.lease_jobs("w2", UNTIL_MS, UNTIL_MS + LEASE_MS, 1)
    await _expect_refused(store, make_step(late, [make_decision(dead[0])]))
    await _advanced(store, make_step(job, [make_decision(dead[0])]))
    await _expect_refused(store, make_step(late, [make_decision(dead[1])]))
    await _expect_refused(store, make_step(replace(job, id=job_id(9)), [make_decision(dead[1])]))


async def check_a_lease_that_ran_out_is_its_holders(store: Store) -> None:
    """As long as nobody else has taken it."""
    (dead,) = await _dead(store)
    job = await _taken(store)
    after = await _advanced(store, make_step(job, [make_decision(dead)], at_ms=UNTIL_MS * 2))
    expect_equal(after.done, 1, "done")


async def check_steps_that_race_are_done_once(store: Store) -> None:
    """Several workers that believe they have it: one of them does."""
    dead = await _dead(store, 3)
    job = await _taken(store)
    holders = [job]
    for turn in (1, 2):
        at_ms = UNTIL_MS + turn * LEASE_MS
        holders += await store.lease_jobs(f"w{turn}", at_ms, at_ms + LEASE_MS, 1)
    steps = [make_step(each, [make_decision(d) for d in dead]) for each in holders]
    results = await asyncio.gather(*(store.advance_job(step) for step in steps))
    expect_equal([result is not None for result in results], [False, False, True], "steps that were taken")
    rounds = [(await standing(store, each.id)).round for each in dead]
    expect_equal(rounds, [2, 2, 2], "rounds")


async def check_somebody_was_quicker(store: Store) -> None:
    """What no longer stands as it was seen is left as it is, and counted as skipped; the others are done."""
    replayed, discarded, gone_on, edited, other = await _dead(store, 5)
    job = await _taken(store)
    await store.act([replay(replayed.id), discard(discarded.id)])
    await store.act([replay(gone_on.id, AT_MS)])
    again = await settled(store, parked(await lease_one(store)))
    new = make_append(12)
    await store.replace(new, Edit(new.event.id, edited.event_id, NOW_MS, "bob"), [edited.id])
    absent = replace(other, id=format_uuid7(NOW_MS, 99))
    seen = [replayed, discarded, gone_on, edited, absent, other]
    before = [await standing(store, each.id) for each in seen if each is not absent]
    after = await _advanced(store, make_step(job, [make_decision(each) for each in seen]))
    expect_equal((after.done, after.skipped, after.waiting), (1, 5, (other.id,)), "done, skipped and waiting")
    for delivery in before[:-1]:
        expect_equal(await standing(store, delivery.id), delivery, "a delivery that had changed")
    expect_equal(again.round, 2, "the round of the one that was dead again")


async def check_a_replay_by_hand_is_not_given_up(store: Store) -> None:
    """A discard of what is dead leaves alone what a person has sent again since it was seen."""
    (dead,) = await _dead(store)
    job = await _taken(store, action=JobAction.DISCARD)
    waiting = await _one(store, replay(dead.id, NOW_MS + 1))
    after = await _advanced(store, make_step(job, [_let_go(dead)]))
    expect_equal((after.done, after.skipped), (0, 1), "done and skipped")
    expect_equal(await standing(store, dead.id), waiting, "what was sent again")


async def _one(store: Store, action: Action) -> Delivery | None:
    (result,) = await store.act([action])
    return result


async def check_a_full_step_is_done_whole(store: Store) -> None:
    """As many deliveries as a step may decide on, each with a key and a lane of its own."""
    appends = [in_lane(make_append(n, key=f"key {n}"), f"lane {n}") for n in range(1, WRITES_MAX + 1)]
    await store.append(appends)
    job = await _taken(store, action=JobAction.DISCARD)
    decisions = [_let_go(each.deliveries[0]) for each in appends]
    step = make_step(job, decisions, places={})
    expect_equal(await _advanced(store, step), job.advanced(step, [True] * WRITES_MAX), "the job")
    states = {(await standing(store, each.seen.id)).state for each in decisions}
    expect_equal(states, {State.DISCARDED}, "states")


async def check_a_step_lets_a_lane_go_on(store: Store) -> None:
    """What it gives up of a lane, one behind the other, is in nobody's way then."""
    appends = [in_lane(make_append(n)) for n in range(1, 6)]
    await store.append(appends)
    job = await _taken(store, action=JobAction.DISCARD)
    await _advanced(store, make_step(job, [_let_go(each.deliveries[0]) for each in appends[:3]]))
    for each in appends[3:]:
        claim = await lease_one(store, NOW_MS)
        expect_equal(claim.delivery.id, each.deliveries[0].id, "the one whose turn it is")
        await settled(store, delivered(claim))


def _let_go(delivery: Delivery) -> JobDecision:
    return make_decision(delivery, action=Action(delivery.id, Transition(Trigger.DISCARD, NOW_MS), "ada", "x"))


async def check_a_new_event_comes_with_its_decision(store: Store) -> None:
    """What is read anew: event, record and discard together; and none of them where somebody was quicker."""
    await store.append([make_quarantined(1), make_quarantined(2)])
    one, two = (make_quarantined(n).deliveries[0] for n in (1, 2))
    job = await _taken(store, places={"": ""})
    await store.act([discard(two.id)])
    decisions = [_anew(one, 11), _anew(two, 12)]
    after = await _advanced(store, make_step(job, decisions, places={"": two.id}))
    expect_equal((after.done, after.skipped), (1, 1), "done and skipped")
    expect_equal(after.waiting, decisions[0].released, "what it waits for")
    made, parent = await store.event(_instead(decisions[0]).event.id), await store.event(one.event_id)
    expect(made is not None and parent is not None, "the new event is not kept")
    assert made is not None
    assert parent is not None
    expect_equal(made.made_by, decisions[0].edit, "the record with the new event")
    expect_equal(parent.edits, (decisions[0].edit,), "the record with the kept one")
    expect_equal((await standing(store, one.id)).state, State.DISCARDED, "the one that was read anew")
    expect_equal(await store.event(_instead(decisions[1]).event.id), None, "the event of who was too late")


def _anew(quarantined: Delivery, number: int) -> JobDecision:
    new = make_append(number, origin=Origin.REPLAY, parent=quarantined.event_id)
    edit = Edit(new.event.id, quarantined.event_id, NOW_MS, "ada", "INC-7")
    let_go = Action(quarantined.id, Transition(Trigger.DISCARD, NOW_MS), "ada", "read again")
    return make_decision(quarantined, action=let_go, instead=new, edit=edit)


def _instead(decision: JobDecision) -> Append:
    assert decision.instead is not None
    return decision.instead


async def check_few_errors_are_kept(store: Store) -> None:
    """All are counted, and the first are told."""
    job = await _taken(store)
    errors = tuple(JobError(f"d{n}", "why not") for n in range(ERRORS_KEPT + 5))
    after = await _advanced(store, make_step(job, errors=errors[:3]))
    after = await _advanced(store, make_step(job, errors=errors[3:]))
    expect_equal((after.failed, after.errors), (ERRORS_KEPT + 5, errors[:ERRORS_KEPT]), "failed, and errors")


# -- people -------------------------------------------------------------------------------------------


async def check_a_pause_stops_it_at_once(store: Store) -> None:
    """No step is taken after it, not even of who has the job; who resumes it lets any worker go on."""
    dead = await _dead(store, 2)
    job = await _taken(store)
    await _advanced(store, make_step(job, [make_decision(dead[0])]))
    paused = await _change(store, JobTrigger.PAUSE)
    said = paused and (paused.state, paused.state_by, paused.state_why, paused.state_at_ms, paused.waiting)
    expect_equal(said, (JobState.PAUSED, "bob", "enough", NOW_MS + 7, (dead[0].id,)), "the pause")
    expect_equal(await store.job(job.id), paused, "the job")
    step = make_step(job, [make_decision(dead[1])])
    await _expect_refused(store, step)
    expect_equal(list(await store.lease_jobs("w2", UNTIL_MS * 2, UNTIL_MS * 2 + 1, 1)), [], "jobs to take")
    resumed = await _change(store, JobTrigger.RESUME, by="ann")
    expect_equal(resumed and (resumed.state, resumed.state_by), (JobState.RUNNING, "ann"), "the job that goes on")
    await _expect_refused(store, step)
    (again,) = await store.lease_jobs("w2", NOW_MS, UNTIL_MS, 1)
    expect_equal((again.places, again.done), ({"crm": dead[0].id}, 1), "where it goes on")
    await _advanced(store, make_step(again, [make_decision(dead[1])]))


async def check_cancelled_is_over(store: Store) -> None:
    """From running and paused; nothing leads back."""
    (dead,) = await _dead(store)
    job = await _taken(store)
    cancelled = await _change(store, JobTrigger.CANCEL)
    expect_equal(cancelled and (cancelled.state, cancelled.ended_at_ms), (JobState.CANCELLED, NOW_MS + 7), "the job")
    await _expect_refused(store, make_step(job, [make_decision(dead)]))
    for trigger in (JobTrigger.PAUSE, JobTrigger.RESUME, JobTrigger.CANCEL):
        expect_equal(await _change(store, trigger), None, f"result of {trigger}")
    expect_equal(await store.job(job.id), cancelled, "the job")
    expect_equal(await _change(store, JobTrigger.PAUSE, 9), None, "the pause of a job that is not there")


async def check_one_that_failed_is_resumed(store: Store) -> None:
    """A job that cannot go on says why; a person resumes it where it was."""
    job = await _taken(store)
    failed = await _advanced(store, make_step(job, fails="it is all wrong"))
    expect_equal((failed.state, failed.state_why), (JobState.FAILED, "it is all wrong"), "state and why")
    expect_equal(list(await store.lease_jobs("w2", UNTIL_MS * 2, UNTIL_MS * 2 + 1, 1)), [], "jobs to take")
    resumed = await _change(store, JobTrigger.RESUME)
    expect_equal(resumed and (resumed.state, resumed.places), (JobState.RUNNING, job.places), "the resumed job")


# -- what was released --------------------------------------------------------------------------------


async def check_how_released_ones_stand(store: Store) -> None:
    """Whether they wait, were tried, or are held behind another of their key."""
    await store.append([in_lane(make_append(n)) for n in (1, 2)])
    first, second = (make_append(n).deliveries[0].id for n in (1, 2))
    found = {each.delivery.id: each for each in await store.released([first, second, format_uuid7(1, 1)])}
    expect_equal(
        {id_: (each.delivery.id, each.held, each.waits) for id_, each in found.items()},
        {first: (first, False, True), second: (second, True, True)},
        "before they are tried",
    )
    claim = await lease_one(store)
    expect_equal(await _waits(store, first), False, "whether what is under way waits")
    tried = await settled(store, to_retry(claim, NOW_MS))
    expect_equal(list(await store.released([first])), [Released(tried, False)], "what was tried")
    expect_equal(await _waits(store, first), False, "whether what was tried waits")
    expect_equal(list(await store.released([])), [], "of none")


async def _waits(store: Store, id_: str) -> bool:
    (found,) = await store.released([id_])
    return found.waits
