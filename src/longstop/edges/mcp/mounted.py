"""The tools on the operators' port, `/mcp`: streamable HTTP, behind the same guard as all else there."""

import asyncio
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings

from longstop.edges.desk.store_desk import StoreDesk
from longstop.edges.mcp.server import Seat, build
from longstop.edges.operators.access.current import current
from longstop.edges.operators.api.services import Services
from longstop.edges.operators.app import TOOLS_PATH
from longstop.edges.senders_http.answers import plain_problem, respond
from longstop.model.caller import Scope

BODY_BYTES_MAX = 1024 * 1024
"""Of a request: arguments of tools are short."""


_POST_ONLY = plain_problem(405, "Method not allowed", (("allow", "POST"),))


class MountedTools:
    """An ASGI app, once it is started. It keeps no sessions: each request shows its token, and stands for itself."""

    def __init__(self, services: Services) -> None:
        self._services = services
        server = build(self._seat, frozenset({Scope.VIEW, Scope.REPLAY}))
        self._app = server.streamable_http_app(
            streamable_http_path=TOOLS_PATH,
            json_response=True,
            stateless_http=True,
            max_request_body_size=BODY_BYTES_MAX,
            # The guard looks at hosts and origins.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._manager = server.session_manager
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def _seat(self) -> Seat | None:
        who = current()
        return None if who is None else Seat(StoreDesk(self._services, who), who.scopes, who.name)

    async def start(self) -> None:
        """Begin to take requests."""
        ready = asyncio.Event()
        self._running = asyncio.create_task(self._run(ready), name="mcp")
        await ready.wait()

    async def _run(self, ready: asyncio.Event) -> None:
        async with self._manager.run():
            ready.set()
            await self._stop.wait()

    async def stop(self) -> None:
        """Take no more."""
        self._stop.set()
        if self._running is not None:
            await self._running

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["method"] != "POST":
            # There is nothing to be told of between requests: a stream for that would only take a connection.
            await respond(send, _POST_ONLY)
        else:
            await self._app(scope, receive, send)
