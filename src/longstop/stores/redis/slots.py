"""Slots: where the server keeps the last answer of each of a process's calls, for the case that it gets lost.

As many as there are calls at the same time. The calls of one slot are numbered: the server carries none out twice, and
none that was given up before the latest.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Slot:
    """One of them."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._number = 0

    def next_number(self) -> int:
        """The number of the call that is about to be made."""
        self._number += 1
        return self._number


class Slots:
    """All of a process. prefix: of their keys."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._slots: list[Slot] = []
        self._free: list[Slot] = []

    @contextmanager
    def taken(self) -> Iterator[Slot]:
        """A slot that nobody else has meanwhile."""
        slot = self._free.pop() if self._free else self._make()
        try:
            yield slot
        finally:
            self._free.append(slot)

    def all_keys(self) -> list[str]:
        """Of all there are."""
        return [slot.key for slot in self._slots]

    def _make(self) -> Slot:
        self._slots.append(Slot(f"{self._prefix}{len(self._slots)}"))
        return self._slots[-1]
