"""Who did and looked at what. There is no command that changes it."""

from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import tables
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.filters import TIMES, parse_time
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.listings import time_cell
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.tables import Column
from longstop.edges.rows.access import audit_row
from longstop.model.audit import AuditAction, AuditEntry, AuditFilter

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
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List who did and looked at what, newest first: every change, every body, every login."""
    now_ms = program.clock.now_ms()
    since_ms, until_ms = parse_time("--since", since, now_ms), parse_time("--until", until, now_ms)
    page, wanted = page_of(limit, oldest_first, after), AuditFilter(by, _action(action), since_ms, until_ms)

    async def work(parts: Parts) -> int:
        found = await parts.store.audit(wanted, page)
        if json:
            json_lines(map(audit_row, found.rows))
        elif found.rows:
            tables.write(COLUMNS, [_cells(each, now_ms) for each in found.rows])
        await say_what_is_not_shown("entry", found, page, lambda next_page: parts.store.audit(wanted, next_page))
        return DONE

    return on_store(program, config, work)


def _action(text: str | None) -> AuditAction | None:
    known = [each.value for each in AuditAction]
    if text is not None and text not in known:
        raise UsageError(f'--action: found "{text}"; expected one of {", ".join(known)}')
    return None if text is None else AuditAction(text)


def _cells(entry: AuditEntry, now_ms: int) -> tuple[str, ...]:
    return (
        time_cell(entry.at_ms, now_ms),
        entry.by,
        entry.by_kind.value,
        entry.action.value,
        f"{entry.target.kind} {entry.target.id}",
        str(entry.count),
        entry.why or "",
        entry.address or "",
    )
