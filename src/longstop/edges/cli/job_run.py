"""Replays and discards by filter: a job is made, and followed to its end.

A gateway that delivers carries it out. Where none runs, the command does so itself, if the store is before it and that
is a matter of the store alone: to keep a rate is up to who delivers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import listings, output
from longstop.edges.cli.errors import DONE, FAILED, say
from longstop.edges.cli.program import Program
from longstop.edges.cli.status import held_back
from longstop.edges.cli.where import Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.ids import short
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.values import Row

if TYPE_CHECKING:
    from longstop.operating.jobs import JobRequest

LOOK_EVERY_S = 0.25
"""How often a job is looked at that somebody else carries out."""
SHOWN = 10
"""Errors said one by one; of more only the number is told."""
VERBS = {"replay": "replayed", "discard": "discarded"}


@dataclass(frozen=True, slots=True)
class How:
    """How a command says it."""

    json: bool
    wait: bool = True
    """Follow it to its end."""


NoWait = Annotated[
    bool, Parameter(name="--no-wait", help="Leave it to the gateway, and do not follow it.", show_default=False)
]


def run_job(program: Program, where: Where, asked: "JobRequest", how: How, dry_run: bool) -> int:
    """Make a job, or say what it would be of."""

    async def work(desk: Desk) -> int:
        return await (preview(desk, asked, how) if dry_run else make_and_follow(desk, asked, how))

    return at_desk(program, where, work)


async def preview(desk: Desk, asked: "JobRequest", how: How) -> int:
    """Make nothing; say what it would be of."""
    tell_survey(await desk.survey(asked), VERBS[asked.action], desk.clock.now_ms(), how.json)
    return DONE


def tell_survey(survey: Row, verb: str, now_ms: int, json: bool) -> None:
    """Say what a selection holds, as a dry run does."""
    if json:
        output.json_line(survey)
        return
    about = "" if survey["exact"] else "about "
    output.line(f"{about}{survey['count']} would be {verb}; nothing was changed.")
    if survey["sample"]:
        listings.write_deliveries(survey["sample"], now_ms)


async def make_and_follow(desk: Desk, asked: "JobRequest", how: How) -> int:
    """Make a job, unless there is nothing for it to do, and follow it."""
    job = await desk.make_job(asked)
    if job is None:
        say([f"Nothing matches that could be {VERBS[asked.action]}; nothing was changed."])
        return DONE
    return await follow(desk, job, how)


async def follow(desk: Desk, job: Row, how: How) -> int:
    """Show how a job gets on until it has ended or was stopped; FAILED where not all of it is done."""
    try:
        if not how.wait or (job["rate"] is not None and not await _delivering(desk)):
            return await _leave(desk, job, how)
        with output.job_bar(f"{VERBS[job['action']]} by job {short(job['id'])}") as bar:
            job = await _watch(desk, job, bar)
    except (asyncio.CancelledError, KeyboardInterrupt):
        say(
            [
                f"Job {short(job['id'])} stays as it is in the store: {_who_goes_on(job)}. "
                "`longstop jobs cancel` ends it."
            ]
        )
        raise
    return _tell_end(job, how)


async def _watch(desk: Desk, job: Row, bar: Callable[[int, int, str], None]) -> Row:
    """The job once it does not run any more, or nobody is there who could go on with it."""

    def show(now: Row) -> None:
        bar(_gone_through(now), max(now["total"], _gone_through(now)), "")

    while job["state"] == "running":
        if await _delivering(desk):
            bar(_gone_through(job), max(job["total"], _gone_through(job)), await _note(desk, job))
            await desk.clock.sleep(LOOK_EVERY_S)
        elif job["rate"] is not None:
            return job
        else:
            carried_out = await desk.carry_out(job["id"], show)
            if carried_out is None:
                return job
            if not carried_out:
                # Whoever had it last was killed: its lease runs out.
                await desk.clock.sleep(LOOK_EVERY_S)
        job = await desk.job(job["id"])
    return job


def _gone_through(job: Row) -> int:
    number: int = job["done"] + job["failed"] + job["skipped"]
    return number


async def _delivering(desk: Desk) -> bool:
    return bool((await desk.status())["delivering"])


async def _note(desk: Desk, job: Row) -> str:
    """What it waits for, where it does."""
    if not job["waits_for"]:
        return ""
    standing = {each["destination"] or QUARANTINE: held_back(each) for each in (await desk.status())["destinations"]}
    why = [(name, standing.get(name)) for name in job["waits_for"]]
    return "waits for " + ", ".join(f"{name} ({said})" if said else name for name, said in why)


async def _leave(desk: Desk, job: Row, how: How) -> int:
    """Say that it is there, and who goes on with it."""
    if how.json:
        output.json_line(job)
        return DONE
    about = "" if job["exact"] else "about "
    output.line(f"Job {short(job['id'])}: {about}{job['total']} to be {VERBS[job['action']]}")
    goes_on = "a gateway carries it out" if await _delivering(desk) else _who_goes_on(job)
    say([f"{goes_on[0].upper()}{goes_on[1:]}; `longstop jobs show {short(job['id'])}` says how far it is."])
    return DONE


def _who_goes_on(job: Row) -> str:
    if job["rate"] is not None:
        return "a gateway that delivers goes on with it"
    return f"a gateway that delivers goes on with it, or `longstop jobs resume {short(job['id'])}`"


def _tell_end(job: Row, how: How) -> int:
    whole = job["state"] == "done" and not job["failed"]
    if how.json:
        output.json_line(job)
        return DONE if whole else FAILED
    say(f"{each['id']}: {each['error']}" for each in job["errors"][:SHOWN])
    counted = f"{job['done']} {VERBS[job['action']]}"
    counted += f", {job['failed']} could not be" if job["failed"] else ""
    counted += f", {job['skipped']} had changed meanwhile" if job["skipped"] else ""
    output.line(counted)
    if job["state"] == "running":
        say([f"No gateway delivers any more. Job {short(job['id'])} is in the store: {_who_goes_on(job)}."])
    elif job["state"] != "done":
        by = f" by {job['state_by']}" if job["state_by"] else ""
        why = f": {job['state_why']}" if job["state_why"] else ""
        say([f"Job {short(job['id'])} is {job['state']}{by}{why}"])
    return DONE if whole else FAILED
