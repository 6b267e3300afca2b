"""One connection of the senders' port: bytes to whole requests, and each answered in one piece, in the order they came.

ASGI tells an app of a request message by message, and takes its answer so: each is a dictionary, a coroutine and a
few checks. Where bodies are small and mostly there before anybody looks, that took a fifth of the time in which an
event is accepted (bench/ingest.py, CPython 3.11, 2026-11-27). So the senders' port asks its app when the head of a
request is there, and gives it the body when that is.

The parser cannot be stopped, so it is given little at a time, and nothing while an answer is being made or is not being
read. What a connection costs is bounded by the constants below, whatever comes on it.
"""

import asyncio
import urllib.parse
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import httptools
import structlog

from longstop.edges.senders_http.answers import plain_problem, problem
from longstop.edges.senders_http.body_limits import UnfinishedBodies, UnfinishedBody
from longstop.edges.senders_http.head_limits import CLOSE, what_is_wrong
from longstop.edges.senders_http.parsing import BODY, OVER, UNWANTED, RequestParser
from longstop.model.addresses import sender_of
from longstop.model.errors import IngestError
from longstop.model.exchange import Answer
from longstop.model.value import value

if TYPE_CHECKING:
    from longstop.edges.senders_http.server import SendersServer

log = structlog.get_logger("longstop.http")

KEEP_ALIVE_S = 75.0
"""A connection is closed that has been idle for so long."""
NEW_WITHIN_S = 1.0
"""A connection that is no older has yet to send its first request, and a stop waits for that."""
HEAD_WITHIN_S = 5.0
"""A request's head has to be complete this soon after its first byte; so have chunk trailers, and a body that nobody
wants."""
SLICE_BYTES = 2 * 1024
"""So much is parsed at once: some 80 of the smallest requests."""
TURN_BYTES = 16 * 1024
"""After so much, or TURN_REQUESTS, others have their turn."""
TURN_REQUESTS = 8
"""Who has asked for more at once has to ask for his next turn, too."""
UNWANTED_BYTES_MAX = 64 * 1024
"""A body that is not needed for the answer is read, up to this length, so that the connection can go on being used."""
SWALLOW_BYTES_MAX = 64 * 1024 * 1024
"""Before a connection is closed of which more may come, so much is read of that and thrown away."""
SWALLOW_WITHIN_S = 2.0
"""And for so long. A close with unread bytes resets the connection, and the reset overtakes the answer."""
UNREAD_WITHIN_S = 20.0
"""Who has not read his answers for so long is cut off."""

_FAILED = Answer(500, b"Internal Server Error", "text/plain; charset=utf-8")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class WholeRequestApp(Protocol):
    """An app that takes whole requests."""

    bodies: UnfinishedBodies
    is_stopping: bool
    """Set when those who ask how it is are to send nobody any more."""

    def begin(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], version: str) -> "Answer | Place":
        """Asked when a head is there: the answer, where no body is needed for it; or what the request is for."""

    def await_body(self, place: Any, peer: str | None, cut: Callable[[IngestError], object]) -> UnfinishedBody:
        """Told when the body has not come with its head. place: what `begin` returned."""

    async def finish(self, place: Any, body: bytes, peer: str | None, query: bytes) -> Answer:
        """The answer to the whole request."""

    def refused(self, place: Any, error: IngestError) -> None:
        """Told of a request that was refused while its body came."""

    def unreadable(self, status: int) -> None:
        """Told of what is no HTTP that can be read or served, and of what it is answered with."""


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
    bodiless: bool = False
    """The answer has no body: its request was a HEAD."""
    query: bytes = b""
    is_whole: bool = True
    """Nothing more of it comes."""


