"""Taking turns: a source that floods does not make the others wait.

The event loop works through whatever has come, in the order it came. Behind 64 busy connections of one source
stands each request of another, and waits for all of them. So while more than one source is heard, only a few
requests of each are worked on at once; the others wait in a queue of their own source. A source that is alone has
no such limit: its requests share commits, the more the better.
"""

import asyncio
from collections import deque

from longstop.ports import Clock

PLACES = 8
"""Requests of one source that are worked on at once while others are heard."""
HEARD_MS = 1_000
"""A source counts as heard for so long after its last request."""
WAITING_MAX = 10_000
"""Of one source."""


class FairQueue:
    """Who is worked on, and who waits, by source."""

    def __init__(self, clock: Clock, places: int = PLACES) -> None:
        self._clock = clock
        self._places = places
        self._working: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._last_name = ""
        self._last_ms = -HEARD_MS
        self._other_ms = -HEARD_MS
        """When a source other than the last one was last heard."""

    def acquire_nowait(self, name: str, now_ms: int) -> bool:
        """Begin with a request of this source, if it may begin at once. Whoever took a turn gives it back."""
        if name != self._last_name:
            self._other_ms = self._last_ms
            self._last_name = name
        self._last_ms = now_ms
        working = self._working.get(name, 0)
        if working >= self._places and self._is_heard_beside(name, now_ms):
            return False
        self._working[name] = working + 1
        return True

    async def acquire(self, name: str, patience_s: float) -> None:
        """Wait for a turn that could not be taken at once. Raises TimeoutError where it does not come in time."""
        waiting = self._waiting.setdefault(name, deque())
        if len(waiting) >= WAITING_MAX:
            raise TimeoutError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(patience_s):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                # It came all the same, in the very moment of giving up.
                self.release(name)
            raise

    def release(self, name: str) -> None:
        """End a turn; those who have waited longest are next."""
        working = self._working[name] - 1
        waiting = self._waiting.get(name)
        if waiting:
            working += self._let_in(waiting, self._room(name, working))
            if not waiting:
                del self._waiting[name]
        if working:
            self._working[name] = working
        else:
            del self._working[name]

    def _room(self, name: str, working: int) -> int:
        alone = not self._is_heard_beside(name, self._clock.monotonic_ms())
        return WAITING_MAX if alone else self._places - working

    def _let_in(self, waiting: deque[asyncio.Future[None]], room: int) -> int:
        let_in = 0
        while waiting and let_in < room:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                let_in += 1
        return let_in

    def _is_heard_beside(self, name: str, now_ms: int) -> bool:
        """Whether any other source was heard lately."""
        other_ms = self._other_ms if name == self._last_name else self._last_ms
        return now_ms - other_ms < HEARD_MS
