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
    return (
        f"{at_ms >> 16 & 0xFFFFFFFF:08x}-{at_ms & 0xFFFF:04x}-7{tail >> 62:03x}"
        f"-{0x8000 | tail >> 48 & 0x3FFF:04x}-{tail & 0xFFFFFFFFFFFF:012x}"
    )


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
