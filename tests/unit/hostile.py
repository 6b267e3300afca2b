"""A destination on loopback that answers as a test has it, and deliveries for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from longstop.model.delivery import Delivery, Outcome, State
from longstop.model.event import Event, Headers
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders.http import HttpSender

NOW_MS = 1_700_000_000_999
EVENT_ID = "018bcfe5-6800-7000-8000-000000000001"
DELIVERY_ID = "018bcfe5-6800-7000-8000-000000000002"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Respond = Callable[["Hostile", asyncio.StreamWriter], Awaitable[None]]


class FixedClock:
    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_ms(self) -> int:
        return self.now_ms()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a sender does not sleep")


@dataclass
class Hostile:
    """A server that reads a request, keeps it as it came, and answers with `respond`."""

    respond: Respond
    port: int = 0
    connections: int = 0
    heads: list[list[str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    sent: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/events"

    def headers(self, name: str, request: int = -1) -> list[str]:
        pairs = [line.split(": ", 1) for line in self.heads[request][1:]]
        return [value for key, value in pairs if key.lower() == name.lower()]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not self.stopped.is_set():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                self.heads.append(head)
                length = int((self.headers("content-length") or ["0"])[0])
                self.bodies.append(await reader.readexactly(length))
                await self.respond(self, writer)
        writer.close()

    async def drip(self, writer: asyncio.StreamWriter) -> None:
        """A byte every few milliseconds, for ever: no read ever waits long."""
        while not self.stopped.is_set():
            writer.write(b"x")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopped.wait(), 0.01)

    async def flood(self, writer: asyncio.StreamWriter) -> None:
        """Bytes as fast as they are taken, for ever."""
        while not self.stopped.is_set():
            writer.write(b"x" * 8192)
            await writer.drain()
            self.sent += 8192


@contextlib.asynccontextmanager
async def listening(respond: Respond, ssl: Any = None) -> AsyncIterator[Hostile]:
    hostile = Hostile(respond)
    server = await asyncio.start_server(hostile.serve, "127.0.0.1", 0, ssl=ssl)
    hostile.port = server.sockets[0].getsockname()[1]
    try:
        yield hostile
    finally:
        server.close()
        hostile.stopped.set()
        for task in hostile.tasks:
            task.cancel()
        await asyncio.gather(*hostile.tasks, return_exceptions=True)


def answering(raw: bytes) -> Respond:
    async def respond(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return respond


async def silent(hostile: Hostile, _: asyncio.StreamWriter) -> None:
    await hostile.stopped.wait()


def settings(url: str, **given: Any) -> DestinationSettings:
    return DestinationSettings(**{"name": "crm", "url": url, "allow_private": True, **given})


def claim(body: bytes = b'{"a": 1}', headers: list[tuple[str, str]] | None = None, source: str = "genesys") -> Claim:
    sent = Headers([("Content-Type", "application/json")] if headers is None else headers)
    event = Event(id=EVENT_ID, source=source, received_at_ms=NOW_MS, body=body, headers=sent)
    delivery = Delivery(
        id=DELIVERY_ID,
        event_id=EVENT_ID,
        source=source,
        type=None,
        key=None,
        received_at_ms=NOW_MS,
        destination="crm",
        state=State.LEASED,
        due_at_ms=NOW_MS,
    )
    return Claim(delivery, event)


async def post(to: DestinationSettings, what: Claim | None = None, attempt: int = 1) -> Outcome:
    sender = HttpSender(to, FixedClock())
    try:
        # Far above every deadline in here: a sender that hangs fails the test rather than the run.
        return await asyncio.wait_for(sender.send(what or claim(), attempt), 20)
    finally:
        await sender.close()
