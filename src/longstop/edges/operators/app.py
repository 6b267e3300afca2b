"""The ASGI app for those who run a gateway: `GET /metrics`, `GET /readyz`, the API, and the console.

Who may use it is decided before it, by `access/guard.py`.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from longstop.edges.rows.status import warning_row
from longstop.edges.senders_http.answers import Send, plain_problem, respond
from longstop.model.exchange import Answer
from longstop.model.store_health import StoreWarning

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Send], Awaitable[None]]

API_PATHS = ("/api/", "/dlq")
TOOLS_PATH = "/mcp"


class OperatorsApp:
    """The app.

    metrics: the metrics as they are now. why_not_ready: what keeps the gateway from accepting and delivering, in words;
    nothing where it does. warnings: what to know of the store although it works, as it was when it was last asked.
    api: what serves the paths of API_PATHS. console: what serves every other path. tools: what serves an assistant
    (TOOLS_PATH), where that is asked for.
    """

    def __init__(
        self,
        metrics: Callable[[], Awaitable[Answer]],
        why_not_ready: Callable[[], Sequence[str]],
        api: App | None = None,
        console: App | None = None,
        tools: App | None = None,
        warnings: Callable[[], Sequence[StoreWarning]] = tuple,
    ) -> None:
        self._tools = tools
        self._api = api
        self._console = console
        self._why_not_ready = why_not_ready
        self._warnings = warnings
        self._served: dict[str, Callable[[], Awaitable[Answer]]] = {"/metrics": metrics, "/readyz": self._readiness}

    async def _readiness(self) -> Answer:
        why, warnings = self._why_not_ready(), [warning_row(each) for each in self._warnings()]
        said: dict[str, Any] = {"status": "not ready", "why": list(why)} if why else {"status": "ready"}
        return Answer(503 if why else 200, json.dumps(said | ({"warnings": warnings} if warnings else {})).encode())

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Serve one request."""
        if self._api is not None and scope["path"].startswith(API_PATHS):
            await self._api(scope, receive, send)
        elif self._tools is not None and scope["path"] == TOOLS_PATH:
            await self._tools(scope, receive, send)
        elif self._console is not None and scope["path"] not in self._served:
            await self._console(scope, receive, send)
        else:
            await respond(send, await self._answer(scope["method"], scope["path"]))

    async def _answer(self, method: str, path: str) -> Answer:
        if path not in self._served:
            return plain_problem(404, "Not found")
        if method not in ("GET", "HEAD"):
            return plain_problem(405, "Method not allowed", (("allow", "GET, HEAD"),))
        return await self._served[path]()
