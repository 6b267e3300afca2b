"""Networks of a test's own: namespaces, the wire between two of them, servers inside, and a resolver that lies.

What happens in here touches none of the machine's own networks: an address that looks public is one that the
namespace gave to its loopback. A socket stays in the namespace in which it was made, so the servers run in the
test's own process and can be asked what came.
"""

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest

T = TypeVar("T")

LIMIT_S = 60.0
CLONE_NEWNET = 0x4000_0000
_SEARCHED = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_NUMBERS = itertools.count(1)


def program(name: str) -> str | None:
    """Where a program of iproute2 is; for people, it is often not on the path."""
    return shutil.which(name, path=_SEARCHED)


def _missing() -> str:
    """Why no namespace can be made here; empty where one can."""
    if program("ip") is None:
        return "needs Linux and the program ip (iproute2)"
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    # Root in a container often has neither; bits 12 and 21 are CAP_NET_ADMIN and CAP_SYS_ADMIN.
    if not (effective >> 12 & 1 and effective >> 21 & 1):
        return "needs root's right to make network namespaces"
    return ""


needs_namespaces = pytest.mark.skipif(bool(_missing()), reason=_missing())


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr}"


# -- namespaces -----------------------------------------------------------------------------------


class Namespace:
    """A network with nobody in it but what a test puts there. Use it as a context: then it is gone afterwards."""

    def __init__(self) -> None:
        self.name = f"longstop-{os.getpid()}-{next(_NUMBERS)}"
        self._ip = program("ip") or "ip"
        self._etc = Path("/etc/netns")

    @property
    def within(self) -> tuple[str, ...]:
        """What a command line begins with that is to run in here."""
        return (self._ip, "netns", "exec", self.name)

    def __enter__(self) -> Self:
        _run(self._ip, "netns", "add", self.name)
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._etc / self.name, ignore_errors=True)
        with contextlib.suppress(OSError):
            # Only where nobody else has anything there.
            self._etc.rmdir()
        _run(self._ip, "netns", "delete", self.name)

    def ip(self, *words: str) -> None:
        """Run `ip` in here."""
        _run(self._ip, "-netns", self.name, *words)

    def run(self, *command: str) -> None:
        """Run a command in here to its end."""
        _run(*self.within, *command)

    def own(self, *addresses: str) -> None:
        """Have these addresses, on the loopback: whoever connects to them from in here gets no further."""
        for address in addresses:
            self.ip("address", "add", address, "dev", "lo")

    def inside(self, do: Callable[[], T]) -> T:
        """Do something in a thread that is in here."""
        with ThreadPoolExecutor(1, initializer=self._enter) as thread:
            return thread.submit(do).result(LIMIT_S)

    def listen(self, address: str, port: int) -> socket.socket:
        """A socket that listens in here."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self.inside(lambda: socket.create_server((address, port), family=family, backlog=128))

    def ask_resolver(self) -> socket.socket:
        """Have what is started in here ask nobody for a name but this socket."""
        own = self._etc / self.name
        own.mkdir(parents=True)
        # `ip netns exec` puts these in the place of those in /etc.
        (own / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (own / "nsswitch.conf").write_text("hosts: files dns\n")
        made = self.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.bind(("127.0.0.1", 53))
        return made

    def _enter(self) -> None:
        # os.setns is there from Python 3.12 on.
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.name}", "rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")


Wire = tuple[Namespace, Namespace]
NEAR, FAR = "10.77.0.1", "10.77.0.2"


@contextlib.contextmanager
def wired() -> Iterator[Wire]:
    """Two namespaces, at NEAR and FAR, with a wire between them; at both ends it is called `wire`."""
    with Namespace() as near, Namespace() as far:
        near.ip("link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", far.name)
        for end, address in ((near, NEAR), (far, FAR)):
            end.ip("address", "add", f"{address}/24", "dev", "wire")
            end.ip("link", "set", "wire", "up")
        yield near, far


# -- servers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """The head of a request that came."""

    target: str
    headers: Mapping[str, str]
    """By lower-case name."""

    @property
    def attempt(self) -> int:
        """Which attempt it says it is."""
        return int(self.headers["longstop-attempt"])


Behaviour = Callable[[Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_body(request: Request, reader: asyncio.StreamReader) -> None:
    """Read what follows the head."""
    await reader.readexactly(int(request.headers.get("content-length", "0")))


def answering(status: int, *headers: str, body: bytes = b"") -> Behaviour:
    """Take every request, and answer it so."""
    lines = [f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(body)}", "", ""]

    async def behave(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(request, reader)
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return behave


OK = answering(200)


class Server:
    """Counts who connects, by the address that was dialled, whether a request follows or not."""

    def __init__(self, behave: Behaviour, turns: Callable[[], None]) -> None:
        self._behave = behave
        self._turns = turns
        self._connections: Counter[str] = Counter()
        self.requests: list[Request] = []

    @property
    def connections(self) -> Counter[str]:
        """How many there were, also of those that the loop has yet to hear of."""
        self._turns()
        return Counter(self._connections)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._connections[writer.get_extra_info("sockname")[0]] += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        pairs = (line.split(": ", 1) for line in head[1:])
        request = Request(head[0].split()[1], {name.lower(): value for name, value in pairs})
        self.requests.append(request)
        await self._behave(request, reader, writer)


class Resolver(asyncio.DatagramProtocol):
    """A name server whose answers differ from one question to the next, as their owner likes."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """answers: for each name what the first question gets, the second, and so on; the last holds for the rest."""
        self._answers = answers
        self.asked: Counter[tuple[str, int]] = Counter()
        """Questions, by name and kind: 1 is A, 28 is AAAA."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035, 4.1: the head, the question again, and a record for each address."""
        name, end = _name(query)
        (kind,) = struct.unpack(">H", query[end : end + 2])
        found = [packed for packed in self._next(name, kind) if len(packed) == {1: 4, 28: 16}.get(kind)]
        code = 0 if name in self._answers else 3
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        # Each begins with where the name stands, and lives for 0 seconds.
        records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed for packed in found]
        return head + query[12 : end + 4] + b"".join(records)

    def _next(self, name: str, kind: int) -> list[bytes]:
        asked = self.asked[name, kind]
        self.asked[name, kind] += 1
        answers = self._answers.get(name, [[]])
        return [ip_address(address).packed for address in answers[min(asked, len(answers) - 1)]]


