"""Every request to the operators' port is answered in time, also while the store does not answer.

A store that hangs (a disk that stalls, a database that is gone without a word) would have requests pile up behind it
until nobody gets a connection any more, not even who asks `/readyz`. So what needs the store is answered 503 after a
while, and at once where too many wait already. What changes something is not broken off half way: it goes on, and an
Idempotency-Key finds what became of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from longstop.edges.operators.access.problems import unavailable
from longstop.edges.operators.access.same_origin import SAFE
from longstop.edges.operators.access.security_headers import secured
from longstop.edges.senders_http.answers import Send, respond
from longstop.edges.senders_http.body_limits import Message

App = Callable[[MutableMapping[str, Any], Any, Send], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

log = structlog.get_logger("longstop.http")

ANSWER_WITHIN_S = 20.0
"""An answer begins so soon after the request is there. A search ends after a second; this is for what hangs."""
WAITING_MAX = 100
"""So many requests wait at once; connections there are twice as many, so that `/readyz` always has one."""
RETRY_AFTER_S = 5


class InTime:
    """An ASGI app around another one. paths: what needs the store; all else is handed on as it is."""

    def __init__(self, app: App, paths: tuple[str, ...]) -> None:
        self._app = app
        self._paths = paths
        self._left_alone: set[asyncio.Task[None]] = set()
        self.waiting = 0
        """Requests that are there and whose answers have not begun, those too that were given up and still go on."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(self._paths):
            return await self._app(scope, receive, send)
        if self.waiting >= WAITING_MAX:
            return await respond(secured(send), _TOO_MANY)
        return await self._answered(scope, _Request(self, receive, send))

    async def _answered(self, scope: MutableMapping[str, Any], request: "_Request") -> None:
        request.waits(True)
        task: asyncio.Task[None] = asyncio.create_task(
            self._app(scope, request.receive, request.send)  # type: ignore[arg-type]
        )
        task.add_done_callback(lambda _: request.waits(False))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S) as request.limit:
                await asyncio.shield(task)
        except TimeoutError:
            if not request.limit.expired():
                raise
            await self._give_up(scope, request, task)
        except asyncio.CancelledError:
            request.give_up()
            task.cancel()
            raise

    async def _give_up(self, scope: MutableMapping[str, Any], request: "_Request", task: asyncio.Task[None]) -> None:
        log.warning("answer_late", method=scope["method"], after_s=ANSWER_WITHIN_S, waiting=self.waiting)
        changes = scope["method"] not in SAFE
        await respond(secured(request.give_up()), _UNKNOWN if changes else _LATE)
        if not changes:
            task.cancel()
        self._left_alone.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._left_alone.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("late_request_failed", error=repr(error))


class _Request:
    """`receive` and `send` of a request, and whether it waits for us: not while its body comes, nor once the answer
    begins."""

    def __init__(self, all_: InTime, receive: Receive, send: Send) -> None:
        self._all = all_
        self._receive = receive
        self._send = send
        self._over = False
        self._waits = False
        self._whole = False
        self._begun = False
        self.limit: asyncio.Timeout

    def waits(self, now: bool) -> None:
        """Count it, or do not any more."""
        self._all.waiting += now - self._waits
        self._waits = now

    def give_up(self) -> Send:
        """Nothing of its answer is sent from now on; what sends another one."""
        self._over = True
        return self._send

    @property
    def _is_over(self) -> bool:
        # The limit is over a moment before another answer is given.
        return self._over or (not self._begun and self.limit.expired())

    async def receive(self) -> Message:
        """More of the body, which its sender has his own time for; then whether he is still there."""
        if self._whole or self._begun or self._is_over:
            return await self._receive()
        self.waits(False)
        self.limit.reschedule(None)
        message = await self._receive()
        self._whole = not message.get("more_body")
        if not self._begun and not self._over:
            self.waits(True)
            self.limit.reschedule(asyncio.get_running_loop().time() + ANSWER_WITHIN_S)
        return message

    async def send(self, message: Message) -> None:
        """The answer, unless another one was given."""
        if self._is_over:
            return
        if not self._begun:
            self._begun = True
            self.waits(False)
            self.limit.reschedule(None)
        await self._send(message)


_LATE = unavailable("the store does not answer now; ask again later", RETRY_AFTER_S)
_UNKNOWN = unavailable(
    "the store does not answer now. What was asked for may still be done: ask again with the same Idempotency-Key, or "
    "look in the history of what it is about",
    RETRY_AFTER_S,
)
_TOO_MANY = unavailable(
    "the store does not answer now, and too many requests wait for it already; ask again later", RETRY_AFTER_S
)
