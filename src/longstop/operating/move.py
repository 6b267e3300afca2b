"""Moving everything that a store holds into another one, and proving that it is there.

Events first, in order of their ids, then everything else, a kind after the other. What is there already is known by its
id, so a move that was killed goes on where it was when it is started again. Afterwards both stores are read once more,
side by side: each event as the line it is exported as, each other row by itself.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from longstop.model.errors import LongstopError
from longstop.model.event import Headers
from longstop.model.listing import KeptEvent
from longstop.model.retention import WholeEvent
from longstop.operating.event_streams import batches, beside, event_id, listed, wholes
from longstop.operating.move_kinds import KINDS, Kind
from longstop.ports import Clock, Store

ROWS_AT_ONCE = 500
NAMED_MAX = 5
"""So many of what is missing or differs are named."""

Tell = Callable[[int, int, str], None]
"""Told how many of how many are done, and of what."""


class InUseError(LongstopError):
    """A process is at work on a store that is to be moved."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of one kind of rows came to."""

    name: str
    rows: int
    """In the store that was moved from."""
    found: int
    """Of those, how many are in the other as they are here."""
    besides: int
    """In the other only."""
    checksum: str
    found_checksum: str
    """Of the same rows as the other store has them."""
    named: tuple[str, ...]
    """A few of what is missing or differs."""

    @property
    def agrees(self) -> bool:
        """Whether everything is there as it was."""
        return self.rows == self.found and self.checksum == self.found_checksum


class Move:
    """From one open store to another. line: how an event is written down whole, for comparing."""

    def __init__(self, source: Store, target: Store, clock: Clock, line: Callable[[WholeEvent], bytes]) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._line = line

    async def refuse_in_use(self) -> None:
        """Raise InUseError where a gateway is at work on either store: what it does meanwhile would be left behind."""
        for store, which in ((self._source, "from"), (self._target, "to")):
            running = [each.name for each in await store.nodes() if each.runs(self._clock.now_ms())]
            if running:
                raise InUseError(
                    f"a gateway is at work on the store to move {which}: {', '.join(running)}; stop it and try again "
                    "(one that was killed is taken for gone after 20 s), or --force"
                )

    async def copy(self, tell: Tell) -> dict[str, int]:
        """Put in what is not there; by kind, how much that was. It may be tried again at any time."""
        moved = {"events": await self._copy_events(tell)}
        for kind in KINDS:
            moved[kind.name] = await self._copy_kind(kind, tell)
        return moved

    async def verify(self, tell: Tell) -> list[Compared]:
        """Compare everything."""
        total = (await self._source.counts()).events
        compared = _Comparison("events", self._line, event_id)
        async for pair in beside(wholes(self._source), wholes(self._target), event_id):
            compared.add(*pair)
            tell(compared.rows, total, "comparing events")
        # What cannot be read is counted nonetheless: nobody should believe that it was moved.
        results = [compared.result(at_least=total)]
        for kind in KINDS:
            compared = _Comparison(kind.name, _row_line, kind.key)
            async for pair in beside(kind.rows(self._source), kind.rows(self._target), kind.key):
                compared.add(*pair)
            results.append(compared.result())
        return results

    async def _copy_events(self, tell: Tell) -> int:
        total = (await self._source.counts()).events
        done = moved = 0

        async def missing() -> AsyncIterator[KeptEvent]:
            nonlocal done
            async for mine, theirs in beside(listed(self._source), listed(self._target), _listed_id):
                done += mine is not None
                if mine is not None and theirs is None:
                    yield mine

        async for ids in batches(missing()):
            moved += sum(await self._target.restore(await self._source.whole(ids)))
            tell(done, total, "moving events")
        return moved

    async def _copy_kind(self, kind: Kind, tell: Tell) -> int:
        moved = 0
        async for pairs in self._missing(kind):
            await kind.put(self._target, pairs)
            moved += len(pairs)
            tell(moved, 0, f"moving {kind.name}")
        return moved

    async def _missing(self, kind: Kind) -> AsyncIterator[list[tuple[Any, Any]]]:
        """What is not in the other store as it is here, a few at a time."""
        pairs: list[tuple[Any, Any]] = []
        async for mine, theirs in beside(kind.rows(self._source), kind.rows(self._target), kind.key):
            if mine is not None and mine != theirs:
                pairs.append((mine, theirs))
            if len(pairs) == ROWS_AT_ONCE:
                yield pairs
                pairs = []
        if pairs:
            yield pairs


async def is_empty(store: Store) -> bool:
    """Whether nothing at all was ever put into a store."""
    if (await store.counts()).events:
        return False
    for kind in KINDS:
        async for _ in kind.rows(store):
            return False
    return True


class _Comparison:
    """One kind of rows, as it is gone through."""

    def __init__(self, name: str, line: Callable[[Any], bytes], key: Callable[[Any], Any]) -> None:
        self._name = name
        self._line = line
        self._key = key
        self._sums = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
        self._named: list[str] = []
        self._found = self._besides = 0
        self.rows = 0

    def add(self, mine: Any, theirs: Any) -> None:
        """One of each store, of the same key."""
        if mine is None:
            self._besides += 1
            return
        self.rows += 1
        lines = self._line(mine), b"" if theirs is None else self._line(theirs)
        for sum_, line in zip(self._sums, lines, strict=True):
            sum_.update(line)
        if lines[0] == lines[1] and mine == theirs:
            self._found += 1
        elif len(self._named) < NAMED_MAX:
            self._named.append(str(self._key(mine)))

    def result(self, at_least: int = 0) -> Compared:
        """What it came to. at_least: so many rows there should be."""
        sums = [each.hexdigest() for each in self._sums]
        return Compared(
            self._name, max(self.rows, at_least), self._found, self._besides, sums[0], sums[1], tuple(self._named)
        )


def _listed_id(row: KeptEvent) -> str:
    return row.event.id


def _row_line(row: Any) -> bytes:
    """A row written down whole, the same whichever store it comes from."""
    return repr(_plain(row)).encode(errors="surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, Headers):
        return value.raw
    if is_dataclass(value):
        return [_plain(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, Mapping):
        return sorted((str(name), _plain(each)) for name, each in value.items())
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
