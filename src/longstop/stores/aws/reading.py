"""Reading what is kept by its ids, many at a time, as it stands in the table."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from longstop.model.action import ActionRecord, Edit
from longstop.model.delivery import Delivery, Trigger
from longstop.model.errors import UnreadableRowError
from longstop.model.listing import History, KeptEvent
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, key_of
from longstop.stores.aws.large_bodies import AwsLargeBodies
from longstop.stores.aws.packing import delivery_ids, to_attempt, to_delivery, to_event, unpack_values
from longstop.stores.aws.unreadable import read, readable, tell


class AwsReading(AwsLargeBodies):
    """What several parts of the store read."""

    async def kept_events(self, ids: Sequence[str], with_bodies: bool = True) -> list[KeptEvent | None]:
        """Events with their deliveries; None for what is not there, or cannot be read, which is told."""
        found = await self.table.get([keys.event(id_) for id_ in ids], without=None if with_bodies else "body")
        rows = [found.get(keys.event(id_)) for id_ in ids]
        of_event = [[] if row is None else read(row, delivery_ids) or [] for row in rows]
        deliveries = await self.kept_deliveries([each for some in of_event for each in some])
        made = (
            self._kept_or_told(row, [deliveries[each] for each in some if each in deliveries], with_bodies)
            for row, some in zip(rows, of_event, strict=True)
        )
        return list(await asyncio.gather(*made))

    async def kept_event(self, event_id: str) -> KeptEvent | None:
        """One event with its deliveries. Raises UnreadableRowError."""
        found = await self.table.get([keys.event(event_id)])
        row = found.get(keys.event(event_id))
        ids = [] if row is None else delivery_ids(row)
        deliveries = await self.kept_deliveries(ids)
        return await self._kept(row, [deliveries[each] for each in ids if each in deliveries], True)

    async def _kept_or_told(
        self, row: Item | None, deliveries: Sequence[Delivery], with_body: bool
    ) -> KeptEvent | None:
        try:
            return await self._kept(row, deliveries, with_body)
        except UnreadableRowError as error:
            tell("/".join(key_of(row or {"pk": "", "sk": ""})), error.trouble)
            return None

    async def _kept(self, row: Item | None, deliveries: Sequence[Delivery], with_body: bool) -> KeptEvent | None:
        if row is None:
            return None
        event = await self.event_of(row) if with_body else to_event(row, b"")
        edits = await self._edits(event.id) if "edited" in row else []
        made_by = await self._edit(event.parent, event.id) if event.parent is not None else None
        listed_bytes = None if with_body else int(row.get("size", 0))
        return KeptEvent(event, int(row.get("redeliveries", 0)), tuple(deliveries), made_by, tuple(edits), listed_bytes)

    def listed(self, kept: KeptEvent) -> KeptEvent:
        """As a listing shows it: without the body, of which it says how large it is."""
        return replace(kept, event=replace(kept.event, body=b""), listed_bytes=len(kept.event.body))

    async def _edits(self, parent: str) -> list[Edit]:
        return list(readable(await self.table.query(f"V#{parent}"), _to_edit))

    async def _edit(self, parent: str, event_id: str) -> Edit | None:
        found = await self.table.get([keys.edit(parent, event_id)])
        return next(readable(found.values(), _to_edit), None)

    async def kept_deliveries(self, ids: Sequence[str]) -> dict[str, Delivery]:
        """Those of these deliveries that are there, by id. One that cannot be read is left out, and told."""
        found = await self.delivery_rows(ids)
        return {each.id: each for each in readable(found.values(), to_delivery)}

    async def delivery_rows(self, ids: Sequence[str]) -> dict[str, Item]:
        """Their rows. One that is on its way from one place to the other is in both or in neither: it is read again."""
        found = await self._rows_of(ids)
        missing = [id_ for id_ in ids if id_ not in found]
        return found | (await self._rows_of(missing) if missing else {})

    async def standing_in_line(self, ids: Sequence[str]) -> list[Delivery]:
        """Those of these that are scheduled, and whose turn it is in their lane."""
        rows = (await self.delivery_rows(ids)).values()
        waiting = [row for row in rows if not str(row.get("turn", "~")).startswith("~")]
        return list(readable(waiting, to_delivery))

    async def _rows_of(self, ids: Sequence[str]) -> dict[str, Item]:
        found = await self.table.get([key for id_ in ids for key in self.deliveries.keys(id_)])
        # Where both are there, it had ended after the other was read, or was sent again: the live one is the later one
        # or as late.
        rows = sorted(found.items(), key=lambda each: each[0][0].startswith("D#"))
        return {str(row["id"]): row for _, row in rows}

    async def histories(self, ids: Sequence[str]) -> list[History]:
        """What is recorded of each delivery."""
        return list(await asyncio.gather(*map(self._history, ids)))

    async def _history(self, delivery_id: str) -> History:
        rows = await self.table.query(f"A#{delivery_id}")
        attempts = readable((row for row in rows if str(row["sk"]).startswith("a#")), to_attempt)
        actions = readable((row for row in rows if str(row["sk"]).startswith("x#")), to_action)
        return History(tuple(attempts), tuple(actions))


def to_action(row: Item) -> ActionRecord:
    """The action of a row."""
    trigger, *rest = unpack_values("an action", row)
    return ActionRecord(Trigger(trigger), *rest)


def _to_edit(row: Item) -> Edit:
    return Edit(*unpack_values("an edit", row))
