"""Where what is forgotten goes."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.retention import ArchivedEvent, WholeEvent


class Archive(Protocol):
    """Where what is forgotten is kept."""

    async def write(self, events: Sequence[WholeEvent]) -> None:
        """Keep them; they are durable when this returns. Raises ArchiveError, and then they are not forgotten."""

    async def close(self) -> None:
        """Let go of what it holds open."""

    async def find(self, id_: str) -> ArchivedEvent | None:
        """The event of this id, or the one that a delivery of this id was of. Raises ArchiveError."""
