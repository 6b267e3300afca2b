"""Large requests: so many bytes of them are held at once, and one is worked on at a time, sources by turns.

Hashing or reading a body of megabytes takes longer than all of the rest. Done on the event loop, one stranger's would
hold up every other sender's. So both are done elsewhere, one body after another: two at once would only share the
same processors. A source that sends many waits for itself; the next turn is another's.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

BODY_BYTES = 64 * 1024
"""A larger body is a large request. Hashing that much takes a tenth of a millisecond."""
COMMITTED_TOGETHER_BYTES = 1024 * 1024
"""Of larger bodies one at most goes into a commit: whoever shares it waits until it is on disk, whatever is in it."""
HELD_BYTES_MAX = 128 * 1024 * 1024
"""Of large bodies that are there whole and not yet answered, so many bytes are held at once."""
HELD_BYTES_OF_ONE_MAX = HELD_BYTES_MAX // 2
"""Of one source; all names that are not configured count as one. So none can keep the others' large ones out."""


class Held:
    """Counts the bytes of large bodies."""

    def __init__(self) -> None:
        self._all = 0
        self._by_source: dict[str, int] = {}

    def acquire_nowait(self, name: str, size: int) -> bool:
        """Take a body of so many bytes of this source, if there is room for it. Whoever acquired it releases it.

        For a body that is the only one of its source there always is: its size has a limit of its own.
        """
        of_source = self._by_source.get(name, 0)
        if of_source and (of_source + size > HELD_BYTES_OF_ONE_MAX or self._all + size > HELD_BYTES_MAX):
            return False
        self._all += size
        self._by_source[name] = of_source + size
        return True

    def release(self, name: str, size: int) -> None:
        """It is answered."""
        self._all -= size
        self._by_source[name] -= size
        if not self._by_source[name]:
            del self._by_source[name]


class OneAtATime:
    """A turn is one request's; the next is another source's, if one waits."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """In the order of the sources' next turns."""

    @contextlib.asynccontextmanager
    async def turn(self, name: str, patience_s: float) -> AsyncIterator[None]:
        """Wait for the turn and have it. Raises TimeoutError where it does not come in time."""
        if self._busy:
            await self._wait(name, patience_s)
        self._busy = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, name: str, patience_s: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            async with asyncio.timeout(patience_s):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It came all the same, in the very moment of giving up.
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._busy = False
        while self._waiting and not self._busy:
            name = next(iter(self._waiting))
            waiting = self._waiting.pop(name)
            turn = waiting.popleft()
            if waiting:
                self._waiting[name] = waiting
            if not turn.done():
                turn.set_result(None)
                self._busy = True
