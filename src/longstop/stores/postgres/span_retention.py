"""Forgetting a whole span: its partitions are dropped, and what has to stay moves to the first span before.

It is judged twice. First in a view, beside everybody's work: which events stay, and how many of everything there are.
Then under a lock, for some milliseconds, only this: whether the same stay. An end that was long ago cannot change but
by an end that is now, or by a delivery that waits again, and an index or the queue tells of either (`_UNSETTLED`).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from longstop.model.ids import id_ms
from longstop.model.retention import DAY_MS, Cutoffs, Forgettable, Span
from longstop.stores.postgres import dead_groups, spans
from longstop.stores.postgres.counters import Deltas
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.restore import ONE_AT_A_TIME
from longstop.stores.postgres.rows import columns
from longstop.stores.postgres.spans import LOCK_SPANS, TABLES, SpanRow
from longstop.stores.postgres.statements import Work, unsynced

T = TypeVar("T")

STAYING_MAX = 5_000
"""So many events may stay of a span that goes: they are moved under a lock, which takes some 100 ms."""
LONG_S = 3_600
"""So long a look at a whole span may take."""
GRACE_MS = 3 * DAY_MS
"""A span of which more stays is looked at for so long again, and then forgotten row by row."""

_UNSETTLED = """
    SELECT d.event_id FROM queue q JOIN deliveries d ON d.id = q.id WHERE q.id >= $1 AND q.id < $2
    UNION SELECT d.event_id FROM {deliveries} d WHERE d.state = 'delivered' AND d.ended_at_ms >= $3
    UNION SELECT d.event_id FROM {deliveries} d WHERE d.state = 'dead' AND d.ended_at_ms >= $4
    UNION SELECT d.event_id FROM {deliveries} d WHERE d.state = 'discarded' AND d.ended_at_ms >= $5
    UNION SELECT d.event_id FROM {deliveries} d WHERE d.state = 'dead' AND d.lane_hash IS NOT NULL
    UNION SELECT e.id FROM {events} e WHERE NOT e.routed AND e.received_at_ms >= $6
"""
"""What waits, has ended lately or holds its lane, and what no route wanted lately (it may have been restored since)."""
_STAYING = """
    (SELECT d.event_id FROM {deliveries} d WHERE NOT coalesce(
        (d.state = 'delivered' AND d.ended_at_ms < $3)
        OR (d.state = 'dead' AND d.lane IS NULL AND d.ended_at_ms < $4)
        OR (d.state = 'discarded' AND d.ended_at_ms < $5), false)
    LIMIT $7) UNION ALL (
    SELECT e.id FROM {events} e WHERE NOT e.routed AND e.received_at_ms >= $6
    LIMIT $7) UNION ALL (
    SELECT d.event_id FROM deliveries d WHERE d.event_id >= $1 AND d.event_id < $2 AND d.id < $1
    LIMIT $7) UNION ALL (
    SELECT d.event_id FROM deliveries d WHERE d.event_id >= $1 AND d.event_id < $2 AND d.id >= $2
    LIMIT $7) UNION ALL (
    SELECT d.event_id FROM {deliveries} d WHERE d.event_id < $1
    LIMIT $7) UNION ALL (
    SELECT d.event_id FROM {deliveries} d WHERE d.event_id >= $2
    LIMIT $7)
"""
"""`retention.event_may_go`, the other way round; and what is partly in this span and partly in the next."""
_EVENTS = """
    SELECT e.id FROM {events} e WHERE e.id > $1 ORDER BY e.id LIMIT $2
"""
# IS NOT TRUE: looked up in a table of hashes, where a join would compare each with each.
_NOT_STAYING = "({} IN (SELECT unnest($1::text[]))) IS NOT TRUE"
_GOING_EVENTS = f"""
    SELECT e.source, e.routed, count(*) FROM {{events}} e WHERE {_NOT_STAYING.format("e.id")}
    GROUP BY e.source, e.routed
"""
_GOING_DELIVERIES = f"""
    SELECT d.destination, d.state, count(*) FROM {{deliveries}} d WHERE {_NOT_STAYING.format("d.event_id")}
    GROUP BY d.destination, d.state
"""
_GOING_DEAD = f"""
    SELECT d.dead_group, d.key, d.ended_at_ms FROM {{deliveries}} d
    WHERE d.dead_group IS NOT NULL AND {_NOT_STAYING.format("d.event_id")} LIMIT $2
