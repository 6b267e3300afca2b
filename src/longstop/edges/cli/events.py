"""What was accepted, and what became of it."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import listings, output, rows
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.event_page import print_event
from longstop.edges.cli.filters import NO_EVENT_OPTIONS, EventOptions
from longstop.edges.cli.ids import meant, not_found
from longstop.edges.cli.known import expect_known
from longstop.edges.cli.listing import After, OldestFirst, json_lines, page_of, say_what_is_not_shown
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit
from longstop.edges.cli.program import Parts, on_store
from longstop.edges.cli.waiting import Waits, standing, waits
from longstop.model.credentials import credential_headers
from longstop.model.delivery import Delivery, State
from longstop.model.errors import NotFoundError
from longstop.model.listing import History, KeptEvent, Listing, Page


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
        events = await _events_of(parts, found) if of_deliveries is not None else found.rows
        reasons = await _why_they_wait(parts, events)
        if json:
            json_lines(rows.event_row(kept, reasons) for kept in events)
        elif events:
            listings.write_events(events, now_ms, reasons)
        await say_what_is_not_shown("event", found, page, ask)
        return DONE

    return on_store(program, config, work)


async def _events_of(parts: Parts, found: Listing[Delivery]) -> list[KeptEvent]:
    """The events of deliveries, each once."""
    ids = dict.fromkeys(delivery.event_id for delivery in found.rows)
    events = [await parts.store.event(id_) for id_ in ids]
    return [kept for kept in events if kept is not None]


async def _why_they_wait(parts: Parts, events: Sequence[KeptEvent]) -> Mapping[str, Waits]:
    """Delivery id to why it waits."""
    waiting = [each for kept in events for each in kept.deliveries if each.state is State.SCHEDULED]
    if not waiting:
        return {}
    stands = await standing(parts)
    return {each.id: await waits(parts, stands, each) for each in waiting}


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
        kept, histories, archived_in = await _find(parts, id_)
        if raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(kept.event.body)
            sys.stdout.buffer.flush()
            return DONE
        reasons = await _why_they_wait(parts, [kept])
        told = rows.detail_row(kept, histories, secret_headers(parts), reasons)
        detail = {**told, "archived_in": archived_in}
        if json:
            output.json_line(detail)
        else:
            print_event(kept, detail, reasons, parts.clock.now_ms())
        return DONE

    return on_store(program, config, work)


async def _find(parts: Parts, text: str) -> tuple[KeptEvent, Sequence[History], str | None]:
    """The event that is meant, what was done with it, and in which file it is where it has been archived."""
    id_ = await meant(parts, text)
    kept = await parts.store.event(id_)
    if kept is None and (delivery := await parts.store.delivery(id_)) is not None:
        kept = await parts.store.event(delivery.event_id)
    if kept is not None:
        return kept, [await parts.store.history(delivery.id) for delivery in kept.deliveries], None
    archived = await parts.archive.find(id_) if parts.archive is not None else None
    if archived is None:
        raise NotFoundError(not_found(id_))
    return archived.whole.kept, archived.whole.histories, archived.place


def secret_headers(parts: Parts) -> set[str]:
    """Headers that carry a credential as the configuration has it. A signature is none: it proves one body only."""
    names = (credential_headers(source) for source in parts.config.sources)
    return {name.decode("latin-1") for each in names for name in each}
