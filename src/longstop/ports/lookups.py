"""What people ask of events and deliveries."""

from collections.abc import Sequence
from typing import Protocol

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


class Lookups(Protocol):
    """What there is: by id, by filter, by page, counted and grouped."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """An event with its deliveries, oldest first."""

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery."""

    async def history(self, delivery_id: str) -> History:
        """What is recorded of a delivery; empty where there is none."""

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """One page of events. Every filter has an index but `contains`; see Page for what takes too long.

        Without the bodies, of which it says how large they are: a page of 500 might be gigabytes.
        """

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """One page of deliveries. Of the dead every filter has an index but `contains`."""

    async def dead_groups(
        self, destination: str | None = None, limit: int = 100, over: TimeSteps | None = None
    ) -> Sequence[DeadGroup]:
        """What is dead, by what it died of, the largest group first, and when it died where `over` asks for it.

        Kept, the times by DEAD_STEP_MS, so that it costs the same at any size.
        """

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """What a held delivery waits for: the one of its lane that goes first. None where it is not held."""

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """Ids of events and deliveries that begin with `part`, the youngest first, at most so many.

        Eight characters may also be how an id ends; such an end may be looked for among the latest hundred thousand of
        each kind only.
        """

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """What happened since a time: events by when they came, attempts by their end, actions by when they were taken.

        What another process has not written yet is not there: whoever goes on from the latest time asks for a little
        that was before it as well.
        """

    async def circuits(self) -> Sequence[Circuit]:
        """The circuits that are open, by destination."""

    async def counts(self, times: bool = True) -> Counts:
        """How much of everything there is. From counters that are changed in the transactions that change what they
        count, so that it may be asked as often as one likes.

        times: what waits the longest and what is due next as well. Who asks often and needs numbers alone says False:
        not every store has those at hand, and one that has not may leave them out.
        """

    async def recount(self, after: str | None = None) -> Recount:
        """Compare the next few counters with what they count, and put right those that drifted. None: the first."""
