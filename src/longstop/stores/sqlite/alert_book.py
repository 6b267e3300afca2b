"""The book of alerts: one row."""

import apsw

from longstop.model.alert_book import AlertBook

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
    """The book as it is kept."""
    row = connection.execute(_GET).fetchone()
    return AlertBook() if row is None else AlertBook.loaded(int(row[0]), str(row[1]))


def keep(connection: apsw.Connection, changed: AlertBook) -> bool:
    """Put it in the place of the one that has its version."""
    row = connection.execute(_GET).fetchone()
    if (0 if row is None else row[0]) != changed.version:
        return False
    connection.execute(_PUT, (changed.version + 1, changed.dumped()))
    return True
