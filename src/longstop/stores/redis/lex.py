"""Ranges of ids within a sorted set whose scores are all 0: there members are in the order of their bytes."""

from longstop.model.listing import Page
from longstop.stores.redis.keys import wire


def bounds(page: Page, low: str | None = None, high: str | None = None, prefix: str = "") -> tuple[bytes, bytes]:
    """What ZRANGE BYLEX wants for the ids of a page's rest: from its cursor on, `low` inclusive, `high` exclusive."""
    start = prefix.encode()
    least = b"[" + start + wire(low) if low is not None else b"[" + start if prefix else b"-"
    most = b"(" + start + wire(high) if high is not None else b"(" + start + b"\xff" if prefix else b"+"
    after = page.after
    if after is not None and page.newest_first and (high is None or after < high):
        most = b"(" + start + wire(after)
    if after is not None and not page.newest_first and (low is None or after >= low):
        least = b"(" + start + wire(after)
    return (most, least) if page.newest_first else (least, most)
