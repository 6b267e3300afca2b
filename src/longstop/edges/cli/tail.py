"""What happens now, a readable line each, as the store tells it: the gateway is another process."""

import sys
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output
from longstop.edges.cli.filters import TIMES, parse_time
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.rows.activity import Activity, ActivityLine
from longstop.edges.rows.ids import short
from longstop.edges.rows.known import QUARANTINE, as_stored, expect_known
from longstop.model.times import rfc3339

EVERY_S = 0.5
"""How often the store is asked."""


def tail(
    *,
    source: Annotated[str | None, Parameter(help="Only what is of this source.")] = None,
    destination: Annotated[str | None, Parameter(help="Only what is for this destination.")] = None,
    since: Annotated[str | None, Parameter(help=f"Begin with what has happened since. {TIMES}")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Show what happens, as it happens, until Ctrl-C: accepted, delivered, retrying, dead, decided, paused."""

    now_ms = program.clock.now_ms()
    since_ms = parse_time("--since", since, now_ms)

    async def work(parts: Parts) -> int:
        wanted = as_stored(destination)
        await expect_known(parts, source, wanted)
        activity = Activity(parts.store, now_ms if since_ms is None else since_ms, source, wanted)
        while True:
            for line in await activity.next():
                _tell(line, json)
            sys.stdout.flush()
            await parts.clock.sleep(EVERY_S)

    return on_store(program, config, work)


def _tell(line: ActivityLine, json: bool) -> None:
    if json:
        output.json_line(line.row())
    else:
        output.line(_line(line))


def _line(line: ActivityLine) -> str:
    """`09:30:00Z  delivered  01234567  shop → crm  order.paid  key 7  12 ms`"""
    destination = None if line.destination is None else line.destination or QUARANTINE
    way = " → ".join(filter(None, (line.source, destination)))
    parts = [
        rfc3339(line.at_ms)[11:19] + "Z",
        f"{line.what.replace('_', ' '):14}",
        short(line.event_id) if line.event_id else "",
        way,
        line.type or "",
        f"key {line.key}" if line.key else "",
        line.about,
    ]
    return "  ".join(filter(None, parts))
