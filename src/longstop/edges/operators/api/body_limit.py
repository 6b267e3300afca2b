"""A limit on the bodies of requests: what is posted here is held in memory, beside what senders post."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from longstop.edges.operators.api.problems import ProblemError, answer

BODY_BYTES_MAX = 4 * 1024 * 1024
"""A body that a person has edited, or a captured request; for larger ones there is the command line."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyLimit:
    """An ASGI app around another one: what is over the limit is answered 413, and not taken."""

    def __init__(self, app: App, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        lengths = [text for name, text in scope.get("headers", ()) if name == b"content-length"]
        if any(int(text) > self._bytes_max for text in lengths if text.isdigit()):
            await self._refuse(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._bytes_max:
                # Of this kind alone: whatever else is raised here is taken for a body that cannot be read.
                raise HTTPException(413, self._detail())
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        problem = ProblemError(413, self._detail(), headers={"connection": "close"})
        await answer(problem)(scope, receive, send)

    def _detail(self) -> str:
        return f"the body is over {self._bytes_max} bytes"
