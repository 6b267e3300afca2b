"""How much of everything there is: the counters' sums, and the first of what waits. Inside of one view."""

from collections import defaultdict

import asyncpg

from longstop.model.delivery import State
from longstop.model.listing import Counts
from longstop.stores.postgres.rows import each, reader
from longstop.stores.sql.rows import Row

_SUMS = """
    SELECT name, subject, state, sum(n)::bigint FROM counted GROUP BY subject, name, state HAVING sum(n) <> 0
"""
_OLDEST = """
    SELECT name, d.received_at_ms FROM unnest($1::varchar[]) AS name, LATERAL (
        SELECT q.id FROM queue q WHERE q.destination = name ORDER BY q.id LIMIT 1) AS first, deliveries d
    WHERE d.id = first.id
"""
# One look into each half of the index: what was tried and what was not.
_NEXT_DUE = """
    SELECT name, min(first.due_at_ms)
    FROM unnest($1::varchar[]) AS name, unnest(ARRAY[false, true]) AS was_tried, LATERAL (
        SELECT q.due_at_ms FROM queue q
        WHERE q.destination = name AND q.tried = was_tried AND q.lease_until_ms IS NULL AND NOT q.held
        ORDER BY q.due_at_ms LIMIT 1) AS first
    GROUP BY name
"""
_WAITING = (State.SCHEDULED, State.LEASED)


def _counter(row: Row) -> tuple[str, str, State | None, int]:
    name, subject, state, n = row
    return name, subject, State(state) if subject == "deliveries" else None, n


_to_counter = reader("counter", _counter)


async def counts(connection: asyncpg.Connection) -> Counts:
    """How much of everything there is."""
    sources: dict[str, int] = {}
    deliveries: defaultdict[str, dict[State, int]] = defaultdict(dict)
    unrouted = 0
    for name, subject, state, n in each(await connection.fetch(_SUMS), _to_counter):
        if state is not None:
            deliveries[name][state] = n
        elif subject == "events":
            sources[name] = n
        else:
            unrouted = n
    waiting = [name for name, states in deliveries.items() if any(map(states.get, _WAITING))]
    oldest = dict(await connection.fetch(_OLDEST, waiting))
    return Counts(
        events=sum(sources.values()),
        unrouted=unrouted,
        deliveries=dict(deliveries),
        oldest_waiting_at_ms=min(oldest.values(), default=None),
        sources=sources,
        oldest_waiting=oldest,
        next_due=dict(await connection.fetch(_NEXT_DUE, waiting)),
    )
