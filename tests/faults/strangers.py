"""What strangers and bad neighbours send to a gateway, as attacks that end by themselves.

Run as a program it is one attack, in a process of its own so that what it costs to attack does not slow the sender
that is measured beside it:

    python -m faults.strangers ATTACK PORT SECONDS HOSTILE_PORT

Destinations that attack listen on HOSTILE_PORT. It makes what it will send, writes `ready`, waits for a line, attacks
for so many seconds, and writes what it came to as JSON. Standard library only: it starts in a moment.
"""

import asyncio
import base64
import contextlib
import gzip
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

MB = 1_000_000
MAX_BODY = 10 * 1024 * 1024
"""`max_body` where a source says nothing."""
BLOCK_BYTES = 64 * 1024
BYTES_MAX = 3_000 * MB
"""So much one attack sends at most, however fast the machine."""
TOKEN = "acceptance-token"
"""Of the sources that a neighbour has the secret of; acceptance.harness.BEARER_TOKEN."""


# -- what an attack is made of ------------------------------------------------------------------


@dataclass
class Came:
    """What an attack came to."""

    statuses: Counter[str] = field(default_factory=Counter)
    """Answers by status."""
    connections: int = 0
    sent: int = 0
    """Bytes."""


class Field:
    """Where an attack takes place: the gateway's port, that of destinations which attack, and until when."""

    def __init__(self, port: int, seconds: float, hostile_port: int = 0) -> None:
        self._port = port
        self.hostile_port = hostile_port
        self.seconds = seconds
        self.end_s = time.monotonic() + seconds
        self.came = Came()

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.end_s or self.came.sent > BYTES_MAX

    @contextlib.asynccontextmanager
    async def wire(self, unread: bool = False) -> AsyncIterator["Wire"]:
        """A connection; `unread`: what comes is left where it is."""
        loop = asyncio.get_running_loop()
        # From a few addresses, none of them the quiet one's: only Linux has all of 127.0.0.0/8.
        ours = (f"127.0.0.{2 + self.came.connections % 4}", 0) if sys.platform == "linux" else None
        self.came.connections += 1
        transport, wire = await loop.create_connection(
            lambda: Wire(self.came), "127.0.0.1", self._port, local_addr=ours
        )
        if unread:
            transport.pause_reading()
        try:
            yield wire
        finally:
            if not wire.closed:
                transport.abort()


class Wire(asyncio.Protocol):
    """One connection: it writes no more than the other side takes, and counts the answers."""

    def __init__(self, came: Came) -> None:
        self._came = came
        self._writable = asyncio.Event()
        self._writable.set()
        self._heard = asyncio.Event()
        self.closed = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=BLOCK_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        statuses = [part[:3] for part in data.split(b"HTTP/1.1 ")[1:]]
        # Cut in two by chance is one in a thousand; they are for the eye.
        self._came.statuses.update(each.decode() for each in statuses if each.isdigit())
        self._heard.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        self._heard.set()

    async def send(self, data: bytes) -> None:
        """Returns when most of it has left."""
        if not self.closed:
            self._transport.write(data)
            self._came.sent += len(data)
            await self._writable.wait()

    async def answer(self) -> None:
        """Returns when something has come since the last call, or nothing will."""
        await self._heard.wait()
        if not self.closed:
            self._heard.clear()


class Attack(Protocol):
    """Does its worst until the field is over."""

    async def run(self, on: Field) -> None: ...


async def _many(count: int, work: Callable[[], "asyncio.Future[None] | asyncio.Task[None]"]) -> None:
    for ended in await asyncio.gather(*(work() for _ in range(count)), return_exceptions=True):
        if isinstance(ended, Exception) and not isinstance(ended, OSError):
            raise ended


