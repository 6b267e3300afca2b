"""Jobs as people ask for them: what one would be of, making one, looking at it, stopping it and letting it go on.

Who carries them out is `job_runner`. A job acts on what matched when it was made: the youngest delivery there was then
and the time bound it, so that it ends, and what dies meanwhile is another job's.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from longstop.model.audit import AuditAction
from longstop.model.delivery import Delivery, State
from longstop.model.errors import JobRefusedError, JobRequestError, NotFoundError
from longstop.model.ids import IdFactory, is_id
from longstop.model.job import MAY_BE, OVER, Job, JobAction, JobChange, JobState, JobTrigger
from longstop.model.listing import DeliveryFilter, Page
from longstop.operating.audit import Auditor
from longstop.operating.survey import Survey, Tally
from longstop.ports import Clock, Store

AT_ONCE = 500
_NOTED = {
    JobTrigger.PAUSE: AuditAction.JOB_PAUSE,
    JobTrigger.RESUME: AuditAction.JOB_RESUME,
    JobTrigger.CANCEL: AuditAction.JOB_CANCEL,
}
UNFINISHED_MAX = 100
"""So many jobs run or rest at once: each that runs is looked at again and again. Of several that are made at the same
moment one or two more."""
PATIENCE_MS = 2_000
"""How long deliveries are counted one by one. For more than that takes, the counters give an estimate."""
LOOK_MS = 150
"""The same, where somebody only wants to see and the counters know how many there are. With a page's way it is under
the 300 ms that any question may take."""
_GROUPS = 10_000


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a person asks for."""

    action: JobAction
    wanted: DeliveryFilter
    """`state` None: what is dead."""
    why: str | None = None
    """A discard needs one."""
    rate_per_s: float | None = None
    """How many a second are sent at most; None: as many as are taken. Only of a replay."""
    including_edited: bool = False
    """Also those in whose place a person sent an edited event."""
    expected_count: int | None = None
    """Whoever decided by a dry run: how many it said. Of more or fewer no job is made."""