class Connection(RequestParser, asyncio.Protocol):
    """One connection. Its requests are served one after the other, in the order they came."""

    def __init__(self, server: "SendersServer") -> None:
        super().__init__()
        self._server = server
        self._app = server.app
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._peer: str | None = None
        self.address = ""
        """Who is taken for one with others, where there are too many."""
        self.is_known = False
        """A request of it was accepted: it goes last, where there are too many."""
        # What is received now.
        self._receiving: _Exchange | None = None
        """The request whose body is coming."""
        self._unfinished: UnfinishedBody | None = None
        """The body, once it has not come at one go with its head."""
        self._asked = False
        """Its sender waits to be asked for it (Expect: 100-continue), and has not been."""
        # What is not parsed yet.
        self._unparsed: bytes | bytearray = b""
        self._at = 0
        self._has_turn_coming = False
        self._is_greedy = False
        """It asked for more than its turn, when it last had one."""
        self._is_reading = True
        self._at_end = False
        """The sender has said that nothing more comes."""
        # Answers.
        self._serving: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[_Exchange, bytes]] = deque()
        self._is_read = True
        """Its sender reads what is written."""
        self._leaving = False
        """No request is taken any more."""
        self._swallow_bytes_left = 0
        # Timers.
        self._timer: asyncio.TimerHandle | None = None
        """For a head, trailers, an unwanted body, the end."""
        self._unread_timer: asyncio.TimerHandle | None = None
        self.idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None

    # -- the transport's calls -------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else None
        self.address = sender_of(self._peer)
        self.idle_since_s = self._loop.time()
        if self._server.joined(self):
            self._arm(HEAD_WITHIN_S, self._cut)
        else:
            transport.write(self._head(_FULL, True) + _FULL.body)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._forget()
        self._phase = OVER
        self._disarm()
        for timer in (self._idle_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._server.left(self)
        # The two hold each other.
        self._parser = None

    def data_received(self, data: bytes) -> None:
        if self._phase == OVER:
            self._swallow(len(data))
        elif self._unparsed:
            self._unparsed = bytearray(memoryview(self._unparsed)[self._at :])
            self._unparsed += data
            self._at = 0
        elif len(data) <= SLICE_BYTES and not self._is_greedy and not self._is_held_up():
            requests = self._requests
            self._parse(data)
            self._is_greedy = self._requests > requests + TURN_REQUESTS
            if self._receiving is not None and self._unfinished is None:
                self._await_body(self._receiving)
        else:
            self._unparsed, self._at = data, 0
            if self._is_held_up():
                self._mind_reading()
            elif self._is_greedy or len(data) > TURN_BYTES:
                self._ask_for_turn()
            else:
                self.take_turn()

    def eof_received(self) -> bool:
        """Whether the connection stays open for answers that are still to be written."""
        self._at_end = True
        return self._is_held_up() or bool(self._unparsed)

    def pause_writing(self) -> None:
        self._is_read = False
        self._unread_timer = self._loop.call_later(UNREAD_WITHIN_S, self._transport.abort)

    def resume_writing(self) -> None:
        self._is_read = True
        if self._unread_timer is not None and not self._transport.is_closing():
            self._unread_timer.cancel()
            self._unread_timer = None
        self._go_on()

    # -- the server's calls ----------------------------------------------------------------------

    def shutdown(self) -> None:
        """Take no more requests, answer those that have begun, close.

        Who has connected a moment ago is about to send something, and would be refused without an answer.
        """
        self._leaving = True
        if self.is_idle():
            left_s = self.idle_since_s + NEW_WITHIN_S - self._loop.time() if self._idle_timer is None else 0.0
            if left_s > 0:
                self._arm(left_s, self._cut)
            else:
                self._close()

    def is_idle(self) -> bool:
        """Whether nothing of a request is there."""
        return not (self._begun or self._receiving or self._unparsed or self._is_held_up())

    def would_lose(self) -> int | None:
        """What is lost where it is closed: nothing (0), a head (1), a body that comes without a proof (2), or with one
        (3); None for a request that is whole."""
        if self._serving is not None or self._waiting:
            return None
        if self._unfinished is not None:
            return 3 if self._unfinished.bears_proof else 2
        return 1 if self._begun else 0

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    def take_turn(self) -> None:
        """Parse of what is there as much as a turn allows, and ask for another."""
        self._has_turn_coming = False
        bytes_left, requests_max = TURN_BYTES, self._requests + TURN_REQUESTS
        self._is_greedy = False
        while self._at < len(self._unparsed) and not self._is_held_up() and self._phase != OVER:
            self._is_greedy = self._requests > requests_max
            if bytes_left <= 0 or self._requests >= requests_max:
                self._ask_for_turn()
                break
            # Payload costs next to nothing: it is taken at one go, where it is known how much is to come.
            size = max(SLICE_BYTES, self._framing.length - self._payload if self._phase == BODY else 0)
            piece = memoryview(self._unparsed)[self._at : self._at + size]
            self._at += len(piece)
            bytes_left -= SLICE_BYTES
            self._parse(piece)
        if self._receiving is not None and self._unfinished is None:
            self._await_body(self._receiving)
        if self._at >= len(self._unparsed) or self._phase == OVER:
            self._unparsed, self._at = b"", 0
        self._mind_reading()
        if self._at_end and not self._unparsed and not self._is_held_up():
            self._leave()

    # -- what is found in it ---------------------------------------------------------------------

    def _head_came(self, method: str, version: str, keep_alive: bool) -> None:
        found, query = self._look_up(method, version)
        if self._timer is not None:
            self._disarm()
        exchange = _Exchange(found, keep_alive, method == "HEAD", query)
        if isinstance(found, Answer):
            self._answer_head(exchange, found)
            return
        self._phase, self._receiving = BODY, exchange
        self._body_bytes_max = found.body_bytes_max
        self._asked = self._framing.expects
        if self._asked and not self._is_held_up():
            self._ask_for_body()

    def _look_up(self, method: str, version: str) -> tuple[Answer | Place, bytes]:
        """What a request is for, or its answer; and its query."""
        wrong = what_is_wrong(self._framing, method, version, self._url)
        if wrong is not None:
            self._app.unreadable(wrong.status)
            return wrong, b""
        try:
            path, query = _path_and_query(self._url)
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._app.unreadable(_NO_TARGET.status)
            return _NO_TARGET, b""
        try:
            return self._app.begin(method, path, self._headers, version), query
        except Exception:
            # To the parser any error is the sender's, and a 4xx is final.
            log.exception("request_failed")
            return _FAILED, b""

    def _answer_head(self, exchange: _Exchange, found: Answer) -> None:
        """Answer what needs no body. One that comes all the same is read and dropped, if it is small."""
        framing = self._framing
        large = framing.coding is not None or framing.length > UNWANTED_BYTES_MAX
        if large or CLOSE in found.headers or (framing.length and not exchange.keep_alive):
            exchange = _Exchange(found, False, exchange.bodiless, is_whole=False)
            self._phase = OVER
        elif framing.length or self._upgrading:
            self._phase = UNWANTED
            self._arm(HEAD_WITHIN_S, self._cut)
        elif not exchange.keep_alive:
            self._phase = OVER
        self._take(exchange)

    def _payload_came(self, size: int) -> None:
        if self._unfinished is not None:
            self._hold(self._unfinished, size)

    def _request_came(self) -> None:
        if self._timer is not None:
            self._disarm()
        receiving = self._receiving
        if receiving is None:
            return
        body = bytes(self._body)
        if self._is_counted or self._asked:
            self._forget_body()
        else:
            self._receiving, self._body = None, b""
        if not receiving.keep_alive:
            self._phase = OVER
        self._take(receiving, body)

    def _wait_for_rest(self) -> None:
        if self._timer is None:
            self._arm(HEAD_WITHIN_S, self._cut)

    # -- bodies ----------------------------------------------------------------------------------

    def _await_body(self, receiving: _Exchange) -> None:
        self._is_counted = True
        self._unfinished = self._app.await_body(receiving.found, self._peer, self._refuse_body)
        if self._body:
            self._hold(self._unfinished, len(self._body))

    def _hold(self, unfinished: UnfinishedBody, size: int) -> None:
        try:
            self._app.bodies.hold(unfinished, size)
        except IngestError as error:
            self._refuse_body(error)

    def _ask_for_body(self) -> None:
        self._asked = False
        self._transport.write(_CONTINUE)

    def _refuse_body(self, error: IngestError) -> None:
        """What comes of this body is not wanted any more, and after it nothing."""
        receiving = self._receiving
        self._forget_body()
        self._phase = OVER
        if receiving is not None:
            self._app.refused(receiving.found, error)
            self._take(_Exchange(problem(error), False, receiving.bodiless, is_whole=False))
        elif not self._is_held_up():
            # It was answered by its head alone.
            self._leave()

    def _forget_body(self) -> None:
        self._receiving = None
        self._body = b""
        self._asked = self._is_counted = False
        if self._unfinished is not None:
            self._app.bodies.end(self._unfinished)
            self._unfinished = None

    # -- answering -------------------------------------------------------------------------------

    def _is_held_up(self) -> bool:
        """Whether answers are to be written first, or to be read."""
        return self._serving is not None or bool(self._waiting) or not self._is_read

    def _refuse(self, status: int, title: str) -> None:
        """What follows cannot be read. The requests before it are answered first."""
        if self._phase == OVER:
            return
        self._forget_body()
        self._phase = OVER
        self._app.unreadable(status)
        self._take(_Exchange(plain_problem(status, title, (CLOSE,)), False, is_whole=False))

    def _take(self, exchange: _Exchange, body: bytes = b"") -> None:
        # As `_is_held_up`: a call less for each request.
        if self._serving is not None or self._waiting or not self._is_read:
            self._waiting.append((exchange, body))
        else:
            self._begin(exchange, body)

    def _begin(self, exchange: _Exchange, body: bytes) -> None:
        if isinstance(exchange.found, Answer):
            self._answer(exchange, exchange.found)
            return
        self._serving = self._loop.create_task(self._serve(exchange, body))
        self._server.tasks.add(self._serving)

    async def _serve(self, exchange: _Exchange, body: bytes) -> None:
        try:
            answer = await self._app.finish(exchange.found, body, self._peer, exchange.query)
        except Exception:
            log.exception("request_failed")
            answer = _FAILED
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        finally:
            # Here and not as the task's callback: that would be one more turn of the event loop for each request.
            self._server.tasks.discard(self._serving)
            self._serving = None
        if answer.status < 300:
            self.is_known = True
        self._answer(exchange, answer)
        if self._waiting or self._unparsed or self._asked or self._at_end or self._phase == OVER:
            self._go_on()

    def _go_on(self) -> None:
        """Serve what waits, as far as its answers are read; then read on."""
        while self._waiting and self._serving is None and self._is_read:
            self._begin(*self._waiting.popleft())
        if self._is_held_up():
            return
        if self._unparsed:
            self._ask_for_turn()
        elif self._at_end or self._phase == OVER:
            self._leave()
        elif self._asked:
            self._ask_for_body()

    def _ask_for_turn(self) -> None:
        if not self._has_turn_coming:
            self._has_turn_coming = True
            self._server.ask_for_turn(self)
        self._mind_reading()

    def _mind_reading(self) -> None:
        """Let nothing more come while something is left of what has come."""
        wanted = not self._unparsed
        if wanted != self._is_reading and not self._transport.is_closing():
            self._is_reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _answer(self, exchange: _Exchange, answer: Answer) -> None:
        if self._transport.is_closing() or self._swallow_bytes_left:
            return
        is_last = not self._waiting and (self._leaving or (self._server.drains and not self._unparsed))
        closes = not exchange.keep_alive or CLOSE in answer.headers or is_last
        self.idle_since_s = self._loop.time()
        head = self._head(answer, closes)
        self._transport.write(head if exchange.bodiless else head + answer.body)
        if closes and exchange.is_whole and not self._unparsed:
            self._close()
        elif closes:
            self._leave()
        elif self._idle_timer is None:
            self._idle_timer = self._loop.call_later(KEEP_ALIVE_S, self._close_idle)

    def _head(self, answer: Answer, closes: bool) -> bytes:
        said = "".join([f"{name}: {text}\r\n" for name, text in answer.headers]) if answer.headers else ""
        if closes and CLOSE not in answer.headers:
            said += "connection: close\r\n"
        lengths = f"content-type: {answer.content_type}\r\ncontent-length: {len(answer.body)}\r\n"
        return f"{_status_line(answer.status)}{self._server.date_line(self.idle_since_s)}{lengths}{said}\r\n".encode(
            "latin-1"
        )

    # -- the end ---------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._forget_body()
        self._waiting.clear()
        self._unparsed, self._at = b"", 0

    def _leave(self) -> None:
        """Close once the sender had a chance to read the answer, should he still be sending."""
        if self._transport.is_closing() or self._swallow_bytes_left:
            return
        self._forget()
        self._begun, self._phase = False, OVER
        self._swallow_bytes_left = SWALLOW_BYTES_MAX
        if self._at_end:
            self._close()
            return
        self._transport.write_eof()
        self._mind_reading()
        self._arm(SWALLOW_WITHIN_S, self._close)

    def _swallow(self, size: int) -> None:
        if self._swallow_bytes_left:
            self._swallow_bytes_left = max(0, self._swallow_bytes_left - size)
            if not self._swallow_bytes_left:
                self._close()

    def _close(self) -> None:
        """Close when all that was written is read, or has not been for too long."""
        self._phase = OVER
        self._forget()
        self._disarm()
        self._transport.close()
        if self._transport.get_write_buffer_size() and self._unread_timer is None:
            self._unread_timer = self._loop.call_later(UNREAD_WITHIN_S, self._transport.abort)

    # -- timers ----------------------------------------------------------------------------------

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        if self._unparsed or self._is_held_up():
            # It is not the sender who is slow.
            self._arm(HEAD_WITHIN_S, self._cut)
        elif self._begun or self._receiving is not None:
            self._refuse(408, "Request timeout")
        else:
            self._close()

    def _close_idle(self) -> None:
        """One timer for many requests: set anew for each, it would cost a fiftieth of it."""
        left_s = self.idle_since_s + KEEP_ALIVE_S - self._loop.time()
        self._idle_timer = None
        if left_s > 0 or not self.is_idle():
            self._idle_timer = self._loop.call_later(max(left_s, 1.0), self._close_idle)
        elif not self._transport.is_closing():
            self._close()


_FULL = plain_problem(503, "Not accepting now", (("retry-after", "5"), CLOSE))
_NO_TARGET = plain_problem(400, "Bad request", (CLOSE,))


@lru_cache(maxsize=256)
def _path_and_query(url: bytes) -> tuple[str, bytes]:
    parsed = httptools.parse_url(url)
    path = (parsed.path or b"").decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, parsed.query or b""


@cache
def _status_line(status: int) -> str:
    try:
        return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
    except ValueError:
        return f"HTTP/1.1 {status} \r\n"
