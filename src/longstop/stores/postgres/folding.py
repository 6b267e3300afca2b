"""Folding: what transactions have noted as changes of counters goes into the counters, every second, in the background.

One statement does it, so a number is the same before and after; it waits for nobody and nobody waits for it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from longstop.model.errors import StoreUnavailableError

FOLD_S = 1.0
AT_ONCE = 20_000
FOLD = f"""
    WITH noted AS (
        DELETE FROM counter_changes WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM counter_changes LIMIT {AT_ONCE} FOR UPDATE SKIP LOCKED))
        RETURNING subject, name, state, n
    )
    INSERT INTO counters (subject, name, state, slot, n)
        SELECT subject, name, state, 0, sum(n) FROM noted GROUP BY subject, name, state ORDER BY subject, name, state
        ON CONFLICT (subject, name, state, slot) DO UPDATE SET n = counters.n + excluded.n
"""


class Folding:
    """The task of one store. fold: carries out FOLD."""

    def __init__(self, fold: Callable[[], Awaitable[None]]) -> None:
        self._fold = fold
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """From now on."""
        self._task = asyncio.create_task(self._live())

    async def end(self) -> None:
        """No more. What is not folded yet is another process's, or the next one's."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _live(self) -> None:
        timer = asyncio.Event()
        while True:
            timer.clear()
            handle = asyncio.get_running_loop().call_later(FOLD_S, timer.set)
            try:
                await timer.wait()
            finally:
                handle.cancel()
            # Whoever writes or reads meanwhile hears of a server that is away.
            with contextlib.suppress(StoreUnavailableError):
                await self._fold()
