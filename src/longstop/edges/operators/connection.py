"""A connection of the operators' port: uvicorn's, with what it leaves out, a limit on how long and how many.

Whoever reaches the port can open connections without being known, and each takes a file descriptor of the process that
accepts events. So a request is there in time or its connection ends, an answer is read or its connection ends, and
where there are too many connections, the one gives way that has been without a request for longest.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_WITHIN_S = 10.0
"""A request's head is complete so soon after its first byte, the first one so soon after the connection."""
BODY_WITHIN_S = 60.0
"""And its body so soon after the head."""
READ_WITHIN_S = 20.0
"""In each such time some of an answer is read, where some of it waits."""
CONNECTIONS_MAX = 200
"""So many are open at once."""


class Connection(H11Protocol):
    """One connection."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._awaited: str | None = None
        self._too_late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._since_s = self.loop.time()

    @property
    def idle_since_s(self) -> float | None:
        """Since when there is no request in it, by the loop's clock; None while there is one."""
        return self._since_s if self.cycle is None or self.cycle.response_complete else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            self._make_room()
        self._watch(begun=True)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """See H11Protocol: an answer is written."""
        self._since_s = self.loop.time()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """See asyncio.Protocol: more of an answer waits than is good."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        _cancel(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        _cancel(self._too_late)
        _cancel(self._unread)

    def _watch(self, begun: bool = False) -> None:
        """Give what is awaited its time, from when it is awaited; a byte of it now and then brings it no more."""
        awaited = self._what_is_awaited(begun or self._awaited == "first")
        if awaited == self._awaited:
            return
        self._awaited = awaited
        _cancel(self._too_late)
        if awaited is not None and not self.transport.is_closing():
            within_s = BODY_WITHIN_S if awaited == "body" else HEAD_WITHIN_S
            self._too_late = self.loop.call_later(within_s, self.transport.close)

    def _what_is_awaited(self, first: bool) -> str | None:
        if self.conn.their_state is h11.SEND_BODY:
            return "body"
        if self.conn.their_state is not h11.IDLE:
            return None
        # Of the first request the head is awaited from the beginning on; later ones uvicorn gives its keep-alive time.
        return "first" if first else "head" if self.conn.trailing_data[0] else None

    def _expect_reading(self) -> None:
        left = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() >= left:
                self.transport.abort()
            else:
                self._expect_reading()

        self._unread = self.loop.call_later(READ_WITHIN_S, look)

    def _make_room(self) -> None:
        """End the connection that has been without a request for longest; where each has one, this one."""
        idle = [each for each in self.connections if isinstance(each, Connection) and each.idle_since_s is not None]
        oldest = min((each for each in idle if each is not self), key=lambda each: each._since_s, default=self)
        # Not counted from now on: that it is closed is told only later.
        self.connections.discard(oldest)
        oldest.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
