"""Stands in front of an emulator's S3: counts the calls, keeps their headers, and does to some what a test says."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum

from aiohttp import ClientSession, web
from yarl import URL

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{said}</Message></Error>"

DELETED = "<DeleteResult><Error><Key>k</Key><Code>{code}</Code><Message>{said}</Message></Error></DeleteResult>"

ANEW = "begin-anew"
"""A token with which a list begins anew."""
SAID = "<html><p>{code}<br></html>"
EMPTY = (
    "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    "</ListBucketResult>"
)


class Fault(Enum):
    """What may happen to a call."""

    SLOW_DOWN = (503, "SlowDown", "Please reduce your request rate.")
    INTERNAL = (500, "InternalError", "We encountered an internal error. Please try again.")
    DENIED = (403, "AccessDenied", "User: arn:aws:iam::111122223333:user/x is not authorized to perform it")
    NO_BUCKET = (404, "NoSuchBucket", "The specified bucket does not exist")
    CONFLICT = (409, "ConditionalRequestConflict", "A conflicting conditional operation is in progress")
    EXPIRED = (400, "ExpiredToken", "The provided token AKIAEXAMPLEOFTESTS01 has expired.")
    ONE_DENIED = (200, "AccessDenied", "Access Denied")
    NO_S3 = (200, "Sign in to this network", "")
    EMPTY_PAGE = (0, "a page of a list with nothing in it", "")
    LOST = (0, "done, and the connection is cut before the answer", "")
    LATE = (0, "done, and the answer comes too late", "")
    CHANGED = (0, "a byte of the answer is another", "")
    CUT = (0, "the answer ends in the middle", "")


class S3Proxy:
    """One of them; `url` is what a client is told."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.url = ""
        self.calls: Counter[str] = Counter()
        """By the operation's name, as often as it came."""
        self.headers: dict[str, dict[str, str]] = {}
        """Of the last call of each operation."""
        self.queries: list[dict[str, str]] = []
        """What lists were asked for."""
        self.ahead = timedelta()
        """How far the service's clock is ahead of when things were written."""
        self._faults: dict[str, deque[Fault]] = {}
        self._released = asyncio.Event()

    def fail(self, operation: str, fault: Fault, times: int = 1) -> None:
        """So many of the next calls of an operation end this way."""
        self._faults.setdefault(operation, deque()).extend([fault] * times)

    def mend(self) -> None:
        """All calls are done from now on."""
        self._faults.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["S3Proxy"]:
        """Listening on the loopback."""
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address,) = runner.addresses
        self.url = f"http://127.0.0.1:{address[1]}"
        async with ClientSession(auto_decompress=False) as self._session:
            yield self
            self._released.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        operation = _operation(request)
        self.calls[operation] += 1
        self.headers[operation] = dict(request.headers)
        if operation == "ListObjectsV2":
            self.queries.append(dict(request.query))
        body = await request.read()
        waiting = self._faults.get(operation)
        fault = waiting.popleft() if waiting else None
        if fault is not None and fault.value[0]:
            status, code, said = fault.value
            text = (SAID if fault is Fault.NO_S3 else DELETED if status == 200 else ERROR).format(code=code, said=said)
            return web.Response(status=status, text=text, content_type="application/xml")
        # As it came, for the names in it are encoded.
        url = URL(self._target + request.raw_path.replace(f"continuation-token={ANEW}", ""), encoded=True)
        async with self._session.request(request.method, url, headers=request.headers, data=body) as answer:
            content, status, headers = await answer.read(), answer.status, answer.headers.copy()
        headers.popall("Transfer-Encoding", None)
        headers["Date"] = format_datetime(parsedate_to_datetime(headers["Date"]) + self.ahead, usegmt=True)
        if fault is Fault.EMPTY_PAGE:
            return web.Response(text=EMPTY.format(token=ANEW), content_type="application/xml")
        if fault is Fault.LATE:
            await self._released.wait()
        if fault in (Fault.LOST, Fault.LATE):
            assert request.transport is not None
            request.transport.abort()
        if fault is Fault.CHANGED:
            content = bytes([content[0] ^ 1]) + content[1:]
        if fault is Fault.CUT:
            return await self._cut(request, status, content)
        return web.Response(status=status, body=content, headers=headers)

    async def _cut(self, request: web.Request, status: int, content: bytes) -> web.StreamResponse:
        answer = web.StreamResponse(status=status, headers={"Content-Length": str(len(content))})
        await answer.prepare(request)
        await answer.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.close()
        return answer


def _operation(request: web.Request) -> str:
    if "list-type" in request.query:
        return "ListObjectsV2"
    if request.method == "POST":
        return "DeleteObjects"
    return {"PUT": "PutObject", "GET": "GetObject"}[request.method]
