"""Putting in what stood elsewhere, as it stood. Each function is the inside of one transaction."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Delivery, State
from longstop.model.ids import id_ms
from longstop.model.retention import WholeEvent
from longstop.stores.postgres import dead_groups, lanes
from longstop.stores.postgres.counters import Deltas
from longstop.stores.postgres.rows import THESE, columns, each, reader
from longstop.stores.sql.rows import (
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    attempt_row,
    delivery_row,
    event_row,
)

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('longstop restore ' || current_schema, 0))"
"""Two who put in the same events, each in an order of its own, would wait for each other crosswise."""
_KNOWN = f"SELECT e.id FROM {THESE} JOIN events e ON e.id = this"
_IN_QUEUE = ("leased_at_ms", "lease_until_ms", "worker")
_OF_DELIVERY = [name for name in DELIVERY_COLUMNS if name not in _IN_QUEUE]
_OF_QUEUE = "id destination due_at_ms tried tries expires_at_ms lane_hash held token".split()


def _insert(table: str, names: Iterable[str]) -> str:
    names = list(names)
    return f"INSERT INTO {table} ({columns(names)}) VALUES ({', '.join(f'${n}' for n in range(1, 1 + len(names)))})"


_EVENT = _insert("events", [*EVENT_COLUMNS, "redeliveries", "routed"])
_DELIVERY = _insert("deliveries", [*_OF_DELIVERY, "lane_hash"])
_QUEUED = _insert("queue", [*_OF_QUEUE, *_IN_QUEUE])
_ATTEMPT = _insert("attempts", ["delivery_id", *ATTEMPT_COLUMNS])
_ACTION = _insert("actions", ["delivery_id", "trigger", "at_ms", "by", "why"])
_EDIT = _insert("edits", ["event_id", "parent", "at_ms", "by", "why"])
_TABLES = (_EVENT, _DELIVERY, _QUEUED, _ATTEMPT, _ACTION, _EDIT)
_MARK = """
    UPDATE marks SET ahead_ms = greatest(ahead_ms, $1), behind_ms = greatest(behind_ms, $2),
        early_ms = greatest(early_ms, $3)
    WHERE ahead_ms < $1 OR behind_ms < $2 OR early_ms < $3
"""
KEYS = """
    SELECT digest, event_id, until_ms FROM dedup WHERE $1::bytea IS NULL OR digest > $1 ORDER BY digest LIMIT $2
"""
_KEEP_KEY = """
    INSERT INTO dedup (digest, event_id, until_ms, at_ms) VALUES ($1, $2, $3, 0)
    ON CONFLICT (digest) DO UPDATE SET event_id = excluded.event_id, until_ms = excluded.until_ms
    WHERE dedup.until_ms < excluded.until_ms
"""
"""`at_ms` is what an append compares with what is kept; of what is kept nobody asks it."""

_to_key = reader("dedup key", lambda row: DedupKey(*row))


async def restore(connection: asyncpg.Connection, events: Sequence[WholeEvent]) -> list[bool]:
    """Put in what is not there, once; for each, whether it was."""
    await connection.execute(ONE_AT_A_TIME)
    ids = [whole.kept.event.id for whole in events]
    known = {row["id"] for row in await connection.fetch(_KNOWN, ids)}
    results = []
    new: list[WholeEvent] = []
    for whole in events:
        results.append(whole.kept.event.id not in known)
        known.add(whole.kept.event.id)
        new += [whole] * results[-1]
    deliveries = [delivery for whole in new for delivery in whole.kept.deliveries]
    places = {place for place in map(lanes.place, deliveries) if place is not None}
    await lanes.lock(connection, places)
    await _put(connection, new)
    await dead_groups.join(connection, [each_ for each_ in deliveries if each_.state is State.DEAD])
    await _count(connection, new)
    await _mark(connection, new, deliveries)
    await lanes.advance(connection, places)
    return results


async def keys(connection: asyncpg.Connection, after: bytes | None, limit: int) -> list[DedupKey]:
    """The next dedup keys."""
    return list(each(await connection.fetch(KEYS, after, limit), _to_key))


async def keep_keys(connection: asyncpg.Connection, kept: Iterable[DedupKey]) -> None:
    """Keep those that are not there, or end later."""
    rows = [(key.digest, key.event_id, key.until_ms) for key in sorted(kept, key=lambda key: key.digest)]
    await connection.executemany(_KEEP_KEY, rows)


async def _put(connection: asyncpg.Connection, new: Sequence[WholeEvent]) -> None:
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _TABLES}
    held_keys: list[DedupKey] = []
    for whole in new:
        kept, event = whole.kept, whole.kept.event
        rows[_EVENT].append((*event_row(event), kept.redeliveries, bool(kept.deliveries)))
        for delivery, history in zip(kept.deliveries, whole.histories, strict=True):
            rows[_DELIVERY].append(_wide(delivery))
            rows[_QUEUED] += _narrow(delivery)
            rows[_ATTEMPT] += [(delivery.id, *attempt_row(attempt)) for attempt in history.attempts]
            rows[_ACTION] += [(delivery.id, a.trigger.value, a.at_ms, a.by, a.why) for a in history.actions]
        if (made := kept.made_by) is not None:
            rows[_EDIT].append((made.event_id, made.parent, made.at_ms, made.by, made.why))
        if event.dedup is not None and whole.dedup_until_ms is not None:
            held_keys.append(DedupKey(dedup_digest(event.source, event.dedup), event.id, whole.dedup_until_ms))
    for statement, some in rows.items():
        await connection.executemany(statement, some)
    await keep_keys(connection, held_keys)


def _wide(delivery: Delivery) -> tuple[Any, ...]:
    row = dict(zip(DELIVERY_COLUMNS, delivery_row(delivery), strict=True))
    if delivery.state is State.LEASED:
        row["state"] = State.SCHEDULED.value
    return (*(row[name] for name in _OF_DELIVERY), lanes.lane_hash(delivery.lane))


def _narrow(d: Delivery) -> list[tuple[Any, ...]]:
    """Its row in the queue, if it is not over. Held until all are there, and then the first of the lane is let go."""
    if d.state not in (State.SCHEDULED, State.LEASED):
        return []
    held = d.lane is not None and d.state is State.SCHEDULED
    start = (d.id, d.destination, d.due_at_ms, d.attempts > 0, d.tries, d.expires_at_ms, lanes.lane_hash(d.lane))
    return [(*start, held, d.token, d.leased_at_ms, d.lease_until_ms, d.worker)]


async def _count(connection: asyncpg.Connection, new: Sequence[WholeEvent]) -> None:
    added = Deltas([("events", whole.kept.event.source, "") for whole in new])
    added["unrouted", "", ""] = sum(not whole.kept.deliveries for whole in new)
    added.update(("deliveries", d.destination, d.state.value) for whole in new for d in whole.kept.deliveries)
    await added.add(connection)


async def _mark(connection: asyncpg.Connection, new: Sequence[WholeEvent], deliveries: Sequence[Delivery]) -> None:
    """See the table `marks`."""
    offsets = [id_ms(whole.kept.event.id) - whole.kept.event.received_at_ms for whole in new]
    offsets += [id_ms(delivery.id) - delivery.received_at_ms for delivery in deliveries]
    early = (d.received_at_ms - d.ended_at_ms for d in deliveries if d.ended_at_ms is not None)
    await connection.execute(_MARK, max(0, *offsets, 0), -min(0, *offsets, 0), max(0, *early, 0))
