"""Looking: what was accepted, what became of it, what is dead, how it stands."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from longstop.edges.cli import output, rows
from longstop.edges.cli.errors import DONE, UsageError, say
from longstop.edges.cli.filters import NO_DEAD_OPTIONS, NO_EVENT_OPTIONS, DeadOptions, EventOptions
from longstop.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Injected, Limit, checked_limit
from longstop.edges.cli.program import Parts, on_store
from longstop.model.breaker import Circuit
from longstop.model.delivery import State
from longstop.model.errors import NotFoundError
from longstop.model.ids import is_id
from longstop.model.keeping import Counts, KeptEvent, Page, Pause

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
            _json_lines(rows.event_row(kept) for kept in found.rows)
        elif found.rows:
            rows.event_table(found.rows)
        _say_if_none_or_more("event", len(found.rows), found.next_after)
        return DONE

    return on_store(program, config, work)


def list_dead(
    *,
    which: DeadOptions = NO_DEAD_OPTIONS,
    limit: Limit = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    json: AsJson = False,
    program: Injected,
) -> int:
    """List what could not be delivered, newest first. `longstop replay` takes the same filters."""
    page, wanted = Page(checked_limit(limit)), which.filter(program.clock.now_ms())

    async def work(parts: Parts) -> int:
        found = await parts.store.find_deliveries(wanted, page)
        if json:
            _json_lines(rows.dead_row(delivery) for delivery in found.rows)
        elif found.rows:
            rows.delivery_table(found.rows)
        _say_if_none_or_more("dead delivery", len(found.rows), found.next_after)
        return DONE

    return on_store(program, config, work)


def _json_lines(objects: Any) -> None:
    for row in objects:
        output.json_line(row)


def _say_if_none_or_more(what: str, count: int, next_after: str | None) -> None:
    if next_after is not None:
        say([f"There are more; --limit {count * 10} shows more of them."])
    elif count == 0:
        say([f"No {what} matches."])


# -- one event ----------------------------------------------------------------------------------


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
        kept = await _find(parts, id_)
        if raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(kept.event.body)
            sys.stdout.buffer.flush()
            return DONE
        histories = [await parts.store.history(delivery.id) for delivery in kept.deliveries]
        detail = rows.detail_row(kept, histories, secret_headers(parts))
        if json:
            output.json_line(detail)
        else:
            _print_event(kept, detail)
        return DONE

    return on_store(program, config, work)


async def _find(parts: Parts, id_: str) -> KeptEvent:
    id_ = id_.strip().lower()
    kept = await parts.store.event(id_)
    if kept is None and (delivery := await parts.store.delivery(id_)) is not None:
        kept = await parts.store.event(delivery.event_id)
    if kept is None:
        raise NotFoundError(not_found(id_))
    return kept


def not_found(id_: str) -> str:
    """What to say of an id that nothing has."""
    if not is_id(id_):
        return f'found "{id_}"; expected an id such as 019ab0c2-7d1e-7000-8000-0123456789ab; `events list` shows ids'
    return f"no event or delivery has the id {id_}; `longstop events list` and `longstop dead list` show ids"


def secret_headers(parts: Parts) -> set[str]:
    """Headers that carry a credential as the configuration has it. A signature is none: it proves one body only."""
    verifies = (source.verify for source in parts.config.sources)
    return {each.header for each in verifies if each and each.header and not each.scheme.startswith("hmac-")}


_SHOWN = "id source type key dedup received_at occurred_at origin parent redeliveries".split()


def _print_event(kept: KeptEvent, detail: rows.Row) -> None:
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
        for part in text[:PREVIEW_CHARS].splitlines():
            output.line(part)
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
    return lines


def _action_lines(action: rows.Row) -> list[str]:
    why = f": {action['why']}" if action["why"] else ""
    return [f"  {action['at']}  {action['action']} by {action['by']}{why}"]


# -- all of it ----------------------------------------------------------------------------------


def status(*, config: ConfigPath = DEFAULT_CONFIG, json: AsJson = False, program: Injected) -> int:
    """Count what waits, is delivered and is dead, by destination."""

    async def work(parts: Parts) -> int:
        counts = await parts.store.counts()
        names = [each.name for each in parts.config.destinations]
        row = status_row(counts, names, await parts.store.pauses(), await parts.store.circuits(), parts.clock.now_ms())
        if json:
            output.json_line(row)
        else:
            _print_status(row)
        return DONE

    return on_store(program, config, work)


def status_row(
    counts: Counts, configured: list[str], pauses: Sequence[Pause], circuits: Sequence[Circuit], now_ms: int
) -> rows.Row:
    """The stable fields of `status`. Destinations: the configured ones, then those only the store knows."""
    stopped = {each.destination for each in pauses} | {each.destination for each in circuits}
    others = {*counts.deliveries, *stopped} - set(configured)
    names = [*configured, *sorted(others)]
    oldest_at_ms = counts.oldest_waiting_at_ms
    paused = {each.destination: each for each in pauses}
    opened = {each.destination: each for each in circuits}
    return {
        "events": counts.events,
        "unrouted": counts.unrouted,
        "oldest_waiting_at": output.rfc3339(oldest_at_ms),
        "oldest_waiting_s": None if oldest_at_ms is None else max(now_ms - oldest_at_ms, 0) / 1000,
        "destinations": [
            {
                "destination": name or None,
                "configured": name in configured,
                "paused_at": output.rfc3339(paused[name].at_ms) if name in paused else None,
                "circuit": _circuit_row(opened.get(name)),
                **{state.value: counts.deliveries.get(name, {}).get(state, 0) for state in State},
            }
            for name in names
        ],
    }


def _circuit_row(circuit: Circuit | None) -> rows.Row | None:
    """None: closed."""
    if circuit is None:
        return None
    return {
        "opened_at": output.rfc3339(circuit.opened_at_ms),
        "probe_at": output.rfc3339(circuit.probe_at_ms),
        "why": circuit.why,
    }


def _print_status(row: rows.Row) -> None:
    states = [state.value for state in State]
    table = [
        (each["destination"] or "quarantine", *(str(each[state]) for state in states)) for each in row["destinations"]
    ]
    output.table(("destination", *states), table, right=states)
    output.line()
    output.line(f"events          {row['events']}")
    output.line(f"unrouted        {row['unrouted']}")
    waits = row["oldest_waiting_s"]
    output.line(f"oldest waiting  {'nothing waits' if waits is None else output.age(round(waits * 1000))}")
    for each in row["destinations"]:
        if each["paused_at"]:
            output.line(f"paused          {each['destination']}, since {each['paused_at']}")
        if circuit := each["circuit"]:
            output.line(f"circuit open    {each['destination']}, since {circuit['opened_at']}: {circuit['why']}")
            output.line(f"                next probe at {circuit['probe_at']}")
    gone = [each["destination"] for each in row["destinations"] if not each["configured"] and each["destination"]]
    if gone:
        say([f"No longer configured, so nothing is delivered there: {', '.join(gone)}"])
