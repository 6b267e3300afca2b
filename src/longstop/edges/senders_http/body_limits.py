"""Bodies while they come: how much of them is held at once, for whom, and which of them take too long.

Whoever sends a body in pieces may be a stranger. So each address and each source has its share of what is held, and
where a share is full those give way who hold the most of it and have shown the least.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from longstop.model.addresses import sender_of
from longstop.model.errors import BodyTooLargeError, IngestError, SlowBodyError, UnavailableError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODY_WITHIN_S = 60.0
"""A body is complete so soon after its head, whatever its size. No sender that is known waits as long."""
BODY_WINDOW_S = 20.0
"""In each such time a body is completed, or BODY_WINDOW_BYTES of it come."""
BODY_WINDOW_BYTES = 320 * 1024
LOOK_EVERY_S = 0.5
"""One look at all bodies that are coming, instead of a timer for each: that was a tenth of what a request costs."""
UNFINISHED_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that come in pieces, so much is held at once, of all senders together."""
ADDRESS_BYTES_MAX = 64 * 1024 * 1024
"""The share of one address; of IPv6, of one network of 64 bits, which is what one customer gets."""
SOURCE_BYTES_MAX = 128 * 1024 * 1024
"""The share of one source: of one name in the path, whether it exists or not."""
ROOM_AT_ONCE = 64
"""Where a share is full, room is made for a 64th of it: to look for the largest for each piece would be work that a
stranger chooses."""


class SenderGone(Exception):
    """The sender left before its body was complete. Nothing was accepted and nobody is there to be answered."""


class CrowdedError(UnavailableError):
    """Too much of other bodies is held already."""


@dataclass(slots=True, eq=False)
class UnfinishedBody:
    """A body that is not there yet. `cut` is called, at most once, with the error that its sender is told."""

    cut: Callable[[IngestError], object]
    address: str
    source: str
    bears_proof: bool
    """Its head has what the sender's own requests have: a signature or a credential, right or wrong."""
    began_s: float
    window_began_s: float
    window_bytes: int = 0
    """How much of it had come when the window began."""
    held: int = 0
    """Bytes of it that have come, while more are to come."""


@dataclass(slots=True, eq=False)
class _Share:
    """What is held of bodies that have something in common."""

    bodies: dict[UnfinishedBody, None] = field(default_factory=dict)
    """A set that keeps their order: the oldest first."""
    held: int = 0


class UnfinishedBodies:
    """All bodies that are coming now, of all senders together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asking for it is a system call on CPython 3.11: a hundredth of what a request costs."""
        self._all = _Share()
        self._of_addresses: dict[str, _Share] = {}
        self._of_sources: dict[str, _Share] = {}
        self._looking = False

    @property
    def held(self) -> int:
        """Bytes of all of them."""
        return self._all.held

    def __len__(self) -> int:
        return len(self._all.bodies)

    def begin(
        self, cut: Callable[[IngestError], object], address: str | None, source: str, bears_proof: bool
    ) -> UnfinishedBody:
        """A body is awaited from now on, until `end`. Its sender is at `address`, and posts to `source`."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        now_s = loop.time()
        body = UnfinishedBody(cut, sender_of(address), source, bears_proof, now_s, now_s)
        for share in self._shares(body):
            share.bodies[body] = None
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)
        return body

    def hold(self, body: UnfinishedBody, size: int) -> None:
        """So many bytes more of it have come, and it is not complete.

        Where that is too much for a share, others in it are cut. Raises CrowdedError where this one is the first to go.
        """
        if body not in self._all.bodies:
            return
        limits = (UNFINISHED_BYTES_MAX, ADDRESS_BYTES_MAX, SOURCE_BYTES_MAX)
        for share, limit in zip(self._shares(body), limits, strict=True):
            if share.held + size > limit:
                self._make_room(share, body, size, limit)
        for share in self._shares(body):
            share.held += size
        body.held += size

    def end(self, body: UnfinishedBody) -> None:
        """It has come, or nobody waits for it any more. May be called again."""
        if body not in self._all.bodies:
            return
        for share in self._shares(body):
            del share.bodies[body]
            share.held -= body.held
        for shares, name in ((self._of_addresses, body.address), (self._of_sources, body.source)):
            if not shares[name].bodies:
                del shares[name]

    def _shares(self, body: UnfinishedBody) -> tuple[_Share, _Share, _Share]:
        of_address = self._of_addresses.get(body.address)
        if of_address is None:
            of_address = self._of_addresses[body.address] = _Share()
        of_source = self._of_sources.get(body.source)
        if of_source is None:
            of_source = self._of_sources[body.source] = _Share()
        return self._all, of_address, of_source

    def _make_room(self, share: _Share, asking: UnfinishedBody, size: int, limit: int) -> None:
        """Cut who has shown no proof, the largest first; then, the largest first, the others.

        Of those that are as large, the one that has taken longest for it.
        """

        def patience(body: UnfinishedBody) -> tuple[bool, int]:
            return body.bears_proof, -(body.held + (size if body is asking else 0))

        for body in sorted(share.bodies, key=patience):
            if share.held + size <= limit - limit // ROOM_AT_ONCE:
                return
            if body is asking:
                break
            self.end(body)
            body.cut(_crowded())
        if share.held + size > limit:
            raise _crowded()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for body in list(self._all.bodies):
            # Another may have been the reason that it was cut meanwhile.
            if body in self._all.bodies and _is_late(body, now_s):
                self.end(body)
                body.cut(SlowBodyError(f"only {body.held} bytes of the body came in time; send it faster"))
        self._looking = bool(self._all.bodies)
        if self._looking:
            loop.call_later(LOOK_EVERY_S, self._look, loop)


def _is_late(body: UnfinishedBody, now_s: float) -> bool:
    """Whether it has had its time. Begins its next window where this one was used."""
    if now_s > body.began_s + BODY_WITHIN_S:
        return True
    if now_s <= body.window_began_s + BODY_WINDOW_S:
        return False
    if body.held < body.window_bytes + BODY_WINDOW_BYTES:
        return True
    body.window_began_s, body.window_bytes = now_s, body.held
    return False


def _crowded() -> CrowdedError:
    return CrowdedError("too many large bodies are coming at once; send it again later")


async def read(bodies: UnfinishedBodies, receive: Receive, limit: int, *who: Any) -> bytes:
    """The whole body of the request that the current task serves, by ASGI's messages.

    who: its address, its source and whether it bears a proof, as `begin` takes them.
    Raises BodyTooLargeError as soon as it is over the limit (bytes), SlowBodyError, CrowdedError, SenderGone.
    """
    task = asyncio.current_task()
    assert task is not None
    errors: list[IngestError] = []

    def cut(error: IngestError) -> None:
        errors.append(error)
        task.cancel()

    coming = bodies.begin(cut, *who)
    whole = bytearray()
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise SenderGone
            piece: bytes = message.get("body", b"")
            if len(whole) + len(piece) > limit:
                raise too_large(limit)
            if not message.get("more_body", False):
                return bytes(whole + piece) if whole else piece
            whole += piece
            bodies.hold(coming, len(piece))
    except asyncio.CancelledError:
        if errors and task.uncancel() == 0:
            raise errors[0] from None
        raise
    finally:
        bodies.end(coming)


def too_large(limit: int) -> BodyTooLargeError:
    """The error for a body of more than `limit` bytes."""
    return BodyTooLargeError(f"the body is over this source's limit of {limit} bytes")
