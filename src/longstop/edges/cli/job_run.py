"""Replays and discards by filter: a job is made, and followed to its end.

A gateway that delivers carries it out. Where none runs, the command does so itself, if that is a matter of the store
alone: to keep a rate is up to who delivers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import listings, output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, Program, on_store
from longstop.edges.rows.ids import short
from longstop.edges.rows.jobs import job_row, survey_row
from longstop.edges.rows.known import QUARANTINE, expect_known
from longstop.edges.rows.status import runs
from longstop.model.job import Job, JobAction, JobState

if TYPE_CHECKING:
    from longstop.operating.jobs import JobRequest
    from longstop.operating.survey import Survey

LOOK_EVERY_S = 0.25
"""How often a job is looked at that somebody else carries out."""
SHOWN = 10
"""Errors said one by one; of more only the number is told."""
VERBS = {JobAction.REPLAY: "replayed", JobAction.DISCARD: "discarded"}


@dataclass(frozen=True, slots=True)
class How:
    """How a command says it."""

    json: bool
    wait: bool = True
    """Follow it to its end."""


NoWait = Annotated[
    bool, Parameter(name="--no-wait", help="Leave it to the gateway, and do not follow it.", show_default=False)
]


def job_on_store(program: Program, config: Path, asked: "JobRequest", how: How, dry_run: bool) -> int:
    """Make a job on the store of a configuration, or say what it would be of."""

    async def work(parts: Parts) -> int:
        return await (preview(parts, asked, how) if dry_run else make_and_follow(parts, asked, how))

    return on_store(program, config, work)


async def preview(parts: Parts, asked: "JobRequest", how: How) -> int:
    """Make nothing; say what it would be of."""
    await expect_known(parts, asked.wanted.source, asked.wanted.destination)
    tell_survey(parts, await parts.jobs(caller()).survey(asked), VERBS[asked.action], how.json)
    return DONE


def tell_survey(parts: Parts, survey: "Survey", verb: str, json: bool) -> None:
    """Say what a selection holds, as a dry run does."""
    if json:
        output.json_line(survey_row(survey))
        return
    about = "" if survey.exact else "about "
    output.line(f"{about}{survey.count} would be {verb}; nothing was changed.")
    if survey.sample:
        listings.write_deliveries(survey.sample, parts.clock.now_ms())


async def make_and_follow(parts: Parts, asked: "JobRequest", how: How) -> int:
    """Make a job, unless there is nothing for it to do, and follow it."""
    await expect_known(parts, asked.wanted.source, asked.wanted.destination)
    service = parts.jobs(caller())
    job, survey = await service.plan(asked)
    if survey.exact and not survey.count:
        say([f"Nothing matches that could be {VERBS[asked.action]}; nothing was changed."])
        return DONE
    await service.keep(job)
    return await follow(parts, job, how)


async def follow(parts: Parts, job: Job, how: How) -> int:
    """Show how a job gets on until it has ended or was stopped; FAILED where not all of it is done."""
    if not how.wait or (job.rate_per_s is not None and not await _delivering(parts)):
        return await _leave(parts, job, how)
    try:
        with output.job_bar(f"{VERBS[job.action]} by job {short(job.id)}") as bar:
            job = await _watch(parts, job, bar)
    except (asyncio.CancelledError, KeyboardInterrupt):
        say([f"Job {short(job.id)} stays as it is in the store: {_who_goes_on(job)}. `longstop jobs cancel` ends it."])
        raise
    return _tell_end(parts, job, how)


async def _watch(parts: Parts, job: Job, bar: Callable[[int, int, str], None]) -> Job:
    """The job once it does not run any more, or nobody is there who could keep its rate."""

    def show(now: Job) -> None:
        bar(now.gone_through, max(now.total, now.gone_through), "")

    while job.state is JobState.RUNNING:
        if await _delivering(parts):
            bar(job.gone_through, max(job.total, job.gone_through), await _note(parts, job))
            await parts.clock.sleep(LOOK_EVERY_S)
        elif job.rate_per_s is not None:
            return job
        elif not await parts.job_runner(delivers=False).carry_out(job.id, show):
            # Whoever had it last was killed: its lease runs out.
            await parts.clock.sleep(LOOK_EVERY_S)
        job = await parts.jobs(caller()).job(job.id)
    return job


async def _delivering(parts: Parts) -> bool:
    return runs(await parts.store.nodes(), "work", parts.clock.now_ms())


async def _note(parts: Parts, job: Job) -> str:
    """What it waits for, where it does."""
    if not job.full:
        return ""
    paused = {each.destination for each in await parts.store.pauses()}
    opened = {each.destination for each in await parts.store.circuits()}
    return "waits for " + ", ".join(
        f"{name or QUARANTINE} (paused)" if name in paused
        else f"{name} (circuit open)" if name in opened
        else name or QUARANTINE
        for name in job.full
    )  # fmt: skip


async def _leave(parts: Parts, job: Job, how: How) -> int:
    """Say that it is there, and who goes on with it."""
    if how.json:
        output.json_line(job_row(job, parts.clock.now_ms()))
        return DONE
    about = "" if job.exact else "about "
    output.line(f"Job {short(job.id)}: {about}{job.total} to be {VERBS[job.action]}")
    goes_on = "a gateway carries it out" if await _delivering(parts) else _who_goes_on(job)
    say([f"{goes_on[0].upper()}{goes_on[1:]}; `longstop jobs show {short(job.id)}` says how far it is."])
    return DONE


def _who_goes_on(job: Job) -> str:
    if job.rate_per_s is not None:
        return "a gateway that delivers goes on with it"
    return f"a gateway that delivers goes on with it, or `longstop jobs resume {short(job.id)}`"


def _tell_end(parts: Parts, job: Job, how: How) -> int:
    whole = job.state is JobState.DONE and not job.failed
    if how.json:
        output.json_line(job_row(job, parts.clock.now_ms()))
        return DONE if whole else FAILED
    say(f"{each.delivery_id}: {each.error}" for each in job.errors[:SHOWN])
    counted = f"{job.done} {VERBS[job.action]}"
    counted += f", {job.failed} could not be" if job.failed else ""
    counted += f", {job.skipped} had changed meanwhile" if job.skipped else ""
    output.line(counted)
    if job.state is JobState.RUNNING:
        say([f"No gateway delivers any more. Job {short(job.id)} is in the store: {_who_goes_on(job)}."])
    elif job.state is not JobState.DONE:
        by = f" by {job.state_by}" if job.state_by else ""
        why = f": {job.state_why}" if job.state_why else ""
        say([f"Job {short(job.id)} is {job.state}{by}{why}"])
    return DONE if whole else FAILED
