"""What people ask: ports.Lookups over an SQLite file."""

from collections.abc import Sequence

from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery
from longstop.model.listing import (
    Counts,
    DeadGroup,
    DeliveryFilter,
    EventFilter,
    History,
    KeptEvent,
    Listing,
    Page,
    Recount,
    TimeSteps,
)
from longstop.model.recent import Recent
from longstop.stores.sqlite import (
    circuits,
    counters,
    dead_groups,
    ledger,
    lookups,
    recount,
)
from longstop.stores.sqlite.database import Database


class SqliteLookups(Database):
    """See ports.Lookups."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Lookups."""
        return await self._reader.view(lambda connection: ledger.event(connection, event_id))

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        return await self._reader.view(lambda connection: ledger.delivery(connection, delivery_id))

    async def history(self, delivery_id: str) -> History:
        """See ports.Lookups."""
        return await self._reader.view(lambda connection: ledger.history(connection, delivery_id))

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """See ports.Lookups."""
        return await self._searcher.view(lambda connection: ledger.events(connection, wanted, page))

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """See ports.Lookups."""
        return await self._searcher.view(lambda connection: ledger.deliveries(connection, wanted, page))

    async def dead_groups(
        self, destination: str | None = None, limit: int = 100, over: TimeSteps | None = None
    ) -> Sequence[DeadGroup]:
        """See ports.Lookups."""
        return await self._reader.view(lambda connection: dead_groups.dead_groups(connection, destination, limit, over))

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        return await self._reader.call(lambda connection: lookups.ahead(connection, delivery_id))

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Lookups."""
        return await self._reader.call(lambda connection: lookups.find_ids(connection, part, limit))

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """See ports.Lookups."""
        return await self._reader.call(lambda connection: lookups.recent(connection, since_ms, limit))

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Lookups."""
        return await self._reader.call(circuits.circuits)

    async def counts(self, times: bool = True) -> Counts:  # noqa: ARG002
        """See ports.Lookups."""
        return await self._reader.view(counters.counts)

    async def recount(self, after: str | None = None) -> Recount:
        """See ports.Lookups."""
        step = await self._searcher.view(lambda connection: recount.look(connection, after))
        if not recount.needs_repair(step):
            return Recount(step.next_after)
        drifts = await self._transact(lambda connection: recount.repair(connection, step))
        return Recount(step.next_after, tuple(drifts))
