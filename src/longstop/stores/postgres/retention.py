"""What may be forgotten, and forgetting it: the oldest first, a few at a time. Each is inside of one transaction.

What is forgotten is locked first and judged then: what somebody sends again in between stays.
"""

import json
from collections.abc import Sequence

import asyncpg
import structlog

from longstop.model.delivery import State
from longstop.model.errors import UnreadableRowError
from longstop.model.ids import id_ms
from longstop.model.retention import DAY_MS, Cutoffs, Forgettable, Kind, WholeEvent
from longstop.stores.postgres import dead_groups, ledger
from longstop.stores.postgres.counters import Deltas
from longstop.stores.postgres.find_events import received_within
from longstop.stores.postgres.rows import THESE
from longstop.stores.postgres.statements import Values, changed

log = structlog.get_logger("longstop.store")

DEDUP_AT_ONCE = 5_000

_MAY_GO = """
    CASE WHEN e.routed THEN NOT EXISTS (
        SELECT FROM deliveries d WHERE d.event_id = e.id AND NOT coalesce(
            (d.state = 'delivered' AND d.ended_at_ms < $2)
            OR (d.state = 'dead' AND d.lane IS NULL AND d.ended_at_ms < $3)
            OR (d.state = 'discarded' AND d.ended_at_ms < $4), false))
    ELSE e.received_at_ms < $5 END
"""
"""`retention.event_may_go`, as SQL. An event without deliveries is one that was not routed."""
_WHICH = f"SELECT e.id FROM {THESE} JOIN events e ON e.id = this WHERE {_MAY_GO}"
_ENDED = """
    SELECT d.event_id, d.ended_at_ms, d.id FROM deliveries d
    WHERE d.state = $1 AND d.ended_at_ms IS NOT NULL AND d.ended_at_ms < $2 AND (d.ended_at_ms, d.id) > ($3, $4)
        AND d.id < $6
    ORDER BY d.ended_at_ms, d.id LIMIT $5
"""
_SPANS = "SELECT min(from_id) FILTER (WHERE NOT by_rows), max(from_id) FROM spans"
SHORT_MS = 4 * DAY_MS
"""What is kept for less than about two days does not wait for its span: the last span begins a day or two from now."""
_EVER = "~"
"""No id is higher."""
# Not EXISTS, which a planner makes a join of, with all attempts of before that time.
_OLD_ATTEMPTS = f"""
    SELECT DISTINCT this FROM {THESE} JOIN deliveries d ON d.event_id = this
    WHERE d.ended_at_ms < $2
        AND (SELECT true FROM attempts a WHERE a.delivery_id = d.id AND a.started_at_ms < $2 LIMIT 1)
"""
_FORGET_ATTEMPTS = f"""
    DELETE FROM attempts a USING {THESE}, deliveries d
    WHERE d.event_id = this AND d.ended_at_ms < $2 AND a.delivery_id = d.id AND a.started_at_ms < $2
"""
_LOCK = f"""
    SELECT d.id FROM {THESE} JOIN deliveries d ON d.event_id = this ORDER BY d.id FOR UPDATE OF d
"""
_FORGET_DELIVERIES = f"""
    WITH gone AS (
        DELETE FROM deliveries d USING {THESE} WHERE d.event_id = this
        RETURNING d.id, d.destination, d.state, d.dead_group, d.key, d.ended_at_ms
    ), without_attempts AS (
        DELETE FROM attempts a USING gone WHERE a.delivery_id = gone.id
    ), without_actions AS (
        DELETE FROM actions a USING gone WHERE a.delivery_id = gone.id
    ) SELECT destination, state, dead_group, key, ended_at_ms FROM gone
"""
_FORGET_EVENTS = f"DELETE FROM events e USING {THESE} WHERE e.id = this RETURNING e.source, e.routed"
_FORGET_DEDUP = f"""
    DELETE FROM dedup WHERE digest IN (
        SELECT digest FROM dedup WHERE until_ms <= $1 ORDER BY until_ms LIMIT {DEDUP_AT_ONCE} FOR UPDATE SKIP LOCKED)
"""
_NEW_BEGINNING = (-(2**62), "")


async def forgettable(
    connection: asyncpg.Connection, kind: Kind, before: Cutoffs, after: str | None, limit: int
) -> Forgettable:
    """Events that may go, by what has ended of this kind."""
    if kind is Kind.UNROUTED:
        return await _unrouted(connection, before, after, limit)
    until_id = await _by_rows_until(connection, before) if kind is Kind.DELIVERED else _EVER
    ids, cursor, more = await _ended(connection, kind.value, before.of(kind), after, limit, until_id)
    return Forgettable(tuple(await _may_go(connection, ids, before)), cursor, more)


async def _by_rows_until(connection: asyncpg.Connection, before: Cutoffs) -> str:
    """From this id on, what was delivered goes with its span."""
    until_id, latest = await connection.fetchrow(_SPANS)
    kept_for_long = latest and id_ms(latest) - before.delivered_ms >= SHORT_MS
    return until_id if until_id is not None and kept_for_long else _EVER


