"""The ASGI app for those who run a gateway: `GET /metrics`, `GET /readyz`, and the API.

It knows no authentication, so it is served to this machine alone, and under its own names.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from longstop.edges.operators.hosts import OwnHosts
from longstop.edges.senders_http.answers import Send, plain_problem, respond
from longstop.model.exchange import Answer

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Send], Awaitable[None]]

API_PATHS = ("/api/", "/dlq")
_READY = Answer(200, b'{"status":"ready"}')
_NOT_READY = Answer(503, b'{"status":"not ready"}')


class OperatorsApp:
    """The app.

    metrics: the metrics as they are now. ready: whether the gateway accepts and delivers. hosts: names, besides those
    of loopback, by which it may be asked for. api: what serves the paths of API_PATHS.
    """

    def __init__(
        self,
        metrics: Callable[[], Answer],
        ready: Callable[[], bool],
        hosts: Iterable[str] = (),
        api: App | None = None,
    ) -> None:
        self._hosts = OwnHosts(hosts)
        self._api = api
        self._served: dict[str, Callable[[], Answer]] = {
            "/metrics": metrics,
            "/readyz": lambda: _READY if ready() else _NOT_READY,
        }

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        refusal = self._hosts.refusal(scope["method"], scope["headers"])
        if refusal is None and self._api is not None and scope["path"].startswith(API_PATHS):
            await self._api(scope, receive, send)
        else:
            await respond(send, refusal or self._answer(scope["method"], scope["path"]))

    def _answer(self, method: str, path: str) -> Answer:
        if path not in self._served:
            return plain_problem(404, "Not found")
        if method not in ("GET", "HEAD"):
            return plain_problem(405, "Method not allowed", (("allow", "GET, HEAD"),))
        return self._served[path]()
