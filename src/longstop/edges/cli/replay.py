"""Send events again: by id, or by the filters of `dead list`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli.bulk import decide
from longstop.edges.cli.edited_replay import send_edited
from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.files import read_bytes, refuse_option
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, DeadOptions
from longstop.edges.cli.job_run import How, NoWait, run_job
from longstop.edges.cli.options import AsJson, Injected, parse_rate
from longstop.edges.cli.selection import All, DryRun, Ids, selected
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import ByIds
from longstop.model.job import JobAction
from longstop.operating.jobs import JobRequest


def replay(
    ids: Ids = None,
    /,
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    all_: All = False,
    dry_run: DryRun = False,
    why: Annotated[str | None, Parameter(help="The reason, kept with your name.")] = None,
    including_edited: Annotated[
        bool, Parameter(help="Filters also select what was replaced by an edited event.", show_default=False)
    ] = False,
    rate: Annotated[str | None, Parameter(help='At most so many: "5/s", "300/m".')] = None,
    edit: Annotated[
        Path | None,
        # Without this cyclopts takes `-` for an option.
        Parameter(help="Send this body instead, as a new event; - reads it from stdin.", allow_leading_hyphen=True),
    ] = None,
    no_wait: NoWait = False,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Send events again, each with a fresh budget of attempts.

    By id, or every dead delivery that the filters of `longstop dead list` select: those are a job, which is kept in
    the store, goes on after this command, and is stopped by `longstop jobs`.
    An event's id stands for its dead deliveries, or where it has none for all that have ended.
    An event that no route wanted is sent where today's routes want it.
    With --edit and --dry-run: what would change, and where it would go.
    """
    selection = selected(ids or [], which, all_, program)
    rate_per_s = parse_rate(rate)
    if edit is not None:
        _refuse_edit_of_many(selection.ids)
        refuse_option(edit)
        body = read_bytes(edit)
        return at_desk(program, where, lambda desk: send_edited(desk, selection.ids[0], body, why, dry_run, json))
    if not selection.ids:
        asked = JobRequest(JobAction.REPLAY, selection.wanted, why, rate_per_s, including_edited)
        return run_job(program, where, asked, How(json, not no_wait), dry_run)
    wanted = ByIds("replay", selection.ids, why, rate_per_s)
    return decide(program, where, selection, wanted, json=json, dry_run=dry_run)


def _refuse_edit_of_many(ids: Sequence[str]) -> None:
    if len(ids) != 1:
        raise UsageError(f"--edit: found {len(ids) or 'no'} ids; expected exactly one, for one body is one event")
