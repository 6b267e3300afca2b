"""Forgetting: ports.Retention over DynamoDB."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from longstop.model.dedup import dedup_digest
from longstop.model.delivery import Delivery, State
from longstop.model.event import Event
from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent, event_may_go
from longstop.ports import WithoutSpans
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of
from longstop.stores.aws.packing import delivery_ids, to_attempt, to_event
from longstop.stores.aws.store.decisions import AwsDecisions
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import read, readable
from longstop.stores.aws.walk import AwsWalk

HISTORY_MAX = 60
"""So many attempts and actions go in the transaction in which their event does; more go before it."""
DELIVERIES_MAX = 6
"""So many deliveries go in that, with five items each, and what there are more go before it, one by one."""
DEDUP_AT_ONCE = 1_000
_STATES = (State.DELIVERED.value, State.DEAD.value, State.DISCARDED.value)


class AwsRetention(AwsDecisions, AwsWalk, WithoutSpans):
    """See ports.Retention."""

    _dedup_after: str | None = None

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        index, pattern = ("by_group_end", "U#") if kind is Kind.UNROUTED else ("by_end", f"X#{kind.value}#")
        entries, more = await self._ended(index, pattern, before.of(kind), after, limit)
        ids = await self._events_of(entries, kind is Kind.UNROUTED)
        kept = [each for each in await self.kept_events(ids, with_bodies=False) if each is not None]
        going = {each.event.id for each in kept if event_may_go(each.event.received_at_ms, each.deliveries, before)}
        return Forgettable(tuple(id_ for id_ in ids if id_ in going), entries[-1] if entries else after, more)

    async def _ended(
        self, index: str, pattern: str, before_ms: int, after: str | None, limit: int
    ) -> tuple[list[str], bool]:
        """TIME#ID of the next few that ended before a time, and whether there are more."""
        asked = (
            self.table.query(
                f"{pattern}{shard}",
                after,
                number(before_ms),
                index=index,
                names=keys.GLOBAL_INDEXES[index],
                limit=limit + 2,
                consistent=False,
            )
            for shard in self.keys.all_shards()
        )
        found = sorted(str(row["at"]) for rows in await asyncio.gather(*asked) for row in rows)
        entries = [each for each in found if each != after]
        return entries[:limit], len(entries) > limit

    async def _events_of(self, entries: Sequence[str], are_events: bool) -> list[str]:
        ids = [each.partition("#")[2] for each in entries]
        if not are_events:
            rows = await self.kept_deliveries(ids)
            ids = [rows[id_].event_id for id_ in ids if id_ in rows]
        return list(dict.fromkeys(ids))

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """See ports.Retention."""
        kept = [each for each in await self.kept_events(event_ids) if each is not None]
        histories = iter(await self.histories([delivery.id for each in kept for delivery in each.deliveries]))
        until_ms = await self._until_ms([each.event for each in kept])
        wholes = zip(kept, until_ms, strict=True)
        return [WholeEvent(each, tuple(next(histories) for _ in each.deliveries), end_ms) for each, end_ms in wholes]

    async def _until_ms(self, events: Sequence[Event]) -> list[int | None]:
        """Until when each holds its dedup key; None where it does not."""
        places = [None if each.dedup is None else keys.dedup(dedup_digest(each.source, each.dedup)) for each in events]
        found = await self.table.get([each for each in places if each is not None])
        rows = [None if place is None else found.get(place) for place in places]
        return [
            int(row["until_ms"]) if row is not None and row["event_id"] == event.id else None
            for event, row in zip(events, rows, strict=True)
        ]

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """See ports.Retention."""
        units = [self._forgetting(id_, before) for id_ in dict.fromkeys(event_ids)]
        gone = await self.units.run(units)
        await self.drop_bodies([name for name in gone if name])
        return sum(name is not None for name in gone)

    def _forgetting(self, event_id: str, before: Cutoffs) -> Callable[[View[str | None]], Awaitable[str | None]]:
        """Of one that is forgotten the name of its body in the bucket, or nothing where it has none there."""

        async def unit(view: View[str | None]) -> str | None:
            row = await view.get(keys.event(event_id))
            if row is None:
                return None
            found = [await self.deliveries.get(view, id_) for id_ in delivery_ids(row)]
            deliveries = [each for each in found if each is not None]
            event = to_event(row, b"")
            if not event_may_go(event.received_at_ms, deliveries, before):
                return None
            for each in deliveries[DELIVERIES_MAX:]:
                gone: list[bool] = await self.units.run([self._forgetting_one(each)])
                if not all(gone):
                    return None
            for each in deliveries[:DELIVERIES_MAX]:
                await self._drop_history(view, each.id, HISTORY_MAX // len(deliveries[:DELIVERIES_MAX]))
                await self.deliveries.forget(view, each)
            await self._drop_event(view, event, unrouted=not found)
            return str(row.get("kept_in", ""))

        return unit

    def _forgetting_one(self, seen: Delivery) -> Callable[[View[bool]], Awaitable[bool]]:
        """A unit: let go of a delivery, if it stands as it was seen; whether it is gone."""

        async def unit(view: View[bool]) -> bool:
            kept = await self.deliveries.get(view, seen.id)
            if kept == seen:
                await self._drop_history(view, seen.id, HISTORY_MAX)
                await self.deliveries.forget(view, seen)
            return kept in (seen, None)

        return unit

    async def _drop_history(self, view: View[Any], delivery_id: str, most: int) -> None:
        """Let go of what is recorded of it: at most so much in this transaction, and more before it."""
        rows = [row for row in await view.query(f"A#{delivery_id}") if row["sk"] != "d"]
        if len(rows) > most:
            await self._drop_rows(rows[most:])
        for row in rows[:most]:
            await view.drop(key_of(row))

    async def _drop_event(self, view: View[Any], event: Event, unrouted: bool) -> None:
        await view.drop(keys.event(event.id))
        view.count((keys.COUNTERS, f"e#{event.source}"), "n", -1)
        if unrouted:
            view.count((keys.COUNTERS, "u"), "n", -1)
        if event.parent is not None:
            # The record goes with the new event.
            await view.drop(keys.edit(event.parent, event.id))

    async def _drop_rows(self, rows: Sequence[Item]) -> None:
        """Let go of rows of which nothing else speaks."""

        def dropping(row: Item) -> Callable[[View[None]], Awaitable[None]]:
            return lambda view: view.drop(key_of(row))

        await self.units.run([dropping(row) for row in rows], seen={key_of(row): row for row in rows})

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention. By each state in turn."""
        cursors: dict[str, str | None] = json.loads(after) if after else dict.fromkeys(_STATES)
        for state in _STATES:
            entries, more = await self._ended("by_end", f"X#{state}#", before_ms, cursors[state], limit)
            if entries:
                cursors[state] = entries[-1]
                old = await asyncio.gather(*(self._has_old(each.partition("#")[2], before_ms) for each in entries))
                ids = await self._events_of([each for each, is_old in zip(entries, old, strict=True) if is_old], False)
                return Forgettable(tuple(ids), json.dumps(cursors), more or state != _STATES[-1])
        return Forgettable((), json.dumps(cursors), False)

    async def _has_old(self, delivery_id: str, before_ms: int) -> bool:
        # They are in the order of their numbers, which is that of time.
        first = await self.table.query(f"A#{delivery_id}", "a#", "a~", limit=1)
        return any(each.started_at_ms < before_ms for each in readable(first, to_attempt))

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """See ports.Retention."""
        found = await self.table.get([keys.event(id_) for id_ in event_ids], without="body")
        ids = [id_ for some in readable(found.values(), delivery_ids) for id_ in some]
        return sum([await self._forget_attempts(id_, before_ms) for id_ in ids])

    async def _forget_attempts(self, delivery_id: str, before_ms: int) -> int:
        rows = await self.table.query(f"A#{delivery_id}", "a#", "a~")
        old = [row for row in rows if (made := read(row, to_attempt)) is None or made.started_at_ms < before_ms]

        def dropping(row: Item) -> Callable[[View[bool]], Awaitable[bool]]:
            async def unit(view: View[bool]) -> bool:
                ended = await view.get(keys.ended(delivery_id))
                if ended is None or ((await self.deliveries.read(view, ended)).ended_at_ms or before_ms) >= before_ms:
                    return False
                await view.drop(key_of(row))
                return True

            return unit

        return sum(await self.units.run([dropping(row) for row in old]))

    async def lived_until(self) -> int | None:
        """See ports.Retention."""
        kept = (await self.table.get([keys.MARKS])).get(keys.MARKS)
        return None if kept is None or "lived_ms" not in kept else int(kept["lived_ms"])

    async def live_until(self, at_ms: int) -> None:
        """See ports.Retention."""

        async def unit(view: View[None]) -> None:
            kept = await view.get(keys.MARKS) or {"pk": keys.MARKS[0], "sk": keys.MARKS[1]}
            if int(kept.get("lived_ms", -1)) < at_ms:
                await view.put(kept | {"lived_ms": at_ms})

        await self.units.run([unit])

    async def forget_dedup(self, now_ms: int) -> int:
        """See ports.Retention. A thousand at a time, from where it got to: the service deletes them by itself, but late
        and not everywhere."""
        rows = await self.dedup_rows(self._dedup_after, DEDUP_AT_ONCE)
        self._dedup_after = str(rows[-1]["sk"]) if len(rows) == DEDUP_AT_ONCE else None

        def dropping(key: Key) -> Callable[[View[bool]], Awaitable[bool]]:
            async def unit(view: View[bool]) -> bool:
                kept = await view.get(key)
                if kept is None or int(kept["until_ms"]) > now_ms:
                    return False
                await view.drop(key)
                return True

            return unit

        over = {key_of(row): row for row in rows if int(row["until_ms"]) <= now_ms}
        return sum(await self.units.run([dropping(key) for key in over], seen=over))
