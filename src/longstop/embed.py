"""The gateway inside a Python application: handlers by decorator, a lifespan, an ASGI app to mount, and what its
code can ask for itself: publish, find, replay.
"""

import contextlib
import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeVar

from longstop import config
from longstop.edges.senders_http.answers import Send
from longstop.edges.senders_http.app import IngestApp, Scope
from longstop.edges.senders_http.body_limits import Receive
from longstop.model.alert import Alert
from longstop.model.delivery import Delivery
from longstop.model.errors import ConfigurationError, NotFoundError
from longstop.model.event import Event, Headers, Receipt
from longstop.model.exchange import Request
from longstop.model.handler import Transaction
from longstop.model.listing import DeliveryFilter, KeptEvent, Listing, Page
from longstop.operating.replay import Done
from longstop.ports import Clock
from longstop.telemetry.embedded_logs import log_to_logging
from longstop.wiring import Gateway

Handler = Callable[[Event], object] | Callable[[Event, Transaction], object]
"""Called with each event, and with the transaction where the destination has `transaction = true`; sync or async."""
AlertFunction = Callable[[Alert], object]

H = TypeVar("H", bound=Handler)
A = TypeVar("A", bound=AlertFunction)

EVERYTHING = DeliveryFilter()
FIRST_PAGE = Page()


class Longstop:
    """A gateway that an application runs in its own process and event loop.

    path: the configuration file. It is read when the gateway starts, after the handlers are known.
    """

    def __init__(self, path: str | Path = "longstop.toml") -> None:
        self._path = Path(path)
        self._handlers: dict[str, Handler] = {}
        self._on_alert: list[AlertFunction] = []
        self._gateway: Gateway | None = None
        self._app: IngestApp | None = None

    def handler(self, destination: str) -> Callable[[H], H]:
        """Register a function, sync or async, as the handler of a destination.

        It is called with each Event, and with the Transaction where the destination has `transaction = true`.
        Returning means delivered, RetryLater and Reject say otherwise, any other exception is a retry.
        Raises ValueError for a destination that has one already.
        """

        def register(function: H) -> H:
            if destination in self._handlers:
                raise ValueError(f"destination {destination!r} has a handler already: {self._handlers[destination]!r}")
            self._handlers[destination] = function
            return function

        return register

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handlers that were registered, by destination."""
        return dict(self._handlers)

    def on_alert(self, function: A) -> A:
        """Register a function, sync or async, that is called with each Alert: when a circuit opens and when it closes.

        What it returns is not looked at. Where it raises it is called again, twice at most; nothing waits for it.
        """
        self._on_alert.append(function)
        return function

    # -- its life ------------------------------------------------------------------------------------

    def load(self, environ: Mapping[str, str] | None = None, store: str | None = None) -> config.Config:
        """The configuration as this gateway would start with it; see `start`. Raises ConfigurationError."""
        environ = os.environ if environ is None else environ
        return config.load(self._path, environ=environ, handlers=self._handlers, store=store)

    async def start(
        self, *, store: str | None = None, clock: Clock | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """Read the configuration, open the store, accept and deliver. Raises ConfigurationError, StoreError.

        For tests: `store` is a URL in the place of `[store] url`, `clock` one that jumps, `environ` what `${NAME}`
        stands for.
        """
        if self._gateway is not None:
            raise RuntimeError("this gateway is running already")
        log_to_logging()
        settings = self.load(environ, store)
        gateway = Gateway(settings, handlers=self._handlers, on_alert=self._on_alert, clock=clock)
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

    def is_busy(self) -> bool:
        """Whether attempts are under way."""
        return self._running().is_busy()

    @property
    def failure(self) -> BaseException | None:
        """What a part of the running gateway ended with, which never should; None: it is whole, or does not run.

        What was accepted is safe, but may not go out until the gateway is started again.
        """
        return None if self._gateway is None else self._gateway.failure

    async def metrics(self) -> bytes:
        """The metrics as they are now, in the text format of Prometheus, to be served by the application.

        Their content type is `text/plain; version=0.0.4; charset=utf-8`.
        """
        return (await self._running().metrics.answer()).body

    def why_not_ready(self) -> list[str]:
        """What keeps it from accepting and delivering, in words; nothing where it does both."""
        return ["it is not running"] if self._gateway is None else self._gateway.why_not_ready()

    # -- what an application's code asks for ---------------------------------------------------------

    async def publish(self, source: str, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> Receipt:
        """Accept an event of the application's own, as if the source's sender had posted it; nothing is verified.

        Returns when it is on disk. It is read, keyed and routed as the source says, and a known dedup key is a
        duplicate. Raises NotFoundError for a source that is not configured, MalformedError for a body that cannot be
        read (nothing is kept then), UnavailableError where it cannot be made durable now.
        """
        return await self._running().ingest.publish(source, Request(Headers(headers), body))

    async def event(self, event_id: str) -> KeptEvent | None:
        """An event with its deliveries and how often it was redelivered; None where there is none."""
        return await self._running().store.event(event_id)

    async def find(self, wanted: DeliveryFilter = EVERYTHING, page: Page = FIRST_PAGE) -> Listing[Delivery]:
        """One page of deliveries; `next_after` of it is `after` of the next page."""
        return await self._running().store.find_deliveries(wanted, page)

    async def replay(self, id_: str, by: str) -> list[Done]:
        """Send an event or a delivery again, on behalf of `by`: of an event its dead deliveries, or all that ended.

        Raises NotFoundError.
        """
        service = self._running().replay(by)
        deliveries = await service.by_id(id_)
        if not deliveries:
            kept = await self.event(id_)
            if kept is not None and kept.deliveries:
                raise NotFoundError(f"event {id_}: all of its deliveries are still under way; wait for their end")
            made = await service.route_again(id_)
            return [Done(id_, made.id, None)]
        return await service.replay(deliveries)

    def _running(self) -> Gateway:
        if self._gateway is None:
            raise RuntimeError("the gateway is not running; start it, or ask within `async with gateway.lifespan():`")
        return self._gateway


def gateway_at(path: str) -> Longstop:
    """The gateway that `module:name` names; the module is imported. Raises ConfigurationError."""
    module_name, colon, name = path.partition(":")
    expected = 'expected an application\'s gateway as "myapp.main:gateway"'
    if not (module_name and colon and name):
        raise ConfigurationError((f"--app: found {path!r}; {expected}",))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        found = f"importing {module_name} failed: {type(error).__name__}: {error}"
        raise ConfigurationError((f"--app: found {path!r}; {expected}; {found}",)) from error
    gateway = getattr(module, name, None)
    if not isinstance(gateway, Longstop):
        found = f"{module_name} has no {name}" if gateway is None else f"{name} is {type(gateway).__name__}"
        raise ConfigurationError((f"--app: found {path!r}; {expected}; {found}, and no Longstop",))
    return gateway
