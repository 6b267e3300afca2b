"""Events and deliveries as they stand, one or a page of them. Each function is inside of one view of the database."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg

from longstop.model.action import ActionRecord, Edit
from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Attempt, Delivery
from longstop.model.event import Event
from longstop.model.listing import DeliveryFilter, EventFilter, History, KeptEvent, Listing, Page
from longstop.model.retention import WholeEvent
from longstop.stores.postgres import find_deliveries, find_events
from longstop.stores.postgres.rows import (
    DELIVERIES,
    DELIVERY,
    EVENT,
    THESE,
    columns,
    each,
    reader,
    to_action,
    to_attempt,
    to_delivery,
    to_event,
)
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, EVENT_COLUMNS, Row

T = TypeVar("T")
Take = Callable[..., Iterator[Any]]

BODILESS = EVENT.replace("e.body", "''::bytea AS body")
"""The columns of an event without its body: a page of 500 might be gigabytes."""

_EVENTS = f"SELECT {EVENT}, e.redeliveries FROM {THESE} JOIN events e ON e.id = this ORDER BY e.id"
_LISTED = f"""
    SELECT {BODILESS}, e.redeliveries, octet_length(e.body) AS size FROM {THESE} JOIN events e ON e.id = this
"""
_DELIVERIES = f"SELECT {DELIVERY} FROM {THESE} JOIN {DELIVERIES} ON d.id = this"
_OF_EVENTS = f"SELECT {DELIVERY} FROM {THESE} JOIN {DELIVERIES} ON d.event_id = this ORDER BY d.id"
_EDITS = f"""
    SELECT e.event_id, e.parent, e.at_ms, e."by", e.why FROM {THESE} JOIN edits e ON e.{{}} = this ORDER BY e.event_id
"""
_ATTEMPTS = f"""
    SELECT this, {columns(ATTEMPT_COLUMNS, "a")} FROM {THESE} JOIN attempts a ON a.delivery_id = this ORDER BY a.number
"""
_ACTIONS = f"""
    SELECT this, a.trigger, a.at_ms, a."by", a.why FROM {THESE} JOIN actions a ON a.delivery_id = this ORDER BY a.seq
"""

_HELD_KEYS = """
    SELECT k.event_id, k.until_ms FROM unnest($1::bytea[]) AS this JOIN dedup k ON k.digest = this
"""

_to_edit = reader("edit", lambda row: Edit(*row))


async def event(connection: asyncpg.Connection, event_id: str) -> KeptEvent | None:
    """One event with its deliveries."""
    rows = await connection.fetch(_EVENTS, [event_id])
    return (await _kept(connection, rows))[0] if rows else None


async def whole(connection: asyncpg.Connection, event_ids: Sequence[str]) -> list[WholeEvent]:
    """All there is of these events, by id. Raises UnreadableRowError where anything of it cannot be read."""
    events = await _kept(connection, await connection.fetch(_EVENTS, sorted(set(event_ids))), take=_all)
    recorded = await _histories(connection, [each_.id for kept in events for each_ in kept.deliveries], take=_all)
    none = History((), ())
    until_ms = await _held_keys(connection, [kept.event for kept in events])
    return [
        WholeEvent(kept, tuple(recorded.get(each_.id, none) for each_ in kept.deliveries), until_ms.get(kept.event.id))
        for kept in events
    ]


async def _held_keys(connection: asyncpg.Connection, events: Iterable[Event]) -> dict[str, int]:
    """By event, until when it holds its dedup key."""
    digests = [dedup_digest(each_.source, each_.dedup) for each_ in events if each_.dedup is not None]
    return dict(await connection.fetch(_HELD_KEYS, digests))


def _all(rows: Iterable[Row], read: Callable[[Row], T], of: str = "") -> Iterator[T]:  # noqa: ARG001
    """As `rows.each`, but for what cannot be read."""
    return map(read, rows)


async def _kept(connection: asyncpg.Connection, rows: Sequence[Row], take: Take = each) -> list[KeptEvent]:
    """Events of rows of EVENT_COLUMNS and redeliveries, with all else that is known of them.

    take: what is done about what cannot be read of their deliveries and edits.
    """
    ids = [row[0] for row in rows]
    deliveries: defaultdict[str, list[Delivery]] = defaultdict(list)
    for standing in take(await connection.fetch(_OF_EVENTS, ids), to_delivery, "a listed event"):
        deliveries[standing.event_id].append(standing)
    made_by = {edit.event_id: edit for edit in take(await connection.fetch(_EDITS.format("event_id"), ids), _to_edit)}
    edits: defaultdict[str, list[Edit]] = defaultdict(list)
    for edit in take(await connection.fetch(_EDITS.format("parent"), ids), _to_edit):
        edits[edit.parent].append(edit)
    made = ((to_event(row[:-1]), row[-1]) for row in rows)
    return [
        KeptEvent(kept, again, tuple(deliveries[kept.id]), made_by.get(kept.id), tuple(edits[kept.id]))
        for kept, again in made
    ]


async def events(connection: asyncpg.Connection, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
    """One page of events, without their bodies."""
    found = await find_events.find(connection, wanted, page)
    rows = {row[0]: row for row in await connection.fetch(_LISTED, found.ids)}
    sizes = {id_: row["size"] for id_, row in rows.items()}
    readable = list(each([rows[id_] for id_ in found.ids], _listed))
    listed = (replace(kept, listed_bytes=sizes[kept.event.id]) for kept in await _kept(connection, readable))
    return Listing(tuple(listed), found.next_after, found.searched_to_ms)


def _listed(row: Row) -> Row:
    """A row of an event that can be read, without the size."""
    to_event(row[: len(EVENT_COLUMNS)])
    return row[:-1]


async def delivery(connection: asyncpg.Connection, delivery_id: str) -> Delivery | None:
    """One delivery."""
    row = await connection.fetchrow(_DELIVERIES, [delivery_id])
    return None if row is None else to_delivery(row)


async def deliveries(connection: asyncpg.Connection, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
    """One page of deliveries."""
    found = await find_deliveries.find(connection, wanted, page)
    rows = {row["id"]: row for row in await connection.fetch(_DELIVERIES, found.ids)}
    listed = tuple(each([rows[id_] for id_ in found.ids], to_delivery))
    return Listing(listed, found.next_after, found.searched_to_ms)


async def history(connection: asyncpg.Connection, delivery_id: str) -> History:
    """All attempts and actions of a delivery."""
    return (await _histories(connection, [delivery_id])).get(delivery_id, History((), ()))


async def _histories(
    connection: asyncpg.Connection, delivery_ids: Sequence[str], take: Take = each
) -> Mapping[str, History]:
    """The same of several deliveries, by id; nothing of those of which nothing is recorded."""
    attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
    for id_, *row in await connection.fetch(_ATTEMPTS, list(delivery_ids)):
        attempts[id_] += take([row], to_attempt, f"delivery {id_}")
    actions: defaultdict[str, list[ActionRecord]] = defaultdict(list)
    for id_, *row in await connection.fetch(_ACTIONS, list(delivery_ids)):
        actions[id_] += take([row], to_action, f"delivery {id_}")
    return {id_: History(tuple(attempts[id_]), tuple(actions[id_])) for id_ in {*attempts, *actions}}
