"""Identifiers: UUIDv7 (RFC 9562), which sort by the time they were made."""

import random
import re
import uuid

END_CHARS = 8
"""How many of an id's last characters tell it from others on a screen: nearly half of its dice."""
_COUNTER_BITS = 74
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_LOW_BITS = 48
"""The last group of digits."""
_LOW_MASK = (1 << _LOW_BITS) - 1
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether `text` has the canonical form of a UUID (lower case, with hyphens)."""
    return _UUID.fullmatch(text) is not None


def format_uuid7(at_ms: int, tail: int) -> str:
    """The UUIDv7 of a millisecond timestamp (48 bits are kept) and 74 bits of `tail`."""
    return f"{_head(at_ms)}{_middle(tail >> _LOW_BITS)}{tail & _LOW_MASK:012x}"


def id_ms(id_: str) -> int:
    """When an id was made, in milliseconds since the epoch. Raises ValueError where it is no UUID."""
    return int(id_[:8] + id_[9:13], 16)


def _head(at_ms: int) -> str:
    return f"{at_ms >> 16 & 0xFFFFFFFF:08x}-{at_ms & 0xFFFF:04x}-7"


def _middle(high: int) -> str:
    """What the upper 26 bits of a tail make: 12 of them, then the variant (0b10) and the other 14."""
    return f"{high >> 14:03x}-{0x8000 | high & 0x3FFF:04x}-"


class IdFactory:
    """Makes UUIDv7s that strictly increase within one process, also when the clock steps back."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._last_ms = 0
        self._tail = 0
        self._head = ""
        self._high = -1
        self._start = ""
        """What the ids of one millisecond mostly begin with; formatted once."""

    def make(self, now_ms: int) -> str:
        """A new id for this instant; not thread-safe, call it from one thread."""
        if now_ms > self._last_ms:
            self._begin(now_ms)
            # The top bit stays clear, so that the increments below have room within one millisecond.
            self._tail = self._rng.getrandbits(_COUNTER_BITS - 1)
        else:
            self._tail += 1 + self._rng.getrandbits(32)
            if self._tail > _COUNTER_MASK:
                self._begin(self._last_ms + 1)
                self._tail = self._rng.getrandbits(_COUNTER_BITS - 1)
        tail = self._tail
        high = tail >> _LOW_BITS
        if high != self._high:
            self._high = high
            self._start = self._head + _middle(high)
        return f"{self._start}{tail & _LOW_MASK:012x}"

    def go_on_after(self, id_: str) -> None:
        """Make only ids that are higher than this one, which was made before, maybe by a clock that was ahead."""
        number = uuid.UUID(id_).int
        at_ms = number >> 80
        if at_ms >= self._last_ms:
            self._begin(at_ms)
            self._tail = (number >> 64 & 0xFFF) << 62 | number & ((1 << 62) - 1)

    def _begin(self, at_ms: int) -> None:
        self._last_ms = at_ms
        self._head = _head(at_ms)
        self._high = -1
