"""Which index answers a listing of deliveries.

Of the dead every filter has one, most of them by way of the groups. What ended between two times is gone through in the
order of ids where it is much, and gathered where it is little; so is what is of a type, source or key, by its events.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from longstop.model.delivery import Delivery, State
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event
from longstop.model.listing import DeliveryFilter, EventFilter, Listing, Page
from longstop.stores.aws import dead_groups
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.find_events import AwsFindEvents
from longstop.stores.aws.packing import delivery_ids, to_delivery
from longstop.stores.aws.table import number
from longstop.stores.aws.unreadable import read, readable, tell
from longstop.stores.aws.walk import LAST_OF_ALL, Question, Range

FEW = 400
"""So many rows are fetched and sorted in some milliseconds."""
EVENTS_FIRST = 64
"""So many events are gone through in one go, and twice as many in the next; then all that are left, if they are few."""
GROUPS_MAX = 50
"""More groups than that are not asked one by one, each in every shard."""
ENDED = (State.DELIVERED, State.DEAD, State.DISCARDED)
LISTS = ("waiting", "delivered", "dead", "discarded")
"""What is scheduled or leased is in one list."""


class AwsFindDeliveries(AwsFindEvents):
    """Pages of deliveries."""

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """See ports.Lookups."""
        wanted = wanted.implied()
        if _is_of_events(wanted) and (found := await self._by_events(wanted, page)) is not None:
            return found
        few = await self._few(wanted)
        if few is not None:
            return await self._listed(sorted(few, reverse=page.newest_first), wanted, page)
        low, high = await self.received_within(wanted.received_since_ms, wanted.received_until_ms, wanted.until_ms)
        ranges = await (self._of_dead(wanted) if wanted.state is State.DEAD else self._of_lists(wanted))

        async def pick(ids: Sequence[str]) -> Sequence[Delivery | None]:
            return await self._fitting(ids, wanted)

        served = DeliveryFilter(state=wanted.state, destination=wanted.destination)
        return await self.walk(Question(tuple(ranges), low, high), page, pick, patient=wanted == served)

    async def _listed(self, ids: Sequence[str], wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        behind = [id_ for id_ in ids if _is_behind(id_, page)]
        rows = [each for each in await self._fitting(behind, wanted) if each is not None]
        shown = tuple(rows[: page.limit])
        return Listing(shown, shown[-1].id if len(rows) > page.limit else None, may_lag=True)

    # -- few: gathered and sorted -------------------------------------------------------------

    async def _few(self, wanted: DeliveryFilter) -> list[str] | None:
        """The ids that come into question, where an index says that they are few."""
        if wanted.contains is not None:
            return None
        if wanted.since_ms is not None or wanted.until_ms is not None:
            return await self._few_ended(wanted)
        return None

    async def _few_ended(self, wanted: DeliveryFilter) -> list[str] | None:
        states = [wanted.state] if wanted.state is not None else list(ENDED)
        low, high = number(wanted.since_ms or 0), number(10**15 - 1 if wanted.until_ms is None else wanted.until_ms)
        asked = (
            self.table.query(
                f"X#{state}#{shard}",
                low,
                high,
                index="by_end",
                names=keys.GLOBAL_INDEXES["by_end"],
                limit=FEW + 1,
                consistent=False,
            )
            for state in states
            for shard in self.keys.all_shards()
        )
        found = [str(row["at"]).partition("#")[2] for rows in await asyncio.gather(*asked) for row in rows]
        return found if len(found) <= FEW else None

    # -- by way of the events -----------------------------------------------------------------

    async def _by_events(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery] | None:
        """Some events at a time in the page's order; None where too many have to be looked at for it."""
        times, until_s = await self.marks(), time.monotonic() + page.patience_ms / 4_000
        low, high = times.received(wanted.received_since_ms, wanted.received_until_ms)
        asked = Question(self._ranges(EventFilter(wanted.source, wanted.type, wanted.key)), low, high)
        chunk = min(max(EVENTS_FIRST, page.limit + 1), FEW) if times.are_near else FEW
        rest, looked_at, tried = replace(page, after=times.events_behind(page)), 0, 2 * chunk
        found: dict[str, Delivery] = {}
        while looked_at < FEW:
            events = await self.next_ids(asked, rest, chunk)
            is_all = len(events) < chunk
            if not is_all and not (times.are_near and looked_at < tried):
                return None
            found |= await self._of_events(events, wanted, page)
            whole = list(found) if is_all else times.before_others(found, events[-1], page.newest_first)
            if is_all or len(whole) > page.limit:
                shown = sorted(whole, reverse=page.newest_first)[: page.limit]
                after = shown[-1] if len(whole) > page.limit else None
                return Listing(tuple(found[id_] for id_ in shown), after, may_lag=True)
            rest, looked_at = replace(rest, after=events[-1]), looked_at + chunk
            if time.monotonic() >= until_s:
                return None
            chunk = min(chunk * 2, FEW - looked_at) if looked_at < tried else FEW - looked_at
        return None

    async def _of_events(self, events: Sequence[str], wanted: DeliveryFilter, page: Page) -> dict[str, Delivery]:
        """What fits of the deliveries of these events, behind the page before."""
        heads = await self.table.get([keys.event(id_) for id_ in events], without="body")
        ids = [id_ for some in readable(heads.values(), delivery_ids) for id_ in some if _is_behind(id_, page)]
        return {each.id: each for each in await self._fitting(ids, wanted) if each is not None}

    # -- many: walked -------------------------------------------------------------------------

    async def _of_lists(self, wanted: DeliveryFilter) -> list[Range]:
        if wanted.held:
            return await self._lists(wanted.destination, "by_group", "H#{to}")
        if wanted.state is None:
            return [
                each
                for name in LISTS
                for each in await self._lists(wanted.destination, "everything", f"L#{name}#{{to}}")
            ]
        name = "waiting" if wanted.state in (State.SCHEDULED, State.LEASED) else wanted.state.value
        return await self._lists(wanted.destination, "everything", f"L#{name}#{{to}}")

    async def _lists(self, destination: str | None, index: str, pattern: str) -> list[Range]:
        names = [destination] if destination is not None else await self.destinations()
        return self._sharded(index, [pattern.format(to=name) for name in names])

    def _sharded(self, index: str, partitions: Sequence[str]) -> list[Range]:
        return [Range(index, f"{each}#{shard}") for each in partitions for shard in self.keys.all_shards()]

    async def _of_dead(self, wanted: DeliveryFilter) -> list[Range]:
        if (wanted.reason, wanted.status, wanted.error) != (None, None, None):
            groups = [each for each in await dead_groups.all_of(self.table) if each.may_have(wanted)]
            if len(groups) <= GROUPS_MAX:
                return self._sharded("by_group", [f"G#{each.id}" for each in groups])
        if wanted.key is not None:
            return [Range("by_key", f"D#{keys.short(wanted.key)}")]
        if wanted.type is not None:
            return self._sharded("by_type", [f"D#{keys.short(wanted.type)}"])
        if wanted.source is not None:
            return self._sharded("by_source", [f"D#{wanted.source}"])
        return await self._of_lists(wanted)

    # -- what fits ----------------------------------------------------------------------------

    async def _fitting(self, ids: Sequence[str], wanted: DeliveryFilter) -> list[Delivery | None]:
        rows = await self.delivery_rows(ids)
        fitting = [_fitting(rows.get(id_), wanted) for id_ in ids]
        if wanted.contains is None:
            return fitting
        events = list(dict.fromkeys(each.event_id for each in fitting if each is not None))
        found = await self.table.get([keys.event(id_) for id_ in events])
        texts = await asyncio.gather(*map(self._event_or_told, found.values()))
        having = {each.id for each in texts if each is not None and wanted.contains in each.body}
        return [each if each is not None and each.event_id in having else None for each in fitting]

    async def _event_or_told(self, item: Item) -> Event | None:
        try:
            return await self.event_of(item)
        except UnreadableRowError as error:
            tell(item["pk"], error.trouble)
            return None

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Lookups. By how an id begins."""
        lists = [each for name in LISTS for each in await self._lists(None, "everything", f"L#{name}#{{to}}")]
        begins = Question((*self.all_events(), *lists), low=part, high=f"{part}{LAST_OF_ALL}")
        return await self.next_ids(begins, Page(limit), limit)


def _is_of_events(wanted: DeliveryFilter) -> bool:
    """Whether it asks for what events have, and no better index answers it."""
    if wanted.held or wanted.state is State.DEAD or (wanted.since_ms, wanted.until_ms) != (None, None):
        return False
    return (wanted.source, wanted.type, wanted.key) != (None, None, None)


def _is_behind(id_: str, page: Page) -> bool:
    return page.after is None or (id_ < page.after if page.newest_first else id_ > page.after)


def is_held(row: Item) -> bool:
    """Whether a row is of one that waits for another of its lane."""
    return str(row.get("of_group", "")).startswith("H#")


def _fitting(row: Item | None, wanted: DeliveryFilter) -> Delivery | None:
    if row is None or (wanted.held is not None and is_held(row) is not wanted.held):
        return None
    delivery = read(row, to_delivery)
    return delivery if delivery is not None and wanted.fits(delivery) else None
