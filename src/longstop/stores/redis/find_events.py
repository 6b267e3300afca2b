"""Which sorted set answers a listing of events: of those that a filter names, the smallest. The rest is looked at."""

from collections.abc import Sequence
from dataclasses import replace

from longstop.model.errors import UnreadableRowError
from longstop.model.listing import EventFilter, KeptEvent, Listing, Page
from longstop.stores.redis.keys import hash_of
from longstop.stores.redis.packing import pack
from longstop.stores.redis.reading import RedisReading, tell_unreadable
from longstop.stores.redis.walk import Question, Range, RedisWalk

BODIES_AT_ONCE = 1_000
SEARCHED_AT_ONCE = 2 * 1024 * 1024
"""So many bytes of bodies are searched in one call, which takes a millisecond or two in which the server does nothing
else."""


class RedisFindEvents(RedisReading, RedisWalk):
    """Pages of events."""

    async def _find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        low, high = await self._received_within(wanted.since_ms, wanted.until_ms)
        named = given(wanted)
        ranges = await self._smallest(named) if named else await self._of_all_sources()
        if not ranges:
            return Listing((), None)
        is_whole = _names_one(wanted)

        async def pick(ids: Sequence[str]) -> Sequence[KeptEvent | None]:
            fitting = ids if is_whole else await self._fitting_events(ids, wanted)
            kept = await self._kept_events(fitting, with_bodies=False)
            found = {each.event.id: each for each in kept if each is not None and wanted.fits(each.event)}
            return [found.get(id_) for id_ in ids]

        return await self._walk(Question(tuple(ranges), low=low, high=high), page, pick, is_whole)

    async def _smallest(self, ranges: Sequence[Range]) -> list[Range]:
        if len(ranges) == 1:
            return list(ranges)
        sizes = await self._sizes(ranges)
        return [ranges[sizes.index(min(sizes))]]

    async def _of_all_sources(self) -> list[Range]:
        sources, _ = await self._names()
        return [Range(f"events:source:{name}") for name in sources]

    async def _fitting_events(self, ids: Sequence[str], wanted: EventFilter) -> list[str]:
        """Those of these that fit, by their heads and by their bodies; neither is looked at that need not be."""
        fitting = list(ids)
        if not _names_one(replace(wanted, contains=None)):
            heads = await self._heads(ids)
            fitting = [head.id for head in heads if head is not None and wanted.fits(head)]
        if wanted.contains is None:
            return fitting
        having = await self._having(fitting, wanted.contains)
        return [id_ for id_ in fitting if id_ in having]

    async def _body_apart(self, id_: str, head: bytes) -> bytes:
        """An event's body that is not in memory; an empty one where it cannot be read."""
        try:
            return await self._body(head, None) or b""
        except UnreadableRowError as error:
            tell_unreadable(id_, error.trouble)
            return b""

    async def _having(self, event_ids: Sequence[str], needle: bytes) -> set[str]:
        """Those of these events in whose body these bytes stand."""
        having: set[str] = set()
        left = list(event_ids)
        while left:
            found = await self.ask("bodies_with", pack(left[:BODIES_AT_ONCE]), needle, SEARCHED_AT_ONCE)
            for id_, has in zip(left, found, strict=False):
                if has == 1 or (isinstance(has, bytes) and needle in await self._body_apart(id_, has)):
                    having.add(id_)
            left = left[len(found) :]
        return having


def of_key(order: str, key: str) -> Range:
    """The ids of a key in a set that has those of all."""
    return Range(order, hash_of(key))


def given(wanted: EventFilter) -> list[Range]:
    """The sets of what a filter names. What is unrouted stands in its own alone; it is mostly small."""
    if wanted.unrouted:
        return [Range("events:unrouted")]
    ranges = []
    if wanted.key is not None:
        ranges.append(of_key("events:key", wanted.key))
    if wanted.type is not None:
        ranges.append(Range(f"events:type:{wanted.type}"))
    if wanted.source is not None:
        ranges.append(Range(f"events:source:{wanted.source}"))
    return ranges


def _names_one(wanted: EventFilter) -> bool:
    """Whether what is walked is all that is asked for, so that no time needs to be watched."""
    named = [each for each in (wanted.source, wanted.type, wanted.key) if each is not None]
    others = (wanted.contains, wanted.since_ms, wanted.until_ms)
    return len(named) + wanted.unrouted <= 1 and others == (None, None, None)
