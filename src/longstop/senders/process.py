"""The sender for isolated handlers: each attempt runs in a worker, a process of its own, and takes nothing else along.

What the two say to each other, and the worker's side of it, is in `process_worker`.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping

import msgspec

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.lease import Claim
from longstop.model.settings import DestinationSettings
from longstop.senders.process_worker import LENGTH_BYTES, Begun, Done, Ready, Unusable, Word, frame, job
from longstop.senders.python import ERROR_CHARS, timed_out

RECYCLE_AFTER = 500
"""Attempts of one worker before another takes its place. A leak of 1 MB in each stays below half a gigabyte, and a
start of 0.2 s costs each 0.4 ms."""
START_LIMIT_S = 60.0
"""How long a worker may take to import the handler; the destination's timeout is for the event alone."""
STOP_LIMIT_S = 5.0
"""How long a worker may take to leave by itself before it is killed."""
DEATH_LIMIT_S = 1.0
"""How long a worker that closed its socket may take to have died of whatever it was: then its exit status is known."""
WORD_BYTES_MAX = 64 * 1024
"""No worker has more to say at a time. Its handler is not ours, and might write anything."""
STDERR = 2

PASSED_ON = frozenset(
    "HOME LANG LANGUAGE LD_LIBRARY_PATH LOGNAME PATH SHELL SSL_CERT_DIR SSL_CERT_FILE TEMP TMP TMPDIR TZ TZDIR USER "
    "VIRTUAL_ENV".split()
)
"""What a program needs of an environment to run at all, and what holds no secret."""
PASSED_ON_FAMILIES = ("LC_", "PYTHON")

_BOOT = (
    "import sys; end, handler, *sys.path = sys.argv[1:]; del sys.argv[1:]\n"
    "from longstop.senders.process_worker import main; main(int(end), handler)"
)
_words: msgspec.msgpack.Decoder[Word] = msgspec.msgpack.Decoder(Word)


class ProcessSender:
    """Calls a handler in worker processes, each with one attempt at a time.

    A worker is started when an attempt finds none that is idle, so there are at most as many as the destination has
    attempts under way at once. It imports the handler by its path, with this process's `sys.path` and folder but only
    some of its environment (`worker_environment`), and is kept for RECYCLE_AFTER attempts. An attempt that takes too
    long or is cancelled ends with its worker and what that has started. A worker that dies is a crash, of this attempt
    alone; one that dies before it has begun with the event is a retry, for that is no fault of the event's.
    """

    def __init__(self, settings: DestinationSettings, recycle_after: int = RECYCLE_AFTER) -> None:
        assert settings.handler is not None, "only a handler that has a path can be found by another process"
        self._handler = settings.handler
        self._env = settings.env
        self._timeout_s = settings.timeout_ms / 1000
        self._recycle_after = recycle_after
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, claim: Claim, attempt: int) -> Outcome:  # noqa: ARG002
        """Have a worker call the handler once. Never raises but for its own cancellation."""
        work = frame(job(claim.event))
        outcome = None
        while outcome is None:
            if self._closed:
                return _interrupted()
            try:
                worker = self._idle.pop() if self._idle else self._new_worker()
            except OSError as error:
                return Outcome(OutcomeKind.RETRY, error=f"no worker could be started: {error.strerror}")
            outcome = await self._attempt(worker, work)
        return outcome

    def _new_worker(self) -> "_Worker":
        return _Worker(self._handler, worker_environment(os.environ, self._env))

    async def close(self) -> None:
        """End every worker: idle ones leave by themselves, those at work are killed. Safe to call twice."""
        self._closed = True
        for worker in self._busy:
            worker.kill()
        while self._idle:
            self._let_go(self._idle.pop())
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _attempt(self, worker: "_Worker", work: bytes) -> Outcome | None:
        """The outcome, or None where a worker had died while it was idle: another one is to try."""
        used = worker.attempts > 0
        self._busy.add(worker)
        outcome = None
        try:
            outcome = await self._tried(worker, work)
        except (OSError, EOFError, msgspec.MsgspecError):
            outcome = await self._of_death(worker, used)
        finally:
            self._busy.discard(worker)
            if worker.answered and not self._closed and worker.attempts < self._recycle_after:
                self._idle.append(worker)
            else:
                self._let_go(worker)
        return outcome

    async def _tried(self, worker: "_Worker", work: bytes) -> Outcome:
        if worker.attempts == 0 and (problem := await _starting(worker)):
            return Outcome(OutcomeKind.RETRY, error=problem[:ERROR_CHARS])
        try:
            async with asyncio.timeout(self._timeout_s):
                done = await worker.work_on(work)
        except TimeoutError:
            return timed_out(self._timeout_s)
        return Outcome(
            OutcomeKind(done.kind),
            error=done.error,
            retry_after_s=done.retry_after_s,
            frames=done.frames,
            traceback=done.traceback,
            raised=done.raised,
        )

    async def _of_death(self, worker: "_Worker", used: bool) -> Outcome | None:
        how = await worker.death()
        if self._closed:
            return _interrupted()
        if worker.begun:
            return Outcome(OutcomeKind.CRASHED, error=f"crashed: the handler's process {how}")
        return None if used else Outcome(OutcomeKind.RETRY, error=f"the worker {how} before it could begin")

    def _let_go(self, worker: "_Worker") -> None:
        if not worker.answered:
            worker.kill()
        leaving = asyncio.create_task(worker.leave())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


