"""What people ask of events and deliveries: ports.Lookups over DynamoDB."""

from collections.abc import Sequence

from longstop.model.action import ActionRecord, Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery, Trigger
from longstop.model.listing import History, KeptEvent
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.packing import delivery_ids, to_attempt, to_delivery, unpack_values
from longstop.stores.aws.store.inbox import AwsInbox


class AwsLookups(AwsInbox):
    """See ports.Lookups."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Lookups."""
        (kept,) = await self.kept_events([event_id])
        return kept

    async def kept_events(self, ids: Sequence[str], with_bodies: bool = True) -> list[KeptEvent | None]:
        """Events with their deliveries; None for what is not there."""
        found = await self.table.get([keys.event(id_) for id_ in ids])
        rows = [found.get(keys.event(id_)) for id_ in ids]
        of_event = [[] if row is None else delivery_ids(row) for row in rows]
        deliveries = await self.kept_deliveries([each for some in of_event for each in some])
        return [
            None
            if row is None
            else self._kept(row, [deliveries[each] for each in some if each in deliveries], with_bodies)
            for row, some in zip(rows, of_event, strict=True)
        ]

    def _kept(self, row: Item, deliveries: Sequence[Delivery], with_body: bool) -> KeptEvent:
        return KeptEvent(self.to_event(row), int(row.get("redeliveries", 0)), tuple(deliveries))

    async def kept_deliveries(self, ids: Sequence[str]) -> dict[str, Delivery]:
        """Those of these deliveries that are there, by id."""
        found = await self.table.get([key for id_ in ids for key in self.deliveries.keys(id_)])
        read = map(to_delivery, found.values())
        return {each.id: each for each in read}

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        return (await self.kept_deliveries([delivery_id])).get(delivery_id)

    async def history(self, delivery_id: str) -> History:
        """See ports.Lookups."""
        rows = await self.table.query(f"A#{delivery_id}")
        attempts = [to_attempt(row) for row in rows if str(row["sk"]).startswith("a#")]
        actions = [_action(row) for row in rows if str(row["sk"]).startswith("x#")]
        return History(tuple(attempts), tuple(actions))

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Lookups."""
        circuits, _ = await self.standing()
        return [circuits[name] for name in sorted(circuits)]

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Decisions."""
        _, paused = await self.standing()
        return [paused[name] for name in sorted(paused)]


def _action(row: Item) -> ActionRecord:
    trigger, *rest = unpack_values("an action", row)
    return ActionRecord(Trigger(trigger), *rest)
