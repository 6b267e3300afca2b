"""What people ask of events and deliveries: ports.Lookups over DynamoDB."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery, State
from longstop.model.ids import END_CHARS
from longstop.model.listing import Counts, DeadGroup, History, KeptEvent, Page, Recount, TimeSteps
from longstop.model.recent import Recent
from longstop.stores.aws import dead_groups
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.deliveries import LIVE
from longstop.stores.aws.find_deliveries import LISTS, AwsFindDeliveries, is_held
from longstop.stores.aws.packing import to_attempt, to_delivery
from longstop.stores.aws.reading import to_action
from longstop.stores.aws.table import number
from longstop.stores.aws.unreadable import read
from longstop.stores.aws.walk import Question, Range

ENDS_MAX = 100_000
"""Among so many of the latest ids one that ends as asked for is looked for."""
ENDS_AT_ONCE = 5_000

T = TypeVar("T")


class AwsLookups(AwsFindDeliveries):
    """See ports.Lookups."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Lookups."""
        return await self.kept_event(event_id)

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        return (await self.kept_deliveries([delivery_id])).get(delivery_id)

    async def history(self, delivery_id: str) -> History:
        """See ports.Lookups."""
        (found,) = await self.histories([delivery_id])
        return found

    async def dead_groups(
        self, destination: str | None = None, limit: int = 100, over: TimeSteps | None = None
    ) -> Sequence[DeadGroup]:
        """See ports.Lookups."""
        return await dead_groups.largest(self.table, self.keys, destination, limit, over)

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        row = (await self.delivery_rows([delivery_id])).get(delivery_id)
        if row is None or not is_held(row):
            return None
        held = read(row, to_delivery)
        if held is None:
            return None
        lane = keys.lane(held.destination, str(held.lane))
        found = await self.table.get([(lane, keys.LANE_HEAD)])
        head = found.get((lane, keys.LANE_HEAD))
        if head is None:
            return None
        first = str(head["leased"] or head["first"])
        return None if first == delivery_id else await self.delivery(first)

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Lookups."""
        found = set(await super().find_ids(part, limit))
        if len(part) == END_CHARS:
            lists = [each for name in LISTS for each in await self._lists(None, "everything", f"L#{name}#{{to}}")]
            for ranges in (self.all_events(), tuple(lists)):
                found.update(await self._ids_ending(ranges, part, limit))
        return sorted(found, reverse=True)[:limit]

    async def _ids_ending(self, ranges: tuple[Range, ...], ending: str, limit: int) -> list[str]:
        found: list[str] = []
        after: str | None = None
        for _ in range(0, ENDS_MAX, ENDS_AT_ONCE):
            ids = await self.next_ids(Question(ranges), Page(ENDS_AT_ONCE, after), ENDS_AT_ONCE)
            found += [id_ for id_ in ids if id_.endswith(ending)]
            if len(ids) < ENDS_AT_ONCE or len(found) >= limit:
                break
            after = ids[-1]
        return found[:limit]

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """See ports.Lookups."""
        events, attempts, actions = await asyncio.gather(
            self._recent_events(since_ms, limit),
            self._recorded("a", since_ms, limit),
            self._recorded("x", since_ms, limit),
        )
        ids = [str(row["pk"])[2:] for row in (*attempts, *actions)]
        deliveries = await self.kept_deliveries(list(dict.fromkeys(ids)))
        return Recent(
            tuple(each.event for each in events),
            tuple(_recorded(attempts, to_attempt, deliveries)),
            tuple(_recorded(actions, to_action, deliveries)),
        )

    async def _recent_events(self, since_ms: int, limit: int) -> list[KeptEvent]:
        low, _ = await self.received_within(since_ms, None)
        ids = await self.next_ids(Question(self.all_events(), low=low), Page(limit, newest_first=False), limit)
        found = [each for each in await self.kept_events(ids, with_bodies=False) if each is not None]
        since = [each for each in found if each.event.received_at_ms >= since_ms]
        return sorted(since, key=lambda each: (each.event.received_at_ms, each.event.id))

    async def _recorded(self, kind: str, since_ms: int, limit: int) -> list[Item]:
        """The rows of attempts or actions since a time, in its order."""
        asked = (
            self.table.query(
                f"R#{kind}#{shard}",
                number(since_ms),
                index="by_end",
                names=keys.GLOBAL_INDEXES["by_end"],
                limit=limit,
                consistent=False,
            )
            for shard in self.keys.all_shards()
        )
        entries = sorted((row for rows in await asyncio.gather(*asked) for row in rows), key=lambda row: str(row["at"]))
        wanted = [(str(row["pk"]), str(row["sk"])) for row in entries[:limit]]
        found = await self.table.get(wanted)
        return [found[key] for key in wanted if key in found]

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Lookups."""
        circuits, _ = await self.standing()
        return [circuits[name] for name in sorted(circuits)]

    async def counts(self, times: bool = True) -> Counts:
        """See ports.Lookups. For the times every shard is asked, of every destination."""
        sources, deliveries, unrouted = await self.counted()
        # Of most nothing waits.
        waiting = [name for name, states in deliveries.items() if times and states.keys() & LIVE]
        oldest = await self._oldest_waiting(waiting)
        return Counts(
            events=sum(sources.values()),
            unrouted=unrouted,
            deliveries=deliveries,
            oldest_waiting_at_ms=min(oldest.values(), default=None),
            sources=sources,
            oldest_waiting=oldest,
            next_due=await self._next_due([name for name in waiting if State.SCHEDULED in deliveries[name]]),
        )

    async def _oldest_waiting(self, destinations: Sequence[str]) -> dict[str, int]:
        """When the event was received that waits the longest for each destination."""
        asked = [await self._lists(name, "everything", "L#waiting#{to}") for name in destinations]
        page = Page(1, newest_first=False)
        firsts = await asyncio.gather(*(self.next_ids(Question(tuple(each)), page, 1) for each in asked))
        rows = await self.kept_deliveries([id_ for ids in firsts for id_ in ids])
        return {
            name: rows[ids[0]].received_at_ms
            for name, ids in zip(destinations, firsts, strict=True)
            if ids and ids[0] in rows
        }

    async def _next_due(self, destinations: Sequence[str]) -> dict[str, int]:
        kinds = [(name, kind) for name in destinations for kind in "ut"]
        found = await asyncio.gather(
            *(self.of_shards("turn", f"{name}#{kind}#", f"{name}#{kind}~", 1) for name, kind in kinds)
        )
        due: dict[str, int] = {}
        for (name, _), rows in zip(kinds, found, strict=True):
            for row in rows:
                at_ms = int(str(row["turn"]).split("#")[2])
                due[name] = min(due.get(name, at_ms), at_ms)
        return due

    async def recount(self, after: str | None = None) -> Recount:  # noqa: ARG002
        """See ports.Lookups. A counter changes in the transaction that changes what it counts: there is none to mend,
        and to count again would be to read all there is."""
        return Recount(None)


def _recorded(
    rows: Sequence[Item], make: Callable[[Item], T], deliveries: Mapping[str, Delivery]
) -> Iterator[tuple[Delivery, T]]:
    """What rows say of deliveries that are there."""
    for row in rows:
        delivery, made = deliveries.get(str(row["pk"])[2:]), read(row, make)
        if delivery is not None and made is not None:
            yield delivery, made
