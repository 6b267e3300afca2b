"""The server of the operators' port: uvicorn, in the gateway's own event loop.

It serves any ASGI app. What it has no limits for, `connection` has.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import uvicorn

from longstop.edges.operators.connection import CONNECTIONS_MAX, Connection

log = structlog.get_logger("longstop.http")

DRAIN_WITHIN_S = 5
HEAD_BYTES_MAX = 64 * 1024
"""A request's head may be so large."""
KEEP_ALIVE_S = 75


class OperatorsServer:
    """Serves an ASGI app on a bound socket until it is stopped. Handles no signals.

    end_streams: ends the answers of the app that go on for as long as somebody listens.
    """

    def __init__(
        self, app: Any, listening: socket.socket, end_streams: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        _log_as_one()
        self.socket = listening
        """What it listens on; its name has the port that was given."""
        self._end_streams = end_streams
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                # The only one of its parsers that has a limit on a head.
                http=Connection,
                h11_max_incomplete_event_size=HEAD_BYTES_MAX,
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                # Of connections there are no more; requests whose asker has gone are answered 503 above it.
                limit_concurrency=CONNECTIONS_MAX + 1,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=DRAIN_WITHIN_S,
            )
        )
        # The process has signal handlers of its own (wiring/serve.py).
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept connections. The socket listens already, so none is refused until then."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self.socket]))

    async def end_streams(self) -> None:
        """The gateway begins to stop: nothing more happens that one could listen to. All else is still answered."""
        if self._end_streams is not None:
            await self._end_streams()

    async def stop(self) -> None:
        """Accept no more connections, answer what is under way, close."""
        await self.end_streams()
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _OurLog(logging.Handler):
    """Hands what uvicorn logs to the gateway's own log: two kinds of lines in one stream are no JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            log.error("operators_server_failed", said=record.getMessage().strip(), exc_info=record.exc_info)
        else:
            log.warning("operators_server", said=record.getMessage().strip())


def _log_as_one() -> None:
    logger = logging.getLogger("uvicorn.error")
    if not any(isinstance(handler, _OurLog) for handler in logger.handlers):
        logger.addHandler(_OurLog(logging.WARNING))
    logger.propagate = False
