"""What was accepted, and what became of it."""

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import listings, output
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.event_page import print_event
from longstop.edges.cli.filters import NO_EVENT_OPTIONS, EventOptions
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit
from longstop.edges.cli.person import caller
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.rows.events import detail_row, event_row
from longstop.edges.rows.found import events_of, find_event, secret_headers
from longstop.edges.rows.known import expect_known
from longstop.edges.rows.waiting import why_they_wait
from longstop.model.listing import Listing, Page


def list_events(
    *,
    which: EventOptions = NO_EVENT_OPTIONS,
    oldest_first: OldestFirst = False,
    limit: Limit = 50,
    after: After = None,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what was accepted, newest first. What waits says what for, and until when."""
    now_ms = program.clock.now_ms()
    page, wanted, of_deliveries = page_of(limit, oldest_first, after), which.filter(now_ms), which.of_deliveries(now_ms)

    async def work(parts: Parts) -> int:
        await expect_known(parts, which.source, of_deliveries.destination if of_deliveries else None)

        async def ask(page: Page) -> Listing[Any]:
            if of_deliveries is not None:
                return await parts.store.find_deliveries(of_deliveries, page)
            return await parts.store.find_events(wanted, page)

        found = await ask(page)
        events = await events_of(parts, found) if of_deliveries is not None else found.rows
        reasons = await why_they_wait(parts, events)
        if json:
            json_lines(event_row(kept, reasons) for kept in events)
        elif events:
            listings.write_events(events, now_ms, reasons)
        await say_what_is_not_shown("event", found, page, ask)
        return DONE

    return on_store(program, config, work)


def show_event(
    id_: Annotated[
        str, Parameter(name="ID", help="Of an event, or of one of its deliveries; or its last eight characters.")
    ],
    /,
    *,
    raw: Annotated[
        bool, Parameter(help="Write the body exactly as sent, and nothing else.", show_default=False)
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """Show an event: headers, body, deliveries, every attempt, every decision.

    The values of headers that carry a credential are not shown.
    """
    if raw and json:
        raise UsageError("--raw and --json exclude each other; expected one of them")

    async def work(parts: Parts) -> int:
        kept, histories, archived_in = await find_event(parts, id_)
        body = await parts.bodies(caller()).shown(kept.event)
        if raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
            return DONE
        reasons = await why_they_wait(parts, [kept])
        told = detail_row(kept, histories, secret_headers(parts), reasons)
        detail = {**told, "archived_in": archived_in}
        if json:
            output.json_line(detail)
        else:
            print_event(kept, detail, reasons, parts.clock.now_ms())
        return DONE

    return on_store(program, config, work)
