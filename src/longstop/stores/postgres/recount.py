"""Checking the counters against what they count, a few at a time, and putting right those that drifted.

They cannot drift by themselves: the transaction that changes a row changes its counter. A bug can make them, or a
person with another program. Each counter is counted by an index, in the one statement that reads what it says; what is
wrong by so much in one snapshot is wrong by as much a moment later, so the difference is what is put right.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from longstop.model.delivery import State
from longstop.model.listing import DEAD_STEP_MS, Drift
from longstop.stores.postgres.counters import Deltas

LONG_S = 600
"""So long one count may take: a hundred million events are counted in half a minute, and one that was broken off would
be begun anew for ever, with all behind it unchecked."""
_UNHURRIED = f"SET LOCAL statement_timeout = '{LONG_S}s'"
_NAMES = """
    WITH RECURSIVE found(name) AS (
        (SELECT {0} FROM {1} WHERE {2} ORDER BY {0} LIMIT 1) UNION ALL
        SELECT (SELECT {0} FROM {1} WHERE {2} AND {0} > found.name ORDER BY {0} LIMIT 1)
        FROM found WHERE found.name IS NOT NULL
    ) SELECT name FROM found WHERE name IS NOT NULL
"""
"""The different values of an index's first column: one look-up each."""
_SOURCES = (_NAMES.format("source", "events", "true"), "SELECT name FROM counted WHERE subject = 'events'")
_DESTINATIONS = (
    _NAMES.format("destination", "queue", "true"),
    _NAMES.format("destination", "deliveries", "state = 'delivered'"),
    _NAMES.format("destination", "deliveries", "state = 'discarded'"),
    "SELECT destination FROM dead_groups",
    "SELECT name FROM counted WHERE subject = 'deliveries'",
)
_GROUPS = ("SELECT id::varchar FROM dead_groups",)

_FOUND: dict[tuple[str, str], str] = {
    ("events", ""): "SELECT count(*) FROM events WHERE source = $2",
    ("unrouted", ""): "SELECT count(*) FROM events WHERE NOT routed",
    ("deliveries", State.SCHEDULED): "SELECT count(*) FROM queue WHERE destination = $2 AND lease_until_ms IS NULL",
    ("deliveries", State.LEASED): "SELECT count(*) FROM queue WHERE destination = $2 AND lease_until_ms IS NOT NULL",
    ("deliveries", State.DELIVERED): "SELECT count(*) FROM deliveries WHERE destination = $2 AND state = 'delivered'",
    ("deliveries", State.DISCARDED): "SELECT count(*) FROM deliveries WHERE destination = $2 AND state = 'discarded'",
    ("deliveries", State.DEAD): """
        SELECT count(*) FROM dead_groups g JOIN deliveries d ON d.dead_group = g.id WHERE g.destination = $2
    """,
}
"""What a counter counts, by its subject and state; $2 is its name."""
_COUNT = """
    SELECT coalesce((SELECT sum(n)::bigint FROM counted WHERE subject = $1 AND name = $2 AND state = $3), 0), ({})
"""
_COUNT_GROUP = """
    SELECT g.n, g.keys, (SELECT count(*) FROM deliveries d WHERE d.dead_group = g.id),
        (SELECT count(DISTINCT d.key) FROM deliveries d WHERE d.dead_group = g.id)
    FROM dead_groups g WHERE g.id = $1
"""
_WRONG_TIMES = f"""
    SELECT coalesce(k.at_ms, f.at_ms), coalesce(k.n, 0), coalesce(f.n, 0)
    FROM (SELECT at_ms, n FROM dead_times WHERE dead_group = $1) AS k
    FULL JOIN (
        SELECT d.ended_at_ms - d.ended_at_ms % {DEAD_STEP_MS} AS at_ms, count(*) AS n FROM deliveries d
        WHERE d.dead_group = $1 AND d.ended_at_ms IS NOT NULL GROUP BY 1) AS f ON f.at_ms = k.at_ms
    WHERE k.n IS DISTINCT FROM f.n
"""
_REPAIR_TIME = """
    INSERT INTO dead_times (dead_group, at_ms, n) VALUES ($1, $2, $3)
    ON CONFLICT (dead_group, at_ms) DO UPDATE SET n = dead_times.n + excluded.n
"""
_FORGET_TIMES = """
    DELETE FROM dead_times t WHERE t.dead_group = $1
        AND (t.n = 0 OR NOT EXISTS (SELECT FROM dead_groups g WHERE g.id = $1))
"""
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('longstop recount ' || current_schema, 0))"
"""Two who find the same thing put it right once."""
_REPAIR_GROUP = "UPDATE dead_groups SET n = n + $2, keys = keys + $3 WHERE id = $1"
_FORGET_GROUP = "DELETE FROM dead_groups WHERE id = $1 AND n = 0"

