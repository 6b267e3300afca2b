"""Many events out of one body: copies that differ in their id, as those of a real sender do."""

import json
import re
from typing import Any

_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_USUAL_IDS = (("id",), ("payload", "id"), ("eventId",))


class Copies:
    """Copies of a body, each with an id of its own.

    What is changed is what the source's `dedup` names where that is a plain path such as `event.id`, otherwise the
    body's `id`, `payload.id` and `eventId`. A body without them is copied as it is.

    stamp: sets the copies of this run apart from those of every other.
    """

    def __init__(self, body: bytes, dedup: str | None, stamp: str) -> None:
        self._body = body
        self._stamp = stamp
        paths = (tuple(dedup.split(".")),) if dedup and _PLAIN_PATH.fullmatch(dedup) else _USUAL_IDS
        document = _document(body)
        self._paths = [path for path in paths if isinstance(_at(document, path), str | int)]

    @property
    def distinct(self) -> bool:
        """Whether the body has an id to change."""
        return bool(self._paths)

    def make(self, number: int) -> bytes:
        """The copy of this number; 0 is the body itself, byte for byte."""
        if number == 0 or not self._paths:
            return self._body
        document = _document(self._body)
        for *way, last in self._paths:
            place = _at(document, tuple(way))
            place[last] = f"{place[last]}-{self._stamp}-{number}"
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document
