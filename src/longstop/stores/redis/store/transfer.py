"""Taking over what stood elsewhere: ports.Transfer over Redis."""

from collections.abc import Iterator, Sequence
from typing import Any

from longstop.model.append import Append
from longstop.model.dedup import DedupKey
from longstop.model.retention import WholeEvent
from longstop.stores.redis.large_bodies import LargeBodies
from longstop.stores.redis.packing import item, pack, pack_action, pack_attempt, pack_edit, unpack

EVENTS_AT_ONCE = 50
"""So many are put in by one call: the server does nothing else meanwhile."""
KEYS_AT_ONCE = 1_000


class RedisTransfer(LargeBodies):
    """See ports.Transfer."""

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """See ports.Transfer."""
        results: list[bool] = []
        for start in range(0, len(events), EVENTS_AT_ONCE):
            wholes = events[start : start + EVENTS_AT_ONCE]
            apart = await self._put_bodies([_append(each) for each in wholes])
            some = [_packed(each, apart.get(each.kept.event.id)) for each in wholes]
            results += [bool(each) for each in await self.call("restore", pack(some))]
        return results

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """See ports.Transfer."""
        found = await self.ask("dedup_keys", b"-" if after is None else b"(" + after, limit)
        return [DedupKey(digest, *unpack(kept)) for digest, kept in found]

    async def keep_dedup_keys(self, keys: Sequence[DedupKey]) -> None:
        """See ports.Transfer."""
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            await self.call("keep_dedup_keys", pack([(each.digest, each.event_id, each.until_ms) for each in some]))


def _append(whole: WholeEvent) -> Append:
    return Append(whole.kept.event, whole.kept.deliveries, whole.dedup_until_ms or 0)


def _packed(whole: WholeEvent, apart: str | None) -> tuple[Any, ...]:
    kept = whole.kept
    made_by = kept.made_by
    edit, parent = (pack_edit(made_by), made_by.parent) if made_by is not None else (None, None)
    return item(_append(whole), apart), kept.redeliveries, edit, parent, list(_histories(whole))


def _histories(whole: WholeEvent) -> Iterator[tuple[Any, ...]]:
    for delivery, history in zip(whole.kept.deliveries, whole.histories, strict=True):
        attempts = [(pack_attempt(each), each.number, each.ended_at_ms) for each in history.attempts]
        yield delivery.id, attempts, [(pack_action(each), each.at_ms) for each in history.actions]
