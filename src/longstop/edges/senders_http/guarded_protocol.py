"""One connection of uvicorn's, with the limits that it lacks: a time for a request's head, a limit on its size, and a
close that lets a sender read an early answer.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from longstop.edges.senders_http.app import HEADER_BYTES_MAX

HEAD_WITHIN_S = 5.0
"""A request's head has to be complete this soon after its first byte."""
SWALLOW_BYTES_MAX = 64 * 1024 * 1024
SWALLOW_WITHIN_S = 2.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection, with limits on the head of each request and a lingering close."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        """Between requests, or in the head of one."""
        self._begun = False
        """In the head of one."""
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._swallow_bytes_left = 0

    # -- the transport's calls -------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._answering = _AnsweringTransport(self, transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._swallow_bytes_left:
            self._swallow(len(data))
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._begun and not self._head_bytes:
            # It began behind the end of another request, nobody knows how far.
            self._head_bytes = 1
        if not self._in_head or not self._head_bytes:
            return
        if self._head_bytes > 2 * HEADER_BYTES_MAX:
            # A head without end. One that ends is counted exactly, by the app.
            self._refuse(431, b"Request Header Fields Too Large")
        elif self._head_timer is None:
            self._arm()

    # -- the parser's calls ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_is_complete()
        transport = self.transport
        # The cycle that is made now keeps this transport for its answer, and closes it by way of `close`.
        self.transport = cast(asyncio.Transport, self._answering)
        try:
            super().on_headers_complete()
        finally:
            self.transport = transport

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _head_is_complete(self) -> None:
        self._in_head = self._begun = False
        self._head_bytes = 0
        self._disarm()

    def on_response_complete(self) -> None:
        self._answering.flush()
        super().on_response_complete()

    # -- limits ----------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_WITHIN_S, self._cut)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(408, b"Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: int, phrase: bytes) -> None:
        if self.transport.is_closing():
            return
        if not self._is_answering():
            head = b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, phrase))
        self.transport.close()

    def _is_answering(self) -> bool:
        """Whether an earlier request of this connection has no answer yet."""
        return self.cycle is not None and not self.cycle.response_complete

    def close_after_answer(self) -> None:
        """Close now, or, where the sender is still sending its body, once it had a chance to read the answer.

        A close with unread bytes resets the connection, and the reset overtakes the answer.
        """
        if self._in_head or self._swallow_bytes_left or self.transport.is_closing():
            self.transport.close()
            return
        self._swallow_bytes_left = SWALLOW_BYTES_MAX
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(SWALLOW_WITHIN_S, self.transport.close)

    def _swallow(self, size: int) -> None:
        self._swallow_bytes_left = max(0, self._swallow_bytes_left - size)
        if not self._swallow_bytes_left:
            self.transport.close()


class _AnsweringTransport:
    """What an answer is written to: head and body leave in one piece, and `close` lingers.

    A system call for each half of a small answer is a tenth of what a request costs.
    """

    def __init__(self, protocol: GuardedProtocol, transport: Any) -> None:
        self._protocol = protocol
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keep a head until what follows it; an interim answer (100 Continue) cannot wait."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that nothing followed: the answer to a HEAD request."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._protocol.close_after_answer()
