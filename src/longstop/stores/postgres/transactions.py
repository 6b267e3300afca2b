"""Transactional handlers: what a handler writes is committed together with `delivered`, or neither is.

The handler is called in a thread, and each of its statements runs on the connection that settles its delivery. No lock
of ours is held meanwhile: the settlement shows the token of its lease at the end, and where that is not the delivery's
any more, everything is undone.

Its statements see the tables of the role's own schema and of `public`. Those that name our schema, or would end the
transaction, are refused: a guard against mistakes, not against somebody who means it, who has the database anyway.
"""

import asyncio
import contextvars
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import asyncpg

from longstop.model.errors import HandlerRaisedError, LeaseLostError, StoreUnavailableError
from longstop.model.handler import Row, Transaction
from longstop.model.lease import LeaseRef, Settlement
from longstop.stores.postgres import settlements

GRACE_S = 5
"""So much longer than the handler's time-out its transaction may stand open."""

_HELD = "SELECT 1 FROM queue WHERE id = $1 AND token = $2 AND lease_until_ms IS NOT NULL"
_THEIRS = "SET LOCAL search_path = \"$user\", public; SET LOCAL idle_in_transaction_session_timeout = '{}s'"
_OURS = 'SET LOCAL search_path = "{}"'
_COMMENTS = re.compile(r"\s+|--[^\n]*\n?|/\*.*?\*/", re.DOTALL)
_ENDING = frozenset("abort begin call commit end prepare release reset rollback savepoint set start discard".split())


class LostError(Exception):
    """The lease is not the delivery's any more: what the handler wrote is undone."""


async def settle_with(
    connection: asyncpg.Connection,
    schema: str,
    lease: LeaseRef,
    work: Callable[[Transaction], None],
    done: Callable[[], Settlement],
    timeout_s: float,
    threads: Executor,
) -> None:
    """Call `work` in one of `threads`, then settle as `done` says; the inside of one transaction.

    It is undone by what this raises: LostError, HandlerRaisedError where `work` raised or took too long,
    StoreUnavailableError.
    """
    if await connection.fetchval(_HELD, lease.delivery_id, lease.token) is None:
        raise LostError
    await connection.execute(_THEIRS.format(round(timeout_s) + GRACE_S))
    transaction = _HandlerTransaction(connection, schema, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await transaction.loop.run_in_executor(threads, contextvars.copy_context().run, work, transaction)
        transaction.expect_open()
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            raise
        if connection.is_closed():
            raise StoreUnavailableError(f"PostgreSQL: the connection broke below a handler: {error}") from error
        # A value from here on: what PostgreSQL raised to the handler says nothing of the store's health.
        raise HandlerRaisedError(error) from error
    finally:
        await transaction.close()
    await connection.execute(_OURS.format(schema))
    (lost,) = await settlements.within(connection, [done()])
    if lost is not None:
        raise LostError


def lost(lease: LeaseRef) -> LeaseLostError:
    """The error that says so."""
    return LeaseLostError(lease.delivery_id, lease.token)


class _HandlerTransaction:
    """The transaction as a handler has it, until it returns; used in the handler's thread."""

    def __init__(self, connection: asyncpg.Connection, schema: str, timeout_s: float) -> None:
        self._connection = connection
        self._schema = schema
        self.loop = asyncio.get_running_loop()
        self._until_s = self.loop.time() + timeout_s
        self._statement = asyncio.Lock()
        self._failed = False
        self._over = False

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """See handling.Transaction. Values stand for $1, $2, …."""
        self.expect_open()
        if isinstance(values, Mapping):
            raise TypeError("found values by name; expected a list of them, for $1, $2, …: PostgreSQL has no names")
        self._refuse(sql)
        return asyncio.run_coroutine_threadsafe(self._fetch(sql, values), self.loop).result()

    def expect_open(self) -> None:
        """Raise where nothing can be written any more."""
        if self._over:
            raise RuntimeError("the transaction is over; it lasts only until the handler returns")
        if self._failed:
            raise RuntimeError("an earlier error has undone the transaction; let such an error end the handler")
        if self.loop.time() > self._until_s:
            raise TimeoutError("the handler took longer than its timeout; nothing of it is kept")

    async def close(self) -> None:
        """Let nothing more begin, and wait for what is under way: the thread may live longer than its time."""
        self._over = True
        async with self._statement:
            pass

    async def _fetch(self, sql: str, values: Sequence[Any]) -> list[Row]:
        async with self._statement:
            self.expect_open()
            try:
                left_s = max(0.1, self._until_s - self.loop.time())
                return [tuple(row) for row in await self._connection.fetch(sql, *values, timeout=left_s)]
            except BaseException:
                self._failed = True
                raise

    def _refuse(self, sql: str) -> None:
        bare = _COMMENTS.sub(" ", sql).strip().lower()
        first = re.match(r"[a-z]*", bare)
        if first is not None and first[0] in _ENDING:
            found = f"found {first[0].upper()} inside of the transaction"
        elif re.search(rf'(?<![\w"]){self._schema}\s*\.|"{self._schema}"', bare):
            found = f"found the schema {self._schema}, which is Longstop's own"
        else:
            return
        raise PermissionError(f"refused: {found}; a handler has only its own tables")
