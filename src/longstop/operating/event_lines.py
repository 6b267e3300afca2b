"""Events as lines, out of a store and into one."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from longstop.model.errors import LongstopError
from longstop.model.retention import WholeEvent
from longstop.operating.event_streams import AT_ONCE, AT_ONCE_BYTES, wholes
from longstop.ports import Store


class LineError(LongstopError):
    """A line that is no event."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What has been read so far."""

    events: int
    """Put in."""
    known: int
    """There already; they stay as they are."""

    @property
    def lines(self) -> int:
        """How many lines that were."""
        return self.events + self.known


class EventLines:
    """All events of a store as lines, and lines into it. to_line and from_line know the form of a line."""

    def __init__(
        self, store: Store, to_line: Callable[[WholeEvent], bytes], from_line: Callable[[bytes], WholeEvent]
    ) -> None:
        self._store = store
        self._to_line = to_line
        self._from_line = from_line

    async def events(self) -> int:
        """How many there are."""
        return (await self._store.counts()).events

    async def export(self) -> AsyncIterator[bytes]:
        """All events as lines, each with its end, by id. Each is as it stands at the moment when it is read."""
        async for whole in wholes(self._store):
            yield self._to_line(whole)

    async def take(self, lines: Iterable[bytes], name: str) -> AsyncIterator[Imported]:
        """Put events in; after every few, and at the end, how many it has been. name: of the file, for people.

        It may be tried again: what is there is known by its id. Raises LineError; what came before the line is in.
        """
        done = Imported(0, 0)
        waiting: list[WholeEvent] = []
        size = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                whole = self._from_line(line)
            except ValueError as error:
                await self._store.restore(waiting)
                raise LineError(
                    f"{name}:{number}: {error}; expected a line of `longstop export` or of an archive. "
                    "What stands before it was imported"
                ) from None
            waiting.append(whole)
            size += len(line)
            if len(waiting) == AT_ONCE or size > AT_ONCE_BYTES:
                done = await self._restore(waiting, done)
                waiting, size = [], 0
                yield done
        yield await self._restore(waiting, done)

    async def _restore(self, waiting: list[WholeEvent], done: Imported) -> Imported:
        results = await self._store.restore(waiting) if waiting else []
        new = sum(results)
        return Imported(done.events + new, done.known + len(waiting) - new)
