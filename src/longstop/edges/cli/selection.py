"""Which deliveries a person means: some by id, or all that filters select."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.filters import DeadOptions
from longstop.edges.cli.program import Program
from longstop.edges.rows.ids import normal
from longstop.model.delivery import State
from longstop.model.listing import DeliveryFilter

Ids = Annotated[
    list[str] | None,
    Parameter(name="ID", help="Of events or deliveries; or their last eight characters.", negative=()),
]
All = Annotated[bool, Parameter(name="--all", help="Every one there is.", show_default=False)]
DryRun = Annotated[bool, Parameter(help="Change nothing: say how many, and show the first.", show_default=False)]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a person selected: ids, or (with none) what a filter finds."""

    ids: Sequence[str]
    wanted: DeliveryFilter


def selected(
    ids: Sequence[str], which: DeadOptions, all_: bool, program: Program, state: State = State.DEAD
) -> Selection:
    """What the command line selects; filters choose among deliveries of one state. Raises UsageError."""
    ways = [name for name, given in (("ids", ids), ("filters", which.given()), ("--all", all_)) if given]
    if len(ways) > 1:
        raise UsageError(f"found {' and '.join(ways)}; expected one of them: ids, filters, or --all")
    if not ways:
        raise UsageError(
            f"found nothing that says which; expected ids, filters such as --destination NAME, or --all for every "
            f"delivery that is {state}; `longstop events list --state {state}` shows them"
        )
    once = tuple(dict.fromkeys(normal(id_) for id_ in ids))
    return Selection(once, which.filter(program.clock.now_ms(), state))
