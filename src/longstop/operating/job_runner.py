"""The runner: a task of whoever delivers that carries out the jobs in the store, a few deliveries at a time.

A replay is released just ahead of its time and only as fast as its destinations take it, so that a pause or a cancel
holds almost at once, the rate holds for what goes out, and what is fresh never has a million in front of it.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from longstop.model.errors import StoreUnavailableError
from longstop.model.job import ENDED, LEASE_MS, Job
from longstop.operating.job_work import JobWork
from longstop.operating.replay import Replay
from longstop.ports import Clock, Store

log = structlog.get_logger("longstop.jobs")

LOOK_EVERY_S = 0.5
"""How often to look for a job to take."""
AT_ONCE = 4
"""So many jobs a process has at a time; others wait for their turn, or for another process."""


class _BrokenJobError(Exception):
    """Something within us failed on a job; what, is the cause."""


class JobRunner:
    """Carries out jobs until it is cancelled.

    replay_for: the replay service on behalf of the person who asked. delivers: False where nobody delivers what is
    released; then nothing is waited for.
    """

    def __init__(
        self, store: Store, clock: Clock, replay_for: Callable[[str], Replay], worker: str, delivers: bool = True
    ) -> None:
        self._store = store
        self._clock = clock
        self._replay_for = replay_for
        self._worker = worker
        self._delivers = delivers
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take what there is to do, and do it. What is under way when it is cancelled another worker goes on with."""
        try:
            while True:
                await self._take()
                await self._clock.sleep(LOOK_EVERY_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def carry_out(self, job_id: str, told: Callable[[Job], None]) -> bool:
        """Work on this job alone, here, until it has ended or was stopped; False where somebody else has it.

        told: hears of it after each step. Raises StoreUnavailableError; the job is in the store then, as far as it got.
        """
        now_ms = self._clock.now_ms()
        jobs = await self._store.lease_jobs(self._worker, now_ms, now_ms + LEASE_MS, 1, job_id)
        for job in jobs:
            with contextlib.suppress(_BrokenJobError):
                await self._carry_out(job, told)
        return bool(jobs)

    async def _take(self) -> None:
        room = AT_ONCE - len(self._tasks)
        if room <= 0:
            return
        now_ms = self._clock.now_ms()
        try:
            jobs = await self._store.lease_jobs(self._worker, now_ms, now_ms + LEASE_MS, room)
        except StoreUnavailableError as error:
            log.debug("jobs_failed", error=str(error))
            return
        for job in jobs:
            task = asyncio.create_task(self._in_background(job), name=f"job {job.id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _in_background(self, job: Job) -> None:
        log.info("job_taken", job_id=job.id, action=job.action.value, by=job.by, gone_through=job.gone_through)
        try:
            now = await self._carry_out(job, lambda _: None)
        except StoreUnavailableError as error:
            # It is taken again, and goes on from where the store says that it is.
            log.debug("jobs_failed", job_id=job.id, error=str(error))
        except _BrokenJobError as error:
            log.error("job_failed", job_id=job.id, exc_info=error.__cause__)
        else:
            state, gone_through = (now.state.value, now.gone_through) if now is not None else (None, None)
            log.info("job_left", job_id=job.id, state=state, gone_through=gone_through)

    async def _carry_out(self, job: Job, told: Callable[[Job], None]) -> Job | None:
        """Work on a job until it has ended, was stopped, or is another's; the job as it stands then.

        Raises StoreUnavailableError, and _BrokenJobError where it can never go on: it has failed then.
        """
        work = JobWork(self._store, self._clock, self._replay_for(job.by), job, self._delivers)
        try:
            while True:
                now = await work.turn()
                if now is None or now.state in ENDED:
                    return now or await self._store.job(job.id)
                told(now)
                await self._clock.sleep(work.rest_s)
        except StoreUnavailableError:
            raise
        except Exception as error:
            # One job that is broken must not end a gateway, nor be tried for ever.
            await self._fail(job, f"{type(error).__name__}: {error}")
            raise _BrokenJobError(job.id) from error
        finally:
            with contextlib.suppress(StoreUnavailableError):
                await self._store.give_up_job(job.id, job.token)

    async def _fail(self, job: Job, why: str) -> None:
        kept = await self._store.job(job.id)
        if kept is not None:
            await self._store.advance_job(kept.broken(job.token, self._clock.now_ms(), why))