class JobService:
    """Makes and stops jobs, on behalf of the person `by`. auditor: notes it, if anybody does."""

    def __init__(self, store: Store, clock: Clock, ids: IdFactory, by: str, auditor: Auditor | None = None) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._by = by
        self._auditor = auditor

    async def survey(self, asked: JobRequest) -> Survey:
        """What a job would be of, within PATIENCE_MS or a little more; where the counters know how many there are,
        within LOOK_MS. Nothing is kept. Raises JobRequestError.

        It needs no reason: whoever discards sees first how many it would be, and then says why.
        """
        job = await self._planned(asked)
        known = await self._estimate(job.wanted)
        return await self._survey(job, LOOK_MS if known else PATIENCE_MS)

    async def create(self, asked: JobRequest) -> Job:
        """Keep a job; it is carried out by whoever delivers. Raises JobRequestError, and JobRefusedError where there
        are too many, or not as many deliveries as were expected."""
        job, _ = await self.plan(asked)
        await self.keep(job)
        return job

    async def plan(self, asked: JobRequest) -> tuple[Job, Survey]:
        """The job of what there is now, for `keep`, and what it is of. Raises as `create` does."""
        if asked.action is JobAction.DISCARD and not (asked.why or "").strip():
            raise JobRequestError("why: found nothing; expected the reason, for whoever asks one day")
        await self._expect_room()
        job = await self._planned(asked)
        survey = await self._survey(job, PATIENCE_MS)
        expected = asked.expected_count
        if expected is not None and (survey.count != expected or not survey.exact):
            about = "" if survey.exact else "about "
            raise JobRefusedError(
                f"found {about}{survey.count}, expected {expected}: it is not what the dry run said; nothing was "
                "changed. Look again, and decide anew"
            )
        return replace(job, total=survey.count, exact=survey.exact), survey

    async def _expect_room(self) -> None:
        """Raises JobRefusedError where there are too many jobs."""
        found = 0
        for state in (JobState.RUNNING, JobState.PAUSED):
            found += len((await self._store.find_jobs(state, Page(UNFINISHED_MAX))).rows)
        if found >= UNFINISHED_MAX:
            raise JobRefusedError(
                f"found {found} jobs that run or rest, expected fewer than {UNFINISHED_MAX}: let some of them end, or "
                "cancel what is not wanted any more (`longstop jobs list`); one job with a wider filter does as much"
            )

    async def keep(self, job: Job) -> None:
        """Keep a job that was planned."""
        if self._auditor is not None:
            await self._auditor.note(
                AuditAction.JOB_CREATE, "job", job.id, count=job.total, why=job.why, does=job.action.value
            )
        await self._store.add_job(job)

    async def job(self, job_id: str) -> Job:
        """A job. Raises NotFoundError."""
        job = await self._store.job(job_id)
        if job is None:
            raise NotFoundError(f"no job has the id {job_id}; `longstop jobs list` shows them")
        return job

    async def meant(self, text: str) -> tuple[str, ...]:
        """The ids that a person may mean: the whole of one, or its beginning or end. Looks at the latest AT_ONCE."""
        text = text.strip().lower()
        if is_id(text):
            return (text,)
        latest = (await self._store.find_jobs(None, Page(AT_ONCE))).rows
        return tuple(job.id for job in latest if job.id.startswith(text) or job.id.endswith(text))

    async def pause(self, job_id: str, why: str | None = None) -> Job:
        """Let a job rest. Raises NotFoundError, and JobRefusedError where it does not run."""
        return await self._change(job_id, JobTrigger.PAUSE, why)

    async def resume(self, job_id: str, why: str | None = None) -> Job:
        """Let a job go on that rests, or that could not. Raises NotFoundError, JobRefusedError."""
        return await self._change(job_id, JobTrigger.RESUME, why)

    async def cancel(self, job_id: str, why: str | None = None) -> Job:
        """End a job. What it did stays done. Raises NotFoundError, JobRefusedError."""
        return await self._change(job_id, JobTrigger.CANCEL, why)

    async def _change(self, job_id: str, trigger: JobTrigger, why: str | None) -> Job:
        if self._auditor is not None:
            await self._auditor.note(_NOTED[trigger], "job", job_id, why=why)
        changed = await self._store.change_job(JobChange(job_id, trigger, self._clock.now_ms(), self._by, why))
        if changed is not None:
            return changed
        job = await self.job(job_id)
        raise JobRefusedError(f"job {job_id} is {job.state}; {_refusal(job.state, trigger)}")

    # -- what it is of --------------------------------------------------------------------------------

    async def _planned(self, asked: JobRequest) -> Job:
        """The job, of what there is now, not counted yet."""
        wanted = _checked(asked)
        now_ms = self._clock.now_ms()
        newest = (await self._store.find_deliveries(DeliveryFilter(), Page(1))).rows
        job = Job(
            id=self._ids.make(now_ms),
            action=asked.action,
            wanted=wanted,
            by=self._by,
            created_at_ms=now_ms,
            last_id=newest[0].id if newest else "",
            why=asked.why,
            rate_per_s=asked.rate_per_s,
            including_edited=asked.including_edited,
            state_at_ms=now_ms,
        )
        if wanted.state is not State.SCHEDULED and not await self._ends_later(wanted, now_ms):
            job = replace(job, ended_until_ms=now_ms + 1)
        # After `last_id` is known: whoever has nothing now has nothing of the job's.
        names = sorted((await self._store.counts()).deliveries) if wanted.destination is None else [wanted.destination]
        if not newest or not names:
            return replace(job, state=JobState.DONE)
        return replace(job, places=dict.fromkeys(names, ""))

    async def _ends_later(self, wanted: DeliveryFilter, now_ms: int) -> bool:
        """Whether something has ended later than now, by the clock of who noted it: then times tell nothing."""
        later = replace(wanted, since_ms=max(wanted.since_ms or 0, now_ms + 1))
        return bool((await self._store.find_deliveries(later, Page(1, patience_ms=AT_ONCE))).rows)

    async def _survey(self, job: Job, patience_ms: int) -> Survey:
        end_ms = self._clock.monotonic_ms() + patience_ms
        tally = Tally()
        exact = True
        async for page in self._matching(job):
            if not exact:
                break
            for delivery in page:
                tally.add(delivery)
            exact = self._clock.monotonic_ms() < end_ms
        else:
            exact = True
        return tally.survey(None if exact else await self._estimate(job.wanted))

    async def _matching(self, job: Job) -> AsyncIterator[list[Delivery]]:
        """What the job would act on, a page at a time, the oldest first."""
        wanted = job.of_destination(job.wanted.destination)
        page = Page(AT_ONCE, newest_first=False, patience_ms=PATIENCE_MS // 4)
        while job.places:
            listing = await self._store.find_deliveries(wanted, page)
            yield [delivery for delivery in listing.rows if job.takes(delivery)]
            if listing.next_after is None or listing.next_after > job.last_id:
                return
            page = replace(page, after=listing.next_after)

    async def _estimate(self, wanted: DeliveryFilter) -> int:
        """How many there may be, by counters that are kept; 0 where none of them knows."""
        plain = DeliveryFilter(wanted.state, destination=wanted.destination, reason=wanted.reason, status=wanted.status)
        if plain != wanted or wanted.state is None:
            return 0
        if wanted.state is State.DEAD and (wanted.reason is not None or wanted.status is not None):
            groups = await self._store.dead_groups(wanted.destination, _GROUPS)
            return sum(
                each.count
                for each in groups
                if wanted.reason in (None, each.reason) and wanted.status in (None, each.status)
            )
        kept = (await self._store.counts()).deliveries
        return sum(n.get(wanted.state, 0) for name, n in kept.items() if wanted.destination in (None, name))


def _checked(asked: JobRequest) -> DeliveryFilter:
    """The filter, with a state. Raises JobRequestError."""
    wanted = asked.wanted if asked.wanted.state is not None else replace(asked.wanted, state=State.DEAD)
    possible = MAY_BE[asked.action]
    if wanted.state not in possible:
        names = " or ".join(each.value for each in possible)
        raise JobRequestError(f"state: found {wanted.state}; expected {names} for a job that can {asked.action}")
    if asked.rate_per_s is not None and (asked.rate_per_s <= 0 or asked.action is not JobAction.REPLAY):
        found = f"{asked.rate_per_s:g}" if asked.rate_per_s <= 0 else f"a rate for a {asked.action}"
        raise JobRequestError(f"rate: found {found}; expected a number above 0, of a replay, or none")
    return wanted


def _refusal(state: JobState, trigger: JobTrigger) -> str:
    if state in OVER:
        return "it is over; make another one for what is left"
    if trigger is JobTrigger.RESUME:
        return "it goes on already"
    return "only what runs can be paused"
