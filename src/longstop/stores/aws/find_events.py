"""Which index answers a listing of events: of those that a filter names, the one that is likely to be small."""

from collections.abc import Sequence

from longstop.model.listing import EventFilter, KeptEvent, Listing, Page
from longstop.stores.aws import table as keys
from longstop.stores.aws.reading import AwsReading
from longstop.stores.aws.walk import AwsWalk, Question, Range


class AwsFindEvents(AwsReading, AwsWalk):
    """Pages of events."""

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """See ports.Lookups."""
        low, high = await self.received_within(wanted.since_ms, wanted.until_ms)

        async def pick(ids: Sequence[str]) -> Sequence[KeptEvent | None]:
            searched = wanted.contains is not None
            kept = await self.kept_events(ids, with_bodies=searched)
            fitting = [each if each is not None and _fits(each, wanted) else None for each in kept]
            return [None if each is None else self.listed(each) for each in fitting] if searched else fitting

        return await self.walk(Question(self._ranges(wanted), low, high), page, pick, patient=_names_one(wanted))

    def _ranges(self, wanted: EventFilter) -> tuple[Range, ...]:
        if wanted.unrouted:
            return tuple(Range("by_group", f"U#{shard}") for shard in self.keys.all_shards())
        if wanted.key is not None:
            return (Range("by_key", f"E#{keys.short(wanted.key)}"),)
        if wanted.type is not None:
            kind = keys.short(wanted.type)
            return tuple(Range("by_type", f"E#{kind}#{shard}") for shard in self.keys.all_shards())
        if wanted.source is not None:
            return tuple(Range("by_source", f"E#{wanted.source}#{shard}") for shard in self.keys.all_shards())
        return self.all_events()

    def all_events(self) -> tuple[Range, ...]:
        """Every event."""
        return tuple(Range("everything", f"E#{shard}") for shard in self.keys.all_shards())


def _names_one(wanted: EventFilter) -> bool:
    """Whether what is walked is all that is asked for, so that no time needs to be watched."""
    named = [each for each in (wanted.source, wanted.type, wanted.key) if each is not None]
    others = (wanted.contains, wanted.since_ms, wanted.until_ms)
    return len(named) + wanted.unrouted <= 1 and others == (None, None, None)


def _fits(kept: KeptEvent, wanted: EventFilter) -> bool:
    return (
        wanted.fits(kept.event)
        and not (wanted.unrouted and kept.deliveries)
        and (wanted.contains is None or wanted.contains in kept.event.body)
    )
