"""Replays and discards of many, kept in the store."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.job import Job, JobChange, JobState, JobStep, Released
from longstop.model.listing import Listing, Page


class Jobs(Protocol):
    """Jobs, each of which one worker has at a time.

    A step is one transaction, so that after a kill nothing is done twice and nothing passed over: of SQLite or
    PostgreSQL, a script of Redis. It decides on at most WRITES_MAX deliveries. A store whose transaction does not take
    that many, such as DynamoDB's, makes smaller steps of it (`JobStep.first`), one after the other, each of them whole.
    """

    async def add_job(self, job: Job) -> None:
        """Keep a new job. Raises ValueError where its id is taken."""

    async def job(self, job_id: str) -> Job | None:
        """A job."""

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        """One page of jobs, by id; None: in whatever state."""

    async def change_job(self, change: JobChange) -> Job | None:
        """Carry out a person's decision; the job as it stands now. From then on no step of its worker's is taken.

        None where its state does not allow it, or there is no such job; then nothing was changed.
        """

    async def lease_jobs(
        self, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None = None
    ) -> Sequence[Job]:
        """Take the oldest running jobs that nobody has (`Job.is_free`), at most so many; or only this one."""

    async def advance_job(self, step: JobStep) -> Job | None:
        """Carry out a step, all of it or nothing; the job as it stands now (`Job.advanced`). Where the store makes
        several of it, it may be stopped between two: then the job says how far it came.

        Each decision is carried out where its delivery stands as it was seen, with who made it on record as of `act`.
        None where the step's token is not the one of the job's lease, or it is not running: then nothing was changed.
        A lease that has run out and that nobody else has taken since is still its holder's.
        """

    async def give_up_job(self, job_id: str, token: int) -> None:
        """Let another worker have the job at once. Nothing to do where the token is an old one."""

    async def released(self, delivery_ids: Sequence[str]) -> Sequence[Released]:
        """How these deliveries stand, in any order; those that are not there are left out."""

    async def forget_jobs(self, before_ms: int) -> int:
        """Drop jobs that are over since before a time; how many there were."""