def worker_environment(environ: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """What a worker gets of an environment: the names that a destination lists, and what every program needs.

    Not all of it: the secrets of every source and of every other destination are there, too.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED_ON or name in names or name.startswith(PASSED_ON_FAMILIES)
    }


async def _starting(worker: "_Worker") -> str:
    """Wait until the worker can take an event; what is wrong where it never will."""
    try:
        async with asyncio.timeout(START_LIMIT_S):
            match await worker.hear():
                case Ready():
                    return ""
                case Unusable(problem):
                    return problem
                case word:
                    raise EOFError(f"said {type(word).__name__}")
    except TimeoutError:
        return f"the worker had not imported the handler after {START_LIMIT_S:g} s"


def _interrupted() -> Outcome:
    return Outcome(OutcomeKind.INTERRUPTED, error="interrupted: the gateway stopped before the handler was done")


class _Worker:
    """A worker process, as the gateway sees it. Raises OSError where none can be started."""

    def __init__(self, handler: str, environ: Mapping[str, str]) -> None:
        self.attempts = 0
        self.begun = False
        """Was the handler called with the latest job?"""
        self.answered = False
        """Did the latest job come to its end? Only then is the worker fit for another."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._end = ours
        with theirs:
            descriptor = theirs.fileno()
            path = [entry for entry in sys.path if isinstance(entry, str)]
            try:
                # What a handler prints is for people: to standard error, unbuffered, so that a death loses none of it.
                # In a process group of its own, so that what it starts can be ended along with it.
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                    [sys.executable, "-u", "-c", _BOOT, str(descriptor), handler, *path],
                    stdin=subprocess.DEVNULL,
                    stdout=STDERR,
                    env=environ,
                    pass_fds=[descriptor],
                    process_group=0,
                )
            except OSError:
                ours.close()
                raise

    async def work_on(self, work: bytes) -> Done:
        """Hand it a job and wait for the end. Raises OSError, EOFError, MsgspecError: it died, or makes no sense."""
        self.attempts += 1
        self.begun = self.answered = False
        await asyncio.get_running_loop().sock_sendall(self._end, work)
        word = await self.hear()
        if isinstance(word, Begun):
            self.begun = True
            word = await self.hear()
        if not isinstance(word, Done):
            raise EOFError(f"said {type(word).__name__}")
        self.answered = True
        return word

    async def hear(self) -> Word:
        """What it says next. Raises OSError, EOFError, MsgspecError."""
        size = int.from_bytes(await self._exactly(LENGTH_BYTES), "big")
        if size > WORD_BYTES_MAX:
            raise EOFError(f"said {size} bytes at once")
        return _words.decode(await self._exactly(size))

    async def _exactly(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            more = await loop.sock_recv(self._end, size - len(data))
            if not more:
                raise EOFError("its end of the socket is closed")
            data += more
        return data

    async def death(self) -> str:
        """How it ended, in words that go after "the process"."""
        try:
            status = await asyncio.to_thread(self._process.wait, DEATH_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "lives and makes no sense any more"
        if status >= 0:
            return f"ended with exit status {status}"
        hint = ": somebody killed it, as the system does when memory is short" if status == -signal.SIGKILL else ""
        return f"was ended by {_name(-status)}{hint}"

    def kill(self) -> None:
        """End it at once, with what it has started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # The handler may have moved it to another group.
            self._process.kill()

    async def leave(self) -> None:
        """Let it go, which it sees by its socket, and make sure that it is gone."""
        self._end.close()
        try:
            await asyncio.to_thread(self._process.wait, STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            await asyncio.to_thread(self._process.wait)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
