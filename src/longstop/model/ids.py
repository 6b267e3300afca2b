"""Identifiers: UUIDv7 (RFC 9562), which sort by the time they were made."""

import random
import re

_COUNTER_BITS = 74
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether `text` has the canonical form of a UUID (lower case, with hyphens)."""
    return _UUID.fullmatch(text) is not None


def format_uuid7(at_ms: int, tail: int) -> str:
    """The UUIDv7 of a millisecond timestamp (48 bits are kept) and 74 bits of `tail`."""
    high, low = tail >> 62, tail & ((1 << 62) - 1)
    value = (at_ms & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class IdFactory:
    """Makes UUIDv7s that strictly increase within one process, also when the clock steps back."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last_ms = 0
        self._tail = 0

    def make(self, now_ms: int) -> str:
        """A new id for this instant; not thread-safe, call it from one thread."""
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            # The top bit stays clear, so that the increments below have room within one millisecond.
            self._tail = self._rng.getrandbits(_COUNTER_BITS - 1)
        else:
            self._tail += 1 + self._rng.getrandbits(32)
            if self._tail > _COUNTER_MASK:
                self._last_ms += 1
                self._tail = self._rng.getrandbits(_COUNTER_BITS - 1)
        return format_uuid7(self._last_ms, self._tail)
