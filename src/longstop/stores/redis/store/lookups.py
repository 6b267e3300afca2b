"""What people ask of events and deliveries: ports.Lookups over Redis."""

from collections.abc import Sequence

from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery, State
from longstop.model.ids import END_CHARS
from longstop.model.listing import (
    Counts,
    DeadGroup,
    DeliveryFilter,
    Drift,
    EventFilter,
    History,
    KeptEvent,
    Listing,
    Page,
    Recount,
    TimeSteps,
)
from longstop.model.recent import Recent
from longstop.stores.redis import dead_groups
from longstop.stores.redis.find_deliveries import RedisFindDeliveries
from longstop.stores.redis.keys import wire
from longstop.stores.redis.packing import pack, to_circuit, to_delivery
from longstop.stores.redis.parking import RedisParking
from longstop.stores.redis.recent import RedisRecent
from longstop.stores.redis.reply import pairs
from longstop.stores.redis.walk import Question, Range, split_pair

COUNTERS_AT_ONCE = 100
ENDS_MAX = 100_000
"""Among so many of the latest ids one that ends as asked for is looked for."""
ENDS_AT_ONCE = 5_000


class RedisLookups(RedisFindDeliveries, RedisRecent, RedisParking):
    """See ports.Lookups."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Lookups."""
        (found,) = await self.ask("events", pack([event_id]), 1)
        return await self._to_kept(found, with_body=True) if found else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        (row,) = await self.pipeline(("GET", f"{self._prefix}delivery:{delivery_id}"))
        return None if row is None else to_delivery(row)

    async def history(self, delivery_id: str) -> History:
        """See ports.Lookups."""
        (found,) = await self._histories([delivery_id])
        return found

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """See ports.Lookups."""
        return await self._find_events(wanted, page)

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """See ports.Lookups."""
        return await self._find_deliveries(wanted, page)

    async def dead_groups(
        self, destination: str | None = None, limit: int = 100, over: TimeSteps | None = None
    ) -> Sequence[DeadGroup]:
        """See ports.Lookups."""
        return await dead_groups.largest(self, destination, limit, over)

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        row = await self.ask("ahead", delivery_id)
        return to_delivery(row) if row else None

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Lookups."""
        sources, destinations = await self._names()
        events = [Range(f"events:source:{name}") for name in sources]
        states = ("waiting", "delivered", "dead", "discarded")
        deliveries = [Range(f"deliveries:{state}:{name}") for name in destinations for state in states]
        if not events:
            return []
        begins = Question((*events, *deliveries), low=part, high=f"{part}\U0010ffff")
        found = set(await self._next_ids(begins, Page(limit), limit))
        if len(part) == END_CHARS:
            for ranges in (events, deliveries):
                found.update(await self._ids_ending(ranges, part, limit))
        return sorted(found, reverse=True)[:limit]

    async def _ids_ending(self, ranges: Sequence[Range], ending: str, limit: int) -> list[str]:
        """The youngest that end so, of each set among its share of the latest."""
        found: list[str] = []
        for each in ranges:
            of_set: list[str] = []
            after, looked_at = "", 0
            while looked_at * len(ranges) < ENDS_MAX and len(of_set) < limit:
                last, some = await self.ask("ids_ending", wire(each.order), wire(ending), after, ENDS_AT_ONCE)
                of_set += [id_.decode() for id_ in some]
                after, looked_at = last.decode(), looked_at + ENDS_AT_ONCE
                if not after:
                    break
            found += of_set
        return sorted(found, reverse=True)[:limit]

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """See ports.Lookups. The latest some thousand of each kind are known (functions/indexes.lua)."""
        return await self._recent(since_ms, limit)

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Lookups."""
        (packed,) = await self.pipeline(("HVALS", f"{self._prefix}circuits"))
        return sorted(map(to_circuit, packed), key=lambda each: each.destination)

    async def counts(self, times: bool = True) -> Counts:  # noqa: ARG002
        """See ports.Lookups."""
        counters = await self._counters()
        sources = {name.partition(":")[2]: n for name, n in counters if name.startswith("events:")}
        deliveries: dict[str, dict[State, int]] = {}
        for name, n in counters:
            if name.startswith("deliveries:"):
                destination, state = split_pair(name.partition(":")[2])
                deliveries.setdefault(destination, {})[State(state)] = n
        oldest = await self._oldest_waiting(list(deliveries))
        return Counts(
            events=sum(sources.values()),
            unrouted=dict(counters).get("unrouted", 0),
            deliveries=deliveries,
            oldest_waiting_at_ms=min((at_ms for _, at_ms in oldest.values()), default=None),
            sources=sources,
            oldest_waiting={name: at_ms for name, (_, at_ms) in oldest.items()},
            next_due=await self._next_due(list(deliveries)),
        )

    async def _oldest_waiting(self, destinations: Sequence[str]) -> dict[str, tuple[str, int]]:
        """The delivery that waits the longest for each destination, and when its event was received."""
        if not destinations:
            return {}
        found = await self.pipeline(
            *(("ZRANGE", f"{self._prefix}deliveries:waiting:{name}", 0, 0) for name in destinations)
        )
        ids = {name: first[0].decode() for name, first in zip(destinations, found, strict=True) if first}
        rows = await self._deliveries(list(ids.values()))
        return {name: (row.id, row.received_at_ms) for name, row in zip(ids, rows, strict=True) if row is not None}

    async def _next_due(self, destinations: Sequence[str]) -> dict[str, int]:
        if not destinations:
            return {}
        queues = [f"{self._prefix}due:{kind}:{name}" for name in destinations for kind in ("untried", "tried")]
        found = await self.pipeline(*(("ZRANGE", each, 0, 0, "WITHSCORES") for each in queues))
        due: dict[str, int] = {}
        for place, first in enumerate(found):
            for _, at_ms in pairs(first):
                name = destinations[place // 2]
                due[name] = min(due.get(name, int(at_ms)), int(at_ms))
        return due

    async def recount(self, after: str | None = None) -> Recount:
        """See ports.Lookups. The sets that the lookups walk say how many there are."""
        if after is None:
            await self._take_back()
        (groups,) = await self.pipeline(("ZRANGE", f"{self._prefix}groups", 0, -1))
        all_names = [name for name, _ in await self._counters()] + [f"group:{id_.decode()}" for id_ in groups]
        names = sorted(name for name in all_names if after is None or name > after)
        some = names[:COUNTERS_AT_ONCE]
        drifts = await self.call("recount", pack(some)) if some else []
        return Recount(
            some[-1] if len(names) > len(some) else None,
            tuple(Drift(name.decode("utf-8", "surrogatepass"), counted, found) for name, counted, found in drifts),
        )
