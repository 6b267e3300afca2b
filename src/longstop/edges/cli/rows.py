"""Rows: what a listing shows of an event and of a delivery, for programs and for people."""

import base64
from collections.abc import Collection, Sequence
from typing import Any

from longstop.edges.cli import output
from longstop.edges.cli.output import for_people, rfc3339
from longstop.model.action import ActionRecord, Pause
from longstop.model.credentials import NOT_KEPT
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.event import Event, Headers
from longstop.model.listing import History, KeptEvent

MASK = "(not shown)"

Row = dict[str, Any]


def event_row(kept: KeptEvent) -> Row:
    """The stable fields of `events list`."""
    event = kept.event
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "key": event.key,
        "dedup": text_or_base64(event.dedup),
        "received_at": rfc3339(event.received_at_ms),
        "occurred_at": rfc3339(event.occurred_at_ms),
        "size": len(event.body),
        "origin": event.origin.value,
        "parent": event.parent,
        "redeliveries": kept.redeliveries,
        "deliveries": [_of_event(delivery) for delivery in kept.deliveries],
    }


def _of_event(delivery: Delivery) -> Row:
    return {
        "id": delivery.id,
        "destination": delivery.destination or None,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "skipped": delivery.skipped,
        "reason": delivery.reason.value if delivery.reason else None,
    }


def dead_row(delivery: Delivery) -> Row:
    """The stable fields of `dead list`."""
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "source": delivery.source,
        "destination": delivery.destination or None,
        "type": delivery.type,
        "key": delivery.key,
        "state": delivery.state.value,
        "reason": delivery.reason.value if delivery.reason else None,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "received_at": rfc3339(delivery.received_at_ms),
        "dead_at": rfc3339(delivery.ended_at_ms) if delivery.state is State.DEAD else None,
        "skipped": delivery.skipped,
    }


def detail_row(kept: KeptEvent, histories: Sequence[History], secret_headers: Collection[str]) -> Row:
    """The stable fields of `events show`: those of the list, the headers, the body, what was done."""
    told = zip(kept.deliveries, histories, strict=True)
    return {
        **event_row(kept),
        "headers": masked(kept.event.headers, secret_headers),
        **_body(kept.event),
        "history": [
            {
                "delivery_id": delivery.id,
                "destination": delivery.destination or None,
                "attempts": [_attempt_row(attempt) for attempt in history.attempts],
                "actions": [_action_row(action) for action in history.actions],
            }
            for delivery, history in told
        ],
    }


def _body(event: Event) -> Row:
    try:
        return {"body": event.body.decode(), "body_base64": None}
    except UnicodeDecodeError:
        return {"body": None, "body_base64": base64.b64encode(event.body).decode()}


def _attempt_row(attempt: Attempt) -> Row:
    return {
        "number": attempt.number,
        "round": attempt.round,
        "started_at": rfc3339(attempt.started_at_ms),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome.value,
        "status": attempt.status,
        "error": attempt.error,
        "answer": attempt.answer.decode(errors="backslashreplace"),
        "frames": attempt.frames.split("\n") if attempt.frames else [],
    }


def pause_row(pause: Pause | None) -> Row:
    """The stable fields of a pause; each is null where there is none."""
    return {
        "paused_at": rfc3339(pause.at_ms) if pause else None,
        "paused_by": pause.by if pause else None,
        "paused_why": pause.why if pause else None,
    }


def _action_row(action: ActionRecord) -> Row:
    return {"action": action.trigger.value, "at": rfc3339(action.at_ms), "by": action.by, "why": action.why}


def text_or_base64(key: bytes | None) -> str | None:
    """A dedup key as text; one that is no text as `base64:…`."""
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(key).decode()}"


def masked(headers: Headers, secret_headers: Collection[str]) -> list[list[str]]:
    """The headers as kept, without the values of those that carry a credential (names in lower case).

    Events are kept without any; those that an earlier version kept may hold one.
    """
    return [[name, MASK if name.lower() in secret_headers and value != NOT_KEPT else value] for name, value in headers]


# -- for people ---------------------------------------------------------------------------------


def event_table(events: Sequence[KeptEvent]) -> None:
    """A table of events, each with where its deliveries stand."""
    rows = [
        (
            (kept.event.id, for_people(kept.event.received_at_ms)),
            (kept.event.source, *_named(kept.event.type, kept.event.key)),
            str(len(kept.event.body)),
            [_standing(delivery) for delivery in kept.deliveries] or "unrouted",
        )
        for kept in events
    ]
    output.table(("event, received", "from", "bytes", "deliveries"), rows, right=("bytes",))


def _named(type_: str | None, key: str | None) -> list[str]:
    return [text for text in (type_, key) if text is not None]


def _standing(delivery: Delivery) -> str:
    reason = f" ({delivery.reason})" if delivery.reason else ""
    return f"{delivery.destination or 'quarantine'}: {delivery.state}{reason}"


def delivery_table(deliveries: Sequence[Delivery]) -> None:
    """A table of dead deliveries, each with why it is dead."""
    rows = [
        (
            (delivery.id, f"{for_people(delivery.ended_at_ms)}, {_tries(delivery.attempts)}"),
            (f"{delivery.source} → {delivery.destination or 'quarantine'}", *_named(delivery.type, delivery.key)),
            _why(delivery),
        )
        for delivery in deliveries
    ]
    output.table(("delivery, dead since", "event", "why"), rows)


def _tries(attempts: int) -> str:
    return f"{attempts} attempt{'' if attempts == 1 else 's'}"


def _why(delivery: Delivery) -> list[str]:
    said = delivery.last_error or (f"HTTP {delivery.last_status}" if delivery.last_status else "")
    first = delivery.reason.value if delivery.reason else delivery.state.value
    return [first, said] if said else [first]
