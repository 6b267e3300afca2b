"""Ranges of ids within a sorted set whose scores are all 0: there members are in the order of their bytes."""

import hashlib

from longstop.model.listing import Page

HASH_CHARS = 12
"""Of the SHA-1 of a text, before the id, where one set holds the ids of all texts: see functions/indexes.lua."""


def bounds(page: Page, low: str | None = None, high: str | None = None, prefix: str = "") -> tuple[bytes, bytes]:
    """What ZRANGE BYLEX wants for the ids of a page's rest: from its cursor on, `low` inclusive, `high` exclusive."""
    start = prefix.encode()
    least = b"[" + start + _wire(low) if low is not None else b"[" + start if prefix else b"-"
    most = b"(" + start + _wire(high) if high is not None else b"(" + start + b"\xff" if prefix else b"+"
    after = page.after
    if after is not None and page.newest_first and (high is None or after < high):
        most = b"(" + start + _wire(after)
    if after is not None and not page.newest_first and (low is None or after >= low):
        least = b"(" + start + _wire(after)
    return (most, least) if page.newest_first else (least, most)


def _wire(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def hash_of(text: bytes) -> str:
    """What stands before the ids of a text."""
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()[:HASH_CHARS]
