"""Transactional handlers: what a handler writes is committed together with `delivered`, or neither is.

The handler is called on the writer's thread, inside the transaction that settles its delivery, with tables of its own
in the same file. What would end the transaction early, or change the tables that are ours, is refused.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw

from longstop.model.errors import HandlerRaisedError, LeaseLostError
from longstop.model.handler import Row, Transaction
from longstop.model.lease import LeaseRef, Settlement
from longstop.stores.sqlite import inbox

OURS = frozenset(
    {"events", "dedup", "deliveries", "attempts", "actions", "pauses", "circuits"}
    | {
        "counters",
        "dead_groups",
        "dead_times",
        "key_segments",
        "marks",
        "rejection_counts",
        "rejections",
        "held_requests",
        "edits",
        "jobs",
        "keyed_requests",
        "nodes",
        "statistics",
        "audit",
        "users",
        "tokens",
        "sessions",
        "alert_book",
    }
)
_HELD = "SELECT 1 FROM deliveries WHERE id = ? AND state = 'leased' AND token = ?"
_ENDING = frozenset(
    {apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT, apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH, apsw.SQLITE_PRAGMA}
)
_TABLE_FIRST = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE, apsw.SQLITE_DROP_TABLE})
_TABLE_SECOND = frozenset(
    {apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_DROP_INDEX, apsw.SQLITE_CREATE_TRIGGER}
)


def settle_with(
    connection: apsw.Connection,
    lease: LeaseRef,
    work: Callable[[Transaction], None],
    done: Callable[[], Settlement],
    timeout_s: float,
) -> LeaseLostError | None:
    """Call `work`, then settle as `done` says. Raises HandlerRaisedError where `work` raised or took too long."""
    if connection.execute(_HELD, (lease.delivery_id, lease.token)).fetchone() is None:
        return LeaseLostError(lease.delivery_id, lease.token)
    with _HandlerTransaction(connection, time.monotonic() + timeout_s) as transaction:
        try:
            work(transaction)
            transaction.expect_open()
        except BaseException as error:
            # A value from here on: what SQLite raised to the handler says nothing of the store's health.
            raise HandlerRaisedError(error) from error
    return inbox.settle(connection, [done()])[0]


class _HandlerTransaction:
    """The transaction as a handler has it, until it returns."""

    def __init__(self, connection: apsw.Connection, until_s: float) -> None:
        self._connection = connection
        self._until_s = until_s
        self._refused = ""
        self._over = False

    def __enter__(self) -> "_HandlerTransaction":
        self._before = self._connection.authorizer
        self._connection.authorizer = self._authorize
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._connection.authorizer = self._before

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """See handling.Transaction."""
        self.expect_open()
        try:
            return self._connection.execute(sql, values).fetchall()
        except apsw.AuthError:
            raise PermissionError(f"refused: {self._refused}; a handler has only its own tables") from None

    def expect_open(self) -> None:
        """Raise where nothing can be written any more."""
        if self._over:
            raise RuntimeError("the transaction is over; it lasts only until the handler returns")
        if not self._connection.in_transaction:
            raise RuntimeError("an earlier error has undone the transaction; let such an error end the handler")
        if time.monotonic() > self._until_s:
            raise TimeoutError("the handler took longer than its timeout; nothing of it is kept")

    def _authorize(self, op: int, one: str | None, two: str | None, _schema: str | None, _by: str | None) -> int:
        if op in _ENDING:
            self._refused = f"found {str(apsw.mapping_authorizer_function[op])[7:]} inside of the transaction"
        elif (op in _TABLE_FIRST and one in OURS) or (op in _TABLE_SECOND and two in OURS):
            self._refused = f"found a change of the table {one if op in _TABLE_FIRST else two}"
        else:
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY
