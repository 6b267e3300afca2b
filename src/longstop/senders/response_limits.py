"""Limits on what whoever we call may answer, kept at the connection, before any parser sees a byte.

A limit on the body alone bounds nothing: interim answers (1xx), chunk extensions, trailers and line breaks before a
head are not body, and a peer that is near can send gigabytes of them in an attempt's time. So every byte is counted.
The head is read here (`response_head`): once it is complete its status is known, whatever becomes of the rest. The
library's parser gets the final head by itself and then, within a limit, what follows, for which it knows the framing.

It takes the places that asyncio and aiohttp have for it: `transport.set_protocol`, and `connect` and
`_create_connection` of a connector, which aiohttp's documentation names for being overridden.
"""

import asyncio
from contextvars import ContextVar
from typing import Any, Protocol

import aiohttp

from longstop.senders.response_head import Head, NotHttpError, head_of

HEAD_BYTES_MAX = 64 * 1024
"""For all heads of one answer together: the interim ones, the final one, and line breaks before them."""

INTERIM_MAX = 16
"""Interim answers (1xx) to one request. None is asked for, and proxies send one or two."""

BODY_BYTES_MAX = 128 * 1024
"""For what follows the head: the body with its framing, twice what is read of a body."""


class Answering(Protocol):
    """What is known of the answer to one request; filled as it comes."""

    status: int | None
    retry_after: str | None
    fault: str | None
    """Why it was cut, in words that go after the peer's name; None: it was not."""
    connection: "ResponseLimits | None"
    """What carries it; to be told when nothing more of the answer is wanted."""


asked: ContextVar[Answering | None] = ContextVar("asked", default=None)
"""The request that this task is about to send; the connection that carries it notes its answer there."""


class AnsweredEarlyError(OSError):
    """A peer that talks before it is asked does not speak HTTP."""

    def __init__(self) -> None:
        super().__init__("it talked before it was asked")


class LimitedConnector(aiohttp.TCPConnector):
    """A connector whose connections count what comes, and carry one answer for each request and nothing else."""

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - the library's signature
        """A connection on which nothing has come since its last answer ended."""
        while True:
            connection = await super().connect(req, traces, timeout)
            limits = connection.transport.get_protocol() if connection.transport is not None else None
            if isinstance(limits, ResponseLimits) and limits.begin(asked.get()):
                return connection
            connection.close()
            if isinstance(limits, ResponseLimits) and limits.is_new:
                raise AnsweredEarlyError

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109
        handler = await super()._create_connection(req, traces, timeout)
        if handler.should_close or handler.transport is None:
            handler.close()
            raise AnsweredEarlyError
        handler.transport.set_protocol(ResponseLimits(handler, handler.transport))
        return handler


class ResponseLimits(asyncio.Protocol):
    """One connection, between its transport and the library's handler."""

    def __init__(self, handler: Any, transport: asyncio.Transport) -> None:
        self._handler = handler
        self._transport = transport
        self._answering: Answering | None = None
        self.is_new = True
        """No request has gone out on it."""
        self._head: bytearray | None = None
        """What has come of the head; None once it is complete."""
        self._head_left = self._interim_left = self._body_left = 0

    def begin(self, answering: Answering | None) -> bool:
        """A request goes out now. False where the connection cannot be used for it."""
        if self._handler.should_close or self._transport.is_closing() or answering is None:
            return False
        self.is_new = False
        self._answering = answering
        answering.connection = self
        self._head = bytearray()
        self._head_left, self._interim_left, self._body_left = HEAD_BYTES_MAX, INTERIM_MAX, BODY_BYTES_MAX
        return True

    def end(self, answering: Answering) -> None:
        """This answer was read to its end, or given up. What comes now was not asked for."""
        # The connection may carry the next one by now: it is free as soon as the last byte has been read.
        if self._answering is answering:
            self._answering = None

    # -- from the transport -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Count, and hand on what belongs to the answer."""
        if self._answering is None or self._transport.is_closing():
            self._transport.abort()
        elif self._head is None:
            self._body(data)
        else:
            self._head_came(self._head, data, self._answering)

    def eof_received(self) -> None:
        """The peer has said all; returning nothing closes the connection."""
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """As the handler has it."""
        self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """As the handler has it."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """As the handler has it."""
        self._handler.resume_writing()

    # -- the answer ---------------------------------------------------------------------------------

    def _head_came(self, kept: bytearray, data: bytes, answering: Answering) -> None:
        searched = len(kept)
        kept += data
        try:
            head, rest = self._final(kept, searched)
        except NotHttpError:
            self._cut("answered what is not HTTP")
            return
        except _TooMuchError as error:
            self._cut(str(error))
            return
        if head is None:
            return
        answering.status, answering.retry_after = head.status, head.retry_after
        self._hand_on(head, bytes(kept[: head.length]), rest)

    def _final(self, kept: bytearray, searched: int) -> tuple[Head | None, bytes]:
        """The final head, which `kept` then holds alone, and what came behind it; None while it is not there."""
        while True:
            self._strip(kept)
            head = head_of(kept, searched) if kept else None
            if (len(kept) if head is None else head.length) > self._head_left:
                raise _TooMuchError(f"answered with a head of more than {HEAD_BYTES_MAX // 1024} KiB")
            if head is None or not head.interim:
                break
            self._interim_left -= 1
            if self._interim_left < 0:
                raise _TooMuchError(f"sent more than {INTERIM_MAX} interim answers (1xx)")
            self._head_left -= head.length
            del kept[: head.length]
            searched = 0
        if head is None:
            return None, b""
        rest = bytes(kept[head.length :])
        del kept[head.length :]
        return head, rest

    def _strip(self, kept: bytearray) -> None:
        """Leave out line breaks before a head."""
        if kept.startswith((b"\r", b"\n")):
            before = len(kept)
            kept[:] = kept.lstrip(b"\r\n")
            self._head_left -= before - len(kept)

    def _hand_on(self, head: Head, raw: bytes, rest: bytes) -> None:
        self._head = None
        if head.bodiless:
            self._body_left = 0
        if not head.reusable:
            self._handler.force_close()
        # By itself: what stands behind an answer must not make the library throw the answer away.
        self._handler.data_received(raw)
        if rest:
            self._body(rest)

    def _body(self, data: bytes) -> None:
        within = data[: self._body_left]
        self._body_left -= len(within)
        if within and not self._transport.is_closing():
            self._handler.data_received(within)
        if len(within) < len(data):
            self._cut(f"answered with more than {BODY_BYTES_MAX // 1024} KiB")

    def _cut(self, fault: str) -> None:
        assert self._answering is not None
        self._answering.fault = fault
        self._answering = None
        self._handler.force_close()
        self._transport.abort()


class _TooMuchError(Exception):
    """A limit was passed; the text says which, after the peer's name."""
