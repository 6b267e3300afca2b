"""Rows for programs: the fields of an event, a delivery, a group of the dead. docs/cli.md describes each."""

import base64
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from longstop.edges.cli.output import rfc3339
from longstop.edges.cli.waiting import NOT, Waits
from longstop.model.action import ActionRecord, Edit, Pause
from longstop.model.credentials import NOT_KEPT
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.event import Event, Headers
from longstop.model.listing import DeadGroup, History, KeptEvent

MASK = "(not shown)"

Row = dict[str, Any]
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
        "size": len(event.body),
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
        "held_by": waits.held_by,
        "expires_at": rfc3339(delivery.expires_at_ms),
        "replaced_by": delivery.replaced_by,
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
        "replaced_by": delivery.replaced_by,
    }


def group_row(group: DeadGroup) -> Row:
    """The stable fields of `dead summary`."""
    return {
        "destination": group.destination or None,
        "reason": group.reason.value,
        "status": group.status,
        "error": group.error or None,
        "count": group.count,
        "keys": group.keys,
        "first_at": rfc3339(group.first_at_ms),
        "last_at": rfc3339(group.last_at_ms),
        "sample": list(group.sample),
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