@dataclass(frozen=True)
class Endless:
    """A head, and then the same piece again and again, as fast as it is taken; from the start where it is cut."""

    head: bytes
    piece: bytes
    connections: int = 1
    unread: bool = False
    """The answers are not read."""

    async def run(self, on: Field) -> None:
        await _many(self.connections, lambda: asyncio.ensure_future(self._one(on)))

    async def _one(self, on: Field) -> None:
        block = self.piece * (1 + BLOCK_BYTES // len(self.piece))
        while not on.over:
            async with on.wire(self.unread) as wire:
                await wire.send(self.head)
                while not (wire.closed or on.over):
                    await wire.send(block)
                    await asyncio.sleep(0)


@dataclass(frozen=True)
class Again:
    """Whole requests, each on a connection of its own, so many at once; the next when one is answered."""

    requests: tuple[bytes, ...]
    """They take turns."""
    at_once: int = 8
    times: int = 10_000
    """Of each."""

    async def run(self, on: Field) -> None:
        turns = itertools.cycle(self.requests)
        await _many(self.at_once, lambda: asyncio.ensure_future(self._one(on, turns)))

    async def _one(self, on: Field, turns: Iterator[bytes]) -> None:
        for _ in range(self.times):
            if on.over:
                return
            async with on.wire() as wire:
                await wire.send(next(turns))
                await wire.answer()


@dataclass(frozen=True)
class Unfinished:
    """Bodies that come but for their last byte, and stay so."""

    head: bytes
    body: bytes
    connections: int
    drip: bool = False
    """A byte now and then, so that nothing seems idle."""
    after_s: float = 0.0
    """When they begin."""

    async def run(self, on: Field) -> None:
        await _many(self.connections, lambda: asyncio.ensure_future(self._one(on)))

    async def _one(self, on: Field) -> None:
        await asyncio.sleep(self.after_s)
        while not on.over:
            async with on.wire() as wire:
                await wire.send(self.head)
                view = memoryview(self.body)
                for start in range(0, len(view), BLOCK_BYTES):
                    await wire.send(bytes(view[start : start + BLOCK_BYTES]))
                while not (wire.closed or on.over):
                    await asyncio.sleep(0.1)
                    if self.drip:
                        await wire.send(b"x")
            await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Together:
    """Several attacks at once."""

    attacks: tuple[Attack, ...]

    async def run(self, on: Field) -> None:
        await asyncio.gather(*(each.run(on) for each in self.attacks))


@dataclass(frozen=True)
class Idle:
    """Connections that say nothing."""

    connections: int

    async def run(self, on: Field) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self.connections):
                with contextlib.suppress(OSError):
                    await stack.enter_async_context(on.wire())
            await asyncio.sleep(max(0.0, on.end_s - time.monotonic()))


@dataclass(frozen=True)
class Answering:
    """A destination, an alert hook or a token endpoint that answers without end. It has itself delivered to."""

    source: str
    """What is posted to it comes here, in the end."""
    answers: tuple[tuple[bytes, bytes], ...]
    """What an answer begins with, and what follows again and again. They take turns, connection by connection."""
    events: int = 6

    async def run(self, on: Field) -> None:
        turns = itertools.cycle(self.answers)
        server = await asyncio.start_server(lambda r, w: _answer(on, r, w, *next(turns)), "127.0.0.1", on.hostile_port)
        async with server:
            for number in range(self.events):
                async with on.wire() as wire:
                    await wire.send(whole(self.source, b'{"n": %d}' % number, BEARER))
                    await wire.answer()
            await asyncio.sleep(max(0.0, on.end_s - time.monotonic()))


