"""The ASGI app that senders post to: `POST {prefix}/{source}`, and `GET /healthz` where it serves a port of its own.

Plain ASGI, because a framework's request object, routing and validation cost more than all of the rest of an
append. Errors go out as problem+json (RFC 9457).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from longstop.edges.proxies import TrustedProxies
from longstop.ingest import Ingest
from longstop.model.errors import (
    BodyTooLargeError,
    HeadersTooLargeError,
    IngestError,
    LengthRequiredError,
    QuarantinedError,
    RateError,
    SlowBodyError,
    UnavailableError,
)
from longstop.model.event import Headers
from longstop.model.exchange import Answer, Request
from longstop.ports import Source

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32 * 1024
BODY_WITHIN_S = 20.0
"""A body has so long to come, and a second more for each BODY_BYTES_PER_S of it that has come."""
BODY_BYTES_PER_S = 16 * 1024
UNFINISHED_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that come in pieces, so much is held at once, of all senders together: they may be strangers."""

_PATH = re.compile(r"/([^/]+)(/.*)?", re.DOTALL)


class _SenderGone(Exception):
    """The sender left before its body was complete. Nothing was accepted and nobody is there to be answered."""


class IngestApp:
    """The app.

    prefix: the path before the source's name, below the path where the app is mounted.
    health: whether `GET /healthz` is answered.
    trusted_proxies: networks whose X-Forwarded-For is believed.
    """

    def __init__(
        self, ingest: Ingest, prefix: str = "/webhooks", health: bool = True, trusted_proxies: Iterable[str] = ()
    ) -> None:
        self._ingest = ingest
        self._prefix = prefix
        self._health = health
        self._proxies = TrustedProxies(trusted_proxies)
        self._unfinished = _Unfinished()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        try:
            answer = await self._route(scope, receive)
        except _SenderGone:
            return
        except IngestError as error:
            answer = _problem(error)
        await _respond(send, answer)

    async def _route(self, scope: Scope, receive: Receive) -> Answer:
        path = _path_below_mount(scope)
        if self._health and path == "/healthz":
            return _HEALTHY if scope["method"] in ("GET", "HEAD") else _not_allowed("GET, HEAD")
        if not path.startswith(self._prefix):
            return _NOT_FOUND
        found = _PATH.fullmatch(path, len(self._prefix))
        if found is None:
            return _NOT_FOUND
        source, below = self._ingest.source(found[1]), found[2] or ""
        methods = source.methods(below)
        if not methods:
            return _NOT_FOUND
        if scope["method"] not in methods:
            return _not_allowed(", ".join(sorted(methods)))
        return await self._receive(source, below, scope, receive)

    async def _receive(self, source: Source, below: str, scope: Scope, receive: Receive) -> Answer:
        headers = _headers(scope)
        body = b""
        if scope["method"] == "POST":
            self._ingest.admit(source)
            body = await _body(scope, receive, source.max_body_bytes, self._unfinished)
        peer = scope.get("client")
        client = self._proxies.client(peer[0] if peer else None, headers)
        query = scope.get("query_string", b"").decode("latin-1")
        request = Request(headers, body, scope["method"], client, below, query)
        return await self._ingest.receive(source, request)


def _path_below_mount(scope: Scope) -> str:
    """The path after the mount point. Frameworks differ in whether `path` still holds it; `root_path` tells."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _headers(scope: Scope) -> Headers:
    raw = scope["headers"]
    size = sum(len(name) + len(value) for name, value in raw)
    if len(raw) > HEADERS_MAX or size > HEADER_BYTES_MAX:
        raise HeadersTooLargeError(
            f"found {len(raw)} headers of {size} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are taken"
        )
    return Headers.from_wire(raw)


class _CrowdedError(UnavailableError):
    """Too much of other bodies is held already."""


class _Unfinished:
    """The bytes held of bodies that are still coming, of all senders together."""

    def __init__(self) -> None:
        self.size = 0

    def add(self, size: int) -> None:
        if self.size + size > UNFINISHED_BYTES_MAX:
            raise _CrowdedError("too many large bodies are coming at once; send it again later")
        self.size += size


async def _body(scope: Scope, receive: Receive, limit: int, unfinished: _Unfinished) -> bytes:
    """The whole body. Raises as soon as it is known to be over the limit, before it is read where it says so itself."""
    declared = _declared_length(scope)
    if declared is not None and declared > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    held = 0
    began_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began_s + BODY_WITHIN_S) as patience:
            while True:
                chunk, more = await _chunk(receive)
                if held + len(chunk) > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                if not more:
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
                unfinished.add(len(chunk))
                held += len(chunk)
                patience.reschedule(began_s + BODY_WITHIN_S + held / BODY_BYTES_PER_S)
    except TimeoutError:
        raise SlowBodyError(f"only {held} bytes of the body came in time; send it faster") from None
    finally:
        unfinished.size -= held


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of the body, and whether more is to come."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise _SenderGone
    return message.get("body", b""), message.get("more_body", False)


def _declared_length(scope: Scope) -> int | None:
    """The Content-Length; None where the body comes in chunks, or the header holds no number of bytes."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            # Python refuses to convert thousands of digits; such a body is counted as it comes.
            return int(value) if value.isdigit() and len(value) < 20 else None
        if name == b"transfer-encoding":
            return None
    if scope.get("http_version", "1.1").startswith("1"):
        raise LengthRequiredError("found neither Content-Length nor Transfer-Encoding; send the body with one of them")
    return None


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is over this source's limit of {limit} bytes")


def _problem(error: IngestError) -> Answer:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
    }
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, QuarantinedError):
        problem["id"] = error.event_id
    if isinstance(error, (UnavailableError, RateError)):
        headers = (("retry-after", str(error.retry_after_s)),)
    if isinstance(error, (BodyTooLargeError, HeadersTooLargeError, SlowBodyError, _CrowdedError)):
        # The rest of the body is not read, so the connection cannot be used again.
        headers = (*headers, ("connection", "close"))
    return Answer(error.status, msgspec.json.encode(problem), "application/problem+json", headers)


def _plain_problem(status: int, title: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    problem = {"type": "about:blank", "title": title, "status": status}
    return Answer(status, msgspec.json.encode(problem), "application/problem+json", headers)


def _not_allowed(methods: str) -> Answer:
    return _plain_problem(405, "Method not allowed", (("allow", methods),))


_NOT_FOUND = _plain_problem(404, "Not found")
_HEALTHY = Answer(200, b'{"status":"ok"}')


async def _respond(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