"""
_THESE = "unnest($1::text[]) AS this"
_MOVED = {
    "events": f"{_THESE} JOIN {{events}} t ON t.id = this",
    "deliveries": f"{_THESE} JOIN {{deliveries}} t ON t.event_id = this",
    "attempts": f"{_THESE} JOIN {{deliveries}} d ON d.event_id = this JOIN {{attempts}} t ON t.delivery_id = d.id",
}
_FORGET_LEFT = """
    WITH gone AS (
        DELETE FROM {0} WHERE ctid = ANY (ARRAY(
            SELECT l.ctid FROM {0} l
            WHERE l.{1} >= $1 AND l.{1} < $2 AND (SELECT true FROM {2} t WHERE t.id = l.{1}) IS NULL
            ORDER BY l.{1} LIMIT $3 FOR UPDATE SKIP LOCKED))
        RETURNING {1} AS id
    ) SELECT count(*), max(id) FROM gone
"""
_LEFT = (
    _FORGET_LEFT.format("actions", "delivery_id", "deliveries"),
    _FORGET_LEFT.format("edits", "event_id", "events"),
)
LEFT_AT_ONCE = 5_000
"""So many actions or edits are forgotten in one transaction."""
_COLUMNS = """
    SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
"""


@dataclass
class _Going:
    """What goes with a span."""

    staying: list[str]
    unsettled: set[str]
    taken: Deltas = field(default_factory=Deltas)
    dead: list[dead_groups.Gone] = field(default_factory=list)

    @property
    def events(self) -> int:
        """How many."""
        return -sum(n for (subject, *_), n in self.taken.items() if subject == "events")


class _ChangedError(Exception):
    """The span is not what it was when it was judged."""


async def due(database: PostgresDatabase, before: Cutoffs) -> Span | None:
    """The span behind the first, if nothing was delivered in it that has to be kept, and little else."""
    found = await database.view(lambda connection: _second(connection, before))
    if found is None or found.until_id is None:
        return None
    staying = await database.view(_whole(lambda connection: _staying(connection, found, before)))
    if len(staying) <= STAYING_MAX:
        return Span(found.name, found.from_id, found.until_id, frozenset(staying))
    await _leave_to_rows(database, found.name, found.until_id, before)
    return None


async def _leave_to_rows(database: PostgresDatabase, name: str, until_id: str, before: Cutoffs) -> None:
    """Of a span too much has to be touched while everybody waits; after a time, it is forgotten row by row."""
    if id_ms(until_id) <= before.delivered_ms - GRACE_MS:
        await database.rows("UPDATE spans SET by_rows = true WHERE name = $1 AND NOT by_rows", name)


async def _second(connection: asyncpg.Connection, before: Cutoffs) -> SpanRow | None:
    row = next(iter((await spans.read(connection))[1:2]), None)
    old_enough = row is not None and row.until_id is not None and id_ms(row.until_id) <= before.delivered_ms
    return row if old_enough else None


async def events(connection: asyncpg.Connection, span: Span, after: str | None, limit: int) -> Forgettable:
    """The next events that go with the span."""
    rows = await connection.fetch(_of(span.name, _EVENTS), after or "", limit)
    ids = [row["id"] for row in rows]
    going = tuple(id_ for id_ in ids if id_ not in span.staying)
    return Forgettable(going, ids[-1] if ids else after, len(ids) == limit)


async def forget(database: PostgresDatabase, span: Span, before: Cutoffs, keep: Sequence[str]) -> int | None:
    """Forget it; None where that is not to be now."""
    staying = sorted(span.staying | set(keep))
    if len(staying) > STAYING_MAX:
        await _leave_to_rows(database, span.name, span.until_id, before)
        return None
    first = (await database.view(spans.read))[0]
    await _promise_end(database, first)
    going = await database.view(_whole(lambda connection: _going(connection, span, before, staying)))
    if len(going.dead) > STAYING_MAX:
        await _leave_to_rows(database, span.name, span.until_id, before)
        return None
    if not going.unsettled <= set(staying):
        return None

    async def drop(connection: asyncpg.Connection) -> None:
        await connection.execute(LOCK_SPANS)
        await connection.execute(ONE_AT_A_TIME)
        rows = await spans.read(connection)
        if rows[0] != first or rows[1][:3] != (span.name, span.from_id, span.until_id):
            raise _ChangedError
        await connection.execute(spans.ALL_TABLES)
        if await _unsettled(connection, span, before) != going.unsettled:
            raise _ChangedError
        await _drop(connection, first, span, going)

    try:
        if not await spans.locked(database, drop):
            return None
    except _ChangedError:
        return None
    await _forget_left(database, span.until_id)
    return going.events


async def _forget_left(database: PostgresDatabase, until_id: str) -> None:
    """Forget the actions and edits of what went, beside everybody's work: there may be a million of them.

    Of all spans until then: what is left where this does not come to its end is found with the next one.
    """
    for forget_some in _LEFT:
        after, count = "", LEFT_AT_ONCE
        while count == LEFT_AT_ONCE:
            work = functools.partial(_forget_some, sql=forget_some, after=after, until_id=until_id)
            count, after = await database.transact(unsynced(work))


async def _forget_some(connection: asyncpg.Connection, sql: str, after: str, until_id: str) -> tuple[int, str]:
    count, last = await connection.fetchrow(sql, after, until_id, LEFT_AT_ONCE)
    return count, last or after


def _of(name: str, sql: str) -> str:
    return sql.format(**{table: f"{table}_{name}" for table in TABLES})


def _values(span: SpanRow | Span, before: Cutoffs) -> tuple[object, ...]:
    ended = (before.delivered_ms, before.dead_ms, before.discarded_ms)
    return (span.from_id, span.until_id, *ended, before.unrouted_ms)


def _whole(work: Work[T]) -> Work[T]:
    """Work that reads all of a span, and takes as long as that does."""

    async def done(connection: asyncpg.Connection) -> T:
        await connection.execute("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = 0")
        return await work(connection)

    return done


async def _staying(connection: asyncpg.Connection, span: SpanRow, before: Cutoffs) -> set[str]:
    values = (*_values(span, before), STAYING_MAX + 1)
    rows = await connection.fetch(_of(span.name, _STAYING), *values, timeout=LONG_S)
    return {row["event_id"] for row in rows}


async def _unsettled(connection: asyncpg.Connection, span: Span, before: Cutoffs) -> set[str]:
    rows = await connection.fetch(_of(span.name, _UNSETTLED), *_values(span, before))
    return {row["event_id"] for row in rows}


async def _going(connection: asyncpg.Connection, span: Span, before: Cutoffs, staying: list[str]) -> _Going:
    """How much goes, as the counters have it."""
    going = _Going(staying, await _unsettled(connection, span, before))
    for source, routed, n in await connection.fetch(_of(span.name, _GOING_EVENTS), staying, timeout=LONG_S):
        going.taken["events", source, ""] -= n
        going.taken["unrouted", "", ""] -= 0 if routed else n
    for destination, state, n in await connection.fetch(_of(span.name, _GOING_DELIVERIES), staying, timeout=LONG_S):
        going.taken["deliveries", destination, state] -= n
    rows = await connection.fetch(_of(span.name, _GOING_DEAD), staying, STAYING_MAX + 1)
    going.dead = [dead_groups.Gone(*row) for row in rows]
    return going


async def _promise_end(database: PostgresDatabase, first: SpanRow) -> None:
    """Have it known that nothing of the first span lies behind its end, so that it need not be read under a lock."""

    async def promise(connection: asyncpg.Connection) -> None:
        await connection.execute(LOCK_SPANS)
        for table, column in TABLES.items():
            if not await spans.is_promised(connection, first.of(table)):
                await spans.add_check(connection, first.of(table), column, first.until_id or "")

    if await spans.locked(database, promise):
        await spans.check(database, first)


async def _drop(connection: asyncpg.Connection, first: SpanRow, span: Span, going: _Going) -> None:
    """Everybody waits meanwhile: what stays moves to the first span, which reaches to the end of this one then."""
    for table, column in TABLES.items():
        partition, its = first.of(table), f"{table}_{span.name}"
        await connection.execute(f"""
            ALTER TABLE {table} DETACH PARTITION {its};
            ALTER TABLE {table} DETACH PARTITION {partition};
            ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM (MINVALUE) TO ('{span.until_id}');
        """)
        await spans.add_check(connection, partition, column, span.until_id)
    for table, stays in _MOVED.items():
        names = [row["attname"] for row in await connection.fetch(_COLUMNS, f"{table}_{span.name}")]
        its = f"SELECT {columns(names, 't')} FROM {_of(span.name, stays)}"
        await connection.execute(f"INSERT INTO {table} ({columns(names)}) {its}", going.staying)
    for table in TABLES:
        await connection.execute(f"DROP TABLE {table}_{span.name}")
    await dead_groups.leave(connection, going.dead)
    await going.taken.add(connection)
    await connection.execute("DELETE FROM spans WHERE name = $1", span.name)
    await connection.execute("UPDATE spans SET until_id = $2 WHERE name = $1", first.name, span.until_id)
