"""Have what waits tried at once."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli.bulk import decide
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.edges.cli.where import HERE, Where
from longstop.edges.desk.desk import ByIds
from longstop.model.delivery import State


def expedite(
    ids: Ids = None,
    /,
    *,
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    dry_run: DryRun = False,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Have what waits for its next attempt tried now: by id, or all that filters select.

    Its budget stays what it is. What is held still waits for the one before it, and a paused destination or one whose
    circuit is open for `longstop resume`. Times (--since) are those of the event's arrival.
    """
    selection = selected(ids or [], which, all_, program, State.SCHEDULED)

    return decide(program, where, selection, ByIds("expedite", selection.ids, why), json=json, dry_run=dry_run)
