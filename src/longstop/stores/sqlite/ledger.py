"""The ledger's queries. Every value is bound, never written into the SQL. Each is inside of one view of the file."""

from dataclasses import replace
from typing import Any

import apsw

from longstop.model.action import Pause
from longstop.model.delivery import Delivery
from longstop.model.listing import DeliveryFilter, EventFilter, History, KeptEvent, Listing, Page
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, DELIVERY_COLUMNS, EVENT_COLUMNS
from longstop.stores.sqlite import edits, event_deliveries, find_deliveries, find_events, unreadable
from longstop.stores.sqlite.rows import columns, to_action, to_attempt, to_delivery, to_event

_EVENT = f"SELECT {columns(EVENT_COLUMNS)}, redeliveries FROM events"
_LISTED = f"SELECT {columns(EVENT_COLUMNS)}, redeliveries, length(body) FROM events".replace(", body,", ", x'',")
_DELIVERY = f"SELECT {columns(DELIVERY_COLUMNS, 'deliveries')} FROM deliveries"
_OF_EVENT = f"{_DELIVERY} WHERE rowid IN ({event_deliveries.rows_of('SELECT ?1 AS id')}) ORDER BY id"
_ATTEMPTS = f"SELECT {columns(ATTEMPT_COLUMNS)} FROM attempts WHERE delivery_id = ? ORDER BY number"
_ACTIONS = 'SELECT "trigger", at_ms, "by", why FROM actions WHERE delivery_id = ? ORDER BY seq'
_FORGET = "DELETE FROM dedup WHERE until_ms <= ?"


def event(connection: apsw.Connection, event_id: str) -> KeptEvent | None:
    """One event with its deliveries."""
    row = connection.execute(f"{_EVENT} WHERE id = ?", (event_id,)).fetchone()
    return None if row is None else _kept(connection, row)


def _listed(connection: apsw.Connection, event_id: str) -> KeptEvent | None:
    """The same, without its body."""
    row = connection.execute(f"{_LISTED} WHERE id = ?", (event_id,)).fetchone()
    return None if row is None else replace(_kept(connection, row[:-1]), listed_bytes=row[-1])


def _kept(connection: apsw.Connection, row: tuple[Any, ...]) -> KeptEvent:
    deliveries = connection.execute(_OF_EVENT, (row[0],))
    standing = tuple(unreadable.each(deliveries, to_delivery, f"event {row[0]}"))
    edited = edits.made_by(connection, row[0]), edits.edits(connection, row[0])
    return KeptEvent(to_event(row[:-1]), row[-1], standing, *edited)


def delivery(connection: apsw.Connection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = connection.execute(f"{_DELIVERY} WHERE id = ?", (delivery_id,)).fetchone()
    return None if row is None else to_delivery(row)


def history(connection: apsw.Connection, delivery_id: str) -> History:
    """All attempts and actions of a delivery."""
    place, of = (delivery_id,), f"delivery {delivery_id}"
    return History(
        tuple(unreadable.each(connection.execute(_ATTEMPTS, place), to_attempt, of)),
        tuple(unreadable.each(connection.execute(_ACTIONS, place), to_action, of)),
    )


def events(connection: apsw.Connection, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
    """One page of events."""
    found = find_events.find(connection, wanted, page)
    rows = unreadable.each_of(found.ids, lambda id_: _listed(connection, id_), "event")
    return Listing(tuple(rows), found.next_after, found.searched_to_ms)


def deliveries(connection: apsw.Connection, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
    """One page of deliveries."""
    found = find_deliveries.find(connection, wanted, page)
    rows = unreadable.each_of(found.ids, lambda id_: delivery(connection, id_), "delivery")
    return Listing(tuple(rows), found.next_after, found.searched_to_ms)


_REASON = 'UPDATE pauses SET "by" = ?, why = ? WHERE destination = ?'
_to_pause = unreadable.reader("pause", "destination at_ms by why".split(), lambda row: Pause(*row))
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
    return list(unreadable.each(connection.execute(_PAUSES), _to_pause))


def forget_dedup(connection: apsw.Connection, now_ms: int) -> int:
    """Drop the keys whose window is over."""
    connection.execute(_FORGET, (now_ms,))
    return connection.changes()
