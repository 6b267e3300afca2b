"""Statements that are put together: conditions with their values, pages by a key, many rows in one INSERT."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import asyncpg

from longstop.model.listing import Listing, Page
from longstop.stores.postgres.rows import columns, each

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[[asyncpg.Connection], Awaitable[T]]


class Condition(NamedTuple):
    """A condition of a WHERE, `{}` in the place of each of its values."""

    sql: str
    values: tuple[Any, ...] = ()


class Values:
    """The values of a statement, numbered in the order in which they come."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def place(self, value: Any) -> str:
        """What stands for a value in the statement."""
        self.given.append(value)
        return f"${len(self.given)}"

    def where(self, conditions: Iterable[Condition]) -> str:
        """All of them together."""
        return " AND ".join(one.sql.format(*map(self.place, one.values)) for one in conditions) or "true"


def insert(table: str, types: dict[str, str], behind: str = "ON CONFLICT DO NOTHING") -> str:
    """An INSERT of many rows, given as an array of each column (`arrays`). types: the columns with their types."""
    # An array of text is one of varchar: see text.py.
    arrays = ", ".join(f"${place}::{type_}[]" for place, type_ in enumerate(types.values(), 1))
    return f"INSERT INTO {table} ({columns(list(types))}) SELECT * FROM unnest({arrays}) {behind}"


def arrays(rows: Sequence[Row], width: int) -> list[list[Any]]:
    """The columns of rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def behind(page: Page, key: str = "id") -> list[Condition]:
    """Where a page begins, as a condition."""
    return [] if page.after is None else [Condition(f"{key} {'<' if page.newest_first else '>'} {{}}", (page.after,))]


def order(page: Page) -> str:
    """The direction of a page."""
    return "DESC" if page.newest_first else "ASC"


async def page_of(
    connection: asyncpg.Connection,
    table: str,
    names: Sequence[str],
    conditions: Sequence[Condition],
    page: Page,
    read: Callable[[asyncpg.Record], T],
    key: str = "id",
) -> Listing[T]:
    """One page of a table's rows, by a key that an index has behind what the conditions fix."""
    values = Values()
    where = values.where([*conditions, *behind(page, key)])
    limit = values.place(page.limit + 1)
    query = f"SELECT {columns(names)} FROM {table} WHERE {where} ORDER BY {key} {order(page)} LIMIT {limit}"
    rows = await connection.fetch(query, *values.given)
    shown = rows[: page.limit]
    return Listing(tuple(each(shown, read)), shown[-1][key] if len(rows) > len(shown) else None)


def changed(status: str) -> int:
    """How many rows a statement changed, by what the server said of it (`UPDATE 3`)."""
    return int(status.rpartition(" ")[2])


def unsynced(work: Work[T]) -> Work[T]:
    """Work whose commit does not wait for the disk: a power cut may undo it, because it is found and done again."""

    async def done(connection: asyncpg.Connection) -> T:
        await connection.execute("SET LOCAL synchronous_commit TO off")
        return await work(connection)

    return done
