"""Give up on what is dead or waits, for a reason."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from longstop.edges.cli.bulk import Decision, decide_on_store
from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.job_run import How, NoWait, job_on_store
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.model.delivery import Delivery, State
from longstop.model.job import JobAction
from longstop.operating.jobs import JobRequest
from longstop.operating.replay import DEAD_OR_WAITING

if TYPE_CHECKING:
    from longstop.operating.replay import Done, Replay


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
    config: ConfigPath = DEFAULT_CONFIG,
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

    async def decide(service: "Replay", deliveries: Sequence[Delivery], _offset: int) -> "list[Done]":
        return await service.discard(deliveries, why)

    if not selection.ids:
        asked = JobRequest(JobAction.DISCARD, selection.wanted, why, including_edited=True)
        return job_on_store(program, config, asked, How(json, not no_wait), dry_run)
    decision = Decision("discarded", selection, decide, json=json, prefer=DEAD_OR_WAITING)
    return decide_on_store(program, config, decision, dry_run)
