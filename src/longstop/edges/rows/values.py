"""Values within rows: times, keys that may be no text, headers without credentials."""

import base64
from collections.abc import Collection
from typing import Any

from longstop.model import times
from longstop.model.credentials import NOT_KEPT
from longstop.model.event import Headers

MASK = "(not shown)"

Row = dict[str, Any]


def rfc3339(at_ms: int | None) -> str | None:
    """`2026-01-31T09:30:00.000Z`; None for None."""
    return None if at_ms is None else times.rfc3339(at_ms)


def text_or_base64(key: bytes | None) -> str | None:
    """A dedup key as text; one that is no text as `base64:…`."""
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(key).decode()}"


def masked(headers: Headers, secret_headers: Collection[str]) -> list[list[str]]:
    """The headers as kept, without the values of those that carry a credential (names in lower case).

    Events are kept without any; those that an earlier version kept may hold one.
    """
    return [[name, MASK if name.lower() in secret_headers and value != NOT_KEPT else value] for name, value in headers]
