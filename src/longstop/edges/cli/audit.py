"""Who did and looked at what. There is no command that changes it."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import tables
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.filters import TIMES, parse_time
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.listings import time_cell
from longstop.edges.cli.options import AsJson, Injected, Limit
from longstop.edges.cli.tables import Column
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.values import Row
from longstop.model.audit import AuditAction, AuditFilter

COLUMNS = (
    Column("when", right=True),
    Column("who"),
    Column("by way of", wide_only=True),
    Column("what"),
    Column("of", least=12),
    Column("how many", right=True, wide_only=True),
    Column("why", least=10),
    Column("from", wide_only=True),
)


def audit(
    *,
    by: Annotated[str | None, Parameter(help="Of this user or token.")] = None,
    action: Annotated[str | None, Parameter(help="Only these, as body.read or delivery.replay.")] = None,
    since: Annotated[str | None, Parameter(help=f"Noted since. {TIMES}")] = None,
    until: Annotated[str | None, Parameter(help="Noted before; times as for --since.")] = None,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List who did and looked at what, newest first: every change, every body, every login."""
    now_ms = program.clock.now_ms()
    since_ms, until_ms = parse_time("--since", since, now_ms), parse_time("--until", until, now_ms)
    page, wanted = page_of(limit, oldest_first, after), AuditFilter(by, _action(action), since_ms, until_ms)

    async def work(desk: Desk) -> int:
        rows = desk.audit(wanted)
        found = await rows.page(page)
        if json:
            json_lines(found.items)
        elif found.items:
            tables.write(COLUMNS, [_cells(each, now_ms) for each in found.items])
        await say_what_is_not_shown("entry", found, page, rows)
        return DONE

    return at_desk(program, where, work)


def _action(text: str | None) -> AuditAction | None:
    known = [each.value for each in AuditAction]
    if text is not None and text not in known:
        raise UsageError(f'--action: found "{text}"; expected one of {", ".join(known)}')
    return None if text is None else AuditAction(text)


def _cells(entry: Row, now_ms: int) -> tuple[str, ...]:
    target = entry["target"]
    return (
        time_cell(entry["at"], now_ms),
        entry["by"],
        entry["by_kind"],
        entry["action"],
        f"{target['kind']} {target['id']}",
        str(entry["count"]),
        entry["why"] or "",
        entry["from"] or "",
    )
