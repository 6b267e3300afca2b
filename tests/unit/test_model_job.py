"""A job's states, what is its own, and what a step changes."""

from dataclasses import replace
from typing import Any

import pytest

from longstop.model.action import Action
from longstop.model.delivery import State, Transition, Trigger
from longstop.model.errors import TransitionError
from longstop.model.job import (
    JOB_TRANSITIONS,
    LEASE_MS,
    OVER,
    Job,
    JobAction,
    JobChange,
    JobDecision,
    JobError,
    JobState,
    JobStep,
    JobTrigger,
    next_job_state,
)
from longstop.model.job_record import job_of, job_record
from longstop.model.listing import DeliveryFilter
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_delivery, make_event

RUNNING, PAUSED, DONE, CANCELLED, FAILED = JobState


def a_job(**changes: Any) -> Job:
    wanted = DeliveryFilter(state=State.DEAD)
    made = Job("j", JobAction.REPLAY, wanted, "ada", AT_MS, delivery_id(event_id(5), 0), places={"crm": ""})
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("state", "trigger", "after"),
    [
        (RUNNING, "pause", PAUSED),
        (RUNNING, "cancel", CANCELLED),
        (RUNNING, "finish", DONE),
        (RUNNING, "fail", FAILED),
        (PAUSED, "resume", RUNNING),
        (PAUSED, "cancel", CANCELLED),
        (FAILED, "resume", RUNNING),
        (FAILED, "cancel", CANCELLED),
    ],
)
def test_every_change_of_state_there_is(state: JobState, trigger: str, after: JobState) -> None:
    assert next_job_state(state, JobTrigger(trigger)) is after


def test_there_is_no_other_and_what_is_over_stays_so() -> None:
    assert len(JOB_TRANSITIONS) == 8
    assert not [state for state, _ in JOB_TRANSITIONS if state in OVER]
    with pytest.raises(TransitionError, match="a job that is done cannot resume; from done it can only: stay so"):
        next_job_state(DONE, JobTrigger.RESUME)
    with pytest.raises(TransitionError, match="from paused it can only: cancel, resume"):
        next_job_state(PAUSED, JobTrigger.PAUSE)


def test_only_people_pause_resume_and_cancel() -> None:
    for trigger in (JobTrigger.FINISH, JobTrigger.FAIL):
        with pytest.raises(ValueError, match="no decision of a person's"):
            JobChange("j", trigger, AT_MS, "ada")


def test_a_record_is_the_job_again() -> None:
    job = a_job(wanted=DeliveryFilter(state=State.DEAD, contains=b"\x00\xff", key="ж"), waiting=("a",), next_at_ms=0.5)
    assert job_of(job_record(job)) == job
    with pytest.raises(TypeError):
        job_of(job_record(job) | {"later": 1})


@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        ({}, True),
        ({"id": delivery_id(event_id(5), 0)}, True),
        ({"id": delivery_id(event_id(5), 1)}, False),
        ({"replaced_by": "e"}, False),
        ({"state": State.SCHEDULED, "round": 1, "round_at_ms": AT_MS + 1}, True),
        ({"state": State.SCHEDULED, "round": 2, "round_at_ms": AT_MS}, True),
        ({"state": State.SCHEDULED, "round": 2, "round_at_ms": AT_MS + 1}, False),
    ],
)
def test_what_came_or_was_sent_again_later_is_not_its_own(changes: dict[str, Any], takes: bool) -> None:
    delivery = replace(make_delivery(make_event(1), state=State.DEAD), **changes)
    assert a_job().takes(delivery) is takes
    assert a_job(including_edited=True).takes(delivery) is (takes or "replaced_by" in changes)


@pytest.mark.parametrize(
    ("asked", "bound", "until"), [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)]
)
def test_the_earlier_end_bounds_it(asked: int | None, bound: int | None, until: int | None) -> None:
    job = a_job(wanted=DeliveryFilter(state=State.DEAD, until_ms=asked), ended_until_ms=bound)
    assert job.of_destination("crm") == DeliveryFilter(state=State.DEAD, destination="crm", until_ms=until)


@pytest.mark.parametrize(
    ("until_ms", "free"),
    [
        (None, True),
        (AT_MS, True),
        (AT_MS + 1, False),
        (AT_MS + 2 * LEASE_MS, False),
        (AT_MS + 2 * LEASE_MS + 1, True),
    ],
)
def test_a_lease_holds_for_its_time_and_no_clock_makes_it_longer(until_ms: int | None, free: bool) -> None:
    assert a_job(lease_until_ms=until_ms).is_free(AT_MS) is free
    assert not a_job(lease_until_ms=until_ms, state=PAUSED).is_free(AT_MS)


def test_what_it_waits_for_is_kept_over_a_pause_and_not_beyond_its_end() -> None:
    held = a_job(waiting=("a",), full=("crm",)).leased("w", AT_MS, AT_MS + 1)
    paused = held.after(JobChange("j", JobTrigger.PAUSE, AT_MS + 5, "bob", "why"))
    assert (paused.waiting, paused.full, paused.worker, paused.lease_until_ms) == (("a",), (), None, None)
    assert (paused.state_by, paused.state_why, paused.ended_at_ms) == ("bob", "why", None)
    over = held.advanced(JobStep("j", held.token, AT_MS + 9, AT_MS + 9, {}, waiting=("a",)), [])
    assert (over.state, over.waiting, over.ended_at_ms) == (DONE, (), AT_MS + 9)


def a_step_about_two(job: Job) -> JobStep:
    """Five decisions about two destinations, one passed over between them, one behind; the second ends with it."""
    seen = [make_delivery(make_event(n), ("crm", "erp")[n % 2]) for n in range(1, 6)]
    action = Transition(Trigger.REPLAY, AT_MS, due_at_ms=AT_MS)
    decisions = tuple(JobDecision(Action(each.id, action, "ada"), each) for each in seen)
    errors = tuple(JobError(make_delivery(make_event(n), at).id, "no") for n, at in ((2, "zzz"), (8, "crm")))
    return JobStep(job.id, 1, AT_MS, AT_MS + 9, {"crm": "end"}, decisions, errors, ("earlier",), full=("crm",))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_step_in_two_comes_to_the_same_as_one(n: int) -> None:
    job = a_job(places={"crm": "", "erp": ""}, waiting=("earlier",), token=1, lease_until_ms=AT_MS)
    whole, done = a_step_about_two(job), [True, False, True, True, False]
    between = job.advanced(whole.first(n, job), done[:n])
    assert between.advanced(whole.rest(n, between), done[n:]) == job.advanced(whole, done)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_between_the_two_it_says_where_to_go_on(n: int) -> None:
    job = a_job(places={"crm": "", "erp": ""}, token=1, lease_until_ms=AT_MS)
    whole = a_step_about_two(job)
    between = job.advanced(whole.first(n, job), [True] * n)
    left = [each.seen for each in whole.decisions if each.seen.id > between.places[each.seen.destination]]
    assert left == [each.seen for each in whole.decisions[n:]]
    assert (between.state, between.done, between.failed) == (RUNNING, n, 1 if n > 2 else 0)
