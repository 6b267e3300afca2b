"""Bodies while they come: how much of them is held at once, and which of them take too long."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from longstop.model.errors import BodyTooLargeError, SlowBodyError, UnavailableError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODY_WITHIN_S = 20.0
"""A body has so long to come, and a second more for each BODY_BYTES_PER_S of it that has come."""
BODY_BYTES_PER_S = 16 * 1024
LOOK_EVERY_S = 0.5
"""One look at all bodies that are coming, instead of a timer for each: that was a tenth of what a request costs."""
UNFINISHED_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that come in pieces, so much is held at once, of all senders together: they may be strangers."""


class SenderGone(Exception):
    """The sender left before its body was complete. Nothing was accepted and nobody is there to be answered."""


class CrowdedError(UnavailableError):
    """Too much of other bodies is held already."""


@dataclass(slots=True, eq=False)
class Coming:
    """A body that is not there yet. `cut` is called, once, when it takes too long."""

    began_s: float
    cut: Callable[[], object]
    held: int = 0
    """Bytes of it that have come, while more are to come."""
    late: bool = False

    def slow_error(self) -> SlowBodyError:
        """What its sender is told when it was too late."""
        return SlowBodyError(f"only {self.held} bytes of the body came in time; send it faster")


class ComingBodies:
    """All bodies that are coming now, of all senders together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asking for it is a system call on CPython 3.11: a hundredth of what a request costs."""
        self._coming: set[Coming] = set()
        self._held = 0
        self._looking = False

    def begin(self, cut: Callable[[], object]) -> Coming:
        """A body is awaited from now on, until `end`."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        coming = Coming(loop.time(), cut)
        self._coming.add(coming)
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)
        return coming

    def hold(self, coming: Coming, size: int) -> None:
        """So many bytes more of it have come, and it is not complete. Raises CrowdedError where that is too much."""
        if self._held + size > UNFINISHED_BYTES_MAX:
            raise CrowdedError("too many large bodies are coming at once; send it again later")
        self._held += size
        coming.held += size

    def end(self, coming: Coming) -> None:
        """It has come, or nobody waits for it any more."""
        self._coming.discard(coming)
        self._held -= coming.held

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for coming in list(self._coming):
            if not coming.late and now_s > coming.began_s + BODY_WITHIN_S + coming.held / BODY_BYTES_PER_S:
                coming.late = True
                coming.cut()
        self._looking = bool(self._coming)
        if self._looking:
            loop.call_later(LOOK_EVERY_S, self._look, loop)


async def read(bodies: ComingBodies, receive: Receive, limit: int) -> bytes:
    """The whole body of the request that the current task serves, by ASGI's messages.

    Raises BodyTooLargeError as soon as it is over the limit (bytes), SlowBodyError, CrowdedError, SenderGone.
    """
    task = asyncio.current_task()
    assert task is not None
    coming = bodies.begin(task.cancel)
    pieces: list[bytes] = []
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise SenderGone
            piece: bytes = message.get("body", b"")
            if coming.held + len(piece) > limit:
                raise too_large(limit)
            if not message.get("more_body", False):
                return b"".join((*pieces, piece)) if pieces else piece
            pieces.append(piece)
            bodies.hold(coming, len(piece))
    except asyncio.CancelledError:
        if coming.late and task.uncancel() == 0:
            raise coming.slow_error() from None
        raise
    finally:
        bodies.end(coming)


def too_large(limit: int) -> BodyTooLargeError:
    """The error for a body of more than `limit` bytes."""
    return BodyTooLargeError(f"the body is over this source's limit of {limit} bytes")
