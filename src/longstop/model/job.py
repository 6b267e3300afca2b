"""A job: a replay or a discard of many, kept in the store. Its states, and what a step of it changes.

A job acts on what matched when it was made. It goes through each destination's deliveries by id, which is by age, from
its *place* there, and a step decides on a few and moves the places on, in one transaction of the store. So whoever
goes on after a kill begins exactly behind what was decided, and what dies again is behind the place already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from longstop.model.action import Action, Edit
from longstop.model.append import Append
from longstop.model.delivery import Delivery, State, Trigger
from longstop.model.errors import TransitionError
from longstop.model.listing import DeliveryFilter
from longstop.model.value import value

WRITES_MAX = 40
"""How much a step decides at most, in deliveries: a few milliseconds of SQLite's writer, and a few of the transactions
of DynamoDB, which write 100 items each."""
WRITES_OF_A_NEW_EVENT = 5
"""What counts for so many of them: event, edit, dead letter, and a delivery or two."""
ERRORS_KEPT = 20
"""Of what could not be done, so many are told one by one."""
LEASE_MS = 10_000
"""How long a job is one worker's without a step of it."""
KEPT_MS = 90 * 86_400_000
"""How long a job is kept once it has ended."""


class JobAction(StrEnum):
    """What a job does with each delivery."""

    REPLAY = "replay"
    DISCARD = "discard"


