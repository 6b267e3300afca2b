"""How soon the event loop lets the store's threads have the interpreter.

CPython hands it over when another thread has waited for 5 ms (`sys.setswitchinterval`). A commit takes it several
times, so beside an event loop that is never idle a quiet sender waits for many of these. A tenth of it spares the quiet
one most of that; and it costs a gateway that is busy with accepting a fifth of what it can take. So threads switch
sooner only while somebody keeps the loop busy with turns: pipelined requests, and bodies that come as fast as they can.
"""

import asyncio
import sys

HURRIED_S = 0.0005
"""The switch interval while turns are asked for."""
CALM_AFTER_S = 0.5
"""As soon as nobody has asked for one for so long, or up to twice that, the interval is the usual one again."""


class ThreadSwitching:
    """The process's switch interval, which is the usual one unless somebody asks for turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._usual_s = sys.getswitchinterval()
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    def hurry(self) -> None:
        """A turn is asked for."""
        self._asked = True
        if self._timer is None:
            sys.setswitchinterval(min(self._usual_s, HURRIED_S))
            self._timer = self._loop.call_later(CALM_AFTER_S, self._look)

    def calm(self) -> None:
        """Put the usual interval back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            sys.setswitchinterval(self._usual_s)

    def _look(self) -> None:
        if self._asked:
            self._asked = False
            self._timer = self._loop.call_later(CALM_AFTER_S, self._look)
        else:
            self.calm()
