"""Statistics: a row for each number that is not zero, in the order in which they are asked for and forgotten.

The bins of a latency are columns of its row: a day of minutes, of ten destinations and seven sources, is a hundred
thousand rows to add up, and was eighteen times as many with a row for each bin.
"""

from collections.abc import Sequence

import apsw

from longstop.model.statistics import BINS, Bucket, Series, StatisticsQuery
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

_BINS = tuple(f"bin_{place:02}" for place in range(BINS))
_NUMBERS = ("n", *_BINS)

MIGRATION_BINS = f"""
    {" ".join(f"ALTER TABLE statistics ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0;" for name in _BINS)}
    -- Each bin was a series of its own.
    INSERT INTO statistics (step_ms, series, at_ms, source, destination, {", ".join(_NUMBERS)})
        SELECT step_ms, 'latency', at_ms, source, destination, sum(n),
            {", ".join(f"sum(iif(series = 'latency.{name[-2:]}', n, 0))" for name in _BINS)}
        FROM statistics WHERE series GLOB 'latency.*' GROUP BY step_ms, at_ms, source, destination;
    DELETE FROM statistics WHERE series GLOB 'latency.*';
    -- What one of many sources did in a long time: of each it is asked whether it is silent.
    CREATE INDEX statistics_source ON statistics (step_ms, series, source, at_ms);
"""

_ADD = f"""
    INSERT INTO statistics (step_ms, at_ms, series, source, destination, {", ".join(_NUMBERS)})
    VALUES (?, ?, ?, ?, ?, {", ".join("?" * len(_NUMBERS))})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _NUMBERS)}
"""
_NONE = (0,) * BINS
_FORGET = """
    DELETE FROM statistics WHERE (step_ms, series, at_ms, source, destination) IN (
        SELECT step_ms, series, at_ms, source, destination FROM statistics
        WHERE step_ms = ? AND at_ms < ? ORDER BY at_ms LIMIT ?)
"""


def add(connection: apsw.Connection, buckets: Sequence[Bucket]) -> None:
    """Add to what is kept."""
    rows = ((b.step_ms, b.at_ms, b.series, b.source, b.destination, b.n, *(b.bins or _NONE)) for b in buckets)
    connection.executemany(_ADD, rows)


def sums(connection: apsw.Connection, wanted: StatisticsQuery) -> list[Bucket]:
    """What is asked for: a range of the primary key, added up on the way."""
    where = "step_ms = ? AND series = ? AND at_ms >= ? AND at_ms < ?"
    values: list[object] = [wanted.kept_ms, wanted.series, wanted.from_ms, wanted.until_ms]
    for column, name in (("source", wanted.source), ("destination", wanted.destination)):
        if name is not None:
            where += f" AND {column} = ?"
            values.append(name)
    names = ["at_ms - (at_ms - ?) % ? AS at"]
    names += ["source AS one"] if wanted.by_source else ["'' AS one"]
    names += ["destination AS other"] if wanted.by_destination else ["'' AS other"]
    has_bins = wanted.series == Series.LATENCY
    names += [f"sum({name})" for name in (_NUMBERS if has_bins else ("n",))]
    index = "" if wanted.source is None else "INDEXED BY statistics_source"
    query = f"""
        SELECT {", ".join(names)} FROM statistics {index} WHERE {where}
        GROUP BY at, one, other ORDER BY at, one, other
    """
    found = connection.execute(query, (wanted.from_ms, wanted.step_ms, *values))
    # A sum of anything but whole numbers is a fraction, which no bucket is.
    rows = unreadable.each(found, _sum_of_bins if has_bins else _sum, f"statistics of {wanted.series}")
    return [Bucket(wanted.step_ms, at, wanted.series, one, other, n, tuple(bins)) for at, one, other, n, *bins in rows]


_NAMES = ["at_ms", "source", "destination"]
_sum = unreadable.reader("what is counted at", [*_NAMES, "n"], lambda row: row)
_sum_of_bins = unreadable.reader("what is counted at", [*_NAMES, *["n"] * len(_NUMBERS)], lambda row: row)


def forget(connection: apsw.Connection, step_ms: int, before_ms: int, limit: int) -> int:
    """Drop what is old, the oldest first."""
    connection.execute(_FORGET, (step_ms, before_ms, limit))
    return connection.changes()
