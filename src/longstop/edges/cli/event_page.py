"""An event for a person, whole: what was sent, where it stands, and what was done with it, in the order of time."""

from longstop.edges.cli import listings, output, times
from longstop.edges.rows.events import text_row
from longstop.edges.rows.times import ms_of
from longstop.edges.rows.values import Row

PREVIEW_CHARS = 2000
"""How much of a body `events show` prints for people."""
ANSWER_CHARS = 200
"""How much of a destination's answer."""

_SHOWN = "id source type key dedup received_at occurred_at origin parent redeliveries".split()
_TIMES = ("received_at", "occurred_at")


def print_event(event: Row, body: bytes | None, hidden: str | None, now_ms: int) -> None:
    """Write all that is known of an event. hidden: why its body is not shown, where it is not."""
    if event["archived_in"] is not None:
        output.line(f"{'archived in':12}  {event['archived_in']}")
    for name in _SHOWN:
        if event[name] is not None:
            value = times.when(ms_of(event[name]), now_ms) if name in _TIMES else event[name]
            output.line(f"{name:12}  {value}")
    _print_edits(event, now_ms)
    output.line()
    for name, value in event["headers"]:
        output.line(f"{name}: {value}")
    output.line()
    _print_body(body, hidden)
    if not event["deliveries"]:
        output.line("No route wanted it: it is kept as unrouted.")
    for delivery, told in zip(event["deliveries"], event["history"], strict=True):
        _print_delivery(delivery, told, now_ms)


def _print_edits(event: Row, now_ms: int) -> None:
    made_by = event["made_by"]
    if made_by is not None:
        output.line(f"{'sent':12}  in the place of {made_by['parent']} {_by(made_by, now_ms)}")
    for edit in event["edits"]:
        output.line(f"{'replaced':12}  by {edit['event_id']} {_by(edit, now_ms)}")


def _by(edit: Row, now_ms: int) -> str:
    why = f": {edit['why']}" if edit["why"] else ""
    return f"by {edit['by']}, {times.when(ms_of(edit['at']), now_ms)}{why}"


def _print_body(body: bytes | None, hidden: str | None) -> None:
    text = None if body is None else text_row(body)["body"]
    if body is None:
        output.line(f"(not shown: {hidden})")
    elif text is None:
        output.line(f"({len(body)} bytes that are not UTF-8 text; --raw writes them)")
    else:
        # Indented, because a body may have lines that look like ours.
        for part in text[:PREVIEW_CHARS].splitlines():
            output.line(f"  {part}")
        if len(text) > PREVIEW_CHARS:
            output.line(f"(… {len(body)} bytes in all; --raw writes them)")
    output.line()


def _print_delivery(delivery: Row, told: Row, now_ms: int) -> None:
    skipped = ", skipped: its key went on without it" if delivery["skipped"] else ""
    output.line(f"{listings.stands(delivery, now_ms)}{skipped}   delivery {delivery['id']}")
    if delivery["held_by"] is not None:
        output.line(f"  held: {delivery['held_by']} of the same key goes first")
    if delivery["waits_for"] is not None and delivery["expires_at"] is not None:
        output.line(f"  of no use any more {times.when(ms_of(delivery['expires_at']), now_ms)}")
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
