"""All there is of some events, by a statement a table: what is archived, exported and moved."""

import json
from collections import defaultdict
from collections.abc import Sequence

import apsw

from longstop.model.action import ActionRecord
from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Attempt, Delivery
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event
from longstop.model.listing import History, KeptEvent
from longstop.model.retention import WholeEvent
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, EVENT_COLUMNS
from longstop.stores.sqlite import edits, unreadable
from longstop.stores.sqlite.event_deliveries import rows_of
from longstop.stores.sqlite.rows import columns, to_action, to_attempt, to_delivery, to_event

_THESE = "IN (SELECT value FROM json_each(?1))"
_OF_THESE = f"rowid IN ({rows_of('SELECT value AS id FROM json_each(?1)')})"
_EVENTS = f"SELECT {columns(EVENT_COLUMNS)}, redeliveries FROM events WHERE id {_THESE} ORDER BY id"
_DELIVERIES = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE {_OF_THESE} ORDER BY id"
_HISTORIES = f"""
    SELECT delivery_id, {{}} FROM {{}} WHERE delivery_id IN (SELECT id FROM deliveries WHERE {_OF_THESE})
    ORDER BY delivery_id, {{}}
"""
_ATTEMPTS = _HISTORIES.format(columns(ATTEMPT_COLUMNS), "attempts", "number")
_ACTIONS = _HISTORIES.format('"trigger", at_ms, "by", why', "actions", "seq")
_HELD_KEYS = """
    SELECT dedup.event_id, dedup.until_ms FROM json_each(?) AS asked CROSS JOIN dedup ON digest = unhex(asked.value)
"""


def whole(connection: apsw.Connection, event_ids: Sequence[str]) -> list[WholeEvent]:
    """All there is of these events; those of which something cannot be read are left out."""
    try:
        return _whole(connection, event_ids)
    except (UnreadableRowError, UnicodeDecodeError):
        return unreadable.each_of(sorted(event_ids), lambda id_: next(iter(_whole(connection, [id_])), None), "event")


def _whole(connection: apsw.Connection, event_ids: Sequence[str]) -> list[WholeEvent]:
    these = (json.dumps(list(event_ids)),)
    deliveries: defaultdict[str, list[Delivery]] = defaultdict(list)
    for row in connection.execute(_DELIVERIES, these):
        deliveries[str(row[1])].append(to_delivery(row))
    attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
    for delivery_id, *row in connection.execute(_ATTEMPTS, these):
        attempts[str(delivery_id)].append(to_attempt(tuple(row)))
    actions: defaultdict[str, list[ActionRecord]] = defaultdict(list)
    for delivery_id, *row in connection.execute(_ACTIONS, these):
        actions[str(delivery_id)].append(to_action(tuple(row)))
    found = [(to_event(row[:-1]), row[-1]) for row in connection.execute(_EVENTS, these)]
    until_ms = _held_keys(connection, [event for event, _ in found])
    trails = edits.trails(connection, these[0])
    made = []
    for event, redeliveries in found:
        of_event = tuple(deliveries[event.id])
        histories = tuple([History(tuple(attempts[each.id]), tuple(actions[each.id])) for each in of_event])
        kept = KeptEvent(event, redeliveries, of_event, *trails.of(event.id))
        made.append(WholeEvent(kept, histories, until_ms.get(event.id)))
    return made


def _held_keys(connection: apsw.Connection, events: Sequence[Event]) -> dict[str, int]:
    """By event, until when it holds its dedup key."""
    digests = [dedup_digest(each.source, each.dedup).hex() for each in events if each.dedup is not None]
    return dict(connection.execute(_HELD_KEYS, (json.dumps(digests),))) if digests else {}
