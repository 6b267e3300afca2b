"""Whether the server is there and takes writes, asked again and again: who asks `ready` is not to wait for it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres.arrivals import pause

EVERY_S = 1.0
SILENT_S = 5.0
"""A server that has not answered for so long is taken for lost."""
TAKES_WRITES = "SELECT NOT pg_is_in_recovery() AND NOT current_setting('default_transaction_read_only')::boolean AS it"
"""No for a replica, which a server may have become, and for one that was told only to read, as on a full disk."""


class Watch:
    """Asks all the time. `ask`: whether the server takes writes; raises StoreUnavailableError where it is away."""

    def __init__(self, ask: Callable[[], Awaitable[bool]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered_s = 0.0
        self._well = False
        self._over = False

    def begin(self) -> None:
        """From now on; it has answered just now."""
        self._loop = asyncio.get_running_loop()
        self._over = False
        self._well, self._answered_s = True, self._loop.time()
        self._task = asyncio.create_task(self._go_on())

    async def end(self) -> None:
        """Ask no more."""
        # Cancelled alone it may go on: see Arrivals.end.
        self._well, self._over = False, True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def is_well(self) -> bool:
        """Whether it said so when it was asked last, and that was not long ago."""
        return self._well and self._loop is not None and self._loop.time() - self._answered_s < SILENT_S

    async def _go_on(self) -> None:
        while not self._over:
            await pause(EVERY_S)
            try:
                self._well = await self._ask()
            except StoreUnavailableError:
                self._well = False
            self._answered_s = asyncio.get_running_loop().time()
