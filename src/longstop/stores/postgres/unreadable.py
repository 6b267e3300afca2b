"""Parking a delivery that cannot be read, or whose event cannot: it is dead, with the reason `malformed`.

So it is in nobody's way, is listed with what is wrong with it, and a person decides: discard it, or mend the store and
replay it. PostgreSQL keeps the types of its columns, so what is left is what another program wrote: a state that is
none, headers that are no headers, an event that is gone.
"""

from collections.abc import Sequence

import asyncpg
import structlog

from longstop.model.errors import UnreadableRowError
from longstop.stores.postgres import counters, dead_groups, lanes
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.rows import DELIVERIES, DELIVERY, THESE, each, to_delivery

log = structlog.get_logger("longstop.store")

_LANES = f"""
    SELECT d.destination, d.lane_hash FROM {THESE} JOIN deliveries d ON d.id = this WHERE d.lane_hash IS NOT NULL
"""
_PARK = f"""
    WITH before AS MATERIALIZED (
        SELECT d.id, d.destination, d.dead_group, d.key, d.ended_at_ms,
            CASE WHEN q.lease_until_ms IS NULL THEN d.state ELSE 'leased' END AS old
        FROM {DELIVERIES} WHERE d.id = $1
    ), gone AS (DELETE FROM queue WHERE id = $1 RETURNING token),
    parked AS (
        UPDATE deliveries d SET state = 'dead', reason = 'malformed', wait = NULL, last_error = $2, ended_at_ms = $3,
            dead_group = NULL, token = coalesce((SELECT token FROM gone), d.token)
        WHERE d.id = $1
    ), counted AS ({counters.add(counters.moved("(SELECT destination, old, 'dead' AS new FROM before) AS m"))})
    SELECT dead_group, key, ended_at_ms FROM before WHERE dead_group IS NOT NULL
"""
_ONE = f"SELECT {DELIVERY} FROM {DELIVERIES} WHERE d.id = $1"


async def park(database: PostgresDatabase, unread: Sequence[tuple[str, UnreadableRowError]], now_ms: int) -> None:
    """Let these be dead."""
    if not unread:
        return
    await database.transact(lambda connection: within(connection, unread, now_ms))
    for id_, error in unread:
        log.error("delivery_unreadable", delivery_id=id_, error=error.trouble)


async def within(connection: asyncpg.Connection, unread: Sequence[tuple[str, UnreadableRowError]], now_ms: int) -> None:
    """The inside of one transaction."""
    rows = await connection.fetch(_LANES, [id_ for id_, _ in unread])
    places = {(row["destination"], row["lane_hash"]) for row in rows}
    await lanes.lock(connection, places)
    for id_, error in unread:
        trouble = f"the store's row cannot be read: {error.trouble}"
        before = await connection.fetch(_PARK, id_, trouble, now_ms)
        await dead_groups.leave(connection, [dead_groups.Gone(*row) for row in before])
        await dead_groups.join(connection, each(await connection.fetch(_ONE, id_), to_delivery))
    await lanes.advance(connection, places)
