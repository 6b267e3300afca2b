"""Appending a batch: dedup keys, events, deliveries, their rows in the queue and the counters, in one statement.

A statement alone is a transaction: one way to the server and back, and one flush of its log, for all that a group
commit brings together. More is needed only where it matters what is there already: a lane, a group of the dead, a key
that comes twice.

An event that is kept already under its own id is not kept again and is accepted: the answer of the append that kept it
was lost, and its caller asks again.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from longstop.model.append import Append
from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Delivery, State
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.ids import id_ms
from longstop.stores.postgres import counters, dead_groups, lanes
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.rows import THESE, columns
from longstop.stores.sql.rows import EVENT_COLUMNS, event_row

_EVENT = {
    **dict.fromkeys(EVENT_COLUMNS, "varchar[]"),
    **dict.fromkeys(("received_at_ms", "occurred_at_ms", "until_ms"), "bigint[]"),
    **dict.fromkeys(("dedup", "headers", "body", "digest"), "bytea[]"),
    "routed": "bool[]",
}
"""What is said of each event, and the type of the array of it."""
_DELIVERY = {
    **dict.fromkeys("id event_id source type key destination state lane reason last_error".split(), "varchar[]"),
    **dict.fromkeys("received_at_ms due_at_ms lane_hash round_at_ms ended_at_ms expires_at_ms".split(), "bigint[]"),
}
"""What is said of each delivery; the rest is the same for all that are new."""


def _unnested(types: dict[str, str], first: int) -> str:
    arrays = ", ".join(f"${place}::{type_}" for place, type_ in enumerate(types.values(), first))
    return f"unnest({arrays}) AS given ({columns(types)})"


_OFFSETS = 1 + len(_EVENT) + len(_DELIVERY)
_COUNTS = """
    SELECT 'events', source, '', 1 FROM accepted
    UNION ALL SELECT 'unrouted', '', '', 1 FROM accepted WHERE NOT routed
    UNION ALL SELECT 'deliveries', destination, state, 1 FROM coming
"""
_NEW = {"round": "1", **dict.fromkeys(("attempts", "tries", "lost", "token"), "0"), "skipped": "false"}

_APPEND = f"""
    WITH arriving AS MATERIALIZED (SELECT * FROM {_unnested(_EVENT, 1)}),
    taken AS (
        -- The key is taken if it is free or its window is over. In one order, so that no two batches wait crosswise.
        INSERT INTO dedup (digest, at_ms, until_ms, event_id)
            SELECT digest, received_at_ms, until_ms, id FROM arriving WHERE digest IS NOT NULL ORDER BY digest
            ON CONFLICT (digest) DO UPDATE
            SET at_ms = excluded.at_ms, until_ms = excluded.until_ms, event_id = excluded.event_id
            WHERE dedup.until_ms <= excluded.at_ms
            RETURNING event_id
    ),
    accepted AS MATERIALIZED (
        SELECT * FROM arriving WHERE digest IS NULL OR id IN (SELECT event_id FROM taken)
    ),
    kept AS (
        INSERT INTO events ({columns(EVENT_COLUMNS)}, routed) SELECT {columns(EVENT_COLUMNS)}, routed FROM accepted
    ),
    coming AS MATERIALIZED (
        -- IS TRUE: looked up in a table of hashes, where a join would compare each with each.
        SELECT * FROM {_unnested(_DELIVERY, 1 + len(_EVENT))}
        WHERE (event_id IN (SELECT id FROM accepted)) IS TRUE
    ),
    delivered AS (
        INSERT INTO deliveries ({columns([*_DELIVERY, *_NEW])})
            SELECT {columns(_DELIVERY)}, {", ".join(_NEW.values())} FROM coming
    ),
    queued AS (
        INSERT INTO queue (id, destination, due_at_ms, tried, tries, expires_at_ms, lane_hash, held, token)
            SELECT id, destination, due_at_ms, false, 0, expires_at_ms, lane_hash, lane_hash IS NOT NULL, 0
            FROM coming WHERE state = 'scheduled'
    ),
    marked AS (
        UPDATE marks SET ahead_ms = greatest(ahead_ms, ${_OFFSETS}), behind_ms = greatest(behind_ms, ${_OFFSETS + 1})
        WHERE ahead_ms < ${_OFFSETS} OR behind_ms < ${_OFFSETS + 1}
    ),
    counted AS ({counters.add(_COUNTS)})
    SELECT id FROM accepted
