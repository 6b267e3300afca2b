"""Forgetting."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from longstop.model.delivery import Attempt, Delivery
from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent, event_may_go
from longstop.ports import WithoutSpans
from longstop.stores.memory.rows import MemoryRows


class MemoryRetention(MemoryRows, WithoutSpans):
    """What goes when it is old enough."""

    def __init__(self) -> None:
        super().__init__()
        self._lived_ms: int | None = None

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """Events that may go, by what has ended of this kind."""
        if kind is Kind.UNROUTED:
            unrouted = (id_ for id_, deliveries in self._delivery_ids_of.items() if not deliveries)
            ended = [(self._events[id_].received_at_ms, id_) for id_ in unrouted]
        else:
            of_kind = (each for each in self._deliveries.values() if each.state.value == kind.value)
            ended = [(each.ended_at_ms or 0, each.event_id) for each in of_kind]
        entries = [entry for entry in ended if entry[0] < before.of(kind)]
        return _step(entries, after, limit, lambda id_: self._may_go(id_, before))

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """All there is of these events."""
        return [self._whole(id_) for id_ in event_ids if id_ in self._events]

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """Forget those that may still go."""
        going = [id_ for id_ in dict.fromkeys(event_ids) if id_ in self._events and self._may_go(id_, before)]
        for id_ in going:
            self._forget(id_)
        return len(going)

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """Events with old attempts."""
        old = (each for each in self._deliveries.values() if self._old_attempts(each, before_ms))
        return _step([(each.ended_at_ms or 0, each.event_id) for each in old], after, limit, lambda _: True)

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """Forget the old attempts of what had ended by then."""
        forgotten = 0
        for delivery_id in (each for id_ in event_ids for each in self._delivery_ids_of.get(id_, ())):
            old = self._old_attempts(self._deliveries[delivery_id], before_ms)
            if old:
                self._attempts[delivery_id] = [each for each in self._attempts[delivery_id] if each not in old]
            forgotten += len(old)
        return forgotten

    async def lived_until(self) -> int | None:
        """What was kept last."""
        return self._lived_ms

    async def live_until(self, at_ms: int) -> None:
        """Keep the later one."""
        self._lived_ms = at_ms if self._lived_ms is None else max(at_ms, self._lived_ms)

    async def give_back(self) -> bool:
        """Memory is given back by itself."""
        return False

    async def forget_dedup(self, now_ms: int) -> int:
        """Drop dedup keys whose window is over."""
        over = [key.digest for key in self._dedup.values() if key.until_ms <= now_ms]
        for digest in over:
            del self._dedup[digest]
        return len(over)

    def _whole(self, event_id: str) -> WholeEvent:
        kept, key = self._kept(event_id), self._key_of(self._events[event_id])
        until_ms = key.until_ms if key is not None and key.event_id == event_id else None
        return WholeEvent(kept, tuple([self._history(each.id) for each in kept.deliveries]), until_ms)

    def _may_go(self, event_id: str, before: Cutoffs) -> bool:
        deliveries = [self._deliveries[id_] for id_ in self._delivery_ids_of[event_id]]
        return event_may_go(self._events[event_id].received_at_ms, deliveries, before)

    def _forget(self, event_id: str) -> None:
        for delivery_id in self._delivery_ids_of.pop(event_id):
            self._unindex(self._deliveries.pop(delivery_id))
            del self._delivery_ids[bisect_left(self._delivery_ids, delivery_id)]
            self._attempts.pop(delivery_id, None)
            self._actions.pop(delivery_id, None)
        self._edits.pop(event_id, None)
        del self._event_ids[bisect_left(self._event_ids, event_id)]
        del self._events[event_id], self._redeliveries[event_id]

    def _old_attempts(self, delivery: Delivery, before_ms: int) -> list[Attempt]:
        if delivery.ended_at_ms is None or delivery.ended_at_ms >= before_ms:
            return []
        return [each for each in self._attempts.get(delivery.id, ()) if each.started_at_ms < before_ms]


def _step(entries: list[tuple[int, str]], after: str | None, limit: int, may_go: Callable[[str], bool]) -> Forgettable:
    """The next few of what has ended, by when and by id; `after` is the last of the step before."""
    behind = sorted({entry for entry in entries if after is None or f"{entry[0]:020} {entry[1]}" > after})
    looked_at = behind[:limit]
    cursor = f"{looked_at[-1][0]:020} {looked_at[-1][1]}" if looked_at else after
    return Forgettable(tuple(id_ for _, id_ in looked_at if may_go(id_)), cursor, len(behind) > limit)
