"""Requests that are handed to an app whole, and answered in one piece.

ASGI tells an app of a request message by message, and takes its answer so: each is a dictionary, a coroutine and a
few checks. Where bodies are small and mostly there before anybody looks, that took a fifth of the time in which an
event is accepted (bench/ingest.py, CPython 3.11, 2026-11-27). So the senders' port asks its app when the head of a
request is there, and gives it the body when that is.

uvicorn's connection does what it does for any app: it parses, counts, times out and drains.
"""

import asyncio
import urllib.parse
from collections import deque
from collections.abc import Sequence
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, Protocol, TypeVar, runtime_checkable

import httptools
import structlog

from longstop.edges.senders_http.answers import plain_problem, problem
from longstop.edges.senders_http.body_limits import Coming, ComingBodies, CrowdedError, too_large
from longstop.edges.senders_http.guarded_protocol import GuardedProtocol
from longstop.model.errors import IngestError
from longstop.model.exchange import Answer
from longstop.model.value import value

log = structlog.get_logger("longstop.http")

KEEP_ALIVE_S = 75.0
"""A connection is closed that has been idle for so long."""

_CLOSE = ("connection", "close")
_FAILED = Answer(500, b"Internal Server Error", "text/plain; charset=utf-8")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Opened = TypeVar("Opened")


@runtime_checkable
class WholeRequestApp(Protocol):
    """An app that takes whole requests."""

    bodies: ComingBodies

    def begin(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], version: str) -> "Answer | Place":
        """Asked when a head is there: the answer, where no body is needed for it; or what the request is for."""

    async def finish(self, place: Any, body: bytes, peer: str | None, query: bytes) -> Answer:
        """The answer to the whole request. place: what `begin` returned."""

    def refused(self, place: Any, error: IngestError) -> None:
        """Told of a request that was refused while its body came. place: what `begin` returned."""

    def unreadable(self, status: int) -> None:
        """Told of what is no HTTP that can be read, and of what it is answered with."""


class Place(Protocol):
    """What a request is for, as far as the server has to know."""

    @property
    def body_bytes_max(self) -> int:
        """A longer body is refused as soon as that is known."""


@value(frozen=True, slots=True)
class _Exchange:
    """A request that is to be served, or that is answered by its head alone."""

    found: Answer | Place
    keep_alive: bool
    bodiless: bool
    """The answer has no body: its request was a HEAD."""
    query: bytes


