"""The server of the senders' port: it listens, knows its connections, gives them their turns, and drains when stopped.

Why not a server for any app: of what strangers can send, what costs most is dealt with in a connection
(`connection`), and what is left of a server is little.
"""

import asyncio
import socket
from collections import deque
from email.utils import formatdate

import structlog

from longstop.edges.senders_http.connection import Connection, WholeRequestApp
from longstop.edges.senders_http.descriptors import raise_descriptor_limit
from longstop.edges.senders_http.thread_switching import ThreadSwitching
from longstop.model.errors import LongstopError
from longstop.ports import Clock

log = structlog.get_logger("longstop.http")

DRAIN_WITHIN_S = 5.0
"""How long a stop waits for requests that are under way: longer than an answer may take."""
BACKLOG = 1024
"""Connections that wait to be accepted."""
ADDRESS_SHARE = 2
"""One address may have a half of all connections: it may be a proxy with all senders behind it."""
EVICTED_AT_ONCE = 32
"""Where there are too many connections, a 32nd of them gives way: to look for one each time would be work that a
stranger chooses."""


class ListenError(LongstopError):
    """The address cannot be listened on."""


def bind(host: str, port: int, setting: str = "server.port") -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ListenError, which names the port's setting."""
    try:
        return _listening(host, port)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {host}:{port}: {error.strerror}; is another Longstop running? "
            f"Stop it, or choose another {setting}"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


class SendersServer:
    """Serves an app that takes whole requests on a bound socket until it is stopped. Handles no signals."""

    def __init__(self, app: WholeRequestApp, listening: socket.socket, clock: Clock) -> None:
        self.app = app
        self.tasks: set[asyncio.Task[None]] = set()
        """Requests that are being served, also those whose sender has gone."""
        self._socket = listening
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._per_address: dict[str, int] = {}
        self._connections_max = raise_descriptor_limit()
        self._gone = asyncio.Event()
        self._turns: deque[Connection] = deque()
        self._is_giving_turns = False
        self._switching = ThreadSwitching(self._loop)
        self._date_line = ""
        self._date_until_s = 0.0
        self.drains = False
        """Every answer is the last of its connection: senders, and balancers for them, go elsewhere."""

    async def start(self) -> None:
        """Returns when connections are accepted."""
        self._server = await self._loop.create_server(lambda: Connection(self), sock=self._socket, backlog=BACKLOG)

    def drain(self) -> None:
        """From now on take requests as before, and have those who send them make their next connection elsewhere."""
        self.app.is_stopping = self.drains = True

    async def stop(self) -> None:
        """Accept no more connections, answer what is under way, close."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                if self._connections:
                    self._gone.clear()
                    await self._gone.wait()
                if self.tasks:
                    await asyncio.wait(self.tasks)
        except TimeoutError:
            log.warning("requests_cut", connections=len(self._connections), requests=len(self.tasks))
        for task in list(self.tasks):
            task.cancel()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._switching.calm()

    # -- the connections' calls ------------------------------------------------------------------

    def joined(self, connection: Connection) -> bool:
        """Whether there is room for it. Where there is none, others give way."""
        address = connection.address
        self._connections.add(connection)
        self._per_address[address] = self._per_address.get(address, 0) + 1
        own_max = self._connections_max // ADDRESS_SHARE
        if self._per_address[address] > own_max:
            return self._make_room(connection, own_max, [each for each in self._connections if each.address == address])
        if len(self._connections) > self._connections_max:
            return self._make_room(connection, self._connections_max, list(self._connections))
        return True

    def left(self, connection: Connection) -> None:
        """It is closed."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        left = self._per_address[connection.address] - 1
        if left:
            self._per_address[connection.address] = left
        else:
            del self._per_address[connection.address]
        if not self._connections:
            self._gone.set()

    def ask_for_turn(self, connection: Connection) -> None:
        """Have its `take_turn` called when what came meanwhile on others was looked at."""
        self._turns.append(connection)
        self._switching.hurry()
        if not self._is_giving_turns:
            self._is_giving_turns = True
            self._loop.call_soon(self._give_turn)

    def date_line(self, loop_s: float) -> str:
        """The header that stands in every answer, the same for a second. loop_s: the event loop's time."""
        if loop_s >= self._date_until_s:
            now_ms = self._clock.now_ms()
            self._date_line = f"date: {formatdate(now_ms // 1000, usegmt=True)}\r\n"
            self._date_until_s = loop_s + 1 - now_ms % 1000 / 1000
        return self._date_line

    def _give_turn(self) -> None:
        # One, however many ask for it: what is new on other connections comes in between.
        try:
            self._turns.popleft().take_turn()
        finally:
            self._is_giving_turns = bool(self._turns)
            if self._turns:
                self._loop.call_soon(self._give_turn)

    def _make_room(self, asking: Connection, allowed: int, among: list[Connection]) -> bool:
        """Close others: whom nobody knows first, where least is lost first, who has been idle for longest first."""
        too_many = len(among) - allowed
        losses = [
            (each.is_known, loss, each.idle_since_s, each) for each in among if (loss := each.would_lose()) is not None
        ]
        losses = [each for each in losses if each[3] is not asking]
        losses.sort(key=lambda each: each[:3])
        for *_, each in losses[: too_many + allowed // EVICTED_AT_ONCE]:
            self.left(each)
            each.abort()
        return len(losses) >= too_many
