"""The ASGI app that senders post to: `POST {prefix}/{source}`, and `GET /healthz` where it serves a port of its own.

Plain ASGI, because a framework's request object, routing and validation cost more than all of the rest of an
append. Errors go out as problem+json (RFC 9457).
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from longstop.accepting.ingest import Ingest
from longstop.edges.senders_http.answers import Send, plain_problem, problem, respond
from longstop.edges.senders_http.body_limits import (
    Receive,
    SenderGone,
    UnfinishedBodies,
    UnfinishedBody,
    read,
    too_large,
)
from longstop.edges.senders_http.head_limits import HEADER_BYTES_MAX, HEADERS_MAX
from longstop.edges.senders_http.proxies import TrustedProxies
from longstop.model.errors import (
    HeadersTooLargeError,
    IngestError,
    LengthRequiredError,
    QuarantinedError,
    UnavailableError,
)
from longstop.model.event import Headers
from longstop.model.exchange import Answer, Request
from longstop.model.value import value
from longstop.ports import Source

Scope = MutableMapping[str, Any]


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
        self.bodies = UnfinishedBodies()
        self.is_stopping = False
        """`GET /healthz` says so, and a balancer that asks there sends nobody any more. All else is served."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of an ASGI server."""
        if scope["type"] != "http":
            raise RuntimeError(f"this app serves http only, not {scope['type']}")
        version = scope.get("http_version", "1.1")
        opened = self.begin(scope["method"], _path_below_mount(scope), scope["headers"], version)
        if isinstance(opened, Answer):
            await respond(send, opened)
            return
        client = scope.get("client")
        peer = client[0] if client else None
        try:
            body = await self._read(receive, opened, peer) if opened.method == "POST" else b""
        except SenderGone:
            return
        except IngestError as error:
            self.refused(opened, error)
            await respond(send, problem(error))
            return
        await respond(send, await self.finish(opened, body, peer, scope.get("query_string", b"")))

    def _read(self, receive: Receive, opened: "Opened", peer: str | None) -> Awaitable[bytes]:
        return read(self.bodies, receive, opened.body_bytes_max, *self._sender(opened, peer))

    def begin(
        self, method: str, path: str, raw: Sequence[tuple[bytes, bytes]], version: str = "1.1"
    ) -> "Answer | Opened":
        """What a request is for, by its head; or the answer, where its body is not needed for that.

        path: below the place where the app is mounted. raw: the headers.
        """
        try:
            place = self._route(method, path)
            if not isinstance(place, Answer):
                return self._admitted(*place, method, raw, version)
            answer = place
        except IngestError as error:
            answer = problem(error)
        if answer.status >= 400 and answer not in (_STOPPING, _NOT_YET):
            self._refused_by_head(method, path, raw, answer.status)
        return answer

    def await_body(self, opened: "Opened", peer: str | None, cut: Callable[[IngestError], object]) -> UnfinishedBody:
        """The body of a request is not there at once: from now on it is one of `bodies`."""
        return self.bodies.begin(cut, *self._sender(opened, peer))

    def _sender(self, opened: "Opened", peer: str | None) -> tuple[str | None, str, bool]:
        """Whose body it is, as `UnfinishedBodies.begin` takes it.

        The name is the one that was asked for: what stands in for those that do not exist has no share of its own by
        which one could tell.
        """
        return self._proxies.client(peer, opened.headers), opened.name, opened.source.bears_proof(opened.headers)

    async def finish(self, opened: "Opened", body: bytes, peer: str | None, query: bytes) -> Answer:
        """The answer to a request whose body is there. peer: the address that it came from."""
        client = self._proxies.client(peer, opened.headers)
        if opened.method != "POST":
            body = b""
        elif opened.length is not None and len(body) != opened.length:
            # Whoever lost the rest of it: what was not sent so is neither accepted nor judged.
            error = _incomplete(len(body), opened.length)
            self.refused(opened, error)
            return problem(error)
        request = Request(opened.headers, body, opened.method, client, opened.below, query.decode("latin-1"))
        try:
            return await self._ingest.receive(opened.source, request)
        except IngestError as refusal:
            if not isinstance(refusal, QuarantinedError):
                self._ingest.refused(opened.name, request, refusal.status, whole=True)
            return problem(refusal)

    def refused(self, opened: "Opened", error: IngestError) -> None:
        """Take note of a request that was refused while its body came."""
        request = Request(opened.headers, b"", opened.method, None, opened.below)
        self._ingest.refused(opened.name, request, error.status, whole=False)

    def unreadable(self, status: int) -> None:
        """Take note of what is no HTTP that can be read."""
        self._ingest.refused("", Request(Headers(), b"", ""), status, whole=False)

    def _refused_by_head(self, method: str, path: str, raw: Sequence[tuple[bytes, bytes]], status: int) -> None:
        inside = path.startswith(self._prefix)
        root, name, below = _parted(path[len(self._prefix) :]) if inside else ("", "", path)
        request = Request(Headers.from_wire(raw[:HEADERS_MAX]), b"", method, None, below if name and not root else path)
        self._ingest.refused("" if root else name, request, status, whole=False)

    def _route(self, method: str, path: str) -> Answer | tuple[str, Source, str]:
        """The name and source that is posted to and what follows it in the path; or the answer where there is none."""
        if self._health and path == "/healthz":
            health = _STOPPING if self.is_stopping else _HEALTHY if self._ingest.accepting else _NOT_YET
            return health if method in ("GET", "HEAD") else _not_allowed("GET, HEAD")
        if not path.startswith(self._prefix):
            return _NOT_FOUND
        root, name, below = _parted(path[len(self._prefix) :])
        if root or not name:
            return _NOT_FOUND
        source = self._ingest.source(name)
        methods = source.methods(below)
        if not methods:
            return _NOT_FOUND
        if method not in methods:
            return _not_allowed(", ".join(sorted(methods)))
        return name, source, below

    def _admitted(
        self, name: str, source: Source, below: str, method: str, raw: Sequence[tuple[bytes, bytes]], version: str
    ) -> "Opened":
        """What a request is for whose body may be read. Raises IngestError where it may not."""
        headers, length = _headers(raw), None
        limit = source.body_bytes_max(below)
        if method == "POST":
            self._ingest.admit(source)
            length = _declared_length(headers, version)
            if length is not None and length > limit:
                raise too_large(limit)
        return Opened(name, source, below, method, headers, limit, length)


