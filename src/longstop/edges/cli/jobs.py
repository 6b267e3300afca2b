"""Jobs: replays and discards of many, as they are kept in the store."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import job_run, listings, output, tables, times
from longstop.edges.cli.errors import DONE, CommandError
from longstop.edges.cli.job_run import VERBS, How, NoWait
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.tables import Column
from longstop.edges.rows.ids import short
from longstop.edges.rows.jobs import eta_s, filter_row, job_row
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.status import runs
from longstop.model.errors import NotFoundError
from longstop.model.job import Job, JobState
from longstop.model.listing import Listing, Page

if TYPE_CHECKING:
    from longstop.operating.jobs import JobService

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
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List replays and discards of many, newest first: how far each is, who asked for it and why."""
    page = page_of(limit, oldest_first, after)

    async def work(parts: Parts) -> int:
        async def ask(page: Page) -> Listing[Any]:
            return await parts.store.find_jobs(state, page)

        found = await ask(page)
        if json:
            json_lines(job_row(job, parts.clock.now_ms()) for job in found.rows)
        elif found.rows:
            tables.write(JOBS, [_cells(job, parts.clock.now_ms()) for job in found.rows])
        await say_what_is_not_shown("job", found, page, ask)
        return DONE

    return on_store(program, config, work)


def _cells(job: Job, now_ms: int) -> tuple[str, ...]:
    return (
        listings.id_cell(job.id),
        listings.time_cell(job.created_at_ms, now_ms),
        job.state.value,
        job.action.value,
        str(job.done),
        _total(job),
        str(job.failed),
        f"{job.rate_per_s:g}/s" if job.rate_per_s is not None else "",
        job.by,
        _which(job),
        job.why or "",
    )


def _total(job: Job) -> str:
    return str(job.total) if job.exact else f"~{job.total}"


def _which(job: Job) -> str:
    return " ".join(f"{name}={value}" for name, value in filter_row(job.wanted).items())


def show_job(id_: JobId, /, *, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Show a job: how far it is, when it may be done, what it waits for and what could not be done."""

    async def work(parts: Parts) -> int:
        job = await _meant(parts.jobs(caller()), id_)
        if json:
            output.json_line(job_row(job, parts.clock.now_ms()))
        else:
            _print(job, parts.clock.now_ms())
        return DONE

    return on_store(program, config, work)


def _print(job: Job, now_ms: int) -> None:
    counted = f"{job.done} of {_total(job)} {VERBS[job.action]}"
    counted += f", {job.failed} could not be" if job.failed else ""
    counted += f", {job.skipped} had changed meanwhile" if job.skipped else ""
    left_s = eta_s(job, now_ms)
    lines = {
        "job": job.id,
        "state": f"{job.state}, since {times.when(job.state_at_ms, now_ms)}",
        "by": job.state_by,
        "because": job.state_why,
        "so far": counted,
        "done in": times.span(round(left_s * 1000)) if left_s is not None else None,
        "waits for": ", ".join(name or QUARANTINE for name in job.full),
        "rate": f"{job.rate_per_s:g} a second" if job.rate_per_s is not None else None,
        "which": _which(job) + (", also what was edited" if job.including_edited else ""),
        "made": f"{times.when(job.created_at_ms, now_ms)} by {job.by}",
        "why": job.why,
    }
    for name, text in lines.items():
        if text:
            output.line(f"{name:9}  {text}")
    for each in job.errors:
        output.line(f"  {each.delivery_id}: {each.error}")


def pause_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Let a job rest until `longstop jobs resume`. What it has released already goes out."""
    return _change(program, config, id_, json, lambda service, job: service.pause(job.id, why))


def cancel_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """End a job. What it did stays done, and the rest stays as it is."""
    return _change(program, config, id_, json, lambda service, job: service.cancel(job.id, why))


def resume_job(
    id_: JobId,
    /,
    *,
    why: Why = None,
    no_wait: NoWait = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Let a job go on that was paused, or that could not go on. Where no gateway runs, it is carried out here."""

    async def work(parts: Parts) -> int:
        service = parts.jobs(caller())
        job = await _meant(service, id_)
        delivering = runs(await parts.store.nodes(), "work", parts.clock.now_ms())
        if job.state is not JobState.RUNNING or delivering:
            job = await service.resume(job.id, why)
        if delivering:
            return _tell(parts, job, json)
        return await job_run.follow(parts, job, How(json, not no_wait))

    return on_store(program, config, work)


def _change(
    program: Injected, config: ConfigPath, id_: str, json: bool, change: "Callable[[JobService, Job], Awaitable[Job]]"
) -> int:
    async def work(parts: Parts) -> int:
        service = parts.jobs(caller())
        return _tell(parts, await change(service, await _meant(service, id_)), json)

    return on_store(program, config, work)


def _tell(parts: Parts, job: Job, json: bool) -> int:
    if json:
        output.json_line(job_row(job, parts.clock.now_ms()))
    else:
        output.line(f"Job {short(job.id)} is {job.state}; {job.done} of {_total(job)} {VERBS[job.action]}")
    return DONE


async def _meant(service: "JobService", text: str) -> Job:
    ids = await service.meant(text)
    if len(ids) == 1:
        return await service.job(ids[0])
    if not ids:
        raise NotFoundError(f'found no job "{text}"; `longstop jobs list` shows them')
    raise CommandError(f"{text} may be any of {', '.join(ids)}; give more of it")
