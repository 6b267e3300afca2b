"""What a person who watches asks: what happened lately, what a part of an id means, who goes first in a lane."""

import apsw

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.ids import END_CHARS
from longstop.model.recent import Recent
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, EVENT_COLUMNS
from longstop.stores.sqlite import unreadable
from longstop.stores.sqlite.rows import Row, columns, to_action, to_attempt, to_delivery, to_event

SEARCHED_FOR_AN_END = 100_000
"""Ids of each kind; they are read out of the index alone."""

_DELIVERY = columns(DELIVERY_COLUMNS, "d")
_EVENT = columns(EVENT_COLUMNS).replace(", body", ", x''")
_EVENTS = f"SELECT {_EVENT} FROM events WHERE id >= ? AND received_at_ms >= ? ORDER BY id LIMIT ?"
_ATTEMPTS = f"""
    SELECT {columns(ATTEMPT_COLUMNS, "a")}, {_DELIVERY} FROM attempts a JOIN deliveries d ON d.id = a.delivery_id
    WHERE a.started_at_ms + a.duration_ms >= ? ORDER BY a.started_at_ms + a.duration_ms, a.delivery_id LIMIT ?
"""
_ACTIONS = f"""
    SELECT a."trigger", a.at_ms, a."by", a.why, {_DELIVERY} FROM actions a JOIN deliveries d ON d.id = a.delivery_id
    WHERE a.at_ms >= ? ORDER BY a.at_ms, a.seq LIMIT ?
"""
_SLACK_MS = 60_000
"""An event's id holds the time it was made at, a little before or after it was received."""

_BEGINS = "SELECT id FROM {} WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT ?"
_ENDS = "SELECT id FROM (SELECT id FROM {} ORDER BY id DESC LIMIT ?) WHERE substr(id, -?) = ? LIMIT ?"
_HELD = f"SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries WHERE id = ? AND held = 1"
_FIRST = f"""
    SELECT {columns(DELIVERY_COLUMNS)} FROM deliveries
    WHERE destination = ? AND lane = ? AND state = ? ORDER BY id LIMIT 1
"""


def recent(connection: apsw.Connection, since_ms: int, limit: int) -> Recent:
    """What happened since a time."""
    first_id = f"{max(since_ms - _SLACK_MS, 0):012x}"
    first_id = f"{first_id[:8]}-{first_id[8:]}"
    since = (since_ms, limit)
    return Recent(
        tuple(unreadable.each(connection.execute(_EVENTS, (first_id, *since)), to_event)),
        tuple(unreadable.each(connection.execute(_ATTEMPTS, since), _attempt_of, "recent attempts")),
        tuple(unreadable.each(connection.execute(_ACTIONS, since), _action_of, "recent actions")),
    )


def _attempt_of(row: Row) -> tuple[Delivery, Attempt]:
    width = len(ATTEMPT_COLUMNS)
    return to_delivery(row[width:]), to_attempt(row[:width])


def _action_of(row: Row) -> tuple[Delivery, ActionRecord]:
    return to_delivery(row[4:]), to_action(row[:4])


def find_ids(connection: apsw.Connection, part: str, limit: int) -> list[str]:
    """Ids that begin or end so."""
    found: set[str] = set()
    for table in ("events", "deliveries"):
        # `~` comes after everything that an id is made of.
        begins = unreadable.fetched(connection.execute(_BEGINS.format(table), (part, part + "~", limit)))
        found.update(id_ for (id_,) in begins)
        if len(part) == END_CHARS:
            ends = connection.execute(_ENDS.format(table), (SEARCHED_FOR_AN_END, END_CHARS, part, limit))
            found.update(id_ for (id_,) in ends)
    return sorted(found, reverse=True)[:limit]


def ahead(connection: apsw.Connection, delivery_id: str) -> Delivery | None:
    """The one of a held delivery's lane that goes first: what is leased, or the lowest id that is not done with."""
    held = next(unreadable.each(connection.execute(_HELD, (delivery_id,)), to_delivery), None)
    if held is None:
        return None
    first: list[Delivery] = []
    for state in (State.LEASED, State.SCHEDULED, State.DEAD):
        place = (held.destination, held.lane, state.value)
        found = list(unreadable.each(connection.execute(_FIRST, place), to_delivery))
        if found and state is State.LEASED:
            return found[0]
        first += found
    return min(first, key=lambda each: each.id, default=None)
