"""An archive in memory, which can be told to fail."""

from collections.abc import Sequence

from longstop.model.errors import ArchiveError
from longstop.model.retention import WholeEvent


class ArchiveInMemory:
    """Keeps the ids of what it is given."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.written: list[int] = []
        """How many events came in each batch."""
        self.fails = False

    async def write(self, events: Sequence[WholeEvent]) -> None:
        if self.fails:
            raise ArchiveError("told to fail")
        self.written.append(len(events))
        self.events += [each.kept.event.id for each in events]

    async def close(self) -> None:
        """It holds nothing open."""

    async def find(self, id_: str) -> None:
        raise AssertionError(id_)
