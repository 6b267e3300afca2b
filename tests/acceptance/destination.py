"""A destination for tests: an HTTP server in a thread that remembers what came, and does what it is told to."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LIMIT_S = 30.0


@dataclass(frozen=True)
class Arrival:
    """One request that came."""

    webhook_id: str
    attempt: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    at_s: float
    """`time.monotonic()` when its body was complete."""


@dataclass(frozen=True)
class Reply:
    """What to answer, and how."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: bool = False
    """Not before `Destination.release`."""
    after_s: float = 0.0
    """Take so long over it."""
    cut: bool = False
    """Close the connection within the answer's first line."""


OK = Reply()
Script = Callable[[Arrival], Reply]


class Destination:
    """Listens on 127.0.0.1 from the start. `script` decides what each arrival is answered; by default 200."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.script: Script = lambda _arrival: OK
        self.arrivals: list[Arrival] = []
        self.taken: list[Arrival] = []
        """Those that were answered 2xx, in the order of the answers."""
        self.held: list[Arrival] = []
        """Those that are held now."""
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._released = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="destination", daemon=True)
        self._thread.start()
        self.up()

    # -- what a test asks ------------------------------------------------------------------------

    def of(self, webhook_id: str) -> list[Arrival]:
        """What came of one event, oldest first."""
        return [each for each in list(self.arrivals) if each.webhook_id == webhook_id]

    def wait_for(self, webhook_id: str, count: int = 1) -> list[Arrival]:
        """What came of one event, when it has come so many times."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.of(webhook_id)) >= count, LIMIT_S)
        assert came, f"{webhook_id} came {len(self.of(webhook_id))} times within {LIMIT_S:g} s; expected {count}"
        return self.of(webhook_id)

    # -- what a test tells it --------------------------------------------------------------------

    def fail(self, times: int, status: int = 503, body: bytes = b"not now", **headers: str) -> None:
        """Answer so many arrivals with this status, from now on, and 200 afterwards."""
        left = iter(range(times))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script = lambda _arrival: OK if next(left, None) is None else Reply(status, body, named)

    def down(self) -> None:
        """Close the listening socket and all connections: whoever connects is refused."""
        self._do(self._down())

    def up(self) -> None:
        """Listen again."""
        self._do(self._up())

    def release(self) -> None:
        """Answer everything that was held, and hold nothing any more."""
        self._loop.call_soon_threadsafe(self._released.set)

    def release_held(self) -> None:
        """Answer everything that is held now. What is held from now on waits for the next time."""
        self._do(self._swap())

    async def _swap(self) -> None:
        held, self._released = self._released, asyncio.Event()
        self.held = []
        held.set()

    def close(self) -> None:
        """Go down for good. Safe to call twice."""
        if self._thread.is_alive():
            self.release()
            self.down()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LIMIT_S)

    # -- in the thread ---------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    async def _up(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _down(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # Of any size: `request.read` takes one megabyte.
        body = await request.content.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        id_, attempt = headers.get("webhook-id", ""), int(headers.get("longstop-attempt", "0"))
        arrival = Arrival(id_, attempt, headers, body, time.monotonic())
        with self._changed:
            self.arrivals.append(arrival)
            self._changed.notify_all()
        reply = self.script(arrival)
        if reply.hold:
            self.held.append(arrival)
            await self._released.wait()
        if reply.after_s:
            await asyncio.sleep(reply.after_s)
        if reply.cut:
            _cut(request)
        elif reply.status < 300:
            self.taken.append(arrival)
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))


def _cut(request: web.BaseRequest) -> None:
    """End the connection within the first line of the answer."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 2")
    request.transport.close()
