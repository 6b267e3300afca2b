"""The composition root: a configuration becomes a running gateway. The only place where adapters are chosen."""

import asyncio
import contextlib
import gc
import os
import random
import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

import structlog

from longstop.alerts import Alerts
from longstop.clock import SystemClock
from longstop.config import SOURCE_KINDS, Config
from longstop.deliver import Deliver, Destination
from longstop.dispatch import Dispatch
from longstop.group_commit import GroupCommit
from longstop.ingest import Ingest
from longstop.model.alert import Alert
from longstop.model.breaker import CircuitChange
from longstop.model.errors import ConfigurationError
from longstop.model.ids import IdFactory
from longstop.model.pressure import Watermarks
from longstop.model.routing import Route, Router
from longstop.model.settings import ALERT_TIMEOUT_MS, DestinationSettings
from longstop.ports import Alerter, Clock, Sender, Source, Store, Watch
from longstop.pressure import Pressure
from longstop.replay import Replay
from longstop.rescue import Rescue
from longstop.senders.alert_function import FunctionAlerter
from longstop.senders.python import PythonSender, resolve_handler
from longstop.senders.transactional import TransactionalSender
from longstop.sources import KINDS, build, stand_ins
from longstop.sources.reading import compile_condition
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from longstop.edges.http_server import HttpServer

log = structlog.get_logger("longstop")

Handlers = Mapping[str, Callable[..., Any]]
"""Destination name to the function that was registered for it in code."""

OnAlert = Callable[[Alert], Any]
"""A function that was registered for alerts in code."""


class Role(Flag):
    """What a process does."""

    INGEST = auto()
    WORK = auto()
    BOTH = INGEST | WORK


@dataclass
class Parts:
    """What every command needs: the store, closed yet, and how the configuration reads and routes."""

    config: Config
    store: Store
    sources: Mapping[str, Source]
    router: Router
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    ids: IdFactory = field(init=False)

    def __post_init__(self) -> None:
        self.ids = IdFactory(self.rng)

    def replay(self, by: str) -> Replay:
        """The replay service, on behalf of a person."""
        return Replay(self.store, self.sources, self.router, self.clock, self.ids, by)

    async def alert(self, change: CircuitChange) -> str | None:
        """Tell the hook, once, of a circuit that a command changed; what went wrong, None where nothing did."""
        if self.config.alerts is None:
            return None
        from longstop.senders.alert_hook import HookAlerter

        return await HookAlerter(self.config.alerts).tell(Alert.of(change))


def parts(config: Config) -> Parts:
    """The parts that a configuration describes. Nothing is opened yet. Raises ConfigurationError."""
    assert set(KINDS) == set(SOURCE_KINDS), "the configuration and the sources disagree on the kinds"
    sources = {settings.name: build(settings) for settings in config.sources}
    routes = (
        Route(
            each.source,
            each.to,
            compile_condition(each.when) if each.when is not None else None,
            each.expire_after_ms,
        )
        for each in config.routes
    )
    return Parts(
        config, _store(config), sources, Router(routes, (each.name for each in config.destinations if each.ordered))
    )


def _store(config: Config) -> Store:
    if config.store.path is None:
        return MemoryStore()
    return SqliteStore(config.store.path)


def _marks(config: Config) -> tuple[Watermarks, Callable[[], int]]:
    """From where on nothing is taken, and what tells how much room there is; memory has no disk to look at."""
    marks = Watermarks(config.pressure.max_backlog, config.pressure.min_free_bytes)
    path = config.store.path
    if path is None:
        return replace(marks, min_free_bytes=0), lambda: 0
    return marks, lambda: shutil.disk_usage(os.path.dirname(path)).free


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Parts]:
    """The parts with their store open: what commands that look and decide work on."""
    if config.store.path is None:
        problem = 'store.url: found "memory://"; expected a store that other processes can see; use sqlite:///FILE'
        raise ConfigurationError((problem,))
    made = parts(config)
    await made.store.open()
    try:
        yield made
    finally:
        await made.store.close()


