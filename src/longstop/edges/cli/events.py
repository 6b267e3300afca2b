"""What was accepted, and what became of it."""

import sys
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import listings, output
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.event_page import print_event
from longstop.edges.cli.filters import NO_EVENT_OPTIONS, EventOptions
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import AsJson, Injected, Limit
from longstop.edges.cli.where import HERE, Where, at_desk
from longstop.edges.desk.desk import Desk
from longstop.edges.rows.events import text_row
from longstop.edges.rows.values import Row
from longstop.model.errors import HiddenError


def list_events(
    *,
    which: EventOptions = NO_EVENT_OPTIONS,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what was accepted, newest first. What waits says what for, and until when."""
    now_ms = program.clock.now_ms()
    page, wanted, of_deliveries = page_of(limit, oldest_first, after), which.filter(now_ms), which.of_deliveries(now_ms)

    async def work(desk: Desk) -> int:
        rows = desk.events(wanted, of_deliveries)
        found = await rows.page(page)
        if json:
            json_lines(found.items)
        elif found.items:
            listings.write_events(found.items, now_ms)
        await say_what_is_not_shown("event", found, page, rows)
        return DONE

    return at_desk(program, where, work)


def show_event(
    id_: Annotated[
        str, Parameter(name="ID", help="Of an event, or of one of its deliveries; or its last eight characters.")
    ],
    /,
    *,
    raw: Annotated[
        bool, Parameter(help="Write the body exactly as sent, and nothing else.", show_default=False)
    ] = False,
    where: Where = HERE,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Show an event: headers, body, deliveries, every attempt, every decision.

    The values of headers that carry a credential are not shown.
    """
    if raw and json:
        raise UsageError("--raw and --json exclude each other; expected one of them")

    async def work(desk: Desk) -> int:
        if raw:
            body = await desk.body(id_)
            sys.stdout.flush()
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
            return DONE
        event = await desk.event(id_)
        body_or_none, hidden = await _body_of(desk, event)
        if json:
            history = event.pop("history")
            output.json_line({**event, **text_row(body_or_none), "history": history})
        else:
            print_event(event, body_or_none, hidden, desk.clock.now_ms())
        return DONE

    return at_desk(program, where, work)


async def _body_of(desk: Desk, event: Row) -> tuple[bytes | None, str | None]:
    """The body; or why it is not shown to this caller, who may see all else."""
    try:
        return await desk.body(event["id"]), None
    except HiddenError as error:
        return None, str(error)
