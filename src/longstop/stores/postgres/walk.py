"""Going through a table by id, within a time: pages without a scan that nobody can wait for.

A *stream* is what an index gives in the order of ids, and what has to be looked at besides in each row. Several streams
are one statement: the server merges them. Where nothing has to be looked at, a page is one look-up. Otherwise rows are
looked at some at a time, and when patience ends the page says where.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from longstop.model.ids import id_ms
from longstop.model.listing import Page
from longstop.stores.postgres.statements import Condition, Values, behind, order

FIRST_CHUNK = 64
CHUNK_MAX = 32_768
ENTRIES_MAX = 131_072
"""Of so many ranges of an index that a chunk of each is more than this, a chunk is smaller."""
QUICK_S = 0.01
"""Chunks that take less than this are doubled: a time limit is kept to about so much."""


PLANNED_FOR_ITS_VALUES = "SET LOCAL plan_cache_mode = force_custom_plan"
"""Of what is asked here it matters for the plan how much there is of it, and everywhere else it does not."""


class Each(NamedTuple):
    """A column that has each of some values: as many ranges of an index."""

    column: str
    type: str
    """Of the values, for an array: `varchar`, `bigint`."""
    values: Sequence[Any]


@dataclass(frozen=True)
class Stream:
    """Rows in the order of their ids: of those where `within` holds, which an index has, the ones where `fits` does."""

    rows: str
    """A table with its alias, which is its first letter."""
    within: tuple[Condition, ...] = ()
    fits: tuple[Condition, ...] = ()
    each: Each | None = None
    beside: str = ""
    """What `fits` speaks of besides: a JOIN of no more and no fewer rows."""

    @property
    def id(self) -> str:
        """The column of the id."""
        return f"{self.rows[0]}.id"

    @property
    def width(self) -> int:
        """How many ranges of an index it is."""
        return 1 if self.each is None else len(self.each.values)


class Ids(NamedTuple):
    """The ids of one page."""

    ids: list[str]
    next_after: str | None
    searched_to_ms: int | None


async def walk(connection: asyncpg.Connection, streams: Sequence[Stream], page: Page) -> Ids:
    """One page of several streams, which have no row in common."""
    streams = [each for each in streams if each.width]
    if not any(each.fits for each in streams):
        return ids_of(page, await _ids(connection, streams, page, page.after, None, page.limit + 1) if streams else [])
    until_s = time.monotonic() + page.patience_ms / 1000
    chunk_max = max(FIRST_CHUNK, min(CHUNK_MAX, ENTRIES_MAX // sum(each.width for each in streams)))
    found: list[str] = []
    cursor, chunk = page.after, FIRST_CHUNK
    while True:
        began_s = time.monotonic()
        bound = await _id_at(connection, streams, page, cursor, chunk)
        found += await _ids(connection, streams, page, cursor, bound, page.limit + 1 - len(found))
        if bound is None or len(found) > page.limit:
            return ids_of(page, found)
        cursor = bound
        now_s = time.monotonic()
        if now_s >= until_s:
            return Ids(found, bound, id_ms(bound))
        if now_s - began_s < QUICK_S:
            chunk = min(chunk * 2, chunk_max)


def ids_of(page: Page, found: list[str]) -> Ids:
    """found: ids in the page's order, one more than it has room for, or several, where there are more."""
    shown = found[: page.limit]
    return Ids(shown, shown[-1] if len(found) > page.limit else None, None)


async def _id_at(
    connection: asyncpg.Connection, streams: Sequence[Stream], page: Page, cursor: str | None, place: int
) -> str | None:
    """The last id of the next so many rows; None where there are no more than that."""
    values = Values()
    limit = values.place(place)
    parts = [_select(each, values, page, [*each.within, *_behind(each, page, cursor)], limit) for each in streams]
    query = f"{_merged(parts, page)} OFFSET {limit} - 1 LIMIT 1"
    found = await connection.fetchval(query, *values.given)
    return None if found is None else str(found)


async def _ids(
    connection: asyncpg.Connection,
    streams: Sequence[Stream],
    page: Page,
    cursor: str | None,
    bound: str | None,
    most: int,
) -> list[str]:
    values = Values()
    limit = values.place(most)
    parts = []
    for each in streams:
        to_bound = (
            [] if bound is None else [Condition(f"{each.id} {'>=' if page.newest_first else '<='} {{}}", (bound,))]
        )
        conditions = [*each.within, *_behind(each, page, cursor), *to_bound, *each.fits]
        parts.append(_select(each, values, page, conditions, limit, each.beside))
    return [id_ for (id_,) in await connection.fetch(f"{_merged(parts, page)} LIMIT {limit}", *values.given)]


def _behind(stream: Stream, page: Page, cursor: str | None) -> list[Condition]:
    return [] if cursor is None else [Condition(f"{stream.id} {'<' if page.newest_first else '>'} {{}}", (cursor,))]


def _select(
    stream: Stream, values: Values, page: Page, conditions: Sequence[Condition], limit: str, beside: str = ""
) -> str:
    each = stream.each
    of_one = [] if each is None else [Condition(f"{each.column} = one")]
    where = values.where([*of_one, *conditions])
    rows = f"""
        SELECT {stream.id} AS id FROM {stream.rows} {beside}
        WHERE {where} ORDER BY {stream.id} {order(page)} LIMIT {limit}
    """
    if each is None:
        return f"({rows})"
    ranges = values.place(list(each.values))
    return f"(SELECT its.id FROM unnest({ranges}::{each.type}[]) AS one CROSS JOIN LATERAL ({rows}) AS its)"


def _merged(parts: Sequence[str], page: Page) -> str:
    return f"SELECT id FROM ({' UNION ALL '.join(parts)}) AS every ORDER BY id {order(page)}"


async def gather(connection: asyncpg.Connection, rows: Condition, conditions: Sequence[Condition], page: Page) -> Ids:
    """One page of few rows of the table `d`, sorted, in whatever order they are found. rows: what is joined."""
    values = Values()
    joined = values.where([rows])
    where = values.where([*conditions, *behind(page, "d.id")])
    limit = values.place(page.limit + 1)
    query = f"""
        WITH few AS MATERIALIZED (SELECT d.id FROM {joined} WHERE {where})
        SELECT id FROM few ORDER BY id {order(page)} LIMIT {limit}
    """
    return ids_of(page, [id_ for (id_,) in await connection.fetch(query, *values.given)])


async def count_up_to(connection: asyncpg.Connection, most: int, rows: str, *conditions: Condition) -> int:
    """How many rows there are, of so many at most."""
    values = Values()
    query = f"SELECT 1 FROM {rows} WHERE {values.where(conditions)} LIMIT {values.place(most)}"
    return int(await connection.fetchval(f"SELECT count(*) FROM ({query}) AS few", *values.given))
