"""The worker of an isolated handler: a process of its own that is handed events and says what came of each.

It talks to the gateway over a socket pair, in frames: four bytes of length (big-endian), then MessagePack. The gateway
sends jobs, one at a time. The worker says once whether it could import the handler, and for each job that it has begun
and what the outcome is. Between those two words its death is the handler's doing; before them it is not.
"""

import asyncio
import contextlib
import inspect
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Awaitable
from typing import Any, Literal

import msgspec

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event, Headers, Origin
from longstop.senders.python import Handler, outcome_of, resolve_handler

LENGTH_BYTES = 4
EXIT_LIMIT_S = 5.0
"""How long a worker that is no longer wanted may take to leave by itself: `atexit`, threads that are not daemons."""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the thread that started it ends."""


class Job(msgspec.Struct, array_like=True):
    """An event for the handler, whole."""

    id: str
    source: str
    received_at_ms: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    type: str | None
    key: str | None
    dedup: bytes | None
    origin: Origin
    parent: str | None
    occurred_at_ms: int | None


class Ready(msgspec.Struct, tag=True):
    """The handler was imported."""


class Unusable(msgspec.Struct, tag=True):
    """The handler was not found; the worker ends."""

    problem: str


class Begun(msgspec.Struct, tag=True):
    """The handler is called now."""


class Done(msgspec.Struct, tag=True):
    """The handler has returned or raised."""

    kind: Literal["success", "retry", "reject"]
    error: str | None = None
    retry_after_s: float | None = None
    frames: str | None = None
    traceback: str | None = None
    raised: bool = False


Word = Ready | Unusable | Begun | Done
"""What a worker says."""

_jobs = msgspec.msgpack.Decoder(Job)


def frame(message: Job | Word) -> bytes:
    """A message as it goes over the socket."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def job(event: Event) -> Job:
    """An event, ready to be sent to a worker."""
    return Job(
        event.id,
        event.source,
        event.received_at_ms,
        event.body,
        event.headers.raw,
        event.type,
        event.key,
        event.dedup,
        event.origin,
        event.parent,
        event.occurred_at_ms,
    )


def event(data: bytes) -> Event:
    """The event of an encoded job."""
    fields = msgspec.structs.asdict(_jobs.decode(data))
    return Event(**{**fields, "headers": Headers.from_wire(fields["headers"])})


def main(descriptor: int, handler: str) -> None:
    """Be a worker: `handler` is `package.module:function`, `descriptor` the worker's end of the socket pair."""
    _outlive_nobody()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stand)
    end = socket.socket(fileno=descriptor)
    # What the handler starts or forks must not keep the socket open: its closing says that the worker is dead.
    end.set_inheritable(False)
    os.register_at_fork(after_in_child=end.close)
    with contextlib.suppress(OSError):
        # An OSError in here is the gateway's end: it has gone, and nobody is left to be told.
        _work(end, handler)


def _outlive_nobody() -> None:
    """Have the kernel end this process with the gateway, where it can (Linux).

    A handler that holds the interpreter's lock, as a regular expression may for hours, keeps `_Inbox` from running.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _stand(number: int, stack: object) -> None:
    """Take no notice of a signal.

    Ctrl-C and supervisors send theirs to every process at once; the gateway's stop lets attempts finish, and closes the
    socket in the end. A function, because SIG_IGN would be handed on to whatever the handler starts.
    """


def _work(end: socket.socket, path: str) -> None:
    inbox = _Inbox(end)
    try:
        handler = resolve_handler(path)
    except ConfigurationError as error:
        end.sendall(frame(Unusable("; ".join(error.problems))))
        return
    end.sendall(frame(Ready()))
    # One loop for all attempts: what a module keeps between them, as an HTTP session, belongs to the loop.
    with asyncio.Runner() as runner:
        while (data := inbox.get()) is not None:
            received = event(data)
            end.sendall(frame(Begun()))
            outcome = _handled(handler, received, runner)
            inbox.done()
            end.sendall(frame(_done(outcome)))


def _handled(handler: Handler, received: Event, runner: asyncio.Runner) -> Outcome:
    try:
        result = handler(received)
        if inspect.isawaitable(result):
            runner.run(_awaited(result))
    except BaseException as error:
        return outcome_of(error)
    return Outcome(OutcomeKind.SUCCESS)


async def _awaited(result: Awaitable[Any]) -> None:
    await result


def _done(outcome: Outcome) -> Done:
    after_s = outcome.retry_after_s
    return Done(
        outcome.kind.value,  # type: ignore[arg-type]
        outcome.error,
        None if after_s is None else float(after_s),
        outcome.frames,
        outcome.traceback,
        outcome.raised,
    )


class _Inbox:
    """Reads jobs in a thread of its own, so that the gateway's end is noticed while the handler is at work."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._jobs: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._busy = threading.Event()
        threading.Thread(target=self._read, name="longstop-inbox", daemon=True).start()

    def get(self) -> bytes | None:
        """The next job, encoded; None when there will be none."""
        return self._jobs.get()

    def done(self) -> None:
        """The job that was taken last has ended."""
        self._busy.clear()

    def _read(self) -> None:
        while (data := self._frame()) is not None:
            self._busy.set()
            self._jobs.put(data)
        if not self._busy.is_set():
            self._jobs.put(None)
            threading.Event().wait(EXIT_LIMIT_S)
        # Nobody waits for what the handler is doing, and whoever has the delivery next should not meet it.
        os._exit(1)

    def _frame(self) -> bytes | None:
        head = self._exactly(LENGTH_BYTES)
        return None if head is None else self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, size: int) -> bytes | None:
        data, filled = bytearray(size), 0
        while filled < size:
            try:
                count = self._end.recv_into(memoryview(data)[filled:])
            except OSError:
                return None
            if count == 0:
                return None
            filled += count
        return bytes(data)
