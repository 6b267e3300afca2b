"""Spans of time: the partitions of events, deliveries and attempts, cut as time goes on.

The first span has no beginning, the last one no end: whatever comes has its place, also where nobody has cut for long.
The last one is cut while it is empty, a day before anything comes to it. Only where it is not (the first after an
upgrade, or where nothing ran for days) have its rows to be read: that happens beside everybody's work, and the cut
lies far enough ahead that what arrives meanwhile lies before it.

Why a span is a day or longer, and not an hour: a statement that does not say which ids it is about looks into each
span, and every transaction locks those that it may touch. So there are about SPANS of them however long things are
kept, and with 400 nothing would be quick any more.
"""

import functools
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from longstop.model.ids import format_uuid7, id_ms
from longstop.model.retention import DAY_MS
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.failures import LockedError
from longstop.stores.postgres.statements import Work

SPANS = 16
"""About so many at a time: when what is kept reaches further back, a span is longer."""
AHEAD_MS = DAY_MS
"""So long before anything comes to it a span is cut off."""
FAR_MS = 8 * DAY_MS
"""So far ahead a span is cut that is not empty: its rows are read first, and until then nothing may come behind it."""
NEVER_MS = 250_000_000_000_000
"""Where there are ids of the year 9892 or later, no end is set: they have no room for many more days."""
TRIES = 10
"""So often a lock of whole tables is asked for: each time for LOCK_MS at most, because who comes later waits, too."""
LOCK_MS = 200

TABLES = {"events": "id", "deliveries": "id", "attempts": "delivery_id"}
"""What is in spans, and by which column."""
_STORAGE = {
    **dict.fromkeys(TABLES, "WITH (autovacuum_analyze_threshold = 10000)"),
    "deliveries": "WITH (autovacuum_analyze_threshold = 10000, fillfactor = 85)",
}
"""Statistics of a span that has just begun would say that all of it may as well be read, and plans are kept."""

ALL_TABLES = f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE"
LOCK_SPANS = f"SET LOCAL lock_timeout = '{LOCK_MS}ms'; LOCK TABLE spans IN EXCLUSIVE MODE"
"""One at a time changes which spans there are; who only reads does not wait."""
_READ = "SELECT name, from_id, until_id, by_rows, planned_id FROM spans ORDER BY from_id"
_NAMED = "SELECT EXISTS (SELECT FROM spans WHERE name = $1)"
_CHECKED = "SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $1 || '_until'"


class SpanRow(NamedTuple):
    """A row of the table `spans`."""

    name: str
    from_id: str
    until_id: str | None
    by_rows: bool
    planned_id: str | None

    @property
    def from_ms(self) -> int:
        """When it begins; 0 where it has no beginning."""
        return id_ms(self.from_id) if self.from_id else 0

    def of(self, table: str) -> str:
        """The partition of a table."""
        return f"{table}_{self.name}"


async def read(connection: asyncpg.Connection) -> list[SpanRow]:
    """All spans, the oldest first."""
    return [SpanRow(*row) for row in await connection.fetch(_READ)]


async def prepare(database: PostgresDatabase, now_ms: int) -> None:
    """See to it that the last span is empty, and will be for a day yet."""
    before: SpanRow | None = None
    for _ in range(SPANS):
        last = (await database.view(read))[-1]
        # Where it is as before, somebody was in the way: another round will.
        if last.from_ms >= now_ms + AHEAD_MS or last == before:
            return
        before = last
        if not await database.view(functools.partial(is_empty, span=last)):
            await _plan(database, now_ms)
        await _cut(database, now_ms)


