"""The counters: how many events and deliveries there are, kept by the transactions that change it.

There are `events` by source, `unrouted`, and `deliveries` by destination and state. What a transaction changes it notes
in rows of its own (`counter_changes`); folding.py adds them to `counters`. A number is the sum over both (`counted`).

Why not at once: a row that every transaction changes is locked from its change to its commit, so all commits of all
nodes would stand in one line, each waiting for the disk by itself; and each would go through the versions that the
others have left of it (churn_schema.py).
"""

from collections import Counter

import asyncpg

_ADD = """
    INSERT INTO counter_changes (subject, name, state, n)
    SELECT subject, name, state, sum(n) FROM ({}) AS changes (subject, name, state, n)
    GROUP BY subject, name, state HAVING sum(n) <> 0
"""


def add(changes: str) -> str:
    """A statement that adds the rows of a query: subject, name, state and how many more, or fewer."""
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