"""
_HOLDERS = "SELECT digest, event_id, until_ms FROM dedup WHERE digest = ANY($1::bytea[])"
_REPEATED = """
    UPDATE events SET redeliveries = redeliveries + n FROM unnest($1::varchar[], $2::int[]) AS again (id, n)
    WHERE events.id = again.id
"""
_KEPT = f"SELECT e.id, e.source, e.received_at_ms, sha256(e.body) AS body FROM {THESE} JOIN events e ON e.id = this"

_WRITE_SOMETHING = "SELECT pg_logical_emit_message(true, 'longstop', '')"


def digest(source: str, dedup: bytes | None) -> bytes | None:
    """What a source and key are known by; None where there is no key."""
    return None if dedup is None else dedup_digest(source, dedup)


async def append(database: PostgresDatabase, appends: Sequence[Append]) -> list[Receipt]:
    """Keep each event that is no duplicate, with its deliveries. Raises ValueError where an id is another's."""
    _refuse_twice(appends)
    try:
        return await _append(database, appends)
    except asyncpg.UniqueViolationError as error:
        kept = await _kept_before(database, appends, error)
    rest = [item for item in appends if item.event.id not in kept]
    receipts = {item.event.id: receipt for item, receipt in zip(rest, await append(database, rest), strict=True)}
    return [receipts.get(item.event.id) or _accepted(item) for item in appends]


async def _append(database: PostgresDatabase, appends: Sequence[Append]) -> list[Receipt]:
    if not appends:
        return []
    if not _needs_looking(appends):
        ids = {row["id"] for row in await database.rows(_APPEND, *_arguments(appends))}
        if len(ids) == len(appends):
            return [_accepted(item) for item in appends]
        known = ids
    else:
        known = set()
    rest = [item for item in appends if item.event.id not in known]
    holders = await database.transact(lambda connection: within(connection, rest))
    return [_receipt(item, holders.get(item.event.id)) for item in appends]


async def within(connection: asyncpg.Connection, appends: Sequence[Append]) -> dict[str, str]:
    """Keep them inside of a transaction; the ids of those that are duplicates, each with the event it is one of."""
    places = {place for item in appends for place in map(lanes.place, item.deliveries) if place is not None}
    await lanes.lock(connection, places)
    kept: list[Append] = []
    holders: dict[str, str] = {}
    pending = list(appends)
    while pending:
        firsts, others = _firsts(pending)
        ids = {row["id"] for row in await connection.fetch(_APPEND, *_arguments(firsts))}
        kept += [item for item in firsts if item.event.id in ids]
        pending = await _look_for_holders(connection, [i for i in firsts if i.event.id not in ids], others, holders)
    await dead_groups.join(connection, _dead(kept))
    await lanes.advance(connection, places)
    await _count_repeats(connection, holders)
    return holders


def _firsts(appends: Sequence[Append]) -> tuple[list[Append], list[Append]]:
    """Those that are the first of their dedup key, and the others."""
    firsts: list[Append] = []
    others: list[Append] = []
    seen = set()
    for item in appends:
        key = (item.event.source, item.event.dedup)
        (others if item.event.dedup is not None and key in seen else firsts).append(item)
        seen.add(key)
    return firsts, others


async def _look_for_holders(
    connection: asyncpg.Connection, refused: list[Append], others: list[Append], holders: dict[str, str]
) -> list[Append]:
    """Put into `holders` whose duplicates these are; those that are nobody's.

    The key of one that was refused may be free by now: its holder was forgotten in between.
    """
    asked = [*refused, *others]
    if not asked:
        return []
    digests = sorted({_digest(item) for item in asked})
    held = {row["digest"]: (row["event_id"], row["until_ms"]) for row in await connection.fetch(_HOLDERS, digests)}
    pending = []
    for item in asked:
        holder, until_ms = held.get(_digest(item), ("", 0))
        if item.event.received_at_ms >= until_ms:
            pending.append(item)
        else:
            holders[item.event.id] = holder
    return pending


