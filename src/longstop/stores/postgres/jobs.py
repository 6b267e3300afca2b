"""Jobs: a row each, the record as JSON, beside it what rows are found by. Each function is inside of a transaction.

Whoever changes a job locks its row first, and decides by what the row says then.
"""

import json
from collections.abc import Sequence

import asyncpg

from longstop.model.errors import TransitionError
from longstop.model.job import OVER, Job, JobChange, JobState, JobStep, Released
from longstop.model.job_record import job_of, job_record
from longstop.model.listing import Listing, Page
from longstop.stores.postgres import decisions
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, THESE, each, reader, to_delivery
from longstop.stores.postgres.statements import Condition, changed, page_of
from longstop.stores.sql.rows import Row

_INSERT = "INSERT INTO jobs (id, state, over_at_ms, record) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_UPDATE = "UPDATE jobs SET state = $2, over_at_ms = $3, record = $4 WHERE id = $1"
_JOB = "SELECT id, record FROM jobs WHERE id = $1"
_RUNNING = "SELECT id, record FROM jobs WHERE state = 'running' AND id = coalesce($1, id) ORDER BY id"
_RELEASED = f"SELECT coalesce(q.held, false), {DELIVERY} FROM {THESE} JOIN {DELIVERIES} ON d.id = this"
_FORGET = "DELETE FROM jobs WHERE over_at_ms < $1"


async def add(connection: asyncpg.Connection, job: Job) -> None:
    """Insert a job. Raises ValueError where its id is taken."""
    if not changed(await connection.execute(_INSERT, job.id, *_row(job))):
        raise ValueError(f"job {job.id} is already kept")


async def find(connection: asyncpg.Connection, job_id: str, lock: str = "") -> Job | None:
    """One job. lock: ` FOR UPDATE` where it is to be changed."""
    row = await connection.fetchrow(_JOB + lock, job_id)
    return None if row is None else _to_job(row)


async def page(connection: asyncpg.Connection, state: JobState | None, asked: Page) -> Listing[Job]:
    """One page of jobs."""
    conditions = [] if state is None else [Condition("state = {}", (state.value,))]
    return await page_of(connection, "jobs", ["id", "record"], conditions, asked, _to_job)


async def change(connection: asyncpg.Connection, asked: JobChange) -> Job | None:
    """Carry out a person's decision, if the job's state allows it."""
    job = await find(connection, asked.job_id, " FOR UPDATE")
    if job is None:
        return None
    try:
        return await _put(connection, job.after(asked))
    except TransitionError:
        return None


async def any_free(connection: asyncpg.Connection, now_ms: int) -> bool:
    """Whether there is a job to take: looking is cheap, and a transaction is not."""
    return any(job.is_free(now_ms) for job in await _running(connection, None))


async def lease(
    connection: asyncpg.Connection, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None
) -> list[Job]:
    """Take the oldest that nobody has; one whose row somebody is changing is somebody's."""
    running = await _running(connection, job_id, " FOR UPDATE SKIP LOCKED")
    free = [job for job in running if job.is_free(now_ms)][:limit]
    return [await _put(connection, job.leased(worker, now_ms, until_ms)) for job in free]


async def advance(connection: asyncpg.Connection, step: JobStep) -> Job | None:
    """Carry out a step, if it is its holder's."""
    job = await find(connection, step.job_id, " FOR UPDATE")
    if job is None or not job.is_held_by(step.token):
        return None
    before = await decisions.locked(connection, [each.action for each in step.decisions])
    seen = {id_: delivery for id_, (delivery, _) in before.items()}
    holding = [each for each in step.decisions if each.holds(seen.get(each.action.delivery_id))]
    results = await decisions.carry_out(connection, [each.action for each in holding], before)
    happened = {id(each): result is not None for each, result in zip(holding, results, strict=True)}
    for decision in holding:
        if decision.instead is not None and decision.edit is not None and happened[id(decision)]:
            await decisions.replace(connection, decision.instead, decision.edit, ())
    return await _put(connection, job.advanced(step, [happened.get(id(each), False) for each in step.decisions]))


async def released(connection: asyncpg.Connection, delivery_ids: Sequence[str]) -> list[Released]:
    """How these deliveries stand."""
    rows = await connection.fetch(_RELEASED, list(delivery_ids))
    return list(each(rows, lambda row: Released(to_delivery(row[1:]), row[0])))


async def give_up(connection: asyncpg.Connection, job_id: str, token: int) -> None:
    """End a lease that is still its holder's."""
    job = await find(connection, job_id, " FOR UPDATE")
    if job is not None and job.is_held_by(token):
        await _put(connection, job.given_up())


async def forget(connection: asyncpg.Connection, before_ms: int) -> int:
    """Drop those that are over since before a time."""
    return changed(await connection.execute(_FORGET, before_ms))


async def _put(connection: asyncpg.Connection, job: Job) -> Job:
    await connection.execute(_UPDATE, job.id, *_row(job))
    return job


def _row(job: Job) -> tuple[str, int | None, str]:
    over_at_ms = job.state_at_ms if job.state in OVER else None
    return job.state.value, over_at_ms, json.dumps(job_record(job))


async def _running(connection: asyncpg.Connection, job_id: str | None, lock: str = "") -> list[Job]:
    """Those that run. One that cannot be read is nobody's until somebody has looked."""
    return list(each(await connection.fetch(_RUNNING + lock, job_id), _to_job))


def _made_job(row: Row) -> Job:
    try:
        return job_of(json.loads(row[1]))
    except (TypeError, KeyError) as error:
        raise ValueError(f"its record is none: {error}") from None


_to_job = reader("job", _made_job)
