"""Jobs: replays and discards of many, as they are kept in the store."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import job_run, listings, output, tables, times
from longstop.edges.cli.errors import DONE
from longstop.edges.cli.job_run import VERBS, How, NoWait
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import AsJson, Injected, Limit
from longstop.edges.cli.program import Program
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk, JobStep
from longstop.edges.rows.ids import short
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row
from longstop.model.job import JobState

JobId = Annotated[str, Parameter(name="ID", help="Of a job; or its last eight characters.")]
Why = Annotated[str | None, Parameter(help="The reason, kept with your name.")]

JOBS = (
    Column("job"),
    Column("made", right=True),
    Column("state"),
    Column("action"),
    Column("done", right=True),
    Column("of", right=True),
    Column("failed", right=True, wide_only=True),
    Column("rate", right=True, wide_only=True),
    Column("by", least=6),
    Column("which", least=16),
    Column("why", least=12),
)


def list_jobs(
    *,
    state: Annotated[JobState | None, Parameter(help="Only those that are so.")] = None,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List replays and discards of many, newest first: how far each is, who asked for it and why."""
    page = page_of(limit, oldest_first, after)

    async def work(desk: Desk) -> int:
        rows = desk.jobs(state)
        found = await rows.page(page)
        if json:
            json_lines(found.items)
        elif found.items:
            tables.write(JOBS, [_cells(job, desk.clock.now_ms()) for job in found.items])
        await say_what_is_not_shown("job", found, page, rows)
        return DONE

    return at_desk(program, where, work)


def _cells(job: Row, now_ms: int) -> tuple[str, ...]:
    return (
        listings.id_cell(job["id"]),
        listings.time_cell(job["created_at"], now_ms),
        job["state"],
        job["action"],
        str(job["done"]),
        _total(job),
        str(job["failed"]),
        f"{job['rate']:g}/s" if job["rate"] is not None else "",
        job["by"],
        _which(job),
        job["why"] or "",
    )


def _total(job: Row) -> str:
    return str(job["total"]) if job["exact"] else f"~{job['total']}"


def _which(job: Row) -> str:
    return " ".join(f"{name}={value}" for name, value in job["filter"].items())


def show_job(id_: JobId, /, *, where: Where = HERE, json: AsJson = False, program: Injected) -> int:
    """Show a job: how far it is, when it may be done, what it waits for and what could not be done."""

    async def work(desk: Desk) -> int:
        job = await desk.job(id_)
        if json:
            output.json_line(job)
        else:
            _print(job, desk.clock.now_ms())
        return DONE

    return at_desk(program, where, work)


def _print(job: Row, now_ms: int) -> None:
    counted = f"{job['done']} of {_total(job)} {VERBS[job['action']]}"
    counted += f", {job['failed']} could not be" if job["failed"] else ""
    counted += f", {job['skipped']} had changed meanwhile" if job["skipped"] else ""
    lines = {
        "job": job["id"],
        "state": f"{job['state']}, since {times.when(ms_of(job['state_at']), now_ms)}",
        "by": job["state_by"],
        "because": job["state_why"],
        "so far": counted,
        "done in": times.span(round(job["eta_s"] * 1000)) if job["eta_s"] is not None else None,
        "waits for": ", ".join(job["waits_for"]),
        "rate": f"{job['rate']:g} a second" if job["rate"] is not None else None,
        "which": _which(job) + (", also what was edited" if job["including_edited"] else ""),
        "made": f"{times.when(ms_of(job['created_at']), now_ms)} by {job['by']}",
        "why": job["why"],
    }
    for name, text in lines.items():
        if text:
            output.line(f"{name:9}  {text}")
    for each in job["errors"]:
        output.line(f"  {each['id']}: {each['error']}")


def pause_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Let a job rest until `longstop jobs resume`. What it has released already goes out."""
    return _change(program, where, id_, json, "pause", why)


def cancel_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a job. What it did stays done, and the rest stays as it is."""
    return _change(program, where, id_, json, "cancel", why)


def resume_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    no_wait: NoWait = False,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Let a job go on that was paused, or that could not go on. Where no gateway runs, it is carried out here."""

    async def work(desk: Desk) -> int:
        job = await desk.job(id_)
        delivering = bool((await desk.status())["delivering"])
        if job["state"] != JobState.RUNNING or delivering:
            job = await desk.change_job(job["id"], "resume", why)
        if delivering:
            return _tell(job, json)
        return await job_run.follow(desk, job, How(json, not no_wait))

    return at_desk(program, where, work)


def _change(program: Program, where: Where, id_: str, json: bool, step: JobStep, why: str | None) -> int:
    async def work(desk: Desk) -> int:
        return _tell(await desk.change_job(id_, step, why), json)

    return at_desk(program, where, work)


def _tell(job: Row, json: bool) -> int:
    if json:
        output.json_line(job)
    else:
        output.line(f"Job {short(job['id'])} is {job['state']}; {job['done']} of {_total(job)} {VERBS[job['action']]}")
    return DONE
