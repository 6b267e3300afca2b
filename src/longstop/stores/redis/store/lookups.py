"""What people ask of events and deliveries: ports.Lookups over Redis."""

from collections.abc import Sequence

from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery
from longstop.model.listing import History, KeptEvent
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.packing import (
    delivery_ids,
    to_action,
    to_attempt,
    to_circuit,
    to_delivery,
    to_edit,
    to_event,
)


class RedisLookups(RedisDatabase):
    """See ports.Lookups."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Lookups."""
        key = self._prefix
        head, body, redeliveries, made_by, edits = await self.pipeline(
            ("GET", f"{key}event:{event_id}"),
            ("GET", f"{key}body:{event_id}"),
            ("HGET", f"{key}redeliveries", event_id),
            ("HGET", f"{key}edits", event_id),
            ("ZRANGE", f"{key}edits:of:{event_id}", 0, -1),
        )
        if head is None:
            return None
        ids = delivery_ids(head)
        rows = await self.pipeline(("MGET", *(f"{key}delivery:{id_}" for id_ in ids))) if ids else [[]]
        records = await self.pipeline(("HMGET", f"{key}edits", *edits)) if edits else [[]]
        return KeptEvent(
            to_event(head, body),
            int(redeliveries or 0),
            tuple(map(to_delivery, rows[0])),
            to_edit(made_by) if made_by else None,
            tuple(to_edit(each) for each in records[0] if each),
        )

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Lookups."""
        (row,) = await self.pipeline(("GET", f"{self._prefix}delivery:{delivery_id}"))
        return None if row is None else to_delivery(row)

    async def history(self, delivery_id: str) -> History:
        """See ports.Lookups."""
        attempts, actions = await self.pipeline(
            ("LRANGE", f"{self._prefix}attempts:{delivery_id}", 0, -1),
            ("LRANGE", f"{self._prefix}actions:{delivery_id}", 0, -1),
        )
        return History(tuple(map(to_attempt, attempts)), tuple(map(to_action, actions)))

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Lookups."""
        (packed,) = await self.pipeline(("HVALS", f"{self._prefix}circuits"))
        return sorted(map(to_circuit, packed), key=lambda each: each.destination)
