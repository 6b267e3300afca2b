"""An event for a person, whole: what was sent, where it stands, and what was done with it, in the order of time."""

from collections.abc import Mapping

from longstop.edges.cli import listings, output, times
from longstop.edges.rows.values import Row
from longstop.edges.rows.waiting import NOT, Waits
from longstop.model.action import Edit
from longstop.model.delivery import Delivery
from longstop.model.listing import KeptEvent

PREVIEW_CHARS = 2000
"""How much of a body `events show` prints for people."""
ANSWER_CHARS = 200
"""How much of a destination's answer."""

_SHOWN = "id source type key dedup received_at occurred_at origin parent redeliveries".split()


def print_event(kept: KeptEvent, detail: Row, waits: Mapping[str, Waits], now_ms: int) -> None:
    """Write all that is known of an event. `detail`: its row for programs."""
    if detail["archived_in"] is not None:
        output.line(f"{'archived in':12}  {detail['archived_in']}")
    at_ms = {"received_at": kept.event.received_at_ms, "occurred_at": kept.event.occurred_at_ms}
    for name in _SHOWN:
        if detail[name] is not None:
            value = times.when(at_ms[name], now_ms) if name in at_ms else detail[name]
            output.line(f"{name:12}  {value}")
    _print_edits(kept, now_ms)
    output.line()
    for name, value in detail["headers"]:
        output.line(f"{name}: {value}")
    output.line()
    _print_body(kept.event.body, detail["body"])
    if not kept.deliveries:
        output.line("No route wanted it: it is kept as unrouted.")
    for delivery, told in zip(kept.deliveries, detail["history"], strict=True):
        _print_delivery(delivery, told, waits.get(delivery.id, NOT), now_ms)


def _print_edits(kept: KeptEvent, now_ms: int) -> None:
    if kept.made_by is not None:
        output.line(f"{'sent':12}  in the place of {kept.made_by.parent} {_by(kept.made_by, now_ms)}")
    for edit in kept.edits:
        output.line(f"{'replaced':12}  by {edit.event_id} {_by(edit, now_ms)}")


def _by(edit: Edit, now_ms: int) -> str:
    why = f": {edit.why}" if edit.why else ""
    return f"by {edit.by}, {times.when(edit.at_ms, now_ms)}{why}"


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


def _print_delivery(delivery: Delivery, told: Row, waits: Waits, now_ms: int) -> None:
    skipped = ", skipped: its key went on without it" if delivery.skipped else ""
    output.line(f"{listings.stands(delivery, waits, now_ms)}{skipped}   delivery {delivery.id}")
    if waits.held_by is not None:
        output.line(f"  held: {waits.held_by} of the same key goes first")
    if waits.waiting is not None and delivery.expires_at_ms is not None:
        output.line(f"  of no use any more {times.when(delivery.expires_at_ms, now_ms)}")
    lines = [(each["started_at"], _attempt_lines(each)) for each in told["attempts"]]
    lines += [(each["at"], _action_lines(each)) for each in told["actions"]]
    for _, told_lines in sorted(lines, key=lambda line: line[0]):
        for text in told_lines:
            output.line(text)
    output.line()


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:23]}Z"


def _attempt_lines(attempt: Row) -> list[str]:
    status = f"  HTTP {attempt['status']}" if attempt["status"] else ""
    error = f"  {attempt['error']}" if attempt["error"] and attempt["error"] not in status else ""
    head = f"  {_moment(attempt['started_at'])}  attempt {attempt['number']}  {attempt['outcome']}{status}"
    lines = [f"{head}  {attempt['duration_ms']} ms{error}"]
    if attempt["answer"] and attempt["outcome"] != "success":
        lines.append(f"    answered: {attempt['answer'][:ANSWER_CHARS]}")
    return lines + [f"    at {frame}" for frame in attempt["frames"]]


def _action_lines(action: Row) -> list[str]:
    why = f": {action['why']}" if action["why"] else ""
    return [f"  {_moment(action['at'])}  {action['action']} by {action['by']}{why}"]
