"""Forgetting: ports.Retention over Redis."""

import json
from collections.abc import Sequence

from longstop.model.dedup import dedup_digest
from longstop.model.delivery import State
from longstop.model.event import Event
from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent, event_may_go
from longstop.ports import WithoutSpans
from longstop.stores.redis.ended import Entry, RedisEnded, last_of
from longstop.stores.redis.packing import pack, to_attempt, to_delivery, unpack
from longstop.stores.redis.reading import readable

EVENTS_AT_ONCE = 50
"""So many are forgotten in one call: the server does nothing else meanwhile."""
ROUNDS_MAX = 20
"""So often what somebody else changed meanwhile is looked at anew."""
DEDUP_AT_ONCE = 1_000
_STATES = (State.DELIVERED.value, State.DEAD.value, State.DISCARDED.value)


class RedisRetention(RedisEnded, WithoutSpans):
    """See ports.Retention."""

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention."""
        entries, more = await self._ended(kind.value, before.of(kind), after, limit)
        ids = await self._events_of(entries, kind is Kind.UNROUTED)
        may_go = await self._may_go(ids, before)
        return Forgettable(tuple(id_ for id_ in ids if id_ in may_go), last_of(entries, after), more)

    async def _may_go(self, event_ids: Sequence[str], before: Cutoffs) -> dict[str, list[bytes]]:
        """Those that may be forgotten, with the rows of their deliveries by which that was decided."""
        found = await self._ask_each("ends", event_ids)
        may_go: dict[str, list[bytes]] = {}
        for id_, of_event in zip(event_ids, found, strict=True):
            received_at_ms, rows = of_event or (0, [])
            deliveries = [None if row is None else readable(to_delivery, row, id_) for row in rows]
            # What cannot be read is nothing to decide about, and stays.
            known = [each for each in deliveries if each is not None]
            if of_event and len(known) == len(rows) and event_may_go(received_at_ms, known, before):
                may_go[id_] = rows
        return may_go

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """See ports.Retention."""
        kept = [each for each in await self._kept_events(event_ids, with_bodies=True) if each is not None]
        histories = iter(await self._histories([delivery.id for each in kept for delivery in each.deliveries]))
        until_ms = await self._until_ms([each.event for each in kept])
        wholes = zip(kept, until_ms, strict=True)
        return [WholeEvent(each, tuple(next(histories) for _ in each.deliveries), end_ms) for each, end_ms in wholes]

    async def _until_ms(self, events: Sequence[Event]) -> list[int | None]:
        """Until when each holds its dedup key; None where it does not."""
        digests = [b"" if each.dedup is None else dedup_digest(each.source, each.dedup) for each in events]
        found = await self.pipeline(*(("HGET", f"{self._prefix}dedup", digest) for digest in digests))
        keys = [(None, 0) if kept is None else unpack(kept) for kept in found]
        return [until_ms if id_ == event.id else None for event, (id_, until_ms) in zip(events, keys, strict=True)]

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """See ports.Retention."""
        ids = list(dict.fromkeys(event_ids))
        return sum([
            await self._forget(ids[start : start + EVENTS_AT_ONCE], before)
            for start in range(0, len(ids), EVENTS_AT_ONCE)
        ])  # fmt: skip

    async def _forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        forgotten, left = 0, list(event_ids)
        for _ in range(ROUNDS_MAX):
            may_go = await self._may_go(left, before)
            if not may_go:
                break
            gone = await self.call("forget", pack(list(may_go.items())))
            # Where a body is apart, the answer is its name.
            await self._drop_bodies([each.decode() for each in gone if isinstance(each, bytes)])
            forgotten += sum(1 for each in gone if each)
            left = [id_ for id_, went in zip(may_go, gone, strict=True) if not went]
        return forgotten

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """See ports.Retention. By each state in turn."""
        cursors: dict[str, str | None] = json.loads(after) if after else dict.fromkeys(_STATES)
        for state in _STATES:
            entries, more = await self._ended(state, before_ms, cursors[state], limit)
            cursors[state] = last_of(entries, cursors[state])
            if entries:
                ids = await self._events_of(await self._with_attempts(entries, before_ms), are_events=False)
                return Forgettable(tuple(ids), json.dumps(cursors), more or state != _STATES[-1])
        return Forgettable((), json.dumps(cursors), False)

    async def _with_attempts(self, entries: Sequence[Entry], before_ms: int) -> list[Entry]:
        """Those deliveries of these that have attempts from before a time."""
        firsts = await self.pipeline(*(("LINDEX", f"{self._prefix}attempts:{id_}", 0) for _, id_ in entries))
        return [
            entry
            for entry, first in zip(entries, firsts, strict=True)
            if first is not None and _began(first, entry[1]) < before_ms
        ]

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """See ports.Retention."""
        ids = await self._delivery_ids(event_ids)
        histories = await self._histories(ids)
        asked = []
        for id_, row, history in zip(ids, await self._packed_deliveries(ids), histories, strict=True):
            # They are in the order of their numbers, which is that of time.
            old = sum(each.started_at_ms < before_ms for each in history.attempts)
            delivery = None if row is None else readable(to_delivery, row, id_)
            if old and delivery is not None and (delivery.ended_at_ms or before_ms) < before_ms:
                asked.append((id_, row, old))
        if not asked:
            return 0
        (gone,) = await self.call("forget_attempts", pack(asked))
        return int(gone)

    async def lived_until(self) -> int | None:
        """See ports.Retention."""
        (kept,) = await self.pipeline(("HGET", f"{self._prefix}marks", "lived"))
        return None if kept is None else int(kept)

    async def live_until(self, at_ms: int) -> None:
        """See ports.Retention."""
        await self.call("live_until", at_ms)

    async def forget_dedup(self, now_ms: int) -> int:
        """See ports.Retention."""
        forgotten = 0
        while True:
            (gone,) = await self.call("forget_dedup", now_ms, DEDUP_AT_ONCE)
            forgotten += int(gone)
            if gone < DEDUP_AT_ONCE:
                return forgotten


def _began(attempt: bytes, delivery_id: str) -> int:
    """When an attempt began; one that cannot be read is old."""
    read = readable(to_attempt, attempt, f"an attempt of {delivery_id}")
    return 0 if read is None else read.started_at_ms