async def _unrouted(connection: asyncpg.Connection, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
    values = Values()
    within, _ = await received_within(connection, "e", None, before.unrouted_ms)
    query = f"""
        SELECT e.id FROM events e WHERE NOT e.routed AND e.id > {values.place(after or "")}
            AND {values.where(within)} ORDER BY e.id LIMIT {values.place(limit)}
    """
    ids = [id_ for (id_,) in await connection.fetch(query, *values.given)]
    # Not beyond one that is too young yet, though its id is old: nothing else will bring it up again.
    may_go = set(await _may_go(connection, ids, before))
    done = next((place for place, id_ in enumerate(ids) if id_ not in may_go), len(ids))
    cursor = ids[done - 1] if done else after
    return Forgettable(tuple(id_ for id_ in ids if id_ in may_go), cursor, done == len(ids) == limit)


async def _ended(
    connection: asyncpg.Connection, state: str, before_ms: int, after: str | None, limit: int, until_id: str = _EVER
) -> tuple[list[str], str | None, bool]:
    """The events of the next deliveries that ended in this state, where to go on, and whether there is more.

    until_id: not of deliveries from this one on. Where that has become another, all is looked at anew.
    """
    at_ms, last_id, until_then = json.loads(after) if after else (*_NEW_BEGINNING, until_id)
    if until_then != until_id:
        at_ms, last_id = _NEW_BEGINNING
    rows = await connection.fetch(_ENDED, state, before_ms, at_ms, last_id, limit, until_id)
    cursor = json.dumps([*rows[-1][1:], until_id]) if rows else after
    return list(dict.fromkeys(row[0] for row in rows)), cursor, len(rows) == limit


async def _may_go(connection: asyncpg.Connection, ids: Sequence[str], before: Cutoffs) -> list[str]:
    if not ids:
        return []
    cutoffs = (before.delivered_ms, before.dead_ms, before.discarded_ms, before.unrouted_ms)
    found = {id_ for (id_,) in await connection.fetch(_WHICH, list(ids), *cutoffs)}
    return [id_ for id_ in dict.fromkeys(ids) if id_ in found]


async def whole(connection: asyncpg.Connection, event_ids: Sequence[str]) -> list[WholeEvent]:
    """All there is of these events; those of which something cannot be read are left out, and told."""
    try:
        return await ledger.whole(connection, event_ids)
    except UnreadableRowError:
        found = [await _readable(connection, id_) for id_ in sorted(event_ids)]
        return [event for some in found for event in some]


async def _readable(connection: asyncpg.Connection, event_id: str) -> list[WholeEvent]:
    try:
        return await ledger.whole(connection, [event_id])
    except UnreadableRowError as error:
        log.error("row_unreadable", row=error.row, error=error.trouble)
        return []


async def forget(connection: asyncpg.Connection, event_ids: Sequence[str], before: Cutoffs) -> int:
    """Forget those that may still go."""
    await connection.fetch(_LOCK, list(event_ids))
    going = await _may_go(connection, event_ids, before)
    if not going:
        return 0
    taken = Deltas()
    dead: list[dead_groups.Gone] = []
    for destination, state, group, key, ended_at_ms in await connection.fetch(_FORGET_DELIVERIES, going):
        taken["deliveries", destination, state] -= 1
        if group is not None:
            dead.append(dead_groups.Gone(group, key, ended_at_ms))
    for source, routed in await connection.fetch(_FORGET_EVENTS, going):
        taken["events", source, ""] -= 1
        taken["unrouted", "", ""] -= not routed
    # By the new event: the trail of the kept one is there for as long as what was sent in its place.
    await connection.execute("DELETE FROM edits WHERE event_id = ANY($1::text[])", going)
    await dead_groups.leave(connection, dead)
    await taken.add(connection)
    return len(going)


async def old_attempts(connection: asyncpg.Connection, before_ms: int, after: str | None, limit: int) -> Forgettable:
    """Events with old attempts, by each state in turn."""
    states = [each.value for each in (State.DELIVERED, State.DEAD, State.DISCARDED)]
    cursors = json.loads(after) if after else dict.fromkeys(states)
    for state in states:
        ids, cursors[state], more = await _ended(connection, state, before_ms, cursors[state], limit)
        if ids:
            found = {id_ for (id_,) in await connection.fetch(_OLD_ATTEMPTS, ids, before_ms)}
            more = more or state != states[-1]
            return Forgettable(tuple(id_ for id_ in ids if id_ in found), json.dumps(cursors), more)
    return Forgettable((), json.dumps(cursors), False)


async def forget_attempts(connection: asyncpg.Connection, event_ids: Sequence[str], before_ms: int) -> int:
    """Forget the old attempts of what had ended by then."""
    await connection.fetch(_LOCK, list(event_ids))
    return changed(await connection.execute(_FORGET_ATTEMPTS, list(event_ids), before_ms))


async def lived_until(connection: asyncpg.Connection) -> int | None:
    """What was kept last."""
    found = await connection.fetchval("SELECT lived_ms FROM marks")
    return None if found is None else int(found)


async def live_until(connection: asyncpg.Connection, at_ms: int) -> None:
    """Keep the later one."""
    await connection.execute("UPDATE marks SET lived_ms = $1 WHERE lived_ms IS NULL OR lived_ms < $1", at_ms)


async def forget_dedup(connection: asyncpg.Connection, now_ms: int) -> int:
    """Drop some keys whose window is over."""
    return changed(await connection.execute(_FORGET_DEDUP, now_ms))