def _name(query: bytes) -> tuple[str, int]:
    """The name that is asked for, and where it ends."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), at + 1


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()


class Servers:
    """A loop in a thread in which servers run, whichever namespace their sockets are in. Use it as a context."""

    def __enter__(self) -> Self:
        self._listening: list[asyncio.Server | asyncio.DatagramTransport] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def serve(self, behave: Behaviour, *sockets: socket.socket, tls: ssl.SSLContext | None = None) -> Server:
        """Serve whoever connects to one of the sockets."""
        server = Server(behave, lambda: self._do(_turns()))
        for each in sockets:
            self._listening.append(self._do(asyncio.start_server(server.serve, sock=each, ssl=tls)))
        return server

    def forward(self, listening: socket.socket, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Hand on whoever connects to the socket, byte by byte, to where `connect` leads."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await connect()
                await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))

        self._listening.append(self._do(asyncio.start_server(serve, sock=listening)))

    def resolve(self, listening: socket.socket, answers: Mapping[str, Sequence[Sequence[str]]]) -> Resolver:
        """Answer whoever asks this socket for a name."""
        resolver = Resolver(answers)
        listening.setblocking(False)
        transport, _ = self._do(self._loop.create_datagram_endpoint(lambda: resolver, sock=listening))
        self._listening.append(transport)
        return resolver

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    async def _end(self) -> None:
        for each in self._listening:
            each.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _turns()


async def _turns() -> None:
    """So many turns of the loop that a connection which is there has been accepted and counted, or closed."""
    for _ in range(10):
        await asyncio.sleep(0)
