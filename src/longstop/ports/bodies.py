"""Where a store keeps the bodies that are too large for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Bodies(Protocol):
    """Bodies by name, beside a store that keeps everything else. A name stands for one body for ever.

    A body is put here before its event is kept, and deleted after its event is forgotten: what is left over where that
    was broken off is found as a stray. Every method raises StoreUnavailableError where the place cannot be reached.
    """

    place: str
    """Where it is, for people."""

    async def open(self) -> str:
        """What this place is known by, whoever opens it: made where it is new. So that another one is noticed."""

    async def close(self) -> None:
        """Let go of what is held open."""

    async def look(self) -> None:
        """Whether the place can be reached, and is the one that was opened: it costs next to nothing."""

    async def put(self, bodies: Mapping[str, bytes]) -> None:
        """Keep these; durable on return. One that is there stays."""

    async def get(self, name: str) -> bytes | None:
        """A body; None where the place has none of this name."""

    async def delete(self, names: Sequence[str]) -> None:
        """Let go of these, where they are there."""

    async def old(self, after: str | None) -> tuple[Sequence[str], str | None]:
        """The names of some bodies that were put an hour ago or earlier, and where to go on; None: that was all."""
