"""The gateway inside a Python application: handlers by decorator, a lifespan, an ASGI app to mount."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

from longstop import config
from longstop.edges.senders_http.answers import Send
from longstop.edges.senders_http.app import IngestApp, Scope
from longstop.edges.senders_http.body_limits import Receive
from longstop.model.alert import Alert
from longstop.wiring import Gateway

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=Callable[[Alert], Any])


class Longstop:
    """A gateway that an application runs in its own process and event loop.

    path: the configuration file. It is read when the gateway starts, after the handlers are known.
    """

    def __init__(self, path: str | Path = "longstop.toml") -> None:
        self._path = Path(path)
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._on_alert: list[Callable[[Alert], Any]] = []
        self._gateway: Gateway | None = None
        self._app: IngestApp | None = None

    def handler(self, destination: str) -> Callable[[F], F]:
        """Register a function, sync or async, as the handler of a destination.

        It is called with each Event, and with the Transaction where the destination has `transaction = true`.
        Returning means delivered, RetryLater and Reject say otherwise, any other exception is a retry.
        Raises ValueError for a destination that has one already.
        """

        def register(function: F) -> F:
            if destination in self._handlers:
                raise ValueError(f"destination {destination!r} has a handler already: {self._handlers[destination]!r}")
            self._handlers[destination] = function
            return function

        return register

    def on_alert(self, function: A) -> A:
        """Register a function, sync or async, that is called with each Alert: when a circuit opens and when it closes.

        What it returns is not looked at. Where it raises it is called again, twice at most; nothing waits for it.
        """
        self._on_alert.append(function)
        return function

    async def start(self) -> None:
        """Read the configuration, open the store, accept and deliver. Raises ConfigurationError, StoreError."""
        if self._gateway is not None:
            raise RuntimeError("this gateway is running already")
        settings = config.load(self._path, environ=os.environ, handlers=self._handlers)
        gateway = Gateway(settings, handlers=self._handlers, on_alert=self._on_alert)
        await gateway.start()
        proxies = settings.server.trusted_proxies
        self._app = IngestApp(gateway.ingest, prefix="", health=False, trusted_proxies=proxies)
        self._gateway = gateway

    async def stop(self) -> None:
        """Take nothing more, finish what was begun, close. Safe to call when it is not running."""
        if self._gateway is not None:
            gateway, self._gateway, self._app = self._gateway, None, None
            await gateway.stop()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:  # noqa: ARG002
        """The gateway's life, for `FastAPI(lifespan=gateway.lifespan)` or `async with gateway.lifespan():`."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    @property
    def ingest(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """The ASGI app that senders post to; mounted at `/webhooks` it serves `POST /webhooks/{source}`."""
        return self._serve

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if self._app is None:
            raise RuntimeError("the gateway is not running; pass lifespan=gateway.lifespan to the application")
        await self._app(scope, receive, send)
