"""Deciding: send again, or give up for a reason. Both by id or by the filters of `dead list`."""

import getpass
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.decision import Decision, Selection
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, parse_rate
from longstop.edges.cli.program import Parts, Program, on_store
from longstop.model.delivery import Delivery, State

if TYPE_CHECKING:
    from longstop.replay import Done, Replay

Ids = Annotated[list[str] | None, Parameter(name="ID", help="Of events or deliveries.", negative=())]
All = Annotated[bool, Parameter(name="--all", help="Every dead delivery.", show_default=False)]
DryRun = Annotated[bool, Parameter(help="Change nothing: say how many, and show the first.", show_default=False)]


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
    selection = _selection(ids or [], which, all_, program)
    rate_per_s = parse_rate(rate)
    if edit is not None:
        _refuse_edit_of_many(selection.ids, dry_run)
        refuse_option(edit)
        body = read_bytes(edit)
        return on_store(program, config, lambda parts: _edit(parts, selection.ids[0], body, json))

    async def decide(service: "Replay", deliveries: Sequence[Delivery], offset: int) -> "list[Done]":
        return await service.replay(deliveries, rate_per_s, offset)

    decision = Decision("replayed", selection, decide, json=json, routes_again=True)
    return _decide(program, config, decision, dry_run)


def discard(
    ids: Ids = None,
    /,
    *,
    why: Annotated[str, Parameter(help="The reason, kept with your name.")],
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    dry_run: DryRun = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Give up on dead deliveries, for a reason. Nothing is erased: `longstop replay ID` takes it back."""
    selection = _selection(ids or [], which, all_, program)
    if not why.strip():
        raise UsageError("--why: found nothing in it; expected the reason, for whoever asks one day")

    async def decide(service: "Replay", deliveries: Sequence[Delivery], _offset: int) -> "list[Done]":
        return await service.discard(deliveries, why)

    decision = Decision("discarded", selection, decide, json=json, routes_again=False)
    return _decide(program, config, decision, dry_run)


def _decide(program: Program, config: Path, decision: Decision, dry_run: bool) -> int:
    async def work(parts: Parts) -> int:
        service = parts.replay(person())
        return await (decision.preview(parts, service) if dry_run else decision.carry_out(parts, service))

    return on_store(program, config, work)


def person() -> str:
    """Who decides: LONGSTOP_USER, or the user of the operating system."""
    named = os.environ.get("LONGSTOP_USER", "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return f"uid {os.getuid()}"


def _selection(ids: Sequence[str], which: DeadOptions, all_: bool, program: Program) -> Selection:
    ways = [name for name, given in (("ids", ids), ("filters", which.given()), ("--all", all_)) if given]
    if len(ways) > 1:
        raise UsageError(f"found {' and '.join(ways)}; expected one of them: ids, filters, or --all")
    if not ways:
        raise UsageError(
            "found nothing that says which; expected ids, filters such as --destination NAME, or --all for every "
            "dead delivery; `longstop dead list` shows them"
        )
    once = tuple(dict.fromkeys(id_.strip().lower() for id_ in ids))
    return Selection(once, which.filter(program.clock.now_ms()))


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
