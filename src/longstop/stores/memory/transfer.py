"""Putting in what stood elsewhere."""

from collections.abc import Sequence

from longstop.model.append import Append
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.retention import WholeEvent
from longstop.stores.memory.rows import MemoryRows


class MemoryTransfer(MemoryRows):
    """The store as one that takes over another's."""

    async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
        """Put in what is not there."""
        results = [self._restore(each) for each in events]
        self._wake_if_enlisted()
        return results

    async def dedup_keys(self, after: bytes | None, limit: int) -> Sequence[DedupKey]:
        """The next keys, by digest."""
        behind = sorted(digest for digest in self._dedup if after is None or digest > after)
        return [self._dedup[digest] for digest in behind[:limit]]

    async def keep_dedup_keys(self, keys: Sequence[DedupKey]) -> None:
        """Keep those that are not there, or end later."""
        for key in keys:
            self._keep_key(key)

    def _restore(self, whole: WholeEvent) -> bool:
        kept, event = whole.kept, whole.kept.event
        if event.id in self._events:
            return False
        self._keep(Append(event, kept.deliveries))
        self._redeliveries[event.id] = kept.redeliveries
        for delivery, history in zip(kept.deliveries, whole.histories, strict=True):
            self._attempts[delivery.id] = list(history.attempts)
            self._actions[delivery.id] = list(history.actions)
        if kept.made_by is not None:
            self._edits[event.id] = kept.made_by
        if event.dedup is not None and whole.dedup_until_ms is not None:
            self._keep_key(DedupKey(dedup_digest(event.source, event.dedup), event.id, whole.dedup_until_ms))
        return True

    def _keep_key(self, key: DedupKey) -> None:
        kept = self._dedup.get(key.digest)
        if kept is None or kept.until_ms < key.until_ms:
            self._dedup[key.digest] = key
