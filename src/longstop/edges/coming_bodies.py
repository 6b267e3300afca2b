"""Bodies while they are read: how much of them is held at once, and which of them take too long."""

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


@dataclass(slots=True)
class _Coming:
    """A body that is being read."""

    began_s: float
    held: int = 0
    """Bytes of it that have come, while more are to come."""
    late: bool = False


class ComingBodies:
    """All bodies that are being read now, of all senders together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asking for it is a system call on CPython 3.11: a hundredth of what a request costs."""
        self._coming: dict[asyncio.Task[Any], _Coming] = {}
        self._held = 0
        self._looking = False

    async def read(self, receive: Receive, limit: int) -> bytes:
        """The whole body of the request that the current task serves.

        Raises BodyTooLargeError as soon as it is over the limit (bytes), SlowBodyError, CrowdedError, SenderGone.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        coming = self._coming[task] = _Coming(loop.time())
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)
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
                self._hold(coming, len(piece))
        except asyncio.CancelledError:
            if coming.late and task.uncancel() == 0:
                raise SlowBodyError(f"only {coming.held} bytes of the body came in time; send it faster") from None
            raise
        finally:
            del self._coming[task]
            self._held -= coming.held

    def _hold(self, coming: _Coming, size: int) -> None:
        if self._held + size > UNFINISHED_BYTES_MAX:
            raise CrowdedError("too many large bodies are coming at once; send it again later")
        self._held += size
        coming.held += size

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for task, coming in self._coming.items():
            if not coming.late and now_s > coming.began_s + BODY_WITHIN_S + coming.held / BODY_BYTES_PER_S:
                coming.late = True
                task.cancel()
        self._looking = bool(self._coming)
        if self._looking:
            loop.call_later(LOOK_EVERY_S, self._look, loop)


def too_large(limit: int) -> BodyTooLargeError:
    """The error for a body of more than `limit` bytes."""
    return BodyTooLargeError(f"the body is over this source's limit of {limit} bytes")
