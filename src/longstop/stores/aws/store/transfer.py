"""Taking over what stood elsewhere: ports.Transfer over DynamoDB."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from longstop.model.append import Append
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.retention import WholeEvent
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, key_of
from longstop.stores.aws.packing import pack
from longstop.stores.aws.store.retention import HISTORY_MAX, AwsRetention
from longstop.stores.aws.units import View


class AwsTransfer(AwsRetention):
    """See ports.Transfer."""

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """See ports.Transfer."""
        for each in events:
            await self._restore_long_history(each)
        apart = await self.put_bodies([Append(each.kept.event) for each in events])
        return await self.units.run(
            [self._restoring(each, apart.get(each.kept.event.id)) for each in events],
            [keys.event(each.kept.event.id) for each in events],
        )

    def _restoring(self, whole: WholeEvent, apart: str | None) -> Callable[[View[bool]], Awaitable[bool]]:
        event, kept = whole.kept.event, whole.kept
        append = Append(event, kept.deliveries, whole.dedup_until_ms or 0)

        async def unit(view: View[bool]) -> bool:
            if await view.get(keys.event(event.id)) is not None:
                return False
            await self.keep(view, append, apart)
            changes: Item = {"redeliveries": kept.redeliveries}
            if kept.edits:
                changes["edited"] = 1
            await view.put((await view.get(keys.event(event.id)) or {}) | changes)
            if kept.made_by is not None:
                made = kept.made_by
                partition, order = keys.edit(made.parent, made.event_id)
                packed = pack((made.event_id, made.parent, made.at_ms, made.by, made.why))
                await view.put({"pk": partition, "sk": order, "row": packed})
            rows = list(self._history_rows(whole))
            for row in rows if len(rows) <= HISTORY_MAX else ():
                await view.put(row)
            if whole.dedup_until_ms is not None and event.dedup is not None:
                digest = dedup_digest(event.source, event.dedup)
                await self._keep_key(view, DedupKey(digest, event.id, whole.dedup_until_ms))
            return True

        return unit

    def _history_rows(self, whole: WholeEvent) -> Iterator[Item]:
        for delivery, history in zip(whole.kept.deliveries, whole.histories, strict=True):
            for attempt in history.attempts:
                yield self.attempt_item(delivery.id, attempt)
            for n, action in enumerate(history.actions, 1):
                yield self.action_item(delivery.id, n, action)
            if history.actions:
                yield {"pk": f"A#{delivery.id}", "sk": "n", "n": len(history.actions)}

    async def _restore_long_history(self, whole: WholeEvent) -> None:
        """What is too much for one transaction goes before its event, of which nothing is there until then."""
        rows = list(self._history_rows(whole))
        if len(rows) <= HISTORY_MAX:
            return

        def putting(row: Item) -> Callable[[View[None]], Awaitable[None]]:
            return lambda view: view.put(row)

        event = keys.event(whole.kept.event.id)
        if not await self.table.get([event], without="body"):
            await self.units.run([putting(row) for row in rows], [key_of(row) for row in rows])

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """See ports.Transfer."""
        rows = await self.dedup_rows_in_order(None if after is None else after.hex(), limit)
        return [DedupKey(bytes.fromhex(str(row["sk"])), str(row["event_id"]), int(row["until_ms"])) for row in rows]

    async def keep_dedup_keys(self, given: Sequence[DedupKey]) -> None:
        """See ports.Transfer."""

        def keeping(key: DedupKey) -> Callable[[View[None]], Awaitable[None]]:
            return lambda view: self._keep_key(view, key)

        await self.units.run([keeping(each) for each in given], [keys.dedup(each.digest) for each in given])

    async def _keep_key(self, view: View[Any], key: DedupKey) -> None:
        kept = await view.get(keys.dedup(key.digest))
        if kept is None or int(kept["until_ms"]) < key.until_ms:
            await view.put(self.dedup_item(key))
