"""Compressed bodies (Content-Encoding): what a sender meant by the bytes it sent.

An event keeps the bytes as they were sent, and a signature covers those. Only reading looks inside.
"""

import zlib
from dataclasses import replace

from longstop.model.errors import BodyTooLargeError, MalformedError
from longstop.model.exchange import Request

_GZIP = 16 + zlib.MAX_WBITS


def inflated(request: Request, limit: int) -> Request:
    """The request with its body unpacked; itself where nothing is packed.

    limit: the most bytes that may come out. Raises BodyTooLargeError over it, before more is unpacked, and
    MalformedError for an encoding other than gzip and for bytes that are no whole gzip.
    """
    named = request.headers.get_all("content-encoding")
    if not named:
        return request
    codings = [each.strip().lower() for each in ",".join(named).split(",")]
    codings = [each for each in codings if each not in ("", "identity")]
    if not codings:
        return request
    if codings not in (["gzip"], ["x-gzip"]):
        raise MalformedError("the body cannot be read: found a Content-Encoding other than gzip; expected gzip or none")
    return replace(request, body=_gunzipped(request.body, limit))


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
