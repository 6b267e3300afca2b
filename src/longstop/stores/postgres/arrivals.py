"""Waking who waits for work: at once in this process, by NOTIFY in the others, and by looking now and then.

A NOTIFY takes a lock of the whole database while its transaction commits (PostgreSQL's src/backend/commands/async.c,
PreCommit_Notify), which would put all appends of all nodes in one line. So it is in none of them: a connection of its
own says it, once in NOTIFY_S however much has arrived. Who misses it (the connection was away, a PgBouncer stands
between) looks after `poll_s`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

import asyncpg

from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres.failures import translated

NOTIFY_S = 0.02
NAME_MAX = 63
"""A name of PostgreSQL's has so many bytes (NAMEDATALEN)."""


class Arrivals:
    """Who is to be woken, and how others learn of it.

    connect: makes the connection that listens. listens: whether there may be one.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[asyncpg.Connection]], schema: str, poll_s: float, *, listens: bool
    ) -> None:
        self._connect = connect
        # Of a longer name LISTEN takes as much, and pg_notify none.
        self._channel = f"longstop_{schema}"[:NAME_MAX]
        self._poll_s = poll_s
        self._listens = listens
        self._me = secrets.token_hex(8)
        """What this process says is no news to it."""
        self._wakes: list[Callable[[], None]] = []
        self._connection: asyncpg.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._said = asyncio.Event()
        self._over = False

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)

    def begin(self) -> None:
        """From now on hear of others, and let them hear."""
        self._over = False
        self._task = asyncio.create_task(self._live())

    async def end(self) -> None:
        """Say what is still to be said, and be quiet."""
        if self._task is None:
            return
        # Cancelled alone it may go on: before Python 3.12, `wait_for` forgets that where what it waits for comes then.
        self._over = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        with contextlib.suppress(StoreUnavailableError), translated(StoreUnavailableError):
            if self._said.is_set():
                await self._notify()
        self._hang_up()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def arrived(self) -> None:
        """There may be something new to lease, which this process has committed."""
        self._wake()
        self._said.set()

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    async def _live(self) -> None:
        while not self._over:
            try:
                with translated(StoreUnavailableError):
                    await self._turn()
            except StoreUnavailableError:
                # Whoever writes or reads meanwhile hears of it; here it is only looked for again.
                self._hang_up()
                await pause(self._poll_s)
                self._wake()

    async def _turn(self) -> None:
        if self._listens and (self._connection is None or self._connection.is_closed()):
            self._connection = await self._connect()
            await self._connection.add_listener(self._channel, self._heard)
        try:
            async with asyncio.timeout(self._poll_s):
                await self._said.wait()
        except TimeoutError:
            self._wake()
            return
        await self._notify()
        await pause(NOTIFY_S)

    async def _notify(self) -> None:
        self._said.clear()
        if self._connection is not None and not self._connection.is_closed():
            await self._connection.execute("SELECT pg_notify($1, $2)", self._channel, self._me)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload != self._me:
            self._wake()


async def pause(seconds: float) -> None:
    """Time of the loop's own, in which nothing happens."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = asyncio.get_running_loop().call_later(seconds, _end, over)
    try:
        await over
    finally:
        timer.cancel()


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