def length_ms(spans: Sequence[SpanRow], now_ms: int) -> int:
    """How long the next one is: whole days."""
    begun = [each.from_ms for each in spans if each.from_id]
    return max(1, -(-(now_ms - min(begun, default=now_ms)) // (SPANS * DAY_MS))) * DAY_MS


def lowest_id(at_ms: int) -> str:
    """What no id of this time, or later, is lower than."""
    return format_uuid7(at_ms, 0)


async def is_empty(connection: asyncpg.Connection, span: SpanRow) -> bool:
    """Whether nothing has come to it yet."""
    kept = " OR ".join(f"EXISTS (SELECT FROM {span.of(table)})" for table in TABLES)
    return not await connection.fetchval(f"SELECT {kept}")


# -- cutting -----------------------------------------------------------------------------------------------


async def _cut(database: PostgresDatabase, now_ms: int) -> None:
    """Give the last span its end, and begin another one."""

    async def cut(connection: asyncpg.Connection) -> None:
        await connection.execute(LOCK_SPANS)
        spans = await read(connection)
        last = spans[-1]
        if last.from_ms >= now_ms + AHEAD_MS:
            return
        await connection.execute(ALL_TABLES)
        until_id = last.planned_id
        if until_id is None:
            if not await is_empty(connection, last):
                return
            until_id = lowest_id(_midnight(max(last.from_ms, now_ms)) + length_ms(spans, now_ms))
        elif not await is_checked(connection, last):
            return
        await divide(connection, last, until_id)

    await locked(database, cut)


async def divide(connection: asyncpg.Connection, last: SpanRow, until_id: str) -> None:
    """Where its rows are checked to lie before `until_id`, or there are none, nothing is read."""
    name = await _free_name(connection, id_ms(until_id))
    start = f"'{last.from_id}'" if last.from_id else "MINVALUE"
    for table in TABLES:
        await connection.execute(f"""
            ALTER TABLE {table} DETACH PARTITION {last.of(table)};
            ALTER TABLE {table} ATTACH PARTITION {last.of(table)} FOR VALUES FROM ({start}) TO ('{until_id}');
            CREATE TABLE {table}_{name} PARTITION OF {table} FOR VALUES FROM ('{until_id}') TO (MAXVALUE)
                {_STORAGE[table]};
        """)
    await connection.execute("UPDATE spans SET until_id = $2, planned_id = NULL WHERE name = $1", last.name, until_id)
    await connection.execute("INSERT INTO spans (name, from_id, by_rows) VALUES ($1, $2, false)", name, until_id)


async def _plan(database: PostgresDatabase, now_ms: int) -> None:
    """Say where the last span is to end, and have its rows read for it while everybody works.

    It will be a long one, most of all where ids are from the future (a clock that was ahead has made them): who waited
    for all of it would keep what was delivered for as long. So it is forgotten row by row.
    """

    async def plan(connection: asyncpg.Connection) -> None:
        await connection.execute(LOCK_SPANS)
        last = (await read(connection))[-1]
        if last.planned_id is not None or last.from_ms >= now_ms + AHEAD_MS:
            return
        await connection.execute(ALL_TABLES)
        latest_ms = [now_ms]
        for table, column in TABLES.items():
            latest = await connection.fetchval(f"SELECT max({column}) FROM {last.of(table)}")
            latest_ms += [] if latest is None else [id_ms(latest)]
        await connection.execute("UPDATE spans SET by_rows = true WHERE name = $1", last.name)
        if max(latest_ms) >= NEVER_MS:
            return
        until_id = lowest_id(_midnight(max(latest_ms)) + FAR_MS)
        for table, column in TABLES.items():
            await add_check(connection, last.of(table), column, until_id)
        await connection.execute("UPDATE spans SET planned_id = $2 WHERE name = $1", last.name, until_id)

    if await locked(database, plan):
        last = (await database.view(read))[-1]
        if last.planned_id is not None:
            await check(database, last)


async def add_check(connection: asyncpg.Connection, partition: str, column: str, until_id: str) -> None:
    """From now on nothing of a partition lies behind this; what is there already is read by `check`."""
    await connection.execute(f"""
        ALTER TABLE {partition} DROP CONSTRAINT IF EXISTS {partition}_until;
        ALTER TABLE {partition} ADD CONSTRAINT {partition}_until CHECK ({column} < '{until_id}') NOT VALID;
    """)


async def check(database: PostgresDatabase, span: SpanRow) -> None:
    """Have what `add_check` promised read, where it has not been: it takes as long as reading does, and nobody waits.

    Then PostgreSQL knows it when the partition is attached, and does not read it under a lock.
    """
    for table in TABLES:
        await locked(database, functools.partial(_validate, partition=span.of(table)))


async def _validate(connection: asyncpg.Connection, partition: str) -> None:
    if await connection.fetchval(_CHECKED, partition) is not False:
        return
    await connection.execute(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{LOCK_MS}ms'")
    await connection.execute(f"ALTER TABLE {partition} VALIDATE CONSTRAINT {partition}_until", timeout=DAY_MS / 1000)


async def is_promised(connection: asyncpg.Connection, partition: str) -> bool:
    """Whether `add_check` has been asked for a partition."""
    return await connection.fetchval(_CHECKED, partition) is not None


async def is_checked(connection: asyncpg.Connection, span: SpanRow) -> bool:
    """Whether PostgreSQL knows that nothing of it lies behind its end."""
    return all([await connection.fetchval(_CHECKED, span.of(table)) for table in TABLES])


async def _free_name(connection: asyncpg.Connection, from_ms: int) -> str:
    name = made = f"{datetime.fromtimestamp(from_ms / 1000, UTC):%Y%m%d}"
    number = 1
    while await connection.fetchval(_NAMED, made):
        number += 1
        made = f"{name}_{number}"
    return made


def _midnight(at_ms: int) -> int:
    return at_ms - at_ms % DAY_MS


async def locked(database: PostgresDatabase, work: Work[None]) -> bool:
    """`work`, which asks for a lock of whole tables; whether it got it in a few tries."""
    for _ in range(TRIES):
        try:
            await database.transact(work)
        except LockedError:
            continue
        return True
    return False