class WholeRequests(GuardedProtocol):
    """One connection. Its requests are served one after the other, in the order they came."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._whole: WholeRequestApp = self.app
        self._receiving: _Exchange | None = None
        """The request whose body is coming."""
        self._pieces: list[bytes] = []
        """Of its body, what is there."""
        self._body_bytes = 0
        self._body_bytes_max = 0
        self._coming: Coming | None = None
        """Its body, once it has not come at one go with its head."""
        self._serving: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[_Exchange, bytes]] = deque()
        self._leaving = False
        """No request is taken any more."""
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # -- the transport's calls -------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._receiving is not None and self._coming is None:
            self._await_body()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop()
        self._waiting.clear()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Take no more requests, answer those that have begun, close."""
        self._leaving = True
        if not self._is_answering() and self._receiving is None:
            self.transport.close()

    # -- the parser's calls ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun = True
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        version, method = self.parser.get_http_version(), self.parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        found = self._asked(method, urllib.parse.unquote(path) if "%" in path else path, version)
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        exchange = _Exchange(found, keep_alive, method == "HEAD", url.query or b"")
        if isinstance(found, Answer):
            self._take(exchange)
            return
        self._receiving = exchange
        self._body_bytes, self._body_bytes_max = 0, found.body_bytes_max
        if self.expect_100_continue and not self._is_answering():
            self.transport.write(_CONTINUE)

    def _asked(self, method: str, path: str, version: str) -> Answer | Place:
        try:
            return self._whole.begin(method, path, self.headers, version)
        except Exception:
            # To the parser any error is the sender's, and a 4xx is final.
            log.exception("request_failed")
            return _FAILED

    def on_body(self, body: bytes) -> None:
        receiving = self._receiving
        if receiving is None:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            self._refuse_body(too_large(self._body_bytes_max))
            return
        self._pieces.append(body)
        if self._coming is not None:
            self._hold(self._coming, len(body))

    def on_message_complete(self) -> None:
        self._in_head = True
        receiving = self._receiving
        if receiving is not None:
            body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._drop()
            self._take(receiving, body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what is wrong is for the log
        """What follows cannot be read. The requests before it are answered first."""
        self._refuse(400, b"Bad Request")

    def _refuse(self, status: int, phrase: bytes) -> None:
        self._whole.unreadable(status)
        self._drop()
        self._take(_Exchange(plain_problem(status, phrase.decode(), (_CLOSE,)), False, False, b""))

    # -- bodies ----------------------------------------------------------------------------------

    def _await_body(self) -> None:
        self._coming = self._whole.bodies.begin(self._cut_body)
        self._hold(self._coming, self._body_bytes)

    def _hold(self, coming: Coming, size: int) -> None:
        try:
            self._whole.bodies.hold(coming, size)
        except CrowdedError as error:
            self._refuse_body(error)

    def _cut_body(self) -> None:
        if self._coming is not None:
            self._refuse_body(self._coming.slow_error())

    def _refuse_body(self, error: IngestError) -> None:
        receiving = self._receiving
        assert receiving is not None
        self._whole.refused(receiving.found, error)
        self._drop()
        self._take(_Exchange(problem(error), False, receiving.bodiless, b""))

    def _drop(self) -> None:
        """Let go of the body that is coming."""
        self._receiving = None
        self._pieces = []
        if self._coming is not None:
            self._whole.bodies.end(self._coming)
            self._coming = None

    # -- serving ---------------------------------------------------------------------------------

    def _is_answering(self) -> bool:
        return self._serving is not None

    def _take(self, exchange: _Exchange, body: bytes = b"") -> None:
        if self.transport.is_closing() or self._swallow_bytes_left:
            return
        if self._serving is not None:
            self._waiting.append((exchange, body))
            self.flow.pause_reading()
        else:
            self._begin(exchange, body)

    def _begin(self, exchange: _Exchange, body: bytes) -> None:
        if isinstance(exchange.found, Answer):
            self._answer(exchange, exchange.found)
            return
        self._serving = self.loop.create_task(self._serve(exchange, body))
        self.tasks.add(self._serving)

    async def _serve(self, exchange: _Exchange, body: bytes) -> None:
        peer = self.client[0] if self.client else None
        try:
            answer = await self._whole.finish(exchange.found, body, peer, exchange.query)
        except Exception:
            log.exception("request_failed")
            answer = _FAILED
        except asyncio.CancelledError:
            self._served()
            self.transport.close()
            raise
        if self.flow.write_paused:
            await self.flow.drain()
        self._served()
        self._answer(exchange, answer)
        while self._waiting and self._serving is None:
            self._begin(*self._waiting.popleft())
        if not self._waiting:
            self.flow.resume_reading()

    def _served(self) -> None:
        # Here and not as the task's callback: that would be one more turn of the event loop for each request.
        assert self._serving is not None
        self.tasks.discard(self._serving)
        self._serving = None

    def _answer(self, exchange: _Exchange, answer: Answer) -> None:
        if self.transport.is_closing() or self._swallow_bytes_left:
            return
        closes = not exchange.keep_alive or _CLOSE in answer.headers or (self._leaving and not self._waiting)
        head = self._head(answer, closes)
        self.transport.write(head if exchange.bodiless else head + answer.body)
        if closes:
            self._waiting.clear()
            self.close_after_answer()
        else:
            self._idle_since_s = self.loop.time()
            if self._idle_timer is None:
                self._idle_timer = self.loop.call_later(KEEP_ALIVE_S, self._close_idle)

    def _head(self, answer: Answer, closes: bool) -> bytes:
        said = "".join([f"{name}: {text}\r\n" for name, text in answer.headers]) if answer.headers else ""
        if closes and _CLOSE not in answer.headers:
            said += "connection: close\r\n"
        lengths = f"content-type: {answer.content_type}\r\ncontent-length: {len(answer.body)}\r\n"
        line = _status_line(answer.status)
        return f"{line}{_usual(*self.server_state.default_headers)}{lengths}{said}\r\n".encode("latin-1")

    def _close_idle(self) -> None:
        """One timer for many requests: set anew for each, it would cost a fiftieth of it."""
        left_s = self._idle_since_s + KEEP_ALIVE_S - self.loop.time()
        self._idle_timer = None
        if left_s > 0 or self._is_answering() or self._receiving is not None:
            self._idle_timer = self.loop.call_later(max(left_s, 1.0), self._close_idle)
        elif not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=1)
def _usual(*headers: tuple[bytes, bytes]) -> str:
    """What stands in every answer: the date, the same for a second."""
    return "".join([f"{name.decode()}: {text.decode()}\r\n" for name, text in headers])


@cache
def _status_line(status: int) -> str:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    except ValueError:
        return f"HTTP/1.1 {status} \r\n"
