"""Rows of events: what was accepted, where its deliveries stand, and all that was done with them."""

import base64
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from longstop.edges.rows.values import Row, masked, rfc3339, text_or_base64
from longstop.edges.rows.waiting import NOT, Waits
from longstop.model.action import ActionRecord, Edit
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.event import Event
from longstop.model.listing import History, KeptEvent

NONE_WAITS: Mapping[str, Waits] = MappingProxyType({})


def event_row(kept: KeptEvent, waits: Mapping[str, Waits] = NONE_WAITS) -> Row:
    """The stable fields of `events list`. `waits`: delivery id to why it waits."""
    event = kept.event
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "key": event.key,
        "dedup": text_or_base64(event.dedup),
        "received_at": rfc3339(event.received_at_ms),
        "occurred_at": rfc3339(event.occurred_at_ms),
        "size": kept.body_bytes,
        "origin": event.origin.value,
        "parent": event.parent,
        "redeliveries": kept.redeliveries,
        "made_by": _edit_row(kept.made_by) if kept.made_by else None,
        "edits": [_edit_row(edit) for edit in kept.edits],
        "deliveries": [_of_event(delivery, waits.get(delivery.id, NOT)) for delivery in kept.deliveries],
    }


def _edit_row(edit: Edit) -> Row:
    return {
        "event_id": edit.event_id,
        "parent": edit.parent,
        "at": rfc3339(edit.at_ms),
        "by": edit.by,
        "why": edit.why,
    }


def _of_event(delivery: Delivery, waits: Waits) -> Row:
    waiting = waits.waiting
    return {
        "id": delivery.id,
        "destination": delivery.destination or None,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "skipped": delivery.skipped,
        "reason": delivery.reason.value if delivery.reason else None,
        "due_at": rfc3339(delivery.due_at_ms) if delivery.state is State.SCHEDULED else None,
        "waits_for": waiting.why.value if waiting else None,
        "waits_until": rfc3339(waiting.until_ms) if waiting else None,
        "held_by": waits.held_by,
        "expires_at": rfc3339(delivery.expires_at_ms),
        "replaced_by": delivery.replaced_by,
        "in_order": delivery.lane is not None,
    }


def detail_row(
    kept: KeptEvent,
    histories: Sequence[History],
    secret_headers: Collection[str],
    waits: Mapping[str, Waits] = NONE_WAITS,
) -> Row:
    """The stable fields of `events show`: those of the list, the headers, the body, what was done."""
    told = zip(kept.deliveries, histories, strict=True)
    return {
        **event_row(kept, waits),
        "headers": masked(kept.event.headers, secret_headers),
        **body_row(kept.event),
        "history": [history_row(delivery, history) for delivery, history in told],
    }


def history_row(delivery: Delivery, history: History) -> Row:
    """The stable fields of what was done with a delivery."""
    return {
        "delivery_id": delivery.id,
        "destination": delivery.destination or None,
        "attempts": [attempt_row(attempt) for attempt in history.attempts],
        "actions": [action_row(action) for action in history.actions],
    }


def body_row(event: Event) -> Row:
    """The body as text, or where it is none in base64."""
    return text_row(event.body)


def text_row(body: bytes | None) -> Row:
    """A body as text, or where it is none in base64; None: it is not shown."""
    if body is None:
        return {"body": None, "body_base64": None}
    try:
        return {"body": body.decode(), "body_base64": None}
    except UnicodeDecodeError:
        return {"body": None, "body_base64": base64.b64encode(body).decode()}


def attempt_row(attempt: Attempt) -> Row:
    """The stable fields of an attempt."""
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


def action_row(action: ActionRecord) -> Row:
    """The stable fields of an action."""
    return {"action": action.trigger.value, "at": rfc3339(action.at_ms), "by": action.by, "why": action.why}
