"""Refused requests: counts, samples, and what is held apart. Each function is inside one transaction."""

from collections.abc import Mapping, Sequence

import asyncpg

from longstop.model.listing import Listing, Page
from longstop.model.rejection import (
    SAMPLES_KEPT,
    HeldCount,
    HeldRequest,
    HoldRoom,
    HoldSettings,
    Rejection,
    RejectionCount,
)
from longstop.stores.postgres.rows import each, reader
from longstop.stores.postgres.statements import Condition, arrays, changed, insert, page_of
from longstop.stores.sql.operators_rows import (
    REJECTION_COUNT_COLUMNS,
    held_of,
    held_row,
    rejection_count_of,
    rejection_count_row,
    rejection_of,
    rejection_row,
)

_REQUEST = {**dict.fromkeys(("method", "client", "path", "query"), "varchar"), "headers": "bytea", "body": "bytea"}
_REJECTION = {
    "source": "varchar",
    "id": "varchar",
    "at_ms": "bigint",
    "reason": "varchar",
    "status": "integer",
    "problems": "bytea",
    "body_bytes": "bigint",
    "body_kept": "boolean",
    "asked": "varchar",
    "nearest": "varchar",
    **_REQUEST,
}
_HELD = {
    "source": "varchar",
    "id": "varchar",
    "received_at_ms": "bigint",
    "sender": "varchar",
    "fingerprint": "bytea",
    "size": "bigint",
    **_REQUEST,
}

# In one order, so that two processes that write the same rows wait for each other instead of both for ever.
_COUNT = """
    INSERT INTO rejection_counts (source, reason, count, first_at_ms, last_at_ms)
    SELECT source, reason, sum(count), min(first), max(last)
    FROM unnest($1::varchar[], $2::varchar[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS given (source, reason, count, first, last)
    GROUP BY source, reason ORDER BY source, reason
    ON CONFLICT (source, reason) DO UPDATE SET count = rejection_counts.count + excluded.count,
        first_at_ms = least(rejection_counts.first_at_ms, excluded.first_at_ms),
        last_at_ms = greatest(rejection_counts.last_at_ms, excluded.last_at_ms)
"""
_PRUNE = """
    DELETE FROM rejections WHERE source = $1
        AND id <= (SELECT id FROM rejections WHERE source = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)
"""
_COUNTS = "SELECT source, reason, count, first_at_ms, last_at_ms FROM rejection_counts ORDER BY source, reason"
_HELD_COUNTS = """
    SELECT source, count(*), sum(size)::bigint, min(received_at_ms) FROM held_requests GROUP BY source ORDER BY source
"""
_HELD_BY_SENDER = "SELECT sender, count(*), sum(size)::bigint FROM held_requests WHERE source = $1 GROUP BY sender"
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""Who counts what is held of a source and adds to it is the only one to do so, until the end of its transaction."""
# What comes a second time, because nobody knows whether the first time was done, is the same.
_INSERT_REJECTION = insert("rejections", _REJECTION)
_INSERT_HELD = insert("held_requests", _HELD)


def _of_source(source: str) -> list[Condition]:
    return [Condition("source = {}", (source,))]


# -- counts and samples -------------------------------------------------------------------------


async def record(
    connection: asyncpg.Connection, counts: Sequence[RejectionCount], samples: Sequence[Rejection]
) -> None:
    """Add to the counts, and keep the last samples of each source."""
    if counts:
        rows = list(map(rejection_count_row, counts))
        await connection.execute(_COUNT, *arrays(rows, len(REJECTION_COUNT_COLUMNS)))
    if samples:
        rows = sorted(map(rejection_row, samples), key=lambda row: row[:2])
        await connection.execute(_INSERT_REJECTION, *arrays(rows, len(_REJECTION)))
    for source in sorted({sample.source for sample in samples}):
        await connection.execute(_PRUNE, source, SAMPLES_KEPT)


_to_rejection = reader("refused request", rejection_of, known_by=1)


async def rejections(connection: asyncpg.Connection, source: str, page: Page) -> Listing[Rejection]:
    """One page of a source's samples."""
    return await page_of(connection, "rejections", list(_REJECTION), _of_source(source), page, _to_rejection)


async def counts(connection: asyncpg.Connection) -> list[RejectionCount]:
    """How many there were, by source and reason."""
    return list(each(await connection.fetch(_COUNTS), _to_count))


_to_count = reader("count of refused requests", rejection_count_of)


async def forget(connection: asyncpg.Connection, before_ms: int) -> int:
    """Drop samples and counts from before a time."""
    await connection.execute("DELETE FROM rejection_counts WHERE last_at_ms < $1", before_ms)
    return changed(await connection.execute("DELETE FROM rejections WHERE at_ms < $1", before_ms))


# -- held requests ------------------------------------------------------------------------------


async def hold(
    connection: asyncpg.Connection, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]
) -> list[bool]:
    """Keep what there is room for."""
    rooms = {}
    for source in sorted({request.source for request in requests}):
        await connection.execute(_ONE_AT_A_TIME, f"held requests of {source}")
        held = await connection.fetch(_HELD_BY_SENDER, source)
        rooms[source] = HoldRoom(limits[source], {sender: (number, size) for sender, number, size in held})
    taken = [rooms[each.source].take(each.sender, each.size) for each in requests]
    rows = [held_row(each) for each, has_room in zip(requests, taken, strict=True) if has_room]
    await connection.execute(_INSERT_HELD, *arrays(rows, len(_HELD)))
    return taken


_to_held = reader("held request", held_of, known_by=1)


async def held_requests(connection: asyncpg.Connection, source: str, page: Page) -> Listing[HeldRequest]:
    """One page of what is held of a source."""
    return await page_of(connection, "held_requests", list(_HELD), _of_source(source), page, _to_held)


async def held_counts(connection: asyncpg.Connection) -> list[HeldCount]:
    """What is held, by source."""
    return [HeldCount(*row) for row in await connection.fetch(_HELD_COUNTS)]


async def drop_held(connection: asyncpg.Connection, source: str, ids: Sequence[str]) -> int:
    """Let go of them."""
    query = "DELETE FROM held_requests WHERE source = $1 AND id = ANY($2::varchar[])"
    return changed(await connection.execute(query, source, list(ids)))


async def forget_held(connection: asyncpg.Connection, source: str, before_ms: int) -> int:
    """Drop what was received before a time."""
    query = "DELETE FROM held_requests WHERE source = $1 AND received_at_ms < $2"
    return changed(await connection.execute(query, source, before_ms))
