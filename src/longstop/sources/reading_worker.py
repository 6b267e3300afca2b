"""The worker that reads large and intricate bodies: a process of its own, so that none of it holds up the event loop.

Parsing JSON holds the interpreter's lock from its beginning to its end; in a thread it would stop all others for as
long. The worker is handed what sources and routes are made of, once, and then one request at a time. What it may take
in memory is limited; its time is the gateway's to limit, by ending it.
"""

import contextlib
import os
import pickle
import signal
import socket
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from longstop.model.errors import BodyTooLargeError, MalformedError
from longstop.model.exchange import Reading, Request
from longstop.model.routing import Route, Router, Target
from longstop.model.settings import SourceSettings
from longstop.model.value import value

LENGTH_BYTES = 4
MEMORY_BYTES_MAX = 2 * 1024**3
"""Of address space. A document of NODES_MAX values takes some hundred megabytes; the rest is what it starts with."""
NICENESS = 10
"""Behind the event loop, where there is one processor for both."""


@value(frozen=True, slots=True)
class RouteSpec:
    """A route as it is configured: its condition is still text."""

    source: str
    to: tuple[str, ...]
    when: str | None
    expire_after_ms: int | None
    order_with: str | None = None
    names: frozenset[str] = frozenset()
    """See Route."""


@value(frozen=True, slots=True)
class Setup:
    """What the worker is made of."""

    sources: tuple[SourceSettings, ...]
    routes: tuple[RouteSpec, ...]
    ordered: tuple[str, ...] = ()
    """Destinations that are ordered."""


@value(frozen=True, slots=True)
class Said:
    """What a request says and where it goes; or why that cannot be told."""

    reading: Reading | None = None
    destinations: Mapping[str, Target] | None = None
    malformed: str | None = None
    too_large: str | None = None
    fault: str | None = None
    """What went wrong with us: the request may be as good as any."""


def frame(data: bytes) -> bytes:
    """A message's length, which goes before it."""
    return len(data).to_bytes(LENGTH_BYTES, "big")


def main(descriptor: int) -> None:
    """Be the worker. `descriptor` is its end of a socket pair; the worker ends with the other end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Ctrl-C and supervisors send theirs to every process at once; the gateway finishes what is under way.
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    os.nice(NICENESS)
    with contextlib.suppress(OSError, EOFError):
        _work(socket.socket(fileno=descriptor))


def _work(end: socket.socket) -> None:
    from longstop.sources import build
    from longstop.sources.reading import compile_condition

    setup: Setup = pickle.loads(_message(end))  # noqa: S301 - the gateway's own
    sources = {each.name: build(each) for each in setup.sources}
    routes = (
        Route(
            each.source,
            each.to,
            compile_condition(each.when) if each.when is not None else None,
            each.expire_after_ms,
            each.order_with,
            each.names,
        )
        for each in setup.routes
    )
    router = Router(routes, setup.ordered)
    _say(end, b"")
    while True:
        name, request = pickle.loads(_message(end))  # noqa: S301 - the gateway's own
        _say(end, _answer(sources, router, name, replace(request, body=_message(end))))


def _answer(sources: Mapping[str, Any], router: Router, name: str, request: Request) -> bytes:
    try:
        return pickle.dumps(_read(sources[name], router, request))
    except Exception:
        return pickle.dumps(Said(fault=traceback.format_exc()))


def _read(source: Any, router: Router, request: Request) -> Said:
    try:
        reading = source.read(request)
        destinations = router.destinations(source.name, reading, request.headers)
        return Said(replace(reading, document=None), destinations)
    except MalformedError as error:
        return Said(malformed=str(error))
    except BodyTooLargeError as error:
        return Said(too_large=str(error))
    except MemoryError:
        return Said(malformed="the body takes too much memory to be read")


def _say(end: socket.socket, data: bytes) -> None:
    end.sendall(frame(data) + data)


def _message(end: socket.socket) -> bytes:
    return _exactly(end, int.from_bytes(_exactly(end, LENGTH_BYTES), "big"))


def _exactly(end: socket.socket, size: int) -> bytes:
    data, filled = bytearray(size), 0
    while filled < size:
        count = end.recv_into(memoryview(data)[filled:])
        if count == 0:
            raise EOFError
        filled += count
    return bytes(data)
