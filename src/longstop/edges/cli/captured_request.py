"""A request as it was captured: the raw text of an HTTP request, or a body with its headers beside it."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

from longstop.edges.cli.errors import CommandError, UsageError
from longstop.model.event import Headers
from longstop.model.exchange import Request

_REQUEST_LINE = re.compile(rb"([A-Z]{3,10}) (\S+) HTTP/[0-9.]+\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def captured(data: bytes, source: str, headers: list[str]) -> Request:
    """The request in a file. `headers` are put to those in it, each as `Name: value`.

    A file that does not begin with a request line is the body alone. Raises CommandError, UsageError.
    """
    given = [_given(text) for text in headers]
    line = _REQUEST_LINE.match(data)
    if line is None:
        return Request(Headers(given), data)
    request = _raw(line, data, source)
    return replace(request, headers=Headers([*request.headers, *given]))


def _given(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _NAME.fullmatch(name.strip()):
        raise UsageError(f'--header: found "{name}"; expected a name and a value, as in --header "X-Signature: abc"')
    return name.strip(), value.strip().encode().decode("latin-1")


def _raw(line: re.Match[bytes], data: bytes, source: str) -> Request:
    end = _END_OF_HEAD.search(data, line.end() - 2)
    head, body = (data[line.end() : end.start()], data[end.end() :]) if end else (data[line.end() :], b"")
    headers = Headers(_pairs(head))
    target = urlsplit(line[2].decode("latin-1"))
    path = _below(target.path, source)
    return Request(headers, _body(headers, body), line[1].decode(), path=path, query=target.query)


def _pairs(head: bytes) -> list[tuple[str, str]]:
    pairs = []
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise CommandError("the head of the captured request has a line that is no header; expected Name: value")
        pairs.append((name, value.strip(" \t")))
    return pairs


def _below(path: str, source: str) -> str:
    """What follows the source's name; nothing where the path was another, as it is behind a proxy."""
    before, found, below = path.partition(f"/{source}")
    return below if found and (below == "" or below.startswith("/")) and before.endswith("webhooks") else ""


def _body(headers: Headers, rest: bytes) -> bytes:
    """The body on the wire: put together from its chunks, or as long as it says. Editors add a line break to files."""
    if (headers.get("transfer-encoding") or "").lower() == "chunked":
        return _dechunked(rest)
    length = headers.get("content-length") or ""
    if not length.isascii() or not length.isdigit() or len(length) > 12:
        return rest
    if len(rest) < int(length):
        found = f"{len(rest)} bytes of body, and Content-Length says {length}"
        raise CommandError(f"the captured request is not whole: found {found}; capture it again, or remove that header")
    return rest[: int(length)]


def _dechunked(rest: bytes) -> bytes:
    if not re.match(rb"[0-9A-Fa-f]{1,8}[^\r\n]*\r\n", rest):
        # Most tools write down what they put together themselves.
        return rest
    parts, at = [], 0
    while found := re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r\n").match(rest, at):
        size = int(found[1], 16)
        parts.append(rest[found.end() : found.end() + size])
        at = found.end() + size + 2
        if size == 0:
            return b"".join(parts)
    raise CommandError("the captured request is not whole: found chunks without a last one; capture it again")
