"""Rows of deliveries, and of what is dead by what it died of."""

from longstop.edges.rows.values import Row, rfc3339
from longstop.edges.rows.waiting import Waits
from longstop.model.delivery import Delivery, State
from longstop.model.listing import DeadGroup


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


def delivery_row(delivery: Delivery, waits: Waits) -> Row:
    """Those of `dead list`, and where one stands that is not dead."""
    waiting = waits.waiting
    return {
        **dead_row(delivery),
        "ended_at": rfc3339(delivery.ended_at_ms),
        "due_at": rfc3339(delivery.due_at_ms) if delivery.state is State.SCHEDULED else None,
        "waits_for": waiting.why.value if waiting else None,
        "waits_until": rfc3339(waiting.until_ms) if waiting else None,
        "held_by": waits.held_by,
        "expires_at": rfc3339(delivery.expires_at_ms),
        "round": delivery.round,
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
        "over_time": list(group.over_time),
    }


def result_row(id_: str, event_id: str | None, state: State | None, error: str | None) -> Row:
    """The stable fields of what became of one delivery that was decided on."""
    return {"id": id_, "event_id": event_id or None, "state": state.value if state else None, "error": error}
