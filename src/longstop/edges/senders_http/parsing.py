"""Bytes to requests: what comes on a connection is parsed, and counted.

The parser is httptools: llhttp, which is as strict about framing as a server has to be. What it does not do is done
here: it has no limits, and takes what follows a request that asks for another protocol for that protocol.
"""

from abc import ABC, abstractmethod

import httptools
import structlog

from longstop.edges.senders_http.body_limits import too_large
from longstop.edges.senders_http.head_limits import HEADER_BYTES_MAX, HEADERS_MAX, Framing
from longstop.model.errors import HeadersTooLargeError, IngestError

log = structlog.get_logger("longstop.http")

OVERHEAD_BYTES_MAX = 64 * 1024
"""Of a body in chunks, what is no payload (sizes, extensions, trailers) is at most this, and OVERHEAD_RATIO times what
is payload."""
OVERHEAD_RATIO = 8
BETWEEN_BYTES_MAX = 2 * HEADER_BYTES_MAX
"""So much may come in one piece that is no payload: a head with all that is around its headers, trailers, the
extensions of one chunk, blank lines before a request."""

HEAD, BODY, UNWANTED, OVER = range(4)
"""Where in a request it is: between two or in a head, in a body that is wanted, in one that is not, or behind the last
request that is served."""

_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class RequestParser(ABC):
    """What a connection is, as far as it reads. The connection itself makes requests of what is found."""

    def __init__(self) -> None:
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._phase = HEAD
        self._begun = False
        """In the head of a request."""
        self._head_bytes = 0
        self._requests = 0
        """How many have begun."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing = Framing()
        self._upgrading = False
        """The parser takes what follows the head for another protocol."""
        self._resuming = False
        """The parser reads a head that is ours, so that it takes what follows for a body."""
        self._body: bytes | bytearray = b""
        self._body_bytes_max = 0
        self._payload = 0
        """Bytes of the body that have come, wanted or not."""
        self._overhead = 0
        """Bytes that have come with them."""
        self._overhead_run = 0
        """Of these, what has come since the last of them."""
        self._trailers = 0
        self._is_counted = False
        """The body has not come at one go with its head."""

    # -- what a connection makes of it -----------------------------------------------------------

    @abstractmethod
    def _head_came(self, method: str, version: str, keep_alive: bool) -> None:
        """A head is complete: `_url`, `_headers`, `_framing`. The phase becomes BODY, UNWANTED or OVER, or stays."""

    @abstractmethod
    def _payload_came(self, size: int) -> None:
        """So much was added to `_body`, which is counted."""

    @abstractmethod
    def _request_came(self) -> None:
        """A request is complete, and the phase is HEAD."""

    @abstractmethod
    def _wait_for_rest(self) -> None:
        """A head has begun, or trailers have: the rest of them has to come in time."""

    @abstractmethod
    def _refuse(self, status: int, title: str) -> None:
        """What follows cannot be read: the phase becomes OVER."""

    @abstractmethod
    def _refuse_body(self, error: IngestError) -> None:
        """What comes of this body is not wanted any more: the phase becomes OVER."""

    # -- parsing ---------------------------------------------------------------------------------

    def _parse(self, piece: bytes | memoryview) -> None:
        assert self._parser is not None
        payload, size = self._payload, len(piece)
        if self._phase == HEAD:
            self._head_bytes += size
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as stop:
            self._resume_after_head(piece[stop.args[0] :])
        except httptools.HttpParserError as error:
            self._stop_parsing(error)
        if self._phase == HEAD:
            if self._head_bytes or self._begun:
                self._limit_head()
        elif self._phase != OVER:
            self._limit_body(size, max(0, self._payload - payload))

    def _stop_parsing(self, error: httptools.HttpParserError) -> None:
        fault = error.__context__
        if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(fault, httptools.HttpParserError):
            # To the parser any error in what it calls is the sender's, and a 4xx is final.
            log.error("request_failed", exc_info=fault or error)
            self._refuse(500, "Internal server error")
        else:
            self._refuse(400, "Bad request")

    def _resume_after_head(self, rest: bytes | memoryview) -> None:
        """Have the body read of a request that asks for another protocol: that is to be ignored (RFC 9110, 7.8).

        The parser would take what follows for that protocol. So another parser is given a head of the same framing.
        """
        if self._phase == OVER:
            return
        self._upgrading, self._resuming = False, True
        self._parser = httptools.HttpRequestParser(self)
        framing = "transfer-encoding: chunked" if self._framing.coding else f"content-length: {self._framing.length}"
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode())
        if len(rest):
            self._parse(rest)

    def _limit_head(self) -> None:
        if not self._head_bytes:
            # It began behind the end of another request, nobody knows how far.
            self._head_bytes = 1
        if self._head_bytes <= BETWEEN_BYTES_MAX:
            self._wait_for_rest()
        elif self._begun:
            # A head without end. One that ends is counted exactly, by the app.
            self._refuse(431, "Headers too large")
        else:
            self._refuse(400, "Bad request")

    def _limit_body(self, size: int, payload: int) -> None:
        """Count what has come, of which so much is payload."""
        self._overhead += size - payload
        self._overhead_run = 0 if payload else self._overhead_run + size
        most = OVERHEAD_BYTES_MAX + OVERHEAD_RATIO * self._payload
        if self._overhead > most or self._overhead_run > BETWEEN_BYTES_MAX:
            self._refuse_body(_too_much_around(self._overhead))

    # -- the parser's calls ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase != HEAD:
            return
        self._begun = True
        self._url = b""
        self._requests += 1

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, content: bytes) -> None:
        if self._phase != HEAD:
            self._drop_trailer()
            return
        name = name.lower()
        if name in _FRAMING:
            self._framing.add(name, content)
        self._headers.append((name, content))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self._resuming or self._phase == OVER or parser is None:
            self._resuming = False
            return
        self._begun, self._head_bytes = False, 0
        self._payload = self._overhead = self._overhead_run = self._trailers = 0
        self._upgrading = parser.should_upgrade()
        version = parser.get_http_version()
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self._head_came(parser.get_method().decode("ascii"), version, keep_alive)
        self._headers = []

    def on_body(self, body: bytes) -> None:
        self._payload += len(body)
        if self._phase != BODY:
            return
        if self._payload > self._body_bytes_max:
            self._refuse_body(too_large(self._body_bytes_max))
            return
        if not self._body:
            self._body = body
        else:
            # One buffer: a list of tiny chunks would be many times as large as what is in them.
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += body
        if self._is_counted:
            self._payload_came(len(body))

    def _drop_trailer(self) -> None:
        """What follows the last chunk is nobody's: it could name anything, behind what was checked."""
        if self._resuming or self._phase == OVER:
            return
        self._trailers += 1
        if self._trailers > HEADERS_MAX:
            self._refuse_body(_too_much_around(self._overhead))
        else:
            self._wait_for_rest()

    def on_message_complete(self) -> None:
        if self._upgrading or self._phase == OVER:
            return
        self._phase = HEAD
        self._framing.clear()
        self._payload = 0
        self._request_came()


def _too_much_around(size: int) -> HeadersTooLargeError:
    return HeadersTooLargeError(
        f"found {size} bytes around the body's own (chunk extensions, trailers); send it without them"
    )
