"""Hearing of what other processes have put in: a subscription of its own, made again whenever it is lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import RedisError

RETRY_S = 0.5
"""Between two tries to subscribe."""
CHECK_S = 5.0
"""So often a silent connection is asked whether it is there still."""


class Arrivals:
    """Calls `wake` for each message in a channel that is not our own name, and after each time it was not listening."""

    def __init__(self, pool: ConnectionPool, channel: str, own: bytes, wake: Callable[[], None]) -> None:
        self._pool = pool
        self._channel = channel
        self._own = own
        self._wake = wake
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def listen(self) -> None:
        """From now on, in the running event loop."""
        if self._task is None:
            self._closing.clear()
            self._task = asyncio.get_running_loop().create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._pool.disconnect()

    async def _listen(self) -> None:
        missed = False
        while not self._closing.is_set():
            with suppress(RedisError, OSError):
                await self._subscribed(missed)
            missed = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), RETRY_S)

    async def _subscribed(self, missed: bool) -> None:
        client = Redis(connection_pool=self._pool)
        async with client.pubsub() as subscription:
            await subscription.subscribe(self._channel)
            if missed:
                self._wake()
            while True:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=CHECK_S)
                if message is None:
                    await subscription.ping()
                elif message["type"] == "message" and message["data"] != self._own:
                    self._wake()
