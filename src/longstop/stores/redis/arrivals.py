"""Hearing of what other processes have put in: a subscription of its own, made again whenever it is lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

RETRY_S = 0.5
"""Between two tries to subscribe."""
AGAIN_S = 0.05
"""Between two tries to end it."""
CHECK_S = 5.0
"""So often a silent connection is asked whether it is there still."""


class Arrivals:
    """Calls `wake` for each message in a channel that is not our own name, and after each time it was not listening."""

    def __init__(self, pool: Callable[[], ConnectionPool], channel: str, own: bytes, wake: Callable[[], None]) -> None:
        self._make_pool = pool
        """For one connection, to where the server is now."""
        self._channel = channel
        self._own = own
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._tried = asyncio.Event()

    async def listen(self) -> None:
        """From now on, in the running event loop; returns when the first try to subscribe is over."""
        if self._task is None:
            self._closing.clear()
            self._tried.clear()
            self._task = asyncio.get_running_loop().create_task(self._listen())
            await self._tried.wait()

    async def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        task, self._task = self._task, None
        while task is not None and not task.done():
            # The driver loses a cancellation that comes while it connects.
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN_S)

    async def _listen(self) -> None:
        missed = False
        while not self._closing.is_set():
            with suppress(RedisError, OSError):
                await self._subscribed(missed)
            missed = True
            self._tried.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RETRY_S)

    async def _subscribed(self, missed: bool) -> None:
        pool = self._make_pool()
        try:
            await self._listens(await pool.get_connection(), missed)  # type: ignore[no-untyped-call]
        finally:
            await pool.disconnect()

    async def _listens(self, connection: AbstractConnection, missed: bool) -> None:
        try:
            await connection.send_command("SUBSCRIBE", self._channel)
            await connection.read_response()
            self._tried.set()
            if missed:
                self._wake()
            while True:
                message = await connection.read_response(timeout=CHECK_S)
                if message is None:
                    # Silence: the answer to this, or its lack, says whether the connection is there still.
                    await connection.send_command("PING")
                    message = await connection.read_response()
                if message[0] == b"message" and message[2] != self._own:
                    self._wake()
        finally:
            await connection.disconnect(nowait=True)
