"""Have what waits tried at once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli.bulk import Decision, decide_on_store
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.model.delivery import Delivery, State
from longstop.operating.replay import WAITING

if TYPE_CHECKING:
    from longstop.operating.replay import Done, Replay


def expedite(
    ids: Ids = None,
    /,
    *,
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    dry_run: DryRun = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Have what waits for its next attempt tried now: by id, or all that filters select.

    Its budget stays what it is. What is held still waits for the one before it, and a paused destination or one whose
    circuit is open for `longstop resume`. Times (--since) are those of the event's arrival.
    """
    selection = selected(ids or [], which, all_, program, State.SCHEDULED)

    async def decide(service: "Replay", deliveries: Sequence[Delivery], _offset: int) -> "list[Done]":
        return await service.expedite(deliveries, why)

    decision = Decision("expedited", selection, decide, json=json, prefer=WAITING)
    return decide_on_store(program, config, decision, dry_run)
