"""The ledger's queries. Every value is bound, never written into the SQL."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import apsw

from longstop.model.action import Pause
from longstop.model.delivery import Delivery, State
from longstop.model.listing import Counts, DeliveryFilter, EventFilter, History, KeptEvent, Listing, Page
from longstop.stores.sqlite.rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    Row,
    columns,
    to_action,
    to_attempt,
    to_delivery,
    to_event,
)

_EVENT = f"SELECT {columns(EVENT_COLUMNS)}, redeliveries FROM events"
_DELIVERY = f"SELECT {columns(DELIVERY_COLUMNS, 'deliveries')} FROM deliveries"
_ATTEMPTS = f"SELECT {columns(ATTEMPT_COLUMNS)} FROM attempts WHERE delivery_id = ? ORDER BY number"
_ACTIONS = 'SELECT "trigger", at_ms, "by", why FROM actions WHERE delivery_id = ? ORDER BY seq'
_FORGET = "DELETE FROM dedup WHERE until_ms <= ?"
_OLDEST = "SELECT min(received_at_ms) FROM deliveries WHERE state IN ('scheduled', 'leased')"


def event(connection: apsw.Connection, event_id: str) -> KeptEvent | None:
    """One event with its deliveries."""
    row = connection.execute(f"{_EVENT} WHERE id = ?", (event_id,)).fetchone()
    return None if row is None else _kept(connection, row)


def _kept(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptEvent:
    deliveries = connection.execute(f"{_DELIVERY} WHERE event_id = ? ORDER BY id", (row[0],))
    return KeptEvent(to_event(row[:-1]), row[-1], tuple(to_delivery(each) for each in deliveries))


def delivery(connection: apsw.Connection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = connection.execute(f"{_DELIVERY} WHERE id = ?", (delivery_id,)).fetchone()
    return None if row is None else to_delivery(row)


def history(connection: apsw.Connection, delivery_id: str) -> History:
    """All attempts and actions of a delivery."""
    return History(
        tuple(to_attempt(row) for row in connection.execute(_ATTEMPTS, (delivery_id,))),
        tuple(to_action(row) for row in connection.execute(_ACTIONS, (delivery_id,))),
    )


def find_events(connection: apsw.Connection, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
    """One page of events."""
    conditions: list[tuple[str, Any]] = [
        ("source = ?", wanted.source),
        ("type = ?", wanted.type),
        ("key = ?", wanted.key),
        ("received_at_ms >= ?", wanted.since_ms),
        ("received_at_ms < ?", wanted.until_ms),
        ("instr(body, ?) > 0", wanted.contains),
    ]
    fixed = ["routed = 0"] if wanted.unrouted else []
    rows, more = _page(connection, _EVENT, "id", conditions, fixed, page)
    return Listing(tuple(_kept(connection, row) for row in rows), rows[-1][0] if more else None)


def find_deliveries(connection: apsw.Connection, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
    """One page of deliveries."""
    conditions: list[tuple[str, Any]] = [
        ("deliveries.source = ?", wanted.source),
        ("destination = ?", wanted.destination),
        ("deliveries.type = ?", wanted.type),
        ("deliveries.key = ?", wanted.key),
        ("reason = ?", wanted.reason and wanted.reason.value),
        ("ended_at_ms >= ?", wanted.since_ms),
        ("ended_at_ms < ?", wanted.until_ms),
        ("instr((SELECT body FROM events WHERE events.id = event_id), ?) > 0", wanted.contains),
    ]
    # The state comes from our own enumeration and stands in the text: a bound one could not use a partial index.
    fixed = [f"state = '{wanted.state.value}'"] if wanted.state else []
    rows, more = _page(connection, _DELIVERY, "deliveries.id", conditions, fixed, page)
    return Listing(tuple(to_delivery(row) for row in rows), rows[-1][0] if more else None)


def _page(
    connection: apsw.Connection,
    select: str,
    id_: str,
    conditions: Sequence[tuple[str, Any]],
    fixed: list[str],
    page: Page,
) -> tuple[list[tuple[Any, ...]], bool]:
    """The rows of one page, and whether there are more behind it."""
    after = (f"{id_} {'<' if page.newest_first else '>'} ?", page.after)
    given = [(text, value) for text, value in (*conditions, after) if value is not None]
    where = " AND ".join([*fixed, *(text for text, _ in given)]) or "1"
    order = "DESC" if page.newest_first else "ASC"
    query = f"{select} WHERE {where} ORDER BY {id_} {order} LIMIT ?"
    rows = connection.execute(query, (*(value for _, value in given), page.limit + 1)).fetchall()
    return rows[: page.limit], len(rows) > page.limit


_REASON = 'UPDATE pauses SET "by" = ?, why = ? WHERE destination = ?'
_PAUSES = 'SELECT destination, at_ms, "by", why FROM pauses ORDER BY destination'


def pause(connection: apsw.Connection, pause: Pause) -> bool:
    """Keep a pause, or the new words for the one there is."""
    connection.execute(_REASON, (pause.by, pause.why, pause.destination))
    if connection.changes():
        return False
    connection.execute("INSERT INTO pauses VALUES (?, ?, ?, ?)", (pause.destination, pause.at_ms, pause.by, pause.why))
    return True


def resume(connection: apsw.Connection, destination: str) -> bool:
    """End a pause, if there is one."""
    connection.execute("DELETE FROM pauses WHERE destination = ?", (destination,))
    return connection.changes() == 1


def pauses(connection: apsw.Connection) -> list[Pause]:
    """All pauses, by destination."""
    rows: list[Row] = connection.execute(_PAUSES).fetchall()
    return [Pause(*row) for row in rows]


def counts(connection: apsw.Connection) -> Counts:
    """How much of everything there is."""
    by_destination: defaultdict[str, dict[State, int]] = defaultdict(dict)
    query = "SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state"
    for destination, state, number in connection.execute(query):
        by_destination[destination][State(state)] = number
    return Counts(
        events=connection.execute("SELECT count(*) FROM events").get,
        unrouted=connection.execute("SELECT count(*) FROM events WHERE routed = 0").get,
        deliveries=dict(by_destination),
        oldest_waiting_at_ms=connection.execute(_OLDEST).get,
    )


def forget_dedup(connection: apsw.Connection, now_ms: int) -> int:
    """Drop the keys whose window is over."""
    connection.execute(_FORGET, (now_ms,))
    return connection.changes()
