"""What was accepted, and what became of it."""

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from longstop.edges.cli import output, rows
from longstop.edges.cli.errors import DONE, UsageError
from longstop.edges.cli.filters import NO_EVENT_OPTIONS, EventOptions
from longstop.edges.cli.listing import json_lines, not_found, say_if_none_or_more
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Parts, on_store
from longstop.model.credentials import credential_headers
from longstop.model.errors import NotFoundError
from longstop.model.listing import History, KeptEvent, Page

PREVIEW_CHARS = 2000
"""How much of a body `events show` prints for people."""
ANSWER_CHARS = 200
"""How much of a destination's answer."""


def list_events(
    *,
    which: EventOptions = NO_EVENT_OPTIONS,
    limit: Limit = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what was accepted, newest first."""
    page, wanted = Page(checked_limit(limit)), which.filter(program.clock.now_ms())

    async def work(parts: Parts) -> int:
        found = await parts.store.find_events(wanted, page)
        if json:
            json_lines(rows.event_row(kept) for kept in found.rows)
        elif found.rows:
            rows.event_table(found.rows)
        say_if_none_or_more("event", len(found.rows), found.next_after)
        return DONE

    return on_store(program, config, work)


def show_event(
    id_: Annotated[str, Parameter(name="ID", help="Of an event, or of one of its deliveries.")],
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
        detail = {**rows.detail_row(kept, histories, secret_headers(parts)), "archived_in": archived_in}
        if json:
            output.json_line(detail)
        else:
            _print_event(kept, detail)
        return DONE

    return on_store(program, config, work)


async def _find(parts: Parts, id_: str) -> tuple[KeptEvent, Sequence[History], str | None]:
    """The event that is meant, what was done with it, and in which file it is where it has been archived."""
    id_ = id_.strip().lower()
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


_SHOWN = "id source type key dedup received_at occurred_at origin parent redeliveries".split()


def _print_event(kept: KeptEvent, detail: rows.Row) -> None:
    if detail["archived_in"] is not None:
        output.line(f"archived in   {detail['archived_in']}")
    for name in _SHOWN:
        if detail[name] is not None:
            output.line(f"{name:12}  {detail[name]}")
    output.line()
    for name, value in detail["headers"]:
        output.line(f"{name}: {value}")
    output.line()
    _print_body(kept.event.body, detail["body"])
    if not kept.deliveries:
        output.line("No route wanted it: it is kept as unrouted.")
    for delivery, told in zip(detail["deliveries"], detail["history"], strict=True):
        _print_delivery(delivery, told)


def _print_body(body: bytes, text: str | None) -> None:
    if text is None:
        output.line(f"({len(body)} bytes that are not UTF-8 text; --raw writes them)")
    else:
        # Indented, because a body may have lines that look like ours.
        for part in text[:PREVIEW_CHARS].splitlines():
            output.line(f"  {part}")
        if len(text) > PREVIEW_CHARS:
            output.line(f"(… {len(body)} bytes in all; --raw writes them)")
    output.line()


def _print_delivery(delivery: rows.Row, told: rows.Row) -> None:
    reason = f" ({delivery['reason']})" if delivery["reason"] else ""
    skipped = ", skipped: its key went on without it" if delivery["skipped"] else ""
    name = delivery["destination"] or "quarantine"
    output.line(f"{name}: {delivery['state']}{reason}{skipped}   delivery {delivery['id']}")
    lines = [(each["started_at"], _attempt_lines(each)) for each in told["attempts"]]
    lines += [(each["at"], _action_lines(each)) for each in told["actions"]]
    for _, told_lines in sorted(lines, key=lambda line: line[0]):
        for text in told_lines:
            output.line(text)
    output.line()


def _attempt_lines(attempt: rows.Row) -> list[str]:
    status = f"  HTTP {attempt['status']}" if attempt["status"] else ""
    error = f"  {attempt['error']}" if attempt["error"] else ""
    head = f"  {attempt['started_at']}  attempt {attempt['number']}  {attempt['outcome']}{status}"
    lines = [f"{head}  {attempt['duration_ms']} ms{error}"]
    if attempt["answer"] and attempt["outcome"] != "success":
        lines.append(f"    answered: {attempt['answer'][:ANSWER_CHARS]}")
    return lines + [f"    at {frame}" for frame in attempt["frames"]]


def _action_lines(action: rows.Row) -> list[str]:
    why = f": {action['why']}" if action["why"] else ""
    return [f"  {action['at']}  {action['action']} by {action['by']}{why}"]