class JobState(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    """It goes on as soon as a worker has it."""
    PAUSED = "paused"
    """Until a person resumes it."""
    DONE = "done"
    CANCELLED = "cancelled"
    """By a person. What was decided by then stays so."""
    FAILED = "failed"
    """It cannot go on; a person may resume it once the cause is gone."""


class JobTrigger(StrEnum):
    """What moves a job from one state to the next."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    FINISH = "finish"
    FAIL = "fail"


JOB_TRANSITIONS: Mapping[tuple[JobState, JobTrigger], JobState] = MappingProxyType(
    {
        (JobState.RUNNING, JobTrigger.PAUSE): JobState.PAUSED,
        (JobState.RUNNING, JobTrigger.CANCEL): JobState.CANCELLED,
        (JobState.RUNNING, JobTrigger.FINISH): JobState.DONE,
        (JobState.RUNNING, JobTrigger.FAIL): JobState.FAILED,
        (JobState.PAUSED, JobTrigger.RESUME): JobState.RUNNING,
        (JobState.PAUSED, JobTrigger.CANCEL): JobState.CANCELLED,
        (JobState.FAILED, JobTrigger.RESUME): JobState.RUNNING,
        (JobState.FAILED, JobTrigger.CANCEL): JobState.CANCELLED,
    }
)
"""Every change of a job's state there is."""
OVER = frozenset({JobState.DONE, JobState.CANCELLED})
"""Nothing leads out of these."""
ENDED = OVER | {JobState.FAILED}

MAY_BE: Mapping[JobAction, tuple[State, ...]] = MappingProxyType(
    {
        JobAction.REPLAY: (State.DEAD, State.DELIVERED, State.DISCARDED),
        JobAction.DISCARD: (State.DEAD, State.SCHEDULED),
    }
)
"""The states that a job of each kind may choose among."""


def next_job_state(state: JobState, trigger: JobTrigger) -> JobState:
    """The state that `trigger` leads to. Raises TransitionError where the table has no such row."""
    try:
        return JOB_TRANSITIONS[state, trigger]
    except KeyError:
        possible = sorted(t.value for s, t in JOB_TRANSITIONS if s is state) or ["stay so"]
        raise TransitionError(
            f"a job that is {state} cannot {trigger}; from {state} it can only: {', '.join(possible)}"
        ) from None


@dataclass(frozen=True, slots=True)
class JobChange:
    """A person's decision about a job."""

    job_id: str
    trigger: JobTrigger
    at_ms: int
    by: str
    why: str | None = None

    def __post_init__(self) -> None:
        if self.trigger not in (JobTrigger.PAUSE, JobTrigger.RESUME, JobTrigger.CANCEL):
            raise ValueError(f"{self.trigger} is no decision of a person's; expected pause, resume or cancel")


@dataclass(frozen=True, slots=True)
class JobError:
    """What could not be done with one delivery."""

    delivery_id: str
    error: str


@value(frozen=True, slots=True)
class JobDecision:
    """What a step decides about one delivery, if it still stands as it was seen; otherwise somebody was quicker."""

    action: Action
    seen: Delivery
    instead: Append | None = None
    """An event to be kept in its place, together with the action and `edit` or not at all."""
    edit: Edit | None = None

    def holds(self, now: Delivery | None) -> bool:
        """Whether the delivery stands as it was seen: nobody has sent it again, given it up or edited it since."""
        if now is None:
            return False
        seen = self.seen
        return (now.state, now.round, now.replaced_by) == (seen.state, seen.round, seen.replaced_by)

    @property
    def released(self) -> tuple[str, ...]:
        """The deliveries that are sent by it."""
        if self.instead is not None:
            return tuple(each.id for each in self.instead.deliveries)
        return (self.action.delivery_id,) if self.action.transition.trigger is Trigger.REPLAY else ()

    @property
    def writes(self) -> int:
        """What it counts for in WRITES_MAX."""
        return 1 if self.instead is None else WRITES_OF_A_NEW_EVENT


@dataclass(frozen=True, slots=True)
class JobStep:
    """A step of a job, by the worker that has its lease: all of it happens, or nothing."""

    job_id: str
    token: int
    at_ms: int
    lease_until_ms: int
    places: Mapping[str, str]
    """As Job.places, behind what is decided here."""
    decisions: tuple[JobDecision, ...] = ()
    errors: tuple[JobError, ...] = ()
    """What cannot be done, and is passed over."""
    waiting: tuple[str, ...] = ()
    """What the job has released before and is waiting still: see Job.waiting."""
    counted: bool = True
    """Whether what is released here is added to those."""
    full: tuple[str, ...] = ()
    next_at_ms: float = 0.0
    fails: str | None = None
    """Why the job cannot go on."""

    def first(self, n: int, job: "Job") -> Self:
        """A smaller step, of the first `n` decisions and what was passed over before the last of them. job: as it is.

        For a store whose transaction does not take all of them. The places are behind what this one decides.
        """
        decisions = self.decisions[:n]
        last = decisions[-1].action.delivery_id
        behind = {each.seen.destination: each.action.delivery_id for each in decisions}
        places = {name: behind.get(name, place) for name, place in job.places.items()}
        errors = tuple(each for each in self.errors if each.delivery_id < last)
        return replace(self, decisions=decisions, places=places, errors=errors, fails=None)

    def rest(self, n: int, job: "Job") -> Self:
        """What is left when that one was taken. job: as it is then."""
        last = self.decisions[n - 1].action.delivery_id
        errors = tuple(each for each in self.errors if each.delivery_id >= last)
        return replace(self, decisions=self.decisions[n:], errors=errors, waiting=job.waiting)


@dataclass(frozen=True, slots=True)
class Released:
    """A delivery that a job has released."""

    delivery: Delivery
    held: bool
    """Another of its key goes first."""

    @property
    def waits(self) -> bool:
        """Whether it has not been tried since: a probe that failed has not brought it further."""
        each = self.delivery
        return each.state is State.SCHEDULED and each.tries == 0 and each.lost == 0


@dataclass(frozen=True, slots=True)
class Job:
    """A replay or a discard of many."""

    id: str
    action: JobAction
    wanted: DeliveryFilter
    """Which deliveries, as the person asked; `state` is never None."""
    by: str
    created_at_ms: int
    last_id: str
    """The youngest delivery there was when it was made: nothing younger is the job's."""
    ended_until_ms: int | None = None
    """What ended later than this is not the job's (exclusive); None: by the clocks that is not to be told."""
    why: str | None = None
    rate_per_s: float | None = None
    """Replay: how many go out in a second at most."""
    including_edited: bool = False
    """Also those in whose place a person sent an edited event."""
    total: int = 0
    """How many there were when it was made; an estimate where `exact` is False."""
    exact: bool = True

    state: JobState = JobState.RUNNING
    state_at_ms: int = 0
    """Since when it is in this state."""
    state_by: str | None = None
    """Who brought it there; None: nobody in person."""
    state_why: str | None = None
    started_at_ms: int | None = None
    """When a worker first took it."""
    done: int = 0
    failed: int = 0
    skipped: int = 0
    """Those that had changed before their turn came."""
    errors: tuple[JobError, ...] = ()
    """The first ERRORS_KEPT of what failed."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Destination to the id behind which to go on there (empty: from the start). A destination that is gone through
    is not in it; with the last one the job is done."""
    waiting: tuple[str, ...] = ()
    """What it has released and was not tried since, as of the last step. Kept, so that whoever goes on knows it."""
    full: tuple[str, ...] = ()
    """Destinations that get no more of it before they have tried what they were given: one that is paused, say."""
    next_at_ms: float = 0.0
    """With a rate: when the next one may go out, by the rate alone."""

    token: int = 0
    """Each lease adds one: whoever shows an older one is refused."""
    lease_until_ms: int | None = None
    worker: str | None = None

    @property
    def ended_at_ms(self) -> int | None:
        """When it ended."""
        return self.state_at_ms if self.state in ENDED else None

    @property
    def gone_through(self) -> int:
        """How many it has dealt with."""
        return self.done + self.failed + self.skipped

    def of_destination(self, name: str | None) -> DeliveryFilter:
        """What to list of a destination (None: of all), in the order of ids."""
        until_ms = min(
            (each for each in (self.wanted.until_ms, self.ended_until_ms) if each is not None),
            default=None,
        )
        return replace(self.wanted, destination=name, until_ms=until_ms)

    def takes(self, delivery: Delivery) -> bool:
        """Whether a delivery that its filter finds is one of those that matched when it was made."""
        if delivery.id > self.last_id or (delivery.replaced_by is not None and not self.including_edited):
            return False
        # What waits has no end to go by. Its round may have begun since: a person sent it again.
        sent_again = delivery.state is State.SCHEDULED and delivery.round > 1
        return not sent_again or delivery.round_at_ms <= self.created_at_ms

    def is_free(self, now_ms: int) -> bool:
        """Whether a worker may take it: nobody has it, or has not been heard of for the time of a lease.

        A lease that lasts longer than any was noted by a clock that was ahead.
        """
        if self.state is not JobState.RUNNING:
            return False
        return self.lease_until_ms is None or not now_ms < self.lease_until_ms <= now_ms + 2 * LEASE_MS

    def leased(self, worker: str, now_ms: int, until_ms: int) -> Self:
        """This job in the hands of a worker, with the next token."""
        return replace(
            self,
            started_at_ms=now_ms if self.started_at_ms is None else self.started_at_ms,
            token=self.token + 1,
            worker=worker,
            lease_until_ms=until_ms,
        )

    def given_up(self) -> Self:
        """This job in nobody's hands."""
        return replace(self, worker=None, lease_until_ms=None)

    def after(self, change: JobChange) -> Self:
        """This job after a person's decision; whoever works on it is refused from then on. Raises TransitionError."""
        return self._becomes(change.trigger, change.at_ms, change.by, change.why)

    def is_held_by(self, token: int) -> bool:
        """Whether a step of whoever shows this token may be taken."""
        return self.state is JobState.RUNNING and self.token == token and self.lease_until_ms is not None

    def advanced(self, step: JobStep, carried_out: Sequence[bool]) -> Self:
        """This job after a step; `carried_out`: for each decision, whether the delivery stood as it was seen."""
        done = [each for each, happened in zip(step.decisions, carried_out, strict=True) if happened]
        released = tuple(id_ for each in done for id_ in each.released) if step.counted else ()
        changed = replace(
            self,
            lease_until_ms=step.lease_until_ms,
            places=dict(step.places),
            done=self.done + len(done),
            skipped=self.skipped + len(step.decisions) - len(done),
            failed=self.failed + len(step.errors),
            errors=(*self.errors, *step.errors)[:ERRORS_KEPT],
            waiting=(*step.waiting, *released),
            full=step.full,
            next_at_ms=step.next_at_ms,
        )
        if step.fails is not None:
            return changed._becomes(JobTrigger.FAIL, step.at_ms, None, step.fails)
        return changed if step.places else changed._becomes(JobTrigger.FINISH, step.at_ms, None, None)

    def broken(self, token: int, at_ms: int, why: str) -> JobStep:
        """The step that says that it cannot go on."""
        return JobStep(
            self.id, token, at_ms, at_ms, self.places, waiting=self.waiting, next_at_ms=self.next_at_ms, fails=why
        )

    def _becomes(self, trigger: JobTrigger, at_ms: int, by: str | None, why: str | None) -> Self:
        state = next_job_state(self.state, trigger)
        changed = replace(self, state=state, state_at_ms=at_ms, state_by=by, state_why=why)
        return replace(changed.given_up(), full=(), waiting=() if state in OVER else self.waiting)
