"""The counters: how many events and deliveries there are, kept by the transactions that change it.

A row of `counters` is a slot's share of a number of something: `events` by source, `unrouted`, and `deliveries` by
destination and state. The number is the sum over all slots.

Why slots: a row that every transaction changes is locked from its change to its commit, so all commits of all nodes
would stand in one line, each waiting for the disk by itself. A connection changes the rows of its own slot.
"""

from collections import Counter

import asyncpg

SLOTS = 64
"""More than there are connections that write at once, mostly. Two of one slot wait for each other, no more."""

_ADD = f"""
    INSERT INTO counters (subject, name, state, slot, n)
    SELECT subject, name, state, pg_backend_pid() % {SLOTS}, sum(n) FROM ({{}}) AS changes (subject, name, state, n)
    GROUP BY subject, name, state HAVING sum(n) <> 0
    ORDER BY subject, name, state
    ON CONFLICT (subject, name, state, slot) DO UPDATE SET n = counters.n + excluded.n
"""


def add(changes: str) -> str:
    """A statement that adds the rows of a query: subject, name, state and how many more, or fewer.

    In one order, so that no two that have one slot wait for each other crosswise.
    """
    return _ADD.format(changes)


def moved(rows: str) -> str:
    """A query for `add`: deliveries went from one state to another. rows: (destination, old, new) of a FROM clause."""
    return f"""
        SELECT 'deliveries', destination, old, -1 FROM {rows}
        UNION ALL SELECT 'deliveries', destination, new, 1 FROM {rows}
    """


_ADD_GIVEN = add("SELECT * FROM unnest($1::varchar[], $2::varchar[], $3::varchar[], $4::bigint[])")


class Deltas(Counter[tuple[str, str, str]]):
    """What a transaction adds to the counters, by subject, name and state, where no statement of its own does it."""

    async def add(self, connection: asyncpg.Connection) -> None:
        """Add them; inside the transaction that changed what they count."""
        rows = [(*counter, n) for counter, n in self.items() if n]
        if rows:
            await connection.execute(_ADD_GIVEN, *zip(*rows, strict=True))