class Gateway:
    """A running Longstop: accepting, delivering or both.

    A task of its own that ends with an error is reported by `failed`: the process should then end and be
    started again, because half a gateway would look alive.
    """

    def __init__(
        self,
        config: Config,
        role: Role = Role.BOTH,
        handlers: Handlers | None = None,
        on_alert: Sequence[OnAlert] = (),
    ) -> None:
        # Late, as in `_sender`: a command that only looks at the store has no use for it.
        from longstop.metrics import Metrics

        self._parts = parts(config)
        self._role = role
        store, clock, rng = self._parts.store, self._parts.clock, self._parts.rng
        self._appends = GroupCommit(store.append)
        self._settlements = GroupCommit(store.settle)
        self._pressure = Pressure(clock, rng, store, *_marks(config))
        self.ingest = Ingest(
            self._parts.sources,
            stand_ins(self._parts.sources.values(), secrets.token_bytes()),
            self._parts.router,
            self._appends,
            clock,
            self._parts.ids,
            self._pressure,
        )
        self._destinations = _destinations(config, handlers or {}, clock) if Role.WORK in role else []
        worker = f"{socket.gethostname()}:{os.getpid()}"
        deliver = Deliver(self._settlements, clock, rng, store if isinstance(store, SqliteStore) else None)
        self.metrics = Metrics((each.name for each in self._destinations), self._circuit_is_open)
        self._alerts = _alerts(config, on_alert) if Role.WORK in role else []
        watches: list[Watch] = [self.metrics, *self._alerts]
        self._dispatch = Dispatch(store, deliver, self._destinations, clock, worker, config.worker.lease_ms, watches)
        policies = {each.name: each.retry for each in config.destinations}
        self._rescue = Rescue(store, policies, clock, rng)
        self._stop_limit_s = config.server.stop_timeout_ms / 1000
        self._tasks: list[asyncio.Task[None]] = []
        self.failed = asyncio.Event()

    async def start(self) -> None:
        """Open the store and begin. Raises StoreError."""
        await self._parts.store.open()
        if Role.INGEST in self._role:
            # Looked at once before anything is taken: a full disk is refused from the first request on.
            await self._pressure.look()
            self._background(self._pressure.run(), "pressure")
            self.ingest.accepting = True
        if Role.WORK in self._role:
            self._background(self._dispatch.run(), "dispatch")
            self._background(self._dispatch.keep_leases(), "keep_leases")
            self._background(self._rescue.run(), "rescue")
        for alerts in self._alerts:
            alerts.start()

    async def stop(self) -> None:
        """Take nothing more, finish what was begun (up to the limit), close."""
        self.ingest.accepting = False
        await self._appends.idle()
        if Role.WORK in self._role:
            await self._dispatch.stop(self._stop_limit_s)
        await self._settlements.idle()
        await asyncio.gather(*(alerts.stop() for alerts in self._alerts))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for destination in self._destinations:
            await destination.sender.close()
        await self._parts.store.close()

    def _circuit_is_open(self, destination: str) -> bool:
        return self._dispatch.is_open(destination)

    def _background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("failed", task=task.get_name(), exc_info=task.exception())
            self.failed.set()


def _alerts(config: Config, on_alert: Sequence[OnAlert]) -> list[Alerts]:
    """The ways in which people are told, each with a queue of its own: one that hangs does not hold up the others."""
    timeout_ms = config.alerts.timeout_ms if config.alerts is not None else ALERT_TIMEOUT_MS
    alerters: list[Alerter] = [FunctionAlerter(each, timeout_ms) for each in on_alert]
    if config.alerts is not None:
        from longstop.senders.alert_hook import HookAlerter

        alerters.append(HookAlerter(config.alerts))
    stop_within_s = min(timeout_ms, config.server.stop_timeout_ms) / 1000
    return [Alerts(each, stop_within_s) for each in alerters]


