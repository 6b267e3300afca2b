"""The ASGI app that senders post to: `POST {prefix}/{source}`, and `GET /healthz` where it serves a port of its own.

Plain ASGI, because a framework's request object, routing and validation cost more than all of the rest of an
append. Errors go out as problem+json (RFC 9457).
"""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from itertools import chain
from typing import Any

import msgspec

from longstop.edges.coming_bodies import ComingBodies, CrowdedError, Message, Receive, SenderGone, too_large
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
Send = Callable[[Message], Awaitable[None]]

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32 * 1024

_PATH = re.compile(r"/([^/]+)(/.*)?", re.DOTALL)


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
        self._bodies = ComingBodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        try:
            place = self._route(scope)
            answer = place if isinstance(place, Answer) else await self._receive(*place, scope, receive)
        except SenderGone:
            return
        except IngestError as error:
            answer = _problem(error)
        await _respond(send, answer)

    def _route(self, scope: Scope) -> Answer | tuple[Source, str]:
        """The source that is posted to and what follows its name in the path; or the answer where there is none."""
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
        return source, below

    async def _receive(self, source: Source, below: str, scope: Scope, receive: Receive) -> Answer:
        headers = _headers(scope)
        body = b""
        if scope["method"] == "POST":
            self._ingest.admit(source)
            declared, limit = _declared_length(scope, headers), source.max_body_bytes
            if declared is not None and declared > limit:
                raise too_large(limit)
            body = await self._bodies.read(receive, limit)
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
    size = sum(map(len, chain.from_iterable(raw)))
    if len(raw) > HEADERS_MAX or size > HEADER_BYTES_MAX:
        raise HeadersTooLargeError(
            f"found {len(raw)} headers of {size} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are taken"
        )
    return Headers.from_wire(raw)


def _declared_length(scope: Scope, headers: Headers) -> int | None:
    """The Content-Length; None where the body comes in chunks, or the header holds no number of bytes."""
    length = headers.wire_values("content-length")
    if length:
        # Python refuses to convert thousands of digits; such a body is counted as it comes.
        return int(length[0]) if length[0].isdigit() and len(length[0]) < 20 else None
    if "transfer-encoding" not in headers and scope.get("http_version", "1.1").startswith("1"):
        raise LengthRequiredError("found neither Content-Length nor Transfer-Encoding; send the body with one of them")
    return None


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
    if isinstance(error, (BodyTooLargeError, HeadersTooLargeError, SlowBodyError, CrowdedError)):
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
