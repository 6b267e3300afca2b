"""Statistics: a row for each number that is not zero, in the order in which they are asked for and forgotten."""

from collections.abc import Sequence

import asyncpg

from longstop.model.statistics import BINS, Bucket, Series, StatisticsQuery, added
from longstop.stores.postgres.operators_schema import BINS_COLUMNS
from longstop.stores.postgres.statements import Condition, Values, arrays, changed, insert

_KEY = {"step_ms": "bigint", "series": "varchar", "at_ms": "bigint", "source": "varchar", "destination": "varchar"}
_NUMBERS = ("n", *BINS_COLUMNS)
_TYPES = {**_KEY, **dict.fromkeys(_NUMBERS, "bigint")}
_ADD = insert(
    "statistics",
    _TYPES,
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = statistics.{name} + excluded.{name}" for name in _NUMBERS),
)
_NONE = (0,) * BINS
_FORGET = f"""
    DELETE FROM statistics WHERE ({", ".join(_KEY)}) IN (
        SELECT {", ".join(_KEY)} FROM statistics WHERE step_ms = $1 AND at_ms < $2 ORDER BY at_ms LIMIT $3)
"""


async def add(connection: asyncpg.Connection, buckets: Sequence[Bucket]) -> None:
    """Add to what is kept."""
    sums: dict[tuple[int, str, int, str, str], tuple[int, tuple[int, ...]]] = {}
    for each in buckets:
        key = (each.step_ms, each.series, each.at_ms, each.source, each.destination)
        n, bins = sums.get(key, (0, ()))
        sums[key] = n + each.n, added(bins, each.bins)
    # In one order, so that two processes that write the same rows wait for each other instead of both for ever.
    rows = [(*key, n, *(bins or _NONE)) for key, (n, bins) in sorted(sums.items())]
    await connection.execute(_ADD, *arrays(rows, len(_TYPES)))


async def sums(connection: asyncpg.Connection, wanted: StatisticsQuery) -> list[Bucket]:
    """What is asked for: a range of an index, added up on the way."""
    has_bins = wanted.series == Series.LATENCY
    numbers = _NUMBERS if has_bins else ("n",)
    values = Values()
    start, step = values.place(wanted.from_ms), values.place(wanted.step_ms)
    names = [
        f"at_ms - (at_ms - {start}::bigint) % {step}::bigint AS at",
        f"{'source' if wanted.by_source else chr(39) * 2} AS one",
        f"{'destination' if wanted.by_destination else chr(39) * 2} AS other",
        *(f"sum({name})::bigint" for name in numbers),
    ]
    query = f"""
        SELECT {", ".join(names)} FROM statistics WHERE {values.where(_conditions(wanted))}
        GROUP BY at, one, other ORDER BY at, one, other
    """
    rows = await connection.fetch(query, *values.given)
    return [Bucket(wanted.step_ms, at, wanted.series, one, other, n, tuple(bins)) for at, one, other, n, *bins in rows]


def _conditions(wanted: StatisticsQuery) -> list[Condition]:
    given = (
        ("step_ms = {}", wanted.kept_ms),
        ("series = {}", wanted.series),
        ("at_ms >= {}", wanted.from_ms),
        ("at_ms < {}", wanted.until_ms),
        ("source = {}", wanted.source),
        ("destination = {}", wanted.destination),
    )
    return [Condition(sql, (value,)) for sql, value in given if value is not None]


async def forget(connection: asyncpg.Connection, step_ms: int, before_ms: int, limit: int) -> int:
    """Drop what is old, the oldest first."""
    return changed(await connection.execute(_FORGET, step_ms, before_ms, limit))
