"""Forgetting by hand what the gateway forgets by itself."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, times
from longstop.edges.cli.errors import DONE, say
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.model.audit import AuditAction
from longstop.model.retention import Kind
from longstop.operating.retention import BEHIND_MS


def purge(
    *,
    dry_run: Annotated[bool, Parameter(help="Only count what would be forgotten.", show_default=False)] = False,
    trust_clock: Annotated[
        bool,
        Parameter(
            help="The clock is right, though it is far ahead of what the store has lived through.", show_default=False
        ),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Forget now what [retention] says is old enough; it is archived first where an archive is configured.

    What waits, or holds others of its key, is never forgotten. The gateway does this by itself, once a minute.
    """

    async def work(parts: Parts) -> int:
        retention = parts.retention()
        if trust_clock:
            await retention.trust_clock()
        elif (behind_ms := await retention.behind_ms()) > BEHIND_MS:
            ahead = f"The clock is {times.span(behind_ms)} ahead of what the store has lived through"
            say([f"{ahead}, so ages are counted from then; --trust-clock counts them from now."])
        if not dry_run:
            await parts.auditor(caller()).note(AuditAction.PURGE, "store", "events")
        numbers = await (retention.count() if dry_run else retention.sweep())
        _tell(numbers, dry_run, json)
        return DONE

    # Of a mistyped age or archive nothing may be guessed: what is forgotten is gone.
    return on_store(program, config, work, needed=("store", "retention"))


def _tell(numbers: dict[Kind, int], dry_run: bool, json: bool) -> None:
    total = sum(numbers.values())
    if json:
        output.json_line({"forgotten": not dry_run, "events": total, **{kind.value: n for kind, n in numbers.items()}})
        return
    for kind, number in numbers.items():
        output.line(f"{kind:10}  {number}")
    output.line(f"{total} event{'' if total == 1 else 's'} {'would be' if dry_run else 'were'} forgotten")
