"""Statistics: a row for each number that is not zero, in the order in which they are asked for and forgotten."""

from collections.abc import Sequence

import apsw

from longstop.model.statistics import Bucket, StatisticsQuery
from longstop.stores.sqlite import unreadable

MIGRATION = """
    CREATE TABLE statistics (
        -- A minute or an hour.
        step_ms INTEGER NOT NULL,
        series TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        source TEXT NOT NULL,
        destination TEXT NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (step_ms, series, at_ms, source, destination)
    ) WITHOUT ROWID;
    CREATE INDEX statistics_at ON statistics (step_ms, at_ms);
"""

_ADD = """
    INSERT INTO statistics (step_ms, at_ms, series, source, destination, n) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET n = n + excluded.n
"""
_FORGET = """
    DELETE FROM statistics WHERE (step_ms, series, at_ms, source, destination) IN (
        SELECT step_ms, series, at_ms, source, destination FROM statistics
        WHERE step_ms = ? AND at_ms < ? ORDER BY at_ms LIMIT ?)
"""


def add(connection: apsw.Connection, buckets: Sequence[Bucket]) -> None:
    """Add to what is kept."""
    rows = ((b.step_ms, b.at_ms, b.series, b.source, b.destination, b.n) for b in buckets)
    connection.executemany(_ADD, rows)


def sums(connection: apsw.Connection, wanted: StatisticsQuery) -> list[Bucket]:
    """What is asked for: a range of the primary key, added up on the way."""
    where = "step_ms = ? AND series = ? AND at_ms >= ? AND at_ms < ?"
    values: list[object] = [wanted.kept_ms, wanted.series, wanted.from_ms, wanted.until_ms]
    for column, name in (("source", wanted.source), ("destination", wanted.destination)):
        if name is not None:
            where += f" AND {column} = ?"
            values.append(name)
    source = "source" if wanted.by_source else "''"
    destination = "destination" if wanted.by_destination else "''"
    query = f"""
        SELECT at_ms - (at_ms - ?) % ? AS at, {source} AS one, {destination} AS other, sum(n)
        FROM statistics WHERE {where} GROUP BY at, one, other ORDER BY at, one, other
    """
    found = connection.execute(query, (wanted.from_ms, wanted.step_ms, *values))
    # A sum of anything but whole numbers is a fraction, which no bucket is.
    return [
        Bucket(wanted.step_ms, at, wanted.series, one, other, n)
        for at, one, other, n in unreadable.each(found, _sum, f"statistics of {wanted.series}")
    ]


_sum = unreadable.reader("what is counted at", ["at_ms", "source", "destination", "n"], lambda row: row)


def forget(connection: apsw.Connection, step_ms: int, before_ms: int, limit: int) -> int:
    """Drop what is old, the oldest first."""
    connection.execute(_FORGET, (step_ms, before_ms, limit))
    return connection.changes()