Place = tuple[int, str]
"""0 and a source, 1 for the unrouted, 2 and a destination, 3 and a group."""


class Step(NamedTuple):
    """What one step found."""

    place: Place | None
    next_after: str | None
    needs_repair: bool = False


async def look(connection: asyncpg.Connection, after: str | None) -> Step:
    """Count for the name behind this one. The inside of one view."""
    await connection.execute(_UNHURRIED)
    places = await _places(connection)
    place = next((each for each in places if after is None or each > _place_of(after)), None)
    if place is None:
        return Step(None, None)
    cursor = None if place == places[-1] else json.dumps(place)
    if place[0] == 3:
        kept, kept_keys, found, found_keys = await connection.fetchrow(_COUNT_GROUP, int(place[1]), timeout=LONG_S)
        wrong = await connection.fetch(_WRONG_TIMES, int(place[1]), timeout=LONG_S)
        return Step(place, cursor, (kept, kept_keys) != (found, found_keys) or kept == 0 or bool(wrong))
    counted = [await _count(connection, counter) for counter in _counters(place)]
    return Step(place, cursor, any(kept != found for kept, found in counted))


async def repair(connection: asyncpg.Connection, place: Place) -> list[Drift]:
    """Put right what is wrong there, counted anew; what it was. The inside of a transaction."""
    await connection.execute(_UNHURRIED)
    await connection.execute(_ONE_AT_A_TIME)
    if place[0] == 3:
        return await _repair_group(connection, int(place[1]))
    counted = [(counter, *await _count(connection, counter)) for counter in _counters(place)]
    await Deltas({counter: found - kept for counter, kept, found in counted}).add(connection)
    return [Drift(" ".join(filter(None, counter)), kept, found) for counter, kept, found in counted if kept != found]


def _place_of(after: str) -> Place:
    kind, name = json.loads(after)
    return kind, name


async def _places(connection: asyncpg.Connection) -> list[Place]:
    """All there is to count, in an order that stays: sources, the unrouted, destinations, groups."""
    sources, destinations = await _names(connection, _SOURCES), await _names(connection, _DESTINATIONS)
    names = ((0, sources), (1, {""}), (2, destinations), (3, await _names(connection, _GROUPS)))
    return sorted((kind, name) for kind, some in names for name in some)


async def _names(connection: asyncpg.Connection, queries: Sequence[str]) -> set[str]:
    return {name for query in queries for (name,) in await connection.fetch(query)}


def _counters(place: Place) -> list[tuple[str, str, str]]:
    kind, name = place
    if kind == 2:
        return [("deliveries", name, state.value) for state in State]
    return [("events", name, "")] if kind == 0 else [("unrouted", "", "")]


async def _count(connection: asyncpg.Connection, counter: tuple[str, str, str]) -> tuple[int, int]:
    """What a counter says, and what there is."""
    subject, _, state = counter
    kept, found = await connection.fetchrow(_COUNT.format(_FOUND[subject, state]), *counter, timeout=LONG_S)
    return kept, found


async def _repair_group(connection: asyncpg.Connection, id_: int) -> list[Drift]:
    row = await connection.fetchrow(_COUNT_GROUP, id_, timeout=LONG_S)
    if row is None:
        return []
    kept, kept_keys, found, found_keys = row
    times = await connection.fetch(_WRONG_TIMES, id_, timeout=LONG_S)
    await connection.execute(_REPAIR_GROUP, id_, found - kept, found_keys - kept_keys)
    await connection.executemany(_REPAIR_TIME, [(id_, at_ms, there - said) for at_ms, said, there in times])
    if found == 0:
        await connection.execute(_FORGET_GROUP, id_)
    await connection.execute(_FORGET_TIMES, id_)
    quarters = ("quarters of an hour that were wrong", len(times), 0)
    pairs = (("count", kept, found), ("keys", kept_keys, found_keys), quarters)
    return [Drift(f"dead group {id_} {what}", before, now) for what, before, now in pairs if before != now]
