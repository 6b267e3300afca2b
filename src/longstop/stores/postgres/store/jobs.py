"""Replays and discards of many: ports.Jobs over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.job import Job, JobChange, JobState, JobStep, Released
from longstop.model.listing import Listing, Page
from longstop.stores.postgres import jobs
from longstop.stores.postgres.database import PostgresDatabase


class PostgresJobs(PostgresDatabase):
    """See ports.Jobs."""

    async def add_job(self, job: Job) -> None:
        """See ports.Jobs."""
        await self.transact(lambda connection: jobs.add(connection, job))

    async def job(self, job_id: str) -> Job | None:
        """See ports.Jobs."""
        return await self.view(lambda connection: jobs.find(connection, job_id))

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        """See ports.Jobs."""
        return await self.view(lambda connection: jobs.page(connection, state, page))

    async def change_job(self, change: JobChange) -> Job | None:
        """See ports.Jobs."""
        return await self.transact(lambda connection: jobs.change(connection, change))

    async def lease_jobs(
        self, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None = None
    ) -> Sequence[Job]:
        """See ports.Jobs."""
        if not await self.view(lambda connection: jobs.any_free(connection, now_ms)):
            return ()
        return await self.transact(lambda connection: jobs.lease(connection, worker, now_ms, until_ms, limit, job_id))

    async def advance_job(self, step: JobStep) -> Job | None:
        """See ports.Jobs."""
        job = await self.transact(lambda connection: jobs.advance(connection, step))
        if job is not None and step.decisions:
            self.floors.forget()
            self._arrivals.arrived()
        return job

    async def give_up_job(self, job_id: str, token: int) -> None:
        """See ports.Jobs."""
        await self.transact(lambda connection: jobs.give_up(connection, job_id, token))

    async def released(self, delivery_ids: Sequence[str]) -> Sequence[Released]:
        """See ports.Jobs."""
        return await self.view(lambda connection: jobs.released(connection, delivery_ids))

    async def forget_jobs(self, before_ms: int) -> int:
        """See ports.Jobs."""
        return await self.transact(lambda connection: jobs.forget(connection, before_ms))
