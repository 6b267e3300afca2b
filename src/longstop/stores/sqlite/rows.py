"""Rows of SQLite: many to a statement, and read with an eye on what SQLite keeps of any type."""

from functools import cache
from itertools import chain

import apsw

from longstop.stores.sql.rows import (
    ACTION_COLUMNS,
    ATTEMPT_COLUMNS,
    DELIVERY_COLUMNS,
    EVENT_COLUMNS,
    action_of,
    attempt_of,
    delivery_of,
    event_of,
)
from longstop.stores.sqlite import unreadable

Row = unreadable.Row

ROWS_MAX = 64
"""How many rows go into one statement. There is a prepared one for every number up to it."""


def columns(names: list[str], table: str = "") -> str:
    """The column list of a SELECT or INSERT, qualified by `table` if given."""
    return ", ".join(f"{table}.{name}" if table else name for name in names)


def insert_rows(connection: apsw.Connection, table: str, names: list[str], rows: list[Row], behind: str = "") -> int:
    """Insert rows, many to a statement; how many were inserted or changed. `behind`: what follows the VALUES.

    The interpreter's lock is let go and taken again around every step of a statement. A thread that does so for
    each row waits for its turn so often, beside a busy event loop, that the waiting costs more than the work.
    """
    changed = 0
    for start in range(0, len(rows), ROWS_MAX):
        some = rows[start : start + ROWS_MAX]
        connection.execute(_insert(table, tuple(names), len(some), behind), tuple(chain.from_iterable(some)))
        changed += connection.changes()
    return changed


@cache
def _insert(table: str, names: tuple[str, ...], rows: int, behind: str) -> str:
    row = f"({', '.join('?' * len(names))})"
    # OR ROLLBACK: one bad row undoes the transaction, which is what we do anyway; no undo log for the statement then.
    return f"INSERT OR ROLLBACK INTO {table} ({columns(list(names))}) VALUES {', '.join([row] * rows)} {behind}"


to_event = unreadable.reader("event", EVENT_COLUMNS, event_of)
"""The event of a row in the order of EVENT_COLUMNS. This and the others raise UnreadableRowError."""
to_delivery = unreadable.reader("delivery", DELIVERY_COLUMNS, delivery_of)
"""The delivery of a row in the order of DELIVERY_COLUMNS."""
to_attempt = unreadable.reader("attempt", ATTEMPT_COLUMNS, attempt_of)
"""The attempt of a row in the order of ATTEMPT_COLUMNS."""
to_action = unreadable.reader("action", ACTION_COLUMNS, action_of)
"""The record of an action of a row in the order of ACTION_COLUMNS."""
