"""What happens now, a readable line each, also from another machine."""

import sys
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.errors import DONE
from longstop.edges.cli.filters import TIMES, parse_time
from longstop.edges.cli.options import AsJson, Injected
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.ids import short
from longstop.edges.rows.values import Row


def tail(
    *,
    source: Annotated[str | None, Parameter(help="Only what is of this source.")] = None,
    destination: Annotated[str | None, Parameter(help="Only what is for this destination.")] = None,
    since: Annotated[str | None, Parameter(help=f"Begin with what has happened since. {TIMES}")] = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Show what happens, as it happens, until Ctrl-C: accepted, delivered, retrying, dead, decided, paused."""

    now_ms = program.clock.now_ms()
    since_ms = parse_time("--since", since, now_ms)

    async def work(desk: Desk) -> int:
        async for row in desk.activity(source, destination, since_ms):
            if json:
                output.json_line(row)
            else:
                output.line(_line(row))
            sys.stdout.flush()
        return DONE

    return at_desk(program, where, work)


def _line(row: Row) -> str:
    """`09:30:00Z  delivered  01234567  shop → crm  order.paid  key 7  12 ms`"""
    way = " → ".join(filter(None, (row["source"], row["destination"])))
    parts = [
        f"{row['at'][11:19]}Z",
        f"{row['what'].replace('_', ' '):14}",
        short(row["event_id"]) if row["event_id"] else "",
        way,
        row["type"] or "",
        f"key {row['key']}" if row["key"] else "",
        row["about"] or "",
    ]
    return "  ".join(filter(None, parts))
