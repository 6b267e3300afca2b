"""The HTTP server of both sides, the senders' and the operators': uvicorn in the gateway's own event loop, with the
limits that it lacks.

Why uvicorn: it takes a socket that we have bound (so a taken port is a plain error, and port 0 works), keeps the
order of headers, refuses a request that has both Content-Length and Transfer-Encoding, and has a deadline for
draining. The limits are in `guarded_protocol`; what takes whole requests is served by `whole_requests`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from longstop.edges.senders_http.guarded_protocol import GuardedProtocol
from longstop.edges.senders_http.whole_requests import WholeRequestApp, WholeRequests
from longstop.model.errors import LongstopError

DRAIN_WITHIN_S = 5
"""How long a stop waits for requests that are under way: longer than an answer may take."""


class ListenError(LongstopError):
    """The address cannot be listened on."""


def bind(host: str, port: int, setting: str = "server.port") -> socket.socket:
    """A listening socket; port 0 takes any free one. Raises ListenError, which names the port's setting."""
    try:
        return _listening(host, port)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {host}:{port}: {error.strerror}; is another Longstop running? "
            f"Stop it, or choose another {setting}"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError:
        listening.close()
        raise
    return listening


class HttpServer:
    """Serves an app on a bound socket until it is stopped: an ASGI app, or one that takes whole requests.

    Handles no signals.
    """

    def __init__(self, app: Any, listening: socket.socket) -> None:
        self._socket = listening
        config = uvicorn.Config(
            app,
            http=WholeRequests if isinstance(app, WholeRequestApp) else GuardedProtocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=DRAIN_WITHIN_S,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait([self._serving, ready], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            await self._serving

    async def stop(self) -> None:
        """Accept no more connections, answer what is under way, close."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _Server(uvicorn.Server):
    """uvicorn's server that leaves signals alone and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
