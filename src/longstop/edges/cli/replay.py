"""Send events again: by id, or by the filters of `dead list`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.bulk import Decision, decide_on_store
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, parse_rate
from longstop.edges.cli.person import person
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.model.delivery import Delivery, State

if TYPE_CHECKING:
    from longstop.operating.replay import Done, Replay


def replay(
    ids: Ids = None,
    /,
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    dry_run: DryRun = False,
    rate: Annotated[str | None, Parameter(help='At most so many: "5/s", "300/m".')] = None,
    edit: Annotated[
        Path | None,
        # Without this cyclopts takes `-` for an option.
        Parameter(help="Send this body instead, as a new event; - reads it from stdin.", allow_leading_hyphen=True),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Send events again, each with a fresh budget of attempts.

    By id, or every dead delivery that the filters of `longstop dead list` select.
    An event's id stands for its dead deliveries, or where it has none for all that have ended.
    An event that no route wanted is sent where today's routes want it.
    """
    selection = selected(ids or [], which, all_, program)
    rate_per_s = parse_rate(rate)
    if edit is not None:
        _refuse_edit_of_many(selection.ids, dry_run)
        refuse_option(edit)
        body = read_bytes(edit)
        return on_store(program, config, lambda parts: _edit(parts, selection.ids[0], body, json))

    async def decide(service: "Replay", deliveries: Sequence[Delivery], offset: int) -> "list[Done]":
        return await service.replay(deliveries, rate_per_s, offset)

    decision = Decision("replayed", selection, decide, json=json, routes_again=True)
    return decide_on_store(program, config, decision, dry_run)


def _refuse_edit_of_many(ids: Sequence[str], dry_run: bool) -> None:
    if len(ids) != 1:
        raise UsageError(f"--edit: found {len(ids) or 'no'} ids; expected exactly one, for one body is one event")
    if dry_run:
        raise UsageError("--edit and --dry-run exclude each other; expected one of them")


async def _edit(parts: Parts, id_: str, body: bytes, json: bool) -> int:
    event = await parts.replay(person()).edit(id_, body)
    if json:
        output.json_line({"id": id_, "event_id": event.id, "state": State.SCHEDULED.value, "error": None})
    else:
        output.line(f"Event {event.id} is sent with the new body; {event.parent} is kept as it was.")
    return DONE