async def _answer(
    on: Field, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, start: bytes, piece: bytes
) -> None:
    block = piece * (1 + BLOCK_BYTES // len(piece))
    on.came.connections += 1
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while not on.over:
            writer.write(block)
            on.came.sent += len(block)
            await writer.drain()
    writer.transport.abort()


# -- what they send -----------------------------------------------------------------------------


def head(source: str, *lines: str, method: str = "POST", below: str = "") -> bytes:
    """The head of a request to a source."""
    said = "".join(f"{line}\r\n" for line in lines)
    return f"{method} /webhooks/{source}{below} HTTP/1.1\r\nHost: gateway\r\n{said}\r\n".encode()


def whole(source: str, body: bytes, *lines: str, below: str = "") -> bytes:
    """A request with its body and its length."""
    return head(source, *lines, f"Content-Length: {len(body)}", below=below) + body


def _plain(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()


def _chunked(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


BEARER = f"Authorization: Bearer {TOKEN}"
_TRAILER = b"X-Trailer-%s: %s\r\n" % (b"n" * 20, b"v" * 200)
_NOW = str(int(time.time()))


MIB = 1024 * 1024
SIZES = (MAX_BODY, 2 * MIB, MIB, MIB // 4, MIB // 16)
"""Some kinds take less than others, and what is over the limit costs nothing: so also what is just within."""


def _form(size: int, start: bytes = b"") -> bytes:
    """A form of few fields, all of it escapes."""
    field = b"&p=" + b"%e9" * 3_000
    return (start + field * (size // len(field)))[: size - size % 3]


def _lists(size: int, start: bytes) -> bytes:
    """An object with so many bytes of empty lists."""
    room = size - len(start) - 10
    return start + b'"x":[' + b",".join([b"[]"] * (room // 3)) + b"]}"


def _twilio(size: int) -> bytes:
    proof = "X-Twilio-Signature: " + base64.b64encode(b"0" * 20).decode()
    return whole("twilio", _form(size), "Content-Type: application/x-www-form-urlencoded", proof)


def _slack(size: int) -> bytes:
    body = _lists(size, b'{"type":"url_verification","challenge":"c",')
    return whole("slack", body, "X-Slack-Signature: v0=" + "0" * 64, f"X-Slack-Request-Timestamp: {_NOW}")


def _byoc(size: int) -> bytes:
    return whole("byoc", _lists(size, b'{"client_id":"cxone","client_secret":"guess",'), below="/token")


_SIGNATURES = " ".join(["v1a," + base64.b64encode(b"0" * 64).decode()] * 16)
_STANDARD = (f"webhook-timestamp: {_NOW}", "webhook-id: msg_1", f"webhook-signature: {_SIGNATURES}")
_STRIPE = f"Stripe-Signature: t={_NOW}," + ",".join(["v1=" + "0" * 64] * 16)


def _standard(size: int) -> bytes:
    return whole("standard", b"x" * (size - 1), *_STANDARD)


def _stripe(size: int) -> bytes:
    return whole("stripe", b"x" * (size - 1), _STRIPE)


def _unknown(name: str, size: int) -> bytes:
    """To a name that does not exist, whatever kind stands in for it: with all the proofs that any kind looks for."""
    lines = (
        *_STANDARD,
        _STRIPE,
        "X-Twilio-Signature: " + base64.b64encode(b"0" * 20).decode(),
        "X-Slack-Signature: v0=" + "0" * 64,
        f"X-Slack-Request-Timestamp: {_NOW}",
        "Content-Type: application/x-www-form-urlencoded",
    )
    return whole(name, _form(size, b"url_verification=1"), *lines)


def _unknowns() -> tuple[bytes, ...]:
    return tuple(_unknown(f"nobody-{number}-{size}", size) for size in SIZES for number in range(6))


def _sized(make: Callable[[int], bytes]) -> Attack:
    return Again(tuple(make(size) for size in SIZES))


def _packed_lists() -> bytes:
    body = gzip.compress(b'{"x":[' + b",".join([b"[]"] * 3_300_000) + b"]}", 9, mtime=0)
    return whole("loud", body, BEARER, "Content-Encoding: gzip")


def _many_names() -> bytes:
    names = b",".join(b'"%x":0' % number for number in range(900_000))
    return whole("loud", b'{"id":1,' + names + b',"id":2}', BEARER)


def _many_items() -> bytes:
    return whole("filtered", b'{"items":[' + b",".join([b'{"a":1}'] * 1_200_000) + b"]}", BEARER)


def _no_json() -> bytes:
    return whole("loud", b"x" * (MAX_BODY - 1), BEARER)


def _unfinished(source: str, connections: int, size: int, drip: bool = False, after_s: float = 0.0) -> Unfinished:
    start = head(source, f"Content-Length: {size}")
    return Unfinished(start, b"x" * (size - 1 - (1000 if drip else 0)), connections, drip, after_s)


def _all_places() -> Attack:
    """Large bodies as many as there is room for, then ever smaller ones for what is left of it."""
    smaller = (_unfinished("quiet", 30, MAX_BODY // 10**step, after_s=0.9 + step / 10) for step in range(1, 6))
    return Together((_unfinished("quiet", 30, MAX_BODY), *smaller))


_OK = b"HTTP/1.1 200 OK\r\n"
_CONTINUES = (b"", b"HTTP/1.1 100 Continue\r\n\r\n")
_EXTENSIONS = (_OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"ext=value;" * 100)


def _other_answers() -> tuple[tuple[bytes, bytes], ...]:
    bomb = gzip.compress(bytes(100 * MB), 9, mtime=0)
    return (
        _EXTENSIONS,
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", _TRAILER),
        (_OK, _TRAILER),
        (_OK + b"\r\n", b"x" * BLOCK_BYTES),
        (_OK + b"Content-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\n", bomb),
    )


ATTACKS: dict[str, Callable[[], Attack]] = {
    "nobody": lambda: Idle(0),
    # Answered by their head alone.
    "pipelined 404": lambda: Endless(b"", _plain("GET", "/nothing"), 2),
    "pipelined 404, unread": lambda: Endless(b"", _plain("GET", "/nothing"), 2, unread=True),
    "pipelined healthz, unread": lambda: Endless(b"", _plain("GET", "/healthz"), 2, unread=True),
    "pipelined 405": lambda: Endless(b"", head("quiet", method="GET"), 2),
    "pipelined OPTIONS": lambda: Endless(b"", _plain("OPTIONS", "/healthz"), 2, unread=True),
    "pipelined 411": lambda: Endless(b"", head("quiet"), 2),
    "pipelined 401": lambda: Endless(b"", whole("quiet", b"{}"), 2),
    "a body behind a 404": lambda: Endless(
        b"POST /nothing HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000000000\r\n\r\n", b"x" * BLOCK_BYTES, 2
    ),
    # What is neither head nor payload.
    "trailers": lambda: Endless(_chunked("/webhooks/quiet") + b"0\r\n", _TRAILER, 2),
    "trailers, no such path": lambda: Endless(_chunked("/nothing") + b"0\r\n", _TRAILER, 2),
    "chunk extensions": lambda: Endless(_chunked("/webhooks/quiet") + b"1;", b"ext=value;" * 100, 2),
    "chunks of one byte": lambda: Endless(_chunked("/webhooks/quiet"), b"1\r\nx\r\n", 2),
    # Work before proof.
    "twilio form": lambda: _sized(_twilio),
    "slack challenge": lambda: _sized(_slack),
    "byoc token": lambda: _sized(_byoc),
    "standard-webhooks, 16 signatures": lambda: _sized(_standard),
    "stripe, 16 signatures": lambda: _sized(_stripe),
    "unknown name": lambda: Again(_unknowns()),
    # Places that are taken and not used.
    "180 unfinished bodies": _all_places,
    "30 slow bodies": lambda: _unfinished("loud", 30, MAX_BODY, drip=True),
    "1,000 slow heads": lambda: Unfinished(b"POST /webhooks/quiet HTTP/1.1\r\nX-Slow: ", b"", 1_000, drip=True),
    "3,000 idle connections": lambda: Idle(3_000),
    # With a secret of another source.
    "signed: packed lists": lambda: Again((_packed_lists(),)),
    "signed: many names": lambda: Again((_many_names(),), at_once=4),
    "signed: a filter over many items": lambda: Again((_many_items(),), at_once=4),
    "signed: 40 bodies that are no JSON": lambda: Again((_no_json(),), at_once=40, times=1),
    # From where deliveries, tokens and alerts are sent to.
    "to-destination: 100 Continue": lambda: Answering("to-destination", (_CONTINUES,)),
    "to-destination: no end": lambda: Answering("to-destination", _other_answers()),
    "to-token: 100 Continue": lambda: Answering("to-token", (_CONTINUES,)),
    "to-token: no end": lambda: Answering("to-token", _other_answers()),
    "to-alert: 100 Continue": lambda: Answering("to-alert", (_CONTINUES,)),
    "to-alert: no end": lambda: Answering("to-alert", (_EXTENSIONS,)),
}
"""By name: makes what will be sent, which may take a second."""


async def attack(made: Attack, on: Field) -> Came:
    """Attack a gateway; what it came to."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(on.seconds + 1):
            await made.run(on)
    return on.came


def main() -> None:
    """One attack, as this module says."""
    name, port, seconds, hostile_port = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    made = ATTACKS[name]()
    # Who measures goes first where both share a core.
    os.nice(10)
    print("ready", flush=True)
    sys.stdin.readline()
    came = asyncio.run(attack(made, Field(port, seconds, hostile_port)))
    print(json.dumps({"statuses": came.statuses, "connections": came.connections, "sent": came.sent}))


if __name__ == "__main__":
    main()
