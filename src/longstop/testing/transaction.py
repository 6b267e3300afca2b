"""A stand-in for the store's transaction, for tests of a transactional handler.

    transaction = StandInTransaction()
    book(make_event(body=b'{"id": 1, "cents": 250}'), transaction)
    assert transaction.execute("SELECT cents FROM bookings") == [(250,)]

It is a database of its own in memory. What the store refuses is refused here too.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from longstop.model.handler import Row

_REFUSED = re.compile(r"\s*(BEGIN|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|ATTACH|DETACH|PRAGMA|VACUUM)\b", re.IGNORECASE)


class StandInTransaction:
    """A Transaction over an empty SQLite database, whose writes last as long as it does."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """Run one SQL statement with bound values; its rows. Raises PermissionError for what the store refuses."""
        if found := _REFUSED.match(sql):
            raise PermissionError(f"refused: found {found[1].upper()} inside of the transaction")
        return list(self._connection.execute(sql, values))
