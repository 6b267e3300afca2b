"""Putting in what stood elsewhere, as it stood. Each function is the inside of one transaction."""

import json
from collections.abc import Sequence

import apsw

from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Delivery, State
from longstop.model.ids import id_ms
from longstop.model.listing import History
from longstop.model.retention import WholeEvent
from longstop.stores.sql.rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    attempt_row,
    delivery_row,
    event_row,
)
from longstop.stores.sqlite import counters, dead_groups, edits, key_places, lanes, ledger_schema, unreadable
from longstop.stores.sqlite.counters import Deltas
from longstop.stores.sqlite.rows import columns, insert_rows

_KNOWN = "SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))"
_VALUES = len(EVENT_COLUMNS) + 2
_ID = EVENT_COLUMNS.index("id") + 1
_EVENT = f"""
    INSERT INTO events ({columns(EVENT_COLUMNS)}, redeliveries, routed, key_place)
    VALUES ({", ".join("?" * _VALUES)}, {key_places.PLACE.format(f"?{_ID}", f"?{_VALUES + 1}")})
"""
_MARK = ledger_schema.MARK.format(ahead=":ahead", behind=":behind")
_DELIVERY = [*DELIVERY_COLUMNS, "dead_group"]
_ATTEMPT = ["delivery_id", *ATTEMPT_COLUMNS]
_ACTION = ["delivery_id", '"trigger"', "at_ms", '"by"', "why"]
_KEYS = "SELECT digest, event_id, until_ms FROM dedup WHERE ?1 IS NULL OR digest > ?1 ORDER BY digest LIMIT ?2"
_KEEP_KEY = """
    INSERT INTO dedup (digest, event_id, until_ms, at_ms) VALUES (?, ?, ?, 0)
    ON CONFLICT (digest) DO UPDATE SET event_id = excluded.event_id, until_ms = excluded.until_ms
    WHERE until_ms < excluded.until_ms
"""
"""`at_ms` is what an append compares with what is kept; of what is kept nobody asks it."""

_to_key = unreadable.reader("dedup key", "digest event_id until_ms".split(), lambda row: DedupKey(*row))


def restore(connection: apsw.Connection, events: Sequence[WholeEvent]) -> list[bool]:
    """Put in what is not there, once; for each, whether it was."""
    ids = [each.kept.event.id for each in events]
    known = {str(id_) for (id_,) in connection.execute(_KNOWN, (json.dumps(ids),))}
    results = []
    new: list[WholeEvent] = []
    for each in events:
        results.append(each.kept.event.id not in known)
        known.add(each.kept.event.id)
        new += [each] * results[-1]
    for each in new:
        _put_event(connection, each)
    _count(connection, new)
    _mark(connection, new)
    deliveries = [each for whole in new for each in whole.kept.deliveries]
    for destination, lane in sorted({(each.destination, each.lane) for each in deliveries if each.lane is not None}):
        # Who is not the first of its lane is held from here on.
        lanes.advance(connection, destination, lane)
    return results


def _put_event(connection: apsw.Connection, whole: WholeEvent) -> None:
    kept, event = whole.kept, whole.kept.event
    key_hash = None if event.key is None else key_places.key_hash(event.key)
    values = (*event_row(event), kept.redeliveries, len(kept.deliveries), key_hash)
    connection.execute(_EVENT, values)
    for delivery, history in zip(kept.deliveries, whole.histories, strict=True):
        _put_delivery(connection, delivery, history)
    if kept.made_by is not None:
        edits.put(connection, kept.made_by)
    if event.dedup is not None and whole.dedup_until_ms is not None:
        keep_keys(connection, [DedupKey(dedup_digest(event.source, event.dedup), event.id, whole.dedup_until_ms)])


def _put_delivery(connection: apsw.Connection, delivery: Delivery, history: History) -> None:
    group = dead_groups.join(connection, delivery) if delivery.state is State.DEAD else None
    insert_rows(connection, "deliveries", _DELIVERY, [(*delivery_row(delivery), group)])
    insert_rows(connection, "attempts", _ATTEMPT, [(delivery.id, *attempt_row(each)) for each in history.attempts])
    actions = [(delivery.id, each.trigger.value, each.at_ms, each.by, each.why) for each in history.actions]
    insert_rows(connection, "actions", _ACTION, actions)
    counters.ended(connection, delivery)


def _count(connection: apsw.Connection, new: Sequence[WholeEvent]) -> None:
    added = Deltas([("events", each.kept.event.source, "") for each in new])
    added["unrouted", "", ""] = sum(not each.kept.deliveries for each in new)
    added.update(("deliveries", each.destination, each.state.value) for whole in new for each in whole.kept.deliveries)
    added.add(connection)


def _mark(connection: apsw.Connection, new: Sequence[WholeEvent]) -> None:
    """How far ids are from the times of arrival, and where segments of keys end."""
    times = [(id_ms(each.kept.event.id), each.kept.event.received_at_ms) for each in new]
    times += [(id_ms(each.id), each.received_at_ms) for whole in new for each in whole.kept.deliveries]
    if not times:
        return
    offsets = [made_ms - received_ms for made_ms, received_ms in times]
    connection.execute(_MARK, {"ahead": max(offsets), "behind": -min(offsets)})
    connection.execute(key_places.END_OF_BATCH)


def keys(connection: apsw.Connection, after: bytes | None, limit: int) -> list[DedupKey]:
    """The next dedup keys."""
    return list(unreadable.each(connection.execute(_KEYS, (after, limit)), _to_key))


def keep_keys(connection: apsw.Connection, kept: Sequence[DedupKey]) -> None:
    """Keep those that are not there, or end later."""
    for each in kept:
        connection.execute(_KEEP_KEY, (each.digest, each.event_id, each.until_ms))
