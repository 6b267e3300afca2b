"""Jobs."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice

from longstop.model.errors import TransitionError
from longstop.model.job import OVER, Job, JobChange, JobDecision, JobState, JobStep, Released
from longstop.model.listing import Listing, Page
from longstop.stores.memory.decisions import MemoryDecisions
from longstop.stores.memory.lookups import MemoryLookups


class MemoryJobs(MemoryLookups, MemoryDecisions):
    """What is done with many."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, Job] = {}

    async def add_job(self, job: Job) -> None:
        """Keep a new job."""
        if job.id in self._jobs:
            raise ValueError(f"job {job.id} is already kept")
        self._jobs[job.id] = job

    async def job(self, job_id: str) -> Job | None:
        """A job."""
        return self._jobs.get(job_id)

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        """One page of jobs."""
        ids = sorted(id_ for id_, job in self._jobs.items() if state in (None, job.state))
        if page.newest_first:
            behind = ids[: len(ids) if page.after is None else bisect_left(ids, page.after)][::-1]
        else:
            behind = ids[0 if page.after is None else bisect_right(ids, page.after) :]
        shown = behind[: page.limit]
        return Listing(tuple(self._jobs[id_] for id_ in shown), shown[-1] if len(behind) > page.limit else None)

    async def change_job(self, change: JobChange) -> Job | None:
        """Carry out a person's decision."""
        job = self._jobs.get(change.job_id)
        if job is None:
            return None
        try:
            self._jobs[job.id] = job.after(change)
        except TransitionError:
            return None
        return self._jobs[job.id]

    async def lease_jobs(
        self, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None = None
    ) -> Sequence[Job]:
        """Take the oldest that nobody has."""
        asked = (self._jobs[id_] for id_ in sorted(self._jobs) if job_id in (None, id_))
        free = (job for job in asked if job.is_free(now_ms))
        taken = [job.leased(worker, now_ms, until_ms) for job in islice(free, limit)]
        self._jobs.update((job.id, job) for job in taken)
        return taken

    async def advance_job(self, step: JobStep) -> Job | None:
        """Carry out a step."""
        job = self._jobs.get(step.job_id)
        if job is None or not job.is_held_by(step.token):
            return None
        self._refuse_taken_ids([each.instead for each in step.decisions if each.instead is not None])
        carried_out = [self._decide(each) for each in step.decisions]
        self._jobs[job.id] = job.advanced(step, carried_out)
        self._wake_if_enlisted()
        return self._jobs[job.id]

    def _decide(self, decision: JobDecision) -> bool:
        if not decision.holds(self._deliveries.get(decision.action.delivery_id)):
            return False
        if self._act_one(decision.action) is None:
            return False
        if decision.instead is not None and decision.edit is not None:
            self._keep(decision.instead)
            self._edits[decision.edit.event_id] = decision.edit
        return True

    async def give_up_job(self, job_id: str, token: int) -> None:
        """Let another worker have it."""
        job = self._jobs.get(job_id)
        if job is not None and job.is_held_by(token):
            self._jobs[job_id] = job.given_up()

    async def released(self, delivery_ids: Sequence[str]) -> Sequence[Released]:
        """How these deliveries stand."""
        found = (self._deliveries[id_] for id_ in delivery_ids if id_ in self._deliveries)
        return [Released(each, self._is_held(each)) for each in found]

    async def forget_jobs(self, before_ms: int) -> int:
        """Drop jobs that are over since before a time."""
        over = [job.id for job in self._jobs.values() if job.state in OVER and job.state_at_ms < before_ms]
        for id_ in over:
            del self._jobs[id_]
        return len(over)