async def _count_repeats(connection: asyncpg.Connection, holders: dict[str, str]) -> None:
    again = [holder for id_, holder in holders.items() if holder != id_]
    if again:
        ids = sorted(set(again))
        await connection.execute(_REPEATED, ids, [again.count(id_) for id_ in ids])


def _needs_looking(appends: Sequence[Append]) -> bool:
    """Whether it matters what is there already, or comes besides."""
    keys = [(item.event.source, item.event.dedup) for item in appends if item.event.dedup is not None]
    return len(set(keys)) < len(keys) or any(
        each.lane is not None or each.state is State.DEAD for item in appends for each in item.deliveries
    )


def _arguments(appends: Sequence[Append]) -> list[Any]:
    events = [
        (
            *event_row(item.event),
            item.dedup_until_ms,
            digest(item.event.source, item.event.dedup),
            bool(item.deliveries),
        )
        for item in appends
    ]
    deliveries = [_delivery(each) for item in appends for each in item.deliveries]
    offsets = [id_ms(item.event.id) - item.event.received_at_ms for item in appends]
    offsets += [id_ms(each.id) - each.received_at_ms for item in appends for each in item.deliveries]
    return [
        *_transposed(events, len(_EVENT)),
        *_transposed(deliveries, len(_DELIVERY)),
        max(0, *offsets),
        -min(0, *offsets),
    ]


assert [*EVENT_COLUMNS, "until_ms", "digest", "routed"] == [*_EVENT]


def _delivery(d: Delivery) -> tuple[Any, ...]:
    texts = (d.id, d.event_id, d.source, d.type, d.key, d.destination, d.state.value, d.lane)
    why = (d.reason and d.reason.value, d.last_error)
    return (
        *texts,
        *why,
        d.received_at_ms,
        d.due_at_ms,
        lanes.lane_hash(d.lane),
        d.round_at_ms,
        d.ended_at_ms,
        d.expires_at_ms,
    )


def _transposed(rows: Sequence[tuple[Any, ...]], width: int) -> Iterable[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _dead(appends: Iterable[Append]) -> list[Delivery]:
    return [each for item in appends for each in item.deliveries if each.state is State.DEAD]


def _digest(item: Append) -> bytes:
    return digest(item.event.source, item.event.dedup) or b""


def _accepted(item: Append) -> Receipt:
    return Receipt(ReceiptStatus.ACCEPTED, item.event.id)


def _receipt(item: Append, holder: str | None) -> Receipt:
    """Where it is held by itself, an earlier try has kept it."""
    if holder is None or holder == item.event.id:
        return _accepted(item)
    return Receipt(ReceiptStatus.DUPLICATE, holder)


def _refuse_twice(appends: Sequence[Append]) -> None:
    ids = [item.event.id for item in appends] + [each.id for item in appends for each in item.deliveries]
    if len(set(ids)) < len(ids):
        raise ValueError("an event or delivery id in this batch is used twice")


async def _kept_before(
    database: PostgresDatabase, appends: Sequence[Append], error: asyncpg.UniqueViolationError
) -> set[str]:
    """The ids of those that an earlier try has kept. Raises ValueError where what is kept is not the same."""
    found = await database.transact(lambda connection: _looked_up(connection, [item.event.id for item in appends]))
    kept = {row["id"]: row for row in found}
    for item in appends:
        row, event = kept.get(item.event.id), item.event
        same = (event.source, event.received_at_ms, hashlib.sha256(event.body).digest())
        if row is not None and (row["source"], row["received_at_ms"], row["body"]) != same:
            raise ValueError(f"event id {event.id} is already kept, for another event") from error
    if not kept:
        raise ValueError("a delivery id in this batch is already kept") from error
    return set(kept)


async def _looked_up(connection: asyncpg.Connection, ids: list[str]) -> Sequence[asyncpg.Record]:
    """What is kept of these, as durable as a commit makes it.

    A commit whose connection is ended while it waits for a synchronous standby is seen by all, and may not have got
    there (PostgreSQL's src/backend/replication/syncrep.c). What only reads waits for nobody; what writes waits until
    all before it is there as well. So something is written, which nobody reads.
    """
    found: Sequence[asyncpg.Record] = await connection.fetch(_KEPT, ids)
    await connection.execute(_WRITE_SOMETHING)
    return found
