"""The ASGI app that senders post to: `POST {prefix}/{source}`, and `GET /healthz` where it serves a port of its own.

Plain ASGI, because a framework's request object, routing and validation cost more than all of the rest of an
append. Errors go out as problem+json (RFC 9457).
"""

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
            answer = self._route(scope)
            if not isinstance(answer, Answer):
                source, below = answer
                headers = self._admitted(source, scope)
                body = b"" if scope["method"] != "POST" else await self._bodies.read(receive, source.max_body_bytes)
                answer = await self._ingest.receive(source, self._request(scope, headers, body, below))
        except SenderGone:
            return
        except IngestError as error:
            answer = _problem(error)
        await send(_start(answer))
        await send({"type": "http.response.body", "body": answer.body})

    def _route(self, scope: Scope) -> Answer | tuple[Source, str]:
        """The source that is posted to and what follows its name in the path; or the answer where there is none."""
        path = _path_below_mount(scope)
        if self._health and path == "/healthz":
            return _HEALTHY if scope["method"] in ("GET", "HEAD") else _not_allowed("GET, HEAD")
        if not path.startswith(self._prefix):
            return _NOT_FOUND
        root, name, below = _parted(path[len(self._prefix) :])
        if root or not name:
            return _NOT_FOUND
        source = self._ingest.source(name)
        methods = source.methods(below)
        if not methods:
            return _NOT_FOUND
        if scope["method"] not in methods:
            return _not_allowed(", ".join(sorted(methods)))
        return source, below

    def _admitted(self, source: Source, scope: Scope) -> Headers:
        """The headers of a request whose body may be read. Raises IngestError where it may not."""
        headers = _headers(scope)
        if scope["method"] == "POST":
            self._ingest.admit(source)
            declared = _declared_length(scope, headers)
            if declared is not None and declared > source.max_body_bytes:
                raise too_large(source.max_body_bytes)
        return headers

    def _request(self, scope: Scope, headers: Headers, body: bytes, below: str) -> Request:
        peer = scope.get("client")
        client = self._proxies.client(peer[0] if peer else None, headers)
        query = scope.get("query_string", b"").decode("latin-1")
        return Request(headers, body, scope["method"], client, below, query)


def _path_below_mount(scope: Scope) -> str:
    """The path after the mount point. Frameworks differ in whether `path` still holds it; `root_path` tells."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _parted(path: str) -> tuple[str, str, str]:
    """What stands before the first slash, the source's name, and what follows it, with its slash."""
    root, _, rest = path.partition("/")
    name, slash, below = rest.partition("/")
    return root, name, slash + below


def _headers(scope: Scope) -> Headers:
    raw = scope["headers"]
    size = len(b"".join(chain.from_iterable(raw)))
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


def _start(answer: Answer) -> Message:
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers),
    ]
    return {"type": "http.response.start", "status": answer.status, "headers": headers}
