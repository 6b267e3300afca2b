"""What a person who watches asks: what happened lately, what a part of an id means, who goes first in a lane, what is
dead and of what. Each function is inside of one view of the database."""

from dataclasses import replace

import asyncpg

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery
from longstop.model.ids import END_CHARS, format_uuid7
from longstop.model.listing import DeadGroup, TimeSteps
from longstop.model.recent import Recent
from longstop.stores.postgres.ledger import BODILESS
from longstop.stores.postgres.rows import (
    DELIVERIES,
    DELIVERY,
    columns,
    each,
    reader,
    to_action,
    to_attempt,
    to_delivery,
    to_event,
)
from longstop.stores.sql.rows import ATTEMPT_COLUMNS, Row

SAMPLE = 5
"""How many ids a group of the dead shows."""
SEARCHED_FOR_AN_END = 100_000
"""Ids of each kind; they are read out of the index alone."""
_SLACK_MS = 60_000
"""An event's id holds the time it was made at, a little before or after it was received."""

_EVENTS = f"SELECT {BODILESS} FROM events e WHERE e.id >= $1 AND e.received_at_ms >= $2 ORDER BY e.id LIMIT $3"
_ATTEMPTS = f"""
    SELECT {columns(ATTEMPT_COLUMNS, "a")}, {DELIVERY} FROM attempts a, {DELIVERIES} WHERE d.id = a.delivery_id
        AND a.started_at_ms + a.duration_ms >= $1
    ORDER BY a.started_at_ms + a.duration_ms, a.delivery_id, a.number LIMIT $2
"""
_ACTIONS = f"""
    SELECT a.trigger, a.at_ms, a."by", a.why, {DELIVERY} FROM actions a, {DELIVERIES} WHERE d.id = a.delivery_id
        AND a.at_ms >= $1
    ORDER BY a.at_ms, a.seq LIMIT $2
"""
_BEGINS = "SELECT id FROM {} WHERE id >= $1 AND id < $1 || '~' ORDER BY id DESC LIMIT $2"
"""`~` comes after everything that an id is made of."""
_ENDS = f"""
    SELECT id FROM (SELECT id FROM {{}} ORDER BY id DESC LIMIT {SEARCHED_FOR_AN_END}) AS latest
    WHERE right(id, {END_CHARS}) = $1 ORDER BY id DESC LIMIT $2
"""
# By the lane's hash, which has the index, and by the lane, which is what counts.
_AHEAD = f"""
    WITH held AS (
        SELECT q.destination, q.lane_hash, d.lane FROM queue q JOIN deliveries d ON d.id = q.id
        WHERE q.id = $1 AND q.held
    ), lane AS (
        (SELECT q.id, q.lease_until_ms IS NULL AS waits FROM held
            JOIN queue q ON q.destination = held.destination AND q.lane_hash = held.lane_hash
            JOIN deliveries d ON d.id = q.id AND d.lane = held.lane
            ORDER BY q.lease_until_ms IS NULL, q.id LIMIT 1)
        UNION ALL
        (SELECT d.id, true FROM held
            JOIN deliveries d ON d.destination = held.destination AND d.lane_hash = held.lane_hash
                AND d.state = 'dead' AND d.lane = held.lane
            ORDER BY d.id LIMIT 1)
    )
    SELECT {DELIVERY} FROM {DELIVERIES} WHERE d.id = (SELECT id FROM lane ORDER BY waits, id LIMIT 1)
"""
_LARGEST = f"""
    SELECT g.id, g.destination, g.reason, g.status, g.error, g.n, g.keys, latest.ids,
        (SELECT min(d.ended_at_ms) FROM deliveries d WHERE d.dead_group = g.id),
        (SELECT max(d.ended_at_ms) FROM deliveries d WHERE d.dead_group = g.id)
    FROM dead_groups g, LATERAL (
        SELECT array_agg(id::varchar) AS ids FROM (
            SELECT d.id FROM deliveries d WHERE d.dead_group = g.id
            ORDER BY d.ended_at_ms DESC, d.id DESC LIMIT {SAMPLE}) AS last) AS latest
    WHERE g.n > 0 AND g.destination = coalesce($1, g.destination) ORDER BY g.n DESC, g.id LIMIT $2
"""
_TIMES = """
    SELECT t.dead_group, (t.at_ms - $2) / $4, sum(t.n)::bigint
    FROM unnest($1::bigint[]) AS this JOIN dead_times t ON t.dead_group = this
    WHERE t.at_ms >= $2 AND t.at_ms < $3 GROUP BY 1, 2
"""


async def recent(connection: asyncpg.Connection, since_ms: int, limit: int) -> Recent:
    """What happened since a time."""
    first_id = format_uuid7(max(since_ms - _SLACK_MS, 0), 0)
    return Recent(
        tuple(each(await connection.fetch(_EVENTS, first_id, since_ms, limit), to_event)),
        tuple(each(await connection.fetch(_ATTEMPTS, since_ms, limit), _attempt_of, "recent attempts")),
        tuple(each(await connection.fetch(_ACTIONS, since_ms, limit), _action_of, "recent actions")),
    )


def _attempt_of(row: Row) -> tuple[Delivery, Attempt]:
    width = len(ATTEMPT_COLUMNS)
    return to_delivery(row[width:]), to_attempt(row[:width])


def _action_of(row: Row) -> tuple[Delivery, ActionRecord]:
    return to_delivery(row[4:]), to_action(row[:4])


async def find_ids(connection: asyncpg.Connection, part: str, limit: int) -> list[str]:
    """Ids that begin or end so."""
    found: set[str] = set()
    for table in ("events", "deliveries"):
        found.update(id_ for (id_,) in await connection.fetch(_BEGINS.format(table), part, limit))
        if len(part) == END_CHARS:
            found.update(id_ for (id_,) in await connection.fetch(_ENDS.format(table), part, limit))
    return sorted(found, reverse=True)[:limit]


async def ahead(connection: asyncpg.Connection, delivery_id: str) -> Delivery | None:
    """The one of a held delivery's lane that goes first: what is leased, or the lowest id that is not done with."""
    row = await connection.fetchrow(_AHEAD, delivery_id)
    return None if row is None else to_delivery(row)


async def dead_groups(
    connection: asyncpg.Connection, destination: str | None, limit: int, over: TimeSteps | None
) -> list[DeadGroup]:
    """The largest groups, and when the dead of each died."""
    rows = await connection.fetch(_LARGEST, destination, limit)
    if over is None:
        return list(each(rows, _to_group))
    steps = {row[0]: [0] * over.count for row in rows}
    for group, step, n in await connection.fetch(_TIMES, list(steps), over.from_ms, over.until_ms, over.step_ms):
        steps[group][step] = max(0, n)
    return [replace(made, over_time=tuple(steps[row[0]])) for row in rows for made in each([row], _to_group)]


def _group(row: Row) -> DeadGroup:
    _, destination, reason, status, error, n, keys, sample, first_at_ms, last_at_ms = row
    place = destination, DeadReason(reason), None if status < 0 else status, error
    return DeadGroup(*place, n, keys, first_at_ms, last_at_ms, tuple(sample or ()))


_to_group = reader("group of dead deliveries", _group)
