"""Compressed bodies (Content-Encoding) and other charsets: what a sender meant by the bytes it sent.

An event keeps the bytes as they were sent, and a signature covers those. Only reading looks inside.
"""

import codecs
import re
import zlib
from dataclasses import replace

from longstop.model.errors import BodyTooLargeError, MalformedError
from longstop.model.exchange import Request

_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SINGLE_BYTE = ("latin-1", "cp1252")
_CHARSETS = {
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
"""What senders name, and what Python calls it."""
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,32})", re.IGNORECASE)

_NUL, _SEMICOLON = ord("\0"), ord(";")
"""Numbers and no `bytes`: `in` takes those for a number first, and the error of that costs six times the search
(CPython 3.11). So it is wherever every request is searched."""
_GZIP = 16 + zlib.MAX_WBITS


def inflated(request: Request, limit: int) -> Request:
    """The request with its body unpacked; itself where nothing is packed.

    limit: the most bytes that may come out. Raises BodyTooLargeError over it, before more is unpacked, and
    MalformedError for an encoding other than gzip and for bytes that are no whole gzip.
    """
    named = request.headers.wire_values("content-encoding")
    if not named:
        return request
    codings = [each.strip().lower() for each in b",".join(named).decode("latin-1").split(",")]
    codings = [each for each in codings if each not in ("", "identity")]
    if not codings:
        return request
    if codings not in (["gzip"], ["x-gzip"]):
        raise MalformedError("the body cannot be read: found a Content-Encoding other than gzip; expected gzip or none")
    return replace(request, body=_gunzipped(request.body, limit))


def inflated_start(request: Request, limit: int) -> bytes | None:
    """The body unpacked, or as much of it as can be; None where more than `limit` bytes come out. Never raises."""
    try:
        return inflated(request, limit).body
    except BodyTooLargeError:
        return None
    except MalformedError:
        return b""


def in_utf8(request: Request) -> Request:
    """The request with its text in UTF-8 and without a byte order mark; itself where that is so already.

    RFC 8259 wants JSON in UTF-8 and no mark, and lets readers pass over a mark. .NET's encoders write one; Apache's
    HttpClient for Java names ISO-8859-1 where nothing is said, whether the bytes are that or UTF-8. So a mark goes
    before what is named, and what is UTF-8 is taken for that, whatever is named.
    """
    body = request.body
    if body.isascii() and _NUL not in body:
        # Most bodies: the same in all of these charsets but UTF-16, in which no JSON and no form is without a NUL.
        return request
    if body.startswith(codecs.BOM_UTF8):
        return replace(request, body=body[len(codecs.BOM_UTF8) :])
    named = _BOMS.get(body[:2]) or _charset(request)
    return request if named is None else replace(request, body=_transcoded(body, named))


def _charset(request: Request) -> str | None:
    """The name of a charset other than UTF-8 that the request names, if it is one of those known here."""
    types = request.headers.wire_values("content-type")
    if not types or _SEMICOLON not in types[0]:
        return None
    found = _CHARSET.search(types[0].decode("latin-1").partition(";")[2])
    return _CHARSETS.get(found[1].lower()) if found else None


def _transcoded(body: bytes, charset: str) -> bytes:
    if charset in _SINGLE_BYTE and _is_utf8(body):
        return body
    try:
        return body.decode(charset).removeprefix("\ufeff").encode()
    except UnicodeError:
        return body


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeError:
        return False
    return True


def _gunzipped(body: bytes, limit: int) -> bytes:
    # One member: RFC 1952 allows several, no sender makes them, and thousands of empty ones would cost a minute.
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(body, limit + 1)
    except zlib.error:
        raise MalformedError("the body cannot be read: found bytes that are no gzip; expected gzip") from None
    if len(content) > limit:
        raise BodyTooLargeError(f"unpacked, the body is over this source's limit of {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        found = "bytes behind the end" if unpacker.eof else "an early end"
        raise MalformedError(f"the body cannot be read: found gzip with {found}; expected one whole gzip member")
    return content
