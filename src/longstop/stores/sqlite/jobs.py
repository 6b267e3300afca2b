"""Jobs: a row each, the record as JSON, beside it what rows are found by. Each function is inside of a transaction."""

from collections.abc import Iterator, Sequence

import apsw
import msgspec

from longstop.model.errors import TransitionError
from longstop.model.job import OVER, Job, JobChange, JobDecision, JobState, JobStep, Released
from longstop.model.job_record import job_of, job_record
from longstop.model.listing import Listing, Page
from longstop.stores.sql.rows import DELIVERY_COLUMNS
from longstop.stores.sqlite import edits, inbox, unreadable
from longstop.stores.sqlite.rows import columns, to_delivery

_INSERT = "INSERT INTO jobs (id, state, over_at_ms, record) VALUES (?, ?, ?, ?)"
_UPDATE = "UPDATE jobs SET state = ?, over_at_ms = ?, record = ? WHERE id = ?"
_JOB = "SELECT id, record FROM jobs WHERE id = ?"
_RUNNING = "SELECT id, record FROM jobs WHERE state = 'running' ORDER BY id"
_FORGET = "DELETE FROM jobs WHERE over_at_ms < ?"
_RELEASED = f"""
    SELECT held, {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE id IN (SELECT value FROM json_each(?))
"""


def add(connection: apsw.Connection, job: Job) -> None:
    """Insert a job. Raises ValueError where its id is taken."""
    if find(connection, job.id) is not None:
        raise ValueError(f"job {job.id} is already kept")
    connection.execute(_INSERT, (job.id, *_row(job)))


def find(connection: apsw.Connection, job_id: str) -> Job | None:
    """One job."""
    row = connection.execute(_JOB, (job_id,)).fetchone()
    return None if row is None else _to_job(row)


def page(connection: apsw.Connection, state: JobState | None, asked: Page) -> Listing[Job]:
    """One page of jobs."""
    conditions = [("state = ?", state.value)] if state is not None else []
    if asked.after is not None:
        conditions.append((f"id {'<' if asked.newest_first else '>'} ?", asked.after))
    where = " AND ".join(sql for sql, _ in conditions) or "1"
    query = f"SELECT id, record FROM jobs WHERE {where} ORDER BY id {'DESC' if asked.newest_first else 'ASC'} LIMIT ?"
    rows = connection.execute(query, (*(each for _, each in conditions), asked.limit + 1))
    found = list(unreadable.fetched(rows, "jobs"))
    shown = found[: asked.limit]
    return Listing(tuple(unreadable.each(shown, _to_job)), shown[-1][0] if len(found) > asked.limit else None)


def change(connection: apsw.Connection, asked: JobChange) -> Job | None:
    """Carry out a person's decision, if the job's state allows it."""
    job = find(connection, asked.job_id)
    if job is None:
        return None
    try:
        return _put(connection, job.after(asked))
    except TransitionError:
        return None


def any_free(connection: apsw.Connection, now_ms: int) -> bool:
    """Whether there is a job to take: looking is cheap, and a transaction is not."""
    return any(job.is_free(now_ms) for job in _running(connection))


def lease(
    connection: apsw.Connection, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None
) -> list[Job]:
    """Take the oldest that nobody has."""
    free = [job for job in _running(connection) if job_id in (None, job.id) and job.is_free(now_ms)][:limit]
    return [_put(connection, job.leased(worker, now_ms, until_ms)) for job in free]


def advance(connection: apsw.Connection, step: JobStep) -> Job | None:
    """Carry out a step, if it is its holder's."""
    job = find(connection, step.job_id)
    if job is None or not job.is_held_by(step.token):
        return None
    holding = [each for each in step.decisions if _holds(connection, each)]
    happened = dict(zip(map(id, holding), inbox.act(connection, [each.action for each in holding]), strict=True))
    for each in holding:
        if each.instead is not None and each.edit is not None and happened[id(each)] is not None:
            edits.replace(connection, each.instead, each.edit, ())
    return _put(connection, job.advanced(step, [happened.get(id(each)) is not None for each in step.decisions]))


def _holds(connection: apsw.Connection, decision: JobDecision) -> bool:
    query = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE id = ?"
    rows = connection.execute(query, (decision.action.delivery_id,))
    return decision.holds(next(unreadable.each(rows, to_delivery), None))


def give_up(connection: apsw.Connection, job_id: str, token: int) -> None:
    """End a lease that is still its holder's."""
    job = find(connection, job_id)
    if job is not None and job.is_held_by(token):
        _put(connection, job.given_up())


def released(connection: apsw.Connection, delivery_ids: Sequence[str]) -> list[Released]:
    """How these deliveries stand."""
    rows = connection.execute(_RELEASED, (msgspec.json.encode(list(delivery_ids)).decode(),))
    return list(unreadable.each(rows, lambda row: Released(to_delivery(row[1:]), bool(row[0]))))


def forget(connection: apsw.Connection, before_ms: int) -> int:
    """Drop those that are over since before a time."""
    connection.execute(_FORGET, (before_ms,))
    return connection.changes()


def _put(connection: apsw.Connection, job: Job) -> Job:
    connection.execute(_UPDATE, (*_row(job), job.id))
    return job


def _row(job: Job) -> tuple[str, int | None, str]:
    over_at_ms = job.state_at_ms if job.state in OVER else None
    return job.state.value, over_at_ms, msgspec.json.encode(job_record(job)).decode()


def _running(connection: apsw.Connection) -> Iterator[Job]:
    """Those that run. One that cannot be read is nobody's until somebody has looked."""
    return unreadable.each(connection.execute(_RUNNING), _to_job)


def _made_job(row: unreadable.Row) -> Job:
    try:
        return job_of(msgspec.json.decode(row[1]))
    except (TypeError, KeyError, msgspec.MsgspecError) as error:
        raise ValueError(f"its record is none: {error}") from None


_to_job = unreadable.reader("job", ("id", "record"), _made_job)
