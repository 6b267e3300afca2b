"""Give up on what is dead or waits, for a reason."""

from typing import Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli.bulk import decide
from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.job_run import How, NoWait, run_job
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.edges.cli.where import HERE, Where
from longstop.edges.desk.desk import ByIds
from longstop.model.delivery import State
from longstop.model.job import JobAction
from longstop.operating.jobs import JobRequest


def discard(
    ids: Ids = None,
    /,
    *,
    why: Annotated[str, Parameter(help="The reason, kept with your name.")],
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    state: Annotated[Literal["dead", "scheduled"], Parameter(help="Filters choose among those that are so.")] = "dead",
    dry_run: DryRun = False,
    no_wait: NoWait = False,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Give up on what is dead or waits, for a reason. Nothing is erased: `longstop replay ID` takes it back.

    By filter it is a job, as a replay is. A replay that has not gone out yet is taken back with it. An event's id
    stands for its dead deliveries, or where it has none for those that wait.
    """
    selection = selected(ids or [], which, all_, program, State(state))
    if not why.strip():
        raise UsageError("--why: found nothing in it; expected the reason, for whoever asks one day")

    if not selection.ids:
        asked = JobRequest(JobAction.DISCARD, selection.wanted, why, including_edited=True)
        return run_job(program, where, asked, How(json, not no_wait), dry_run)
    return decide(program, where, selection, ByIds("discard", selection.ids, why), json=json, dry_run=dry_run)
