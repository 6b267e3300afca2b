"""The files of the browser console: what `console/` was built into, and on every page the same strict policy.

Only names that were there at the start are served, so no path leads anywhere else. A file's name changes with its
content and may be kept for ever; the page itself is asked for anew each time.
"""

import gzip
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from longstop.edges.senders_http.answers import Send, plain_problem, respond
from longstop.model.exchange import Answer

STATIC = Path(__file__).parent / "static"

PAGES = frozenset(
    (
        "",
        "audit",
        "conversations",
        "dead-letters",
        "deliveries",
        "destinations",
        "events",
        "jobs",
        "login",
        "settings",
        "sources",
    )
)
"""The first part of a page's path. What follows it is read in the browser."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        # Svelte's, for the templates that it was built with: no other may be made.
        "trusted-types svelte-trusted-html",
    )
)

_SAFE = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)
_KEPT = ("cache-control", "public, max-age=31536000, immutable")
_ASKED_ANEW = ("cache-control", "no-cache")

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}

_NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Longstop: no console</title>
<h1>This Longstop was installed without its console</h1>
<p>Everything else works: <code>longstop status</code>, <code>longstop dead list</code> and the API under
<code>/api/v1</code>.</p>
<p>In a clone, <code>make console</code> builds it (it needs nothing but Python; Node.js is fetched where there is
none). A package is built with it unless <code>LONGSTOP_CONSOLE=0</code> was set. Then start Longstop again.</p>
"""

Scope = MutableMapping[str, Any]


class _File:
    """A served file: as it is and, where that is shorter, compressed; both made once."""

    def __init__(self, name: str, body: bytes) -> None:
        self._type = _TYPES[Path(name).suffix]
        self._kept = _KEPT if name.startswith("/assets/") else _ASKED_ANEW
        self._body = body
        packed = gzip.compress(body, mtime=0)
        self._packed = packed if len(packed) < len(body) else None

    def answer(self, takes_gzip: bool) -> Answer:
        headers = (*_SAFE, self._kept, ("vary", "accept-encoding"))
        if takes_gzip and self._packed is not None:
            return Answer(200, self._packed, self._type, (*headers, ("content-encoding", "gzip")))
        return Answer(200, self._body, self._type, headers)


class ConsoleApp:
    """The ASGI app of the console.

    folder: where the built files are; one that is not there is answered with how to build them.
    """

    def __init__(self, folder: Path = STATIC) -> None:
        found = {f"/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*"))}
        self._files = {
            name: _File(name, path.read_bytes())
            for name, path in found.items()
            if path.suffix in _TYPES and path.is_file()
        }
        self._page = self._files.get("/index.html")

    async def __call__(self, scope: Scope, _receive: Any, send: Send) -> None:
        """Serve one request."""
        if scope["method"] not in ("GET", "HEAD"):
            return await respond(send, plain_problem(405, "Method not allowed", (("allow", "GET, HEAD"),)))
        return await respond(send, self._answer(scope["path"], _takes_gzip(scope["headers"])))

    def _answer(self, path: str, takes_gzip: bool) -> Answer:
        if path[1:].split("/", 1)[0] in PAGES:
            return self._page.answer(takes_gzip) if self._page else _no_console()
        file = self._files.get(path)
        return file.answer(takes_gzip) if file else plain_problem(404, "Not found")


def _no_console() -> Answer:
    return Answer(503, _NOT_BUILT, _TYPES[".html"], (*_SAFE, _ASKED_ANEW))


def _takes_gzip(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    told = b",".join(text for name, text in headers if name.lower() == b"accept-encoding")
    parts = [part.replace(b" ", b"").split(b";") for part in told.lower().split(b",")]
    return any(part[0] == b"gzip" and part[1:] != [b"q=0"] for part in parts)
