"""The book of alerts: one row."""

import apsw

from longstop.model.alert_book import AlertBook
from longstop.stores.sqlite import unreadable

MIGRATION = """
    CREATE TABLE alert_book (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version INTEGER NOT NULL,
        book TEXT NOT NULL
    );
"""
_GET = "SELECT version, book FROM alert_book"
_PUT = "INSERT OR REPLACE INTO alert_book (one, version, book) VALUES (1, ?, ?)"


def book(connection: apsw.Connection) -> AlertBook:
    """The book as it is kept. One that cannot be read is an empty one, which is written in its place."""
    row = connection.execute(_GET).fetchone()
    if row is None:
        return AlertBook()
    return next(unreadable.each([row], _to_book), AlertBook(_version(row)))


def keep(connection: apsw.Connection, changed: AlertBook) -> bool:
    """Put it in the place of the one that has its version."""
    if _version(connection.execute(_GET).fetchone()) != changed.version:
        return False
    connection.execute(_PUT, (changed.version + 1, changed.dumped()))
    return True


def _version(row: unreadable.Row | None) -> int:
    return row[0] if row is not None and isinstance(row[0], int) else 0


def _made_book(row: unreadable.Row) -> AlertBook:
    try:
        return AlertBook.loaded(*row)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it is none: {error!r}") from None


_to_book = unreadable.reader("the alerts' book of version", ("version", "book"), _made_book)
