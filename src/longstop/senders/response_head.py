"""The head of an HTTP/1 response, read by ourselves: what decides about a delivery must not hang on a parser's mood.

A library's parser refuses a whole packet for what stands behind a complete answer, or for one odd header, and with it
the status that was said. Here only the status line has to be right and the head to have an end.

Sources: RFC 9112 (2.2 line ends, 4 status line, 6.3 messages without a body), RFC 9110 (15 status codes, 15.2 interim).
"""

import re
from dataclasses import dataclass

_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9]{2})(?:[ \t][^\r\n]*)?\r?\n")
_RETRY_AFTER = re.compile(rb"\nretry-after[ \t]*:([^\r\n]*)", re.IGNORECASE)
_BODY_FOLLOWS = re.compile(rb"\n(?:transfer-encoding[ \t]*:|content-length[ \t]*:[ \t]*0*[^0\s])", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
"""A bare LF is taken for a line's end, as RFC 9112, 2.2, allows."""

SWITCHING_PROTOCOLS = 101
_BODILESS = (SWITCHING_PROTOCOLS, 204, 304)


class NotHttpError(ValueError):
    """What came cannot be the beginning of an HTTP/1 response."""


@dataclass(frozen=True, slots=True)
class Head:
    """A complete head."""

    status: int
    """From 100 to 999. What is over 599 is no status of HTTP's, and still no success."""
    retry_after: str | None
    length: int
    """How many bytes it takes, with its empty line."""
    reusable: bool
    """False where a body is announced that this status cannot have: nobody knows where the next answer begins."""

    @property
    def interim(self) -> bool:
        """Another head follows. (After 101 comes another protocol, which nobody asked for.)"""
        return self.status < 200 and self.status != SWITCHING_PROTOCOLS

    @property
    def bodiless(self) -> bool:
        """Whether nothing of this answer can follow."""
        return self.status in _BODILESS


def head_of(data: bytes | bytearray, searched: int = 0) -> Head | None:
    """The head that `data` begins with; None while it is not complete.

    searched: how much of `data` was there before. Raises NotHttpError as soon as it can never be one.
    """
    line = _STATUS_LINE.match(data)
    if line is None:
        _expect_beginning(data)
        return None
    end = _END.search(data, max(line.end() - 2, searched - 3))
    if end is None:
        return None
    status = int(line[1])
    retry_after = _RETRY_AFTER.search(data, 0, end.start())
    impossible = status in _BODILESS and _BODY_FOLLOWS.search(data, 0, end.start()) is not None
    return Head(status, retry_after and retry_after[1].decode("latin-1").strip(), end.end(), reusable=not impossible)


def _expect_beginning(data: bytes | bytearray) -> None:
    """Raise where this is no beginning of a status line."""
    if bytes(data[: len(_BEGINNING)]) != _BEGINNING[: len(data)] or b"\n" in data:
        raise NotHttpError
