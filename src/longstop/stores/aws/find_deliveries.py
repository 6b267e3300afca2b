"""Which index answers a listing of deliveries.

Of the dead every filter has one, most of them by way of the groups. What ended between two times is gone through in the
order of ids where it is much, and gathered where it is little; so is what is of a type, source or key, by its events.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from longstop.model.delivery import Delivery, State
from longstop.model.error_group import says
from longstop.model.listing import DeliveryFilter, EventFilter, Listing, Page
from longstop.stores.aws import dead_groups
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.find_events import AwsFindEvents
from longstop.stores.aws.packing import delivery_ids, to_delivery
from longstop.stores.aws.table import number
from longstop.stores.aws.walk import LAST_OF_ALL, Question, Range

FEW = 400
"""So many rows are fetched and sorted in some milliseconds."""
GROUPS_MAX = 50
"""More groups than that are not asked one by one, each in every shard."""
ENDED = (State.DELIVERED, State.DEAD, State.DISCARDED)
LISTS = ("waiting", "delivered", "dead", "discarded")
"""What is scheduled or leased is in one list."""


class AwsFindDeliveries(AwsFindEvents):
    """Pages of deliveries."""

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """See ports.Lookups."""
        wanted = _implied(wanted)
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
        behind = [
            id_ for id_ in ids if page.after is None or ((id_ < page.after) is page.newest_first and id_ != page.after)
        ]
        rows = [each for each in await self._fitting(behind, wanted) if each is not None]
        shown = tuple(rows[: page.limit])
        return Listing(shown, shown[-1].id if len(rows) > page.limit else None)

    # -- few: gathered and sorted -------------------------------------------------------------

    async def _few(self, wanted: DeliveryFilter) -> list[str] | None:
        """The ids that come into question, where an index says that they are few."""
        if wanted.contains is not None:
            return None
        if wanted.since_ms is not None or wanted.until_ms is not None:
            return await self._few_ended(wanted)
        if wanted.state is not State.DEAD and (wanted.key or wanted.type or wanted.source) is not None:
            return await self._few_events(wanted)
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

    async def _few_events(self, wanted: DeliveryFilter) -> list[str] | None:
        of_events = EventFilter(source=wanted.source, type=wanted.type, key=wanted.key)
        events = await self.next_ids(Question(self._ranges(of_events)), Page(FEW), FEW + 1)
        if len(events) > FEW:
            return None
        found = await self.table.get([keys.event(id_) for id_ in events], without="body")
        return [id_ for row in found.values() for id_ in delivery_ids(row)]

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
        read = await asyncio.gather(*map(self.event_of, found.values()))
        having = {f"E#{each.id}" for each in read if wanted.contains in each.body}
        return [each if each is not None and f"E#{each.event_id}" in having else None for each in fitting]

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Lookups. By how an id begins."""
        lists = [each for name in LISTS for each in await self._lists(None, "everything", f"L#{name}#{{to}}")]
        begins = Question((*self.all_events(), *lists), low=part, high=f"{part}{LAST_OF_ALL}")
        return await self.next_ids(begins, Page(limit), limit)


def is_held(row: Item) -> bool:
    """Whether a row is of one that waits for another of its lane."""
    return str(row.get("of_group", "")).startswith("H#")


def _fitting(row: Item | None, wanted: DeliveryFilter) -> Delivery | None:
    if row is None or (wanted.held is not None and is_held(row) is not wanted.held):
        return None
    delivery = to_delivery(row)
    return delivery if _fits(delivery, wanted) else None


def _implied(wanted: DeliveryFilter) -> DeliveryFilter:
    """The filter with the state that what it asks for has."""
    if wanted.reason is not None and wanted.state is None:
        return replace(wanted, state=State.DEAD)
    if wanted.held and wanted.state is None:
        return replace(wanted, state=State.SCHEDULED)
    return wanted


def _fits(delivery: Delivery, wanted: DeliveryFilter) -> bool:
    return (
        wanted.state in (None, delivery.state)
        and wanted.source in (None, delivery.source)
        and wanted.destination in (None, delivery.destination)
        and wanted.type in (None, delivery.type)
        and wanted.key in (None, delivery.key)
        and wanted.reason in (None, delivery.reason)
        and wanted.status in (None, delivery.last_status)
        and (wanted.error is None or says(delivery.last_error, wanted.error))
        and _within(delivery.ended_at_ms, wanted.since_ms, wanted.until_ms)
        and _within(delivery.received_at_ms, wanted.received_since_ms, wanted.received_until_ms)
    )


def _within(at_ms: int | None, since_ms: int | None, until_ms: int | None) -> bool:
    if since_ms is None and until_ms is None:
        return True
    if at_ms is None:
        return False
    return (since_ms is None or since_ms <= at_ms) and (until_ms is None or at_ms < until_ms)
