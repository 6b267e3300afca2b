"""Going through a table by id, within a time: pages without a scan that nobody can wait for.

A *stream* is what an index gives in the order of ids, and what has to be looked at besides in each row. Where nothing
has to, a page is one look-up. Otherwise rows are looked at some at a time, and when patience ends the page says where.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import apsw

from longstop.model.ids import id_ms
from longstop.model.listing import Page
from longstop.stores.sqlite import unreadable

FIRST_CHUNK = 64
CHUNK_MAX = 32_768
QUICK_S = 0.01
"""Chunks that take less than this are doubled: a time limit is kept to about so much."""


class Condition(NamedTuple):
    """A condition of a WHERE, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Stream:
    """Rows in the order of their ids: of those of `index` where `within` holds the ones where `fits` does."""

    table: str
    index: str | None
    within: tuple[Condition, ...] = ()
    fits: tuple[Condition, ...] = ()


@dataclass
class Found:
    """Ids in the page's order, one more than asked for where there are more."""

    ids: list[str] = field(default_factory=list)
    searched_to: str | None = None
    """Patience ended here: behind it nothing was looked at."""


class Ids(NamedTuple):
    """The ids of one page."""

    ids: list[str]
    next_after: str | None
    searched_to_ms: int | None


def patience(page: Page, share: float = 1.0) -> float:
    """Until when to search, by the monotonic clock."""
    return time.monotonic() + page.patience_ms / 1000 * share


def walk(connection: apsw.Connection, stream: Stream, page: Page, until_s: float) -> Found:
    """One stream's part of a page."""
    found = Found()
    cursor, chunk = page.after, FIRST_CHUNK
    while True:
        began_s = time.monotonic()
        bound = _id_at(connection, stream, page, cursor, chunk) if stream.fits else None
        wanted = page.limit + 1 - len(found.ids)
        found.ids += _ids(connection, stream, page, cursor, bound, wanted)
        if bound is None or len(found.ids) > page.limit:
            return found
        cursor = bound
        now_s = time.monotonic()
        if now_s >= until_s:
            found.searched_to = bound
            return found
        if now_s - began_s < QUICK_S:
            chunk = min(chunk * 2, CHUNK_MAX)


def _id_at(connection: apsw.Connection, stream: Stream, page: Page, cursor: str | None, place: int) -> str | None:
    """The last id of the next so many rows; None where there are no more than that."""
    where, values = _where([*stream.within, *_behind(page, cursor)])
    query = f"SELECT id FROM {_from(stream)} WHERE {where} ORDER BY id {_order(page)} LIMIT 1 OFFSET ?"
    found = connection.execute(query, (*values, place - 1)).get
    return None if found is None else str(found)


def _ids(
    connection: apsw.Connection, stream: Stream, page: Page, cursor: str | None, bound: str | None, limit: int
) -> list[str]:
    down_to = [] if bound is None else [Condition(f"id {'>=' if page.newest_first else '<='} ?", (bound,))]
    where, values = _where([*stream.within, *_behind(page, cursor), *down_to, *stream.fits])
    query = f"SELECT id FROM {_from(stream)} WHERE {where} ORDER BY id {_order(page)} LIMIT ?"
    return [str(id_) for (id_,) in unreadable.fetched(connection.execute(query, (*values, limit)))]


def merge(page: Page, parts: Sequence[Found]) -> Ids:
    """The page that several streams make together."""
    ids = sorted((id_ for part in parts for id_ in part.ids), reverse=page.newest_first)
    ends = [part.searched_to for part in parts if part.searched_to is not None]
    end = None
    if ends:
        # What lies behind the one that got least far may have others between.
        end = max(ends) if page.newest_first else min(ends)
        ids = [id_ for id_ in ids if (id_ >= end if page.newest_first else id_ <= end)]
    if len(ids) > page.limit:
        return Ids(ids[: page.limit], ids[page.limit - 1], None)
    return Ids(ids, end, None if end is None else id_ms(end))


def walk_all(connection: apsw.Connection, streams: Sequence[Stream], page: Page) -> Ids:
    """One page of several streams, which have no row in common. Each has its part of the time that is left."""
    end_s = patience(page)
    parts = []
    for place, stream in enumerate(streams):
        now_s = time.monotonic()
        parts.append(walk(connection, stream, page, now_s + (end_s - now_s) / (len(streams) - place)))
    return merge(page, parts)


def gather(connection: apsw.Connection, query: str, conditions: Sequence[Condition], page: Page) -> Ids:
    """One page of few rows, in whatever order they are found: they are sorted."""
    where, values = _where([*conditions, *_behind(page, page.after)])
    full = f"{query} WHERE {where} ORDER BY +id {_order(page)} LIMIT ?"
    rows = unreadable.fetched(connection.execute(full, (*values, page.limit + 1)))
    return merge(page, [Found([str(id_) for (id_,) in rows])])


def count_up_to(connection: apsw.Connection, most: int, table: str, index: str, *conditions: Condition) -> int:
    """How many rows of an index fit, counted no further than `most`."""
    where, values = _where(conditions)
    query = f"SELECT count(*) FROM (SELECT 1 FROM {table} INDEXED BY {index} WHERE {where} LIMIT ?)"
    return int(connection.execute(query, (*values, most)).get)


def _where(conditions: Sequence[Condition]) -> tuple[str, tuple[Any, ...]]:
    tight = tightest(conditions)
    text = " AND ".join(each.sql for each in tight) or "1"
    return text, tuple(value for each in tight for value in each.values)


def tightest(conditions: Sequence[Condition]) -> list[Condition]:
    """Of several upper bounds of the id the lowest, of several lower ones the highest, and all else.

    SQLite goes to the first of two bounds in an index and looks at each row for the other: page 10,000 of a time would
    read the 9,999 before it.
    """
    upper = [each for each in conditions if each.sql in _UPPER]
    lower = [each for each in conditions if each.sql in _LOWER]
    rest = [each for each in conditions if each.sql not in (*_UPPER, *_LOWER)]
    # Of the same value the one without it.
    rest += [min(upper, key=lambda each: (each.values, _UPPER.index(each.sql)))] if upper else []
    rest += [max(lower, key=lambda each: (each.values, _LOWER.index(each.sql)))] if lower else []
    return rest


_UPPER = ("id < ?", "id <= ?")
_LOWER = ("id >= ?", "id > ?")


def _behind(page: Page, cursor: str | None) -> list[Condition]:
    return [] if cursor is None else [Condition(f"id {'<' if page.newest_first else '>'} ?", (cursor,))]


def _from(stream: Stream) -> str:
    return stream.table if stream.index is None else f"{stream.table} INDEXED BY {stream.index}"


def _order(page: Page) -> str:
    return "DESC" if page.newest_first else "ASC"
