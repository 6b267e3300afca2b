"""The reader of large and intricate bodies, as the gateway sees it: a worker that is started when it is needed first.

What the worker does, and why it is a process, is in `reading_worker`.
"""

import asyncio
import contextlib
import pickle
import socket
import subprocess
import sys
from dataclasses import replace

import structlog

from longstop.model.errors import BodyTooLargeError, MalformedError, UnavailableError
from longstop.model.exchange import Request
from longstop.ports import Read
from longstop.sources.reading_worker import LENGTH_BYTES, Said, Setup, frame

log = structlog.get_logger("longstop.sources.reading")

READ_WITHIN_S = 2.0
"""A body that takes longer to be read is kept in quarantine. A million nodes take half a second, and as long again for
each expression that looks at all of them."""
STOP_LIMIT_S = 2.0
_STDERR = 2

_BOOT = "import sys; end, *sys.path = sys.argv[1:]\nfrom longstop.sources.reading_worker import main; main(int(end))"


class ReadingProcess:
    """Has a worker read one request at a time: whoever calls `read` waits for the last call to end.

    A worker that takes too long is ended and its request is malformed: it would be so each time. Where one dies,
    another is asked, for somebody may have killed it; a request that ends two is malformed. A fault of ours is not.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._worker: _Worker | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def read(self, source: str, request: Request, patience_s: float) -> Read:
        """What a request of the source says, without the document, and where it goes.

        Raises MalformedError, BodyTooLargeError, and UnavailableError where no worker can be had within `patience_s`.
        """
        said = await self._asked(source, request, patience_s) or await self._asked(source, request, patience_s)
        if said is None:
            raise MalformedError("the body cannot be read: what read it ended, twice; send it in parts")
        if said.fault is not None:
            log.error("reading_failed", source=source, exception=said.fault)
            raise UnavailableError("the body could not be read for a fault of ours; send it again")
        if said.reading is None or said.destinations is None:
            raise BodyTooLargeError(said.too_large) if said.too_large else MalformedError(said.malformed or "")
        return said.reading, said.destinations

    async def _asked(self, source: str, request: Request, patience_s: float) -> Said | None:
        """What a worker says of a request; None where it ended meanwhile, which need not be the request's doing."""
        worker = await self._started(patience_s)
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await worker.ask(source, request)
        except TimeoutError:
            self._let_go()
            raise MalformedError("the body takes too long to be read; send it in parts") from None
        except (OSError, EOFError):
            self._let_go()
            return None
        except BaseException:
            # In the middle of an answer: it is of no use for the next one.
            self._let_go()
            raise

    async def close(self) -> None:
        """End the worker."""
        self._let_go()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _started(self, patience_s: float) -> "_Worker":
        try:
            if self._worker is None:
                self._worker = _Worker()
            async with asyncio.timeout(patience_s):
                await asyncio.shield(self._worker.begin(self._setup))
            return self._worker
        except TimeoutError:
            # It goes on starting, for those who come later.
            pass
        except (OSError, EOFError):
            self._let_go()
        raise UnavailableError("a body like this cannot be read now; send it again")

    def _let_go(self) -> None:
        if self._worker is not None:
            leaving = asyncio.create_task(self._worker.leave())
            self._worker = None
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


class _Worker:
    """A worker process. Raises OSError where none can be started."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._end = ours
        self._beginning: asyncio.Task[None] | None = None
        with theirs:
            descriptor = theirs.fileno()
            path = [entry for entry in sys.path if isinstance(entry, str)]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                    [sys.executable, "-c", _BOOT, str(descriptor), *path],
                    stdin=subprocess.DEVNULL,
                    stdout=_STDERR,
                    pass_fds=[descriptor],
                )
            except OSError:
                ours.close()
                raise

    def begin(self, setup: Setup) -> "asyncio.Task[None]":
        """Hand it what it is made of; done when it is ready. The same for all who wait."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin(setup))
        return self._beginning

    async def _begin(self, setup: Setup) -> None:
        await self._send(pickle.dumps(setup))
        await self._message()

    async def ask(self, source: str, request: Request) -> Said:
        """Have it read a request. Raises OSError, EOFError: it died."""
        await self._send(pickle.dumps((source, replace(request, body=b""))))
        await self._send(request.body)
        said = pickle.loads(await self._message())  # noqa: S301 - the worker is this program
        assert isinstance(said, Said)
        return said

    async def _send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._end, frame(data))
        await loop.sock_sendall(self._end, data)

    async def _message(self) -> bytes:
        return await self._exactly(int.from_bytes(await self._exactly(LENGTH_BYTES), "big"))

    async def _exactly(self, size: int) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            more = await loop.sock_recv(self._end, size - len(data))
            if not more:
                raise EOFError("its end of the socket is closed")
            data += more
        return data

    async def leave(self) -> None:
        """End it: there is nothing that it would have to finish."""
        if self._beginning is not None and not self._beginning.done():
            self._beginning.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await self._beginning
        self._end.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait, STOP_LIMIT_S)
