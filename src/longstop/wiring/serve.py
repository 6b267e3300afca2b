"""The process around a gateway: its listening sockets, its signals, its event loop."""

import asyncio
import contextlib
import gc
import importlib
import inspect
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from longstop.clock import SystemClock
from longstop.config import Config
from longstop.model.errors import StoreUnavailableError
from longstop.model.listing import Page
from longstop.operating.access import FIRST_USER
from longstop.ports import Store
from longstop.wiring.destinations import Handlers
from longstop.wiring.gateway import Gateway
from longstop.wiring.role import Role

if TYPE_CHECKING:
    from longstop.edges.mcp.mounted import MountedTools
    from longstop.edges.operators.api.services import Services
    from longstop.edges.operators.server import OperatorsServer
    from longstop.edges.senders_http.server import SendersServer

log = structlog.get_logger("longstop")

SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter's lock from one that waits for it."""

START_PATIENCE_S = 2.0
"""A start that takes longer answers senders meanwhile, who were promised an answer within 4 s: not yet."""


async def serve(config: Config, role: Role, ready: Callable[[str, str], None], handlers: Handlers | None = None) -> int:
    """Run a gateway until SIGTERM or SIGINT; the process's exit status.

    `ready` is called once everything runs, with the URL that senders post to (empty without the ingest
    role) and that of the operators' side (empty where its port could not be had).
    Raises ListenError, StoreError, ConfigurationError before anything was accepted.
    """
    # Bound before the store is opened: a second gateway on the same port touches nothing.
    listening = _listening(config) if Role.INGEST in role else None
    gateway = Gateway(config, role, handlers)
    stop, hurry = _stop_signals()
    starting = asyncio.ensure_future(gateway.start())
    # Who has connected by now waits. Where the store is slow, he is told to come again, as he would be later.
    for started in (await asyncio.wait((starting,), timeout=START_PATIENCE_S))[0]:
        started.result()
    senders = None if listening is None else await _senders_side(config, gateway, listening)
    await starting
    stop_why = "stopping: a stop was asked for"
    operators = await _operators_side(
        config, gateway, lambda: [*([stop_why] if stop.is_set() else []), *gateway.why_not_ready()]
    )
    _tune_garbage_collection()
    _share_the_interpreter()
    ready(_url(listening) if listening else "", _url(operators.socket) if operators else "")
    await _first(stop, gateway.failed)
    log.info("stopping")
    if senders is not None and config.server.drain_ms and stop.is_set():
        senders.drain()
        await _first(hurry, gateway.failed, within_s=config.server.drain_ms / 1000)
    if operators is not None:
        await operators.end_streams()
    if senders is not None:
        await senders.stop()
    await gateway.stop()
    if operators is not None:
        await operators.stop()
    return 1 if gateway.failed.is_set() else 0


async def _senders_side(config: Config, gateway: Gateway, listening: socket.socket) -> "SendersServer":
    """Serve senders."""
    from longstop.edges.senders_http.app import IngestApp
    from longstop.edges.senders_http.server import SendersServer

    app = IngestApp(gateway.ingest, trusted_proxies=config.server.trusted_proxies)
    server = SendersServer(app, listening, SystemClock())
    await server.start()
    return server


async def _operators_side(
    config: Config, gateway: Gateway, why_not: Callable[[], Sequence[str]]
) -> "OperatorsServer | None":
    """Serve those who run the gateway. Where that cannot be, accepting and delivering go on without."""
    from longstop.edges.operators.access.guarding import guarded
    from longstop.edges.operators.app import OperatorsApp
    from longstop.edges.operators.server import OperatorsServer
    from longstop.edges.senders_http.server import ListenError, bind

    try:
        listening = bind(config.server.admin_host, config.server.admin_port, "server.admin_port")
    except ListenError as error:
        log.error("no_operators_side", error=str(error))
        return None
    # Late: FastAPI takes its time and memory, and only whoever has the port needs it. In a thread: senders are served
    # already, and the half second that loading takes is not to stand between them and their answers.
    await asyncio.to_thread(_load_api)
    from longstop.edges.operators.api.app import create_api
    from longstop.edges.operators.console import ConsoleApp

    gateway.metrics.watch_process()
    services = gateway.operators_services(why_not)
    if services.access is not None and await _has_no_users(gateway.store):
        log.warning("no_users", hint=FIRST_USER)
    api = create_api(services)
    tools = await _tools(services)
    app = OperatorsApp(
        gateway.metrics.answer, why_not, api=api, console=ConsoleApp(), tools=tools, warnings=gateway.store_warnings
    )

    async def end_streams() -> None:
        await api.state.live.stop()
        if tools is not None:
            await tools.stop()

    server = OperatorsServer(guarded(app, services), listening, end_streams)
    await server.start()
    return server


def _load_api() -> None:
    api = importlib.import_module("longstop.edges.operators.api.app")
    # FastAPI reads a route's source at its first request, by expressions that take some milliseconds to compile: here
    # no sender waits for them.
    with contextlib.suppress(OSError):
        inspect.getsourcelines(api.create_api)


async def _has_no_users(store: Store) -> bool:
    try:
        return not (await store.users(Page(1, newest_first=False))).rows
    except StoreUnavailableError:
        # It is asked again at each sign-in, and says so there.
        return False


async def _tools(services: "Services") -> "MountedTools | None":
    """The tools of an assistant, where the configuration asks for them and the package for it is there."""
    if not services.config.operators.mcp:
        return None
    try:
        # In a thread, as the API above.
        await asyncio.to_thread(importlib.import_module, "longstop.edges.mcp.mounted")
        from longstop.edges.mcp.mounted import MountedTools
    except ImportError as error:
        log.error("no_mcp", error=f"{error}; pip install 'longstop[mcp]'")
        return None
    tools = MountedTools(services)
    await tools.start()
    return tools


def _tune_garbage_collection() -> None:
    """Let the cyclic garbage collector look less often, and never again at what was loaded at the start.

    Hardly anything here is in a cycle, and with the interpreter's own settings it took 15 % of an append's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _share_the_interpreter() -> None:
    """Let a thread that waits for the interpreter's lock have it soon.

    The event loop lets it go at every read and write of a socket. Beside a thread that works on without a pause (a
    search's, at its rows) it got it back after the interpreter's own 5 ms each time.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _listening(config: Config) -> socket.socket:
    from longstop.edges.senders_http.inherited import inherited
    from longstop.edges.senders_http.server import bind

    return inherited(os.environ, os.getpid()) or bind(config.server.host, config.server.port)


def _stop_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first signal that asks for a stop, and by the second, of somebody who has no patience."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    return stop, hurry


async def _first(*events: asyncio.Event, within_s: float | None = None) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=within_s)
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
