"""Lanes: in each, the delivery with the lowest id that is not done with goes first, and the others are held.

One row of a lane at most is not held, so leasing looks at no lane and costs the same for any backlog. Whatever ends a
delivery's turn, or puts one back, or adds one, calls `lock` before it looks at anything, and `advance` when it has
written. A lease needs no lock: it takes the one that is not held, or finds it taken.

The lock is an advisory one, which ends with the transaction, of one of BUCKETS that lanes share: they have a place each
in the server's table of locks, which a batch of as many lanes as there may be keys would fill.
"""

import hashlib
import zlib
from collections.abc import Iterable

import asyncpg

from longstop.model.delivery import Delivery, State

BUCKETS = 512
_CLASS = 0x4C53
"""`LS`: of the two halves of an advisory lock's key, the one that says that it is ours."""

Place = tuple[str, int]
"""A destination, and the hash of a lane."""

_LOCK = "SELECT pg_advisory_xact_lock($1, bucket) FROM unnest($2::int[]) AS bucket"
_PLACES = "unnest($1::varchar[], $2::bigint[]) AS p (destination, lane_hash)"
_OF_PLACE = "q.destination = p.destination AND q.lane_hash = p.lane_hash AND q.lane_hash IS NOT NULL"
_LOCK_FREE = f"SELECT q.id FROM {_PLACES} JOIN queue q ON {_OF_PLACE} WHERE NOT q.held ORDER BY q.id FOR UPDATE OF q"
"""A lease of it that is under way is waited for, and then seen by the next statement."""
# A look at dead deliveries is one into each span, so first whether the destination has ever had any.
_ADVANCE = f"""
    WITH heads AS MATERIALIZED (
        SELECT p.destination, p.lane_hash,
            (SELECT q.id FROM queue q WHERE {_OF_PLACE} ORDER BY q.id LIMIT 1) AS scheduled,
            CASE WHEN EXISTS (SELECT FROM dead_groups g WHERE g.destination = p.destination) THEN
                (SELECT q.id FROM deliveries q WHERE {_OF_PLACE} AND q.state = 'dead' ORDER BY q.id LIMIT 1)
            END AS dead,
            EXISTS (SELECT FROM queue q WHERE {_OF_PLACE} AND NOT q.held AND q.lease_until_ms IS NOT NULL) AS leased
        FROM {_PLACES}
    ), p AS MATERIALIZED (
        SELECT destination, lane_hash,
            CASE WHEN NOT leased AND (dead IS NULL OR scheduled < dead) THEN scheduled END AS free
        FROM heads
    ), held AS (
        UPDATE queue q SET held = true FROM p
        WHERE {_OF_PLACE} AND NOT q.held AND q.lease_until_ms IS NULL AND q.id IS DISTINCT FROM p.free
    )
    UPDATE queue q SET held = false FROM p WHERE q.id = p.free AND q.held
"""


def lane_hash(lane: str | None) -> int | None:
    """What a lane is known by in `queue`: 64 bits of it. Two lanes of one hash would go out as one."""
    if lane is None:
        return None
    digest = hashlib.blake2b(lane.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def place(delivery: Delivery) -> Place | None:
    """The lane that a delivery stands in."""
    hashed = lane_hash(delivery.lane)
    return None if hashed is None else (delivery.destination, hashed)


def may_let_go(delivery: Delivery) -> bool:
    """Whether there may be something new to lease once this is a delivery's row: itself, or the next of its lane.

    One that is dead may have left a lane that its row no longer names.
    """
    return delivery.lane is not None or delivery.state in (State.SCHEDULED, State.DEAD)


async def lock(connection: asyncpg.Connection, places: Iterable[Place]) -> None:
    """From now until the end of the transaction nobody else changes who goes first in these lanes."""
    buckets = sorted(
        {zlib.crc32(f"{hashed}:{name}".encode("utf-8", "surrogatepass")) % BUCKETS for name, hashed in places}
    )
    if buckets:
        await connection.execute(_LOCK, _CLASS, buckets)


async def advance(connection: asyncpg.Connection, places: Iterable[Place]) -> None:
    """Let the first of each of these lanes go, and hold the others; they are locked."""
    known = sorted(set(places))
    if not known:
        return
    names, hashes = [name for name, _ in known], [hashed for _, hashed in known]
    await connection.fetch(_LOCK_FREE, names, hashes)
    await connection.execute(_ADVANCE, names, hashes)
