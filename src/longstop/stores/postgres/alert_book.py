"""The book of alerts: one row."""

import asyncpg

from longstop.model.alert_book import AlertBook
from longstop.stores.postgres.rows import each, reader
from longstop.stores.postgres.statements import changed
from longstop.stores.sql.rows import Row

_GET = "SELECT version, book FROM alert_book"
_PUT = """
    INSERT INTO alert_book (one, version, book)
    SELECT true, $1::bigint + 1, $2 WHERE $1 = 0 OR EXISTS (SELECT FROM alert_book)
    ON CONFLICT (one) DO UPDATE SET version = excluded.version, book = excluded.book WHERE alert_book.version = $1
"""


async def book(connection: asyncpg.Connection) -> AlertBook:
    """The book as it is kept. One that cannot be read is an empty one, which is written in its place."""
    row = await connection.fetchrow(_GET)
    if row is None:
        return AlertBook()
    return next(each([row], _to_book), AlertBook(row["version"]))


async def keep(connection: asyncpg.Connection, to: AlertBook) -> bool:
    """Put it in the place of the one that has its version."""
    return changed(await connection.execute(_PUT, to.version, to.dumped())) == 1


def _made_book(row: Row) -> AlertBook:
    try:
        return AlertBook.loaded(*row)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is none: {error!r}") from None


_to_book = reader("the alerts' book of version", _made_book)
