"""The ASGI app for those who run a gateway: `GET /metrics` and `GET /readyz`.

It knows no authentication, so it is served to this machine alone.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from longstop.model.exchange import Answer

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_READY = Answer(200, b'{"status":"ready"}')
_NOT_READY = Answer(503, b'{"status":"not ready"}')


class OperatorsApp:
    """The app.

    metrics: the metrics as they are now. ready: whether the gateway accepts and delivers.
    """

    def __init__(self, metrics: Callable[[], Answer], ready: Callable[[], bool]) -> None:
        self._served: dict[str, Callable[[], Answer]] = {
            "/metrics": metrics,
            "/readyz": lambda: _READY if ready() else _NOT_READY,
        }

    async def __call__(self, scope: Scope, _receive: Any, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        await _respond(send, self._answer(scope["method"], scope["path"]))

    def _answer(self, method: str, path: str) -> Answer:
        if path not in self._served:
            return _problem(404, "Not found")
        if method not in ("GET", "HEAD"):
            return _problem(405, "Method not allowed", ("allow", "GET, HEAD"))
        return self._served[path]()


def _problem(status: int, title: str, *headers: tuple[str, str]) -> Answer:
    body = f'{{"type":"about:blank","title":"{title}","status":{status}}}'
    return Answer(status, body.encode(), "application/problem+json", headers)


async def _respond(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