@value(frozen=True, slots=True)
class Opened:
    """A request whose head is there, and whose body may be read."""

    name: str
    """Of the source, as it was asked for: there may be none of this name."""
    source: Source
    below: str
    method: str
    headers: Headers
    body_bytes_max: int
    length: int | None
    """Of the body, as announced; None where it comes in chunks, or its length is nothing to go by."""


def _path_below_mount(scope: Scope) -> str:
    """The path after the mount point. Frameworks differ in whether `path` still holds it; `root_path` tells."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


@lru_cache(maxsize=256)
def _parted(path: str) -> tuple[str, str, str]:
    """What stands before the first slash, the source's name, and what follows it, with its slash."""
    root, _, rest = path.partition("/")
    name, slash, below = rest.partition("/")
    return root, name, slash + below


def _headers(raw: Sequence[tuple[bytes, bytes]]) -> Headers:
    size = len(b"".join(chain.from_iterable(raw)))
    if len(raw) > HEADERS_MAX or size > HEADER_BYTES_MAX:
        raise HeadersTooLargeError(
            f"found {len(raw)} headers of {size} bytes; at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes are taken"
        )
    return Headers.from_wire(raw)


def _declared_length(headers: Headers, version: str) -> int | None:
    """The Content-Length; None where the body comes in chunks, or the header holds no number of bytes."""
    length = headers.wire_values("content-length")
    if length:
        # Python refuses to convert thousands of digits; such a body is counted as it comes.
        return int(length[0]) if length[0].isdigit() and len(length[0]) < 20 else None
    if "transfer-encoding" not in headers and version.startswith("1"):
        raise LengthRequiredError("found neither Content-Length nor Transfer-Encoding; send the body with one of them")
    return None


def _incomplete(came: int, announced: int) -> UnavailableError:
    return UnavailableError(f"{came} bytes of the body came, and {announced} were announced; send it again")


def _not_allowed(methods: str) -> Answer:
    return plain_problem(405, "Method not allowed", (("allow", methods),))


_NOT_FOUND = plain_problem(404, "Not found")
_HEALTHY = Answer(200, b'{"status":"ok"}')
_STOPPING = Answer(503, b'{"status":"stopping"}')
_NOT_YET = Answer(503, b'{"status":"starting"}')
