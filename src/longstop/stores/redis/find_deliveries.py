"""Which sorted sets answer a listing of deliveries.

Of the dead every filter has a set, most of them by way of the groups. What ended between two times is gathered where
that is few. What is not dead, and of a source, type or key, is found by way of the events, which have a set for each,
as long as that fills a page soon; otherwise through the deliveries.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from longstop.model.delivery import Delivery, State
from longstop.model.listing import DeliveryFilter, EventFilter, Listing, Page
from longstop.stores.redis import dead_groups
from longstop.stores.redis.find_events import RedisFindEvents, given, of_key
from longstop.stores.redis.keys import wire
from longstop.stores.redis.reply import texts
from longstop.stores.redis.walk import Question, Range, behind

FEW = 4_000
"""So many rows are fetched and sorted in some milliseconds."""
EVENTS_FIRST = 64
"""So many events are gone through in one go, and twice as many in the next; then all that are left, if they are few."""
RANGES_MAX = 500
"""More groups than that are not asked one by one."""

_ENDED = (State.DELIVERED, State.DEAD, State.DISCARDED)
_LISTS = ("waiting", "delivered", "dead", "discarded")
"""What is scheduled or leased is in one list."""


class RedisFindDeliveries(RedisFindEvents):
    """Pages of deliveries."""

    async def _find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        wanted = wanted.implied()
        if _is_of_events(wanted) and (found := await self._by_events(wanted, page)) is not None:
            return found
        asked, is_whole = await self._question(wanted)
        if not asked.ranges and not asked.gathered:
            return Listing((), None)
        low, high = await self._received_within(wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms)

        async def pick(ids: Sequence[str]) -> Sequence[Delivery | None]:
            return await self._fitting(ids, wanted)

        return await self._walk(replace(asked, low=low, high=high), page, pick, is_whole)

    async def _question(self, wanted: DeliveryFilter) -> tuple[Question, bool]:
        """What comes into question, and whether that is all that is asked for."""
        gathered = await self._gathered(wanted)
        if gathered is not None:
            return Question(gathered=tuple(sorted(gathered))), wanted.contains is None
        ranges = await self._of_dead(wanted) if wanted.state is State.DEAD else await self._of_lists(wanted)
        served = DeliveryFilter(state=wanted.state, destination=wanted.destination)
        # What is scheduled shares its list with what is leased: few at a time, of which nobody waits for long.
        return Question(tuple(ranges)), wanted == served

    # -- few: gathered and sorted -------------------------------------------------------------

    async def _gathered(self, wanted: DeliveryFilter) -> list[str] | None:
        """The ids that come into question, where a set says that they are few."""
        if wanted.held:
            return await self._few_held(wanted)
        if wanted.since_ms is not None or wanted.until_ms is not None:
            return await self._few_ended(wanted)
        return None

    async def _few_held(self, wanted: DeliveryFilter) -> list[str] | None:
        destinations = await self._destinations(wanted)
        if not destinations:
            return []
        held = await self.pipeline(
            *(("ZRANGE", f"{self._prefix}held:{name}", 0, FEW // len(destinations)) for name in destinations)
        )
        whole = all(len(ids) <= FEW // len(destinations) for ids in held)
        return [id_ for ids in held for id_ in texts(ids)] if whole else None

    async def _few_ended(self, wanted: DeliveryFilter) -> list[str] | None:
        states = [wanted.state] if wanted.state is not None else list(_ENDED)
        least = "-inf" if wanted.since_ms is None else wanted.since_ms
        most = "+inf" if wanted.until_ms is None else f"({wanted.until_ms}"
        orders = [f"{self._prefix}ended:{state}" for state in states]
        if sum(await self.pipeline(*(("ZCOUNT", order, least, most) for order in orders))) > FEW:
            return None
        found = await self.pipeline(*(("ZRANGE", order, least, most, "BYSCORE") for order in orders))
        return [id_ for ids in found for id_ in texts(ids)]

    # -- by way of the events -----------------------------------------------------------------

    async def _by_events(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery] | None:
        """Some events at a time in the page's order; None where too many have to be looked at for it."""
        times, until_s = await self._id_times(), time.monotonic() + page.patience_ms / 4_000
        low, high = times.received(wanted.received_since_ms, wanted.received_until_ms)
        asked = Question(
            tuple(await self._smallest(given(EventFilter(wanted.source, wanted.type, wanted.key)))), low=low, high=high
        )
        chunk = min(max(EVENTS_FIRST, page.limit + 1), FEW) if times.are_near else FEW
        rest, looked_at, tried = replace(page, after=times.events_behind(page)), 0, 2 * chunk
        found: dict[str, Delivery] = {}
        while looked_at < FEW:
            events = await self._next_ids(asked, rest, chunk)
            is_all = len(events) < chunk
            if not is_all and not (times.are_near and looked_at < tried):
                return None
            ids = behind(sorted(await self._delivery_ids(events)), page)
            found |= {each.id: each for each in await self._fitting(ids, wanted) if each is not None}
            whole = list(found) if is_all else times.before_others(found, events[-1], page.newest_first)
            if is_all or len(whole) > page.limit:
                shown = sorted(whole, reverse=page.newest_first)[: page.limit]
                return Listing(tuple(found[id_] for id_ in shown), shown[-1] if len(whole) > page.limit else None)
            rest, looked_at = replace(rest, after=events[-1]), looked_at + chunk
            if time.monotonic() >= until_s or await self._in_state(wanted) <= looked_at:
                return None
            chunk = min(chunk * 2, FEW - looked_at) if looked_at < tried else FEW - looked_at
        return None

    async def _in_state(self, wanted: DeliveryFilter) -> int:
        """How many there are in the filter's state: what would have to be looked at else."""
        return sum(await self._sizes(await self._of_lists(wanted)))

    # -- many: walked -------------------------------------------------------------------------

    async def _destinations(self, wanted: DeliveryFilter) -> list[str]:
        if wanted.destination is not None:
            return [wanted.destination]
        _, destinations = await self._names()
        return destinations

    async def _of_lists(self, wanted: DeliveryFilter) -> list[Range]:
        if wanted.state is None:
            lists: tuple[str, ...] = _LISTS
        else:
            lists = ("waiting",) if wanted.state is State.SCHEDULED else (wanted.state.value,)
        return [Range(f"deliveries:{name}:{to}") for to in await self._destinations(wanted) for name in lists]

    async def _of_dead(self, wanted: DeliveryFilter) -> list[Range]:
        """The smallest of the sets, or of the sets of groups, that have all the dead of a filter."""
        choices = [[Range(f"deliveries:dead:{to}") for to in await self._destinations(wanted)]]
        if (wanted.reason, wanted.status, wanted.error) != (None, None, None):
            groups = await dead_groups.matching(self, wanted)
            if len(groups) <= RANGES_MAX:
                choices.append([Range(f"group:ids:{group}") for group in groups])
        if wanted.key is not None:
            choices.append([of_key("dead:key", wanted.key)])
        if wanted.source is not None:
            choices.append([Range(f"dead:source:{wanted.source}")])
        if wanted.type is not None:
            choices.append([Range(f"dead:type:{wanted.type}")])
        if len(choices) == 1:
            return choices[0]
        sizes = [sum(await self._sizes(ranges)) for ranges in choices]
        return choices[sizes.index(min(sizes))]

    # -- what fits ----------------------------------------------------------------------------

    async def _fitting(self, ids: Sequence[str], wanted: DeliveryFilter) -> list[Delivery | None]:
        found = await self._deliveries(ids, _texts(wanted))
        fitting = [each if each is not None and wanted.fits(each) else None for each in found]
        if wanted.held is not None:
            held = await self._held({each.id: each for each in fitting if each is not None})
            fitting = [each if each is not None and (each.id in held) is wanted.held else None for each in fitting]
        if wanted.contains is not None:
            events = list(dict.fromkeys(each.event_id for each in fitting if each is not None))
            having = await self._having(events, wanted.contains)
            fitting = [each if each is not None and each.event_id in having else None for each in fitting]
        return fitting

    async def _held(self, deliveries: dict[str, Delivery]) -> set[str]:
        """Those of these that wait for another of their lane."""
        asked = [each for each in deliveries.values() if each.lane is not None and each.state is State.SCHEDULED]
        if not asked:
            return set()
        scores = await self.pipeline(*(("ZSCORE", f"{self._prefix}held:{each.destination}", each.id) for each in asked))
        return {each.id for each, score in zip(asked, scores, strict=True) if score is not None}


def _is_of_events(wanted: DeliveryFilter) -> bool:
    """Whether it asks for what events have, and no better set answers it."""
    if wanted.held or wanted.state is State.DEAD or (wanted.since_ms, wanted.until_ms) != (None, None):
        return False
    return (wanted.source, wanted.type, wanted.key) != (None, None, None)


def _texts(wanted: DeliveryFilter) -> list[bytes]:
    """What stands in the row of whatever fits, as it stands there."""
    given = (wanted.source, wanted.destination, wanted.type, wanted.key)
    return [wire(text) for text in given if text is not None]