def _destinations(config: Config, handlers: Handlers, clock: Clock) -> list[Destination]:
    return [_destination(each, config, handlers, clock) for each in config.destinations]


def _destination(settings: DestinationSettings, config: Config, handlers: Handlers, clock: Clock) -> Destination:
    transactional = _transactional(settings, config, handlers) if settings.transaction else None
    return Destination(
        settings.name,
        transactional or _sender(settings, handlers, clock),
        settings.retry,
        settings.concurrency,
        adaptive=settings.adaptive,
        rate_per_s=settings.rate_per_s,
        timeout_ms=settings.timeout_ms,
        breaker=settings.breaker,
        transactional=transactional,
    )


def _transactional(settings: DestinationSettings, config: Config, handlers: Handlers) -> TransactionalSender:
    if config.store.path is None:
        problem = f'destinations.{settings.name}.transaction: found it with store.url = "memory://"'
        raise ConfigurationError((f"{problem}; expected a store with transactions: sqlite:///FILE",))
    handler = resolve_handler(settings.handler) if settings.handler is not None else handlers[settings.name]
    return TransactionalSender(settings, handler)


def _sender(settings: DestinationSettings, handlers: Handlers, clock: Clock) -> Sender:
    if settings.url is not None:
        # Here and in `serve`, late: a command that only looks at the store has no use for these, and they are slow.
        from longstop.senders.http import HttpSender

        return HttpSender(settings, clock)
    if settings.handler is not None:
        # Imported in any case: a handler that is not there is to be found out now, and not at the first event.
        handler = resolve_handler(settings.handler)
        if settings.isolation == "process":
            from longstop.senders.process import ProcessSender

            return ProcessSender(settings)
        return PythonSender(settings, handler)
    return PythonSender(settings, handlers[settings.name])


async def serve(config: Config, role: Role, ready: Callable[[str], None]) -> int:
    """Run a gateway until SIGTERM or SIGINT; the process's exit status.

    `ready` is called once everything runs, with the URL that senders post to (empty without the ingest role).
    Raises ListenError, StoreError, ConfigurationError before anything was accepted.
    """
    from longstop.edges.http_server import HttpServer, bind
    from longstop.edges.ingest_app import IngestApp

    # Bound before the store is opened: a second gateway on the same port touches nothing.
    listening = bind(config.server.host, config.server.port) if Role.INGEST in role else None
    gateway = Gateway(config, role)
    stop = _stop_signal()
    await gateway.start()
    server = None
    if listening is not None:
        app = IngestApp(gateway.ingest, trusted_proxies=config.server.trusted_proxies)
        server = HttpServer(app, listening)
        await server.start()
    operators = await _operators_side(config, gateway, ready=lambda: not (stop.is_set() or gateway.failed.is_set()))
    _spare_the_collector()
    ready(_url(listening) if listening else "")
    await _first(stop, gateway.failed)
    log.info("stopping")
    if server is not None:
        await server.stop()
    await gateway.stop()
    if operators is not None:
        await operators.stop()
    return 1 if gateway.failed.is_set() else 0


async def _operators_side(config: Config, gateway: Gateway, ready: Callable[[], bool]) -> "HttpServer | None":
    """Serve those who run the gateway. Where that cannot be, accepting and delivering go on without."""
    from longstop.edges.http_server import HttpServer, ListenError, bind
    from longstop.edges.operators_app import OperatorsApp

    try:
        listening = bind(config.server.admin_host, config.server.admin_port, "server.admin_port")
    except ListenError as error:
        log.error("no_operators_side", error=str(error))
        return None
    server = HttpServer(OperatorsApp(gateway.metrics.answer, ready), listening)
    await server.start()
    return server


def _spare_the_collector() -> None:
    """Let the cyclic garbage collector look less often, and never again at what was loaded at the start.

    Hardly anything here is in a cycle, and with the interpreter's own settings it took 15 % of an append's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _first(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine to its end on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
