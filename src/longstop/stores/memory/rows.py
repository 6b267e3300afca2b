"""What is kept of events and deliveries, and the indexes over it."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence

from longstop.model.action import ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Attempt, Delivery, State
from longstop.model.event import Event
from longstop.model.listing import (
    History,
    KeptEvent,
)

_IN_LANE = frozenset({State.SCHEDULED, State.LEASED, State.DEAD})


class MemoryRows:
    """The rows, and the one place that changes a delivery.

    Leasing costs a binary search and a move of pointers, whatever the backlog.
    """

    def __init__(self) -> None:
        super().__init__()
        self._events: dict[str, Event] = {}
        self._event_ids: list[str] = []
        self._redeliveries: dict[str, int] = {}
        self._delivery_ids_of: dict[str, list[str]] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._delivery_ids: list[str] = []
        self._attempts: dict[str, list[Attempt]] = {}
        self._actions: dict[str, list[ActionRecord]] = {}
        self._dedup: dict[bytes, DedupKey] = {}
        """By digest."""
        self._due: dict[tuple[str, bool], list[tuple[int, str]]] = {}
        """(destination, whether it was tried before) to what is scheduled there, as sorted (due_at_ms, delivery id)."""
        self._expiring: dict[str, list[tuple[int, str]]] = {}
        """Destination to what is scheduled there and of use for a time, as sorted (expires_at_ms, delivery id)."""
        self._leased: set[str] = set()
        self._lanes: dict[tuple[str, str], list[str]] = {}
        """(destination, lane) to the sorted ids of what is scheduled, leased or dead there."""
        self._free: dict[tuple[str, str], Delivery] = {}
        """(destination, lane) to the one of it that stands in `_due`; the others are held."""
        self._edits: dict[str, Edit] = {}
        """By the id of the new event."""
        self._pauses: dict[str, Pause] = {}
        self._circuits: dict[str, Circuit] = {}
        self._enlisted = False
        """Something was put into `_due` since the last wake."""
        self._wakes: list[Callable[[], None]] = []

    def _refuse_taken_ids(self, appends: Sequence[Append]) -> None:
        # Overwriting an event would lose it silently; a simulation had better hear of its ids.
        ids = [append.event.id for append in appends] + [d.id for append in appends for d in append.deliveries]
        if len(set(ids)) < len(ids) or any(id_ in self._events or id_ in self._deliveries for id_ in ids):
            raise ValueError("an event or delivery id in this batch is used twice or is already kept")

    def _keep(self, append: Append) -> None:
        event_id = append.event.id
        self._events[event_id] = append.event
        self._redeliveries[event_id] = 0
        self._delivery_ids_of[event_id] = sorted(delivery.id for delivery in append.deliveries)
        insort(self._event_ids, event_id)
        for delivery in append.deliveries:
            insort(self._delivery_ids, delivery.id)
            self._put(delivery)

    def _key_of(self, event: Event) -> DedupKey | None:
        """What is kept of the event's dedup key; it may be another event's."""
        return None if event.dedup is None else self._dedup.get(dedup_digest(event.source, event.dedup))

    def _kept(self, event_id: str) -> KeptEvent:
        deliveries = tuple(self._deliveries[id_] for id_ in self._delivery_ids_of[event_id])
        edits = sorted((each for each in self._edits.values() if each.parent == event_id), key=lambda e: e.event_id)
        made_by = self._edits.get(event_id)
        return KeptEvent(self._events[event_id], self._redeliveries[event_id], deliveries, made_by, tuple(edits))

    def _history(self, delivery_id: str) -> History:
        return History(
            tuple(self._attempts.get(delivery_id, ())),
            tuple(self._actions.get(delivery_id, ())),
        )

    def _put(self, delivery: Delivery) -> None:
        """Make this the delivery's row, and keep the indexes true to it."""
        old = self._deliveries.get(delivery.id)
        self._unindex(old)
        self._deliveries[delivery.id] = delivery
        if delivery.state is State.LEASED:
            self._leased.add(delivery.id)
        if delivery.lane is not None and delivery.state in _IN_LANE:
            insort(self._lanes.setdefault((delivery.destination, delivery.lane), []), delivery.id)
        elif delivery.state is State.SCHEDULED:
            self._enlist(delivery)
        for lane in {old.lane if old else None, delivery.lane}:
            if lane is not None:
                self._advance((delivery.destination, lane))

    def _unindex(self, delivery: Delivery | None) -> None:
        if delivery is None:
            return
        self._leased.discard(delivery.id)
        if delivery.lane is not None and delivery.state in _IN_LANE:
            ids = self._lanes[delivery.destination, delivery.lane]
            del ids[bisect_left(ids, delivery.id)]
        elif delivery.state is State.SCHEDULED:
            self._delist(delivery)

    def _advance(self, lane: tuple[str, str]) -> None:
        """Let the first of a lane go, and hold the others."""
        free = self._free.pop(lane, None)
        if free is not None:
            self._delist(free)
        ids = self._lanes.get(lane, [])
        # Few are leased at a time, and many may wait in a lane.
        if not ids or any(lane == place(self._deliveries[each]) for each in self._leased):
            return
        first = self._deliveries[ids[0]]
        if first.state is State.SCHEDULED:
            self._free[lane] = first
            self._enlist(first)

    def _enlist(self, delivery: Delivery) -> None:
        self._enlisted = True
        place = (delivery.destination, delivery.attempts > 0)
        insort(self._due.setdefault(place, []), (delivery.due_at_ms, delivery.id))
        if delivery.expires_at_ms is not None:
            insort(self._expiring.setdefault(delivery.destination, []), (delivery.expires_at_ms, delivery.id))

    def _delist(self, delivery: Delivery) -> None:
        scheduled = self._due[delivery.destination, delivery.attempts > 0]
        del scheduled[bisect_left(scheduled, (delivery.due_at_ms, delivery.id))]
        if delivery.expires_at_ms is not None:
            expiring = self._expiring[delivery.destination]
            del expiring[bisect_left(expiring, (delivery.expires_at_ms, delivery.id))]

    def _wake_if_enlisted(self) -> None:
        if self._enlisted:
            self._enlisted = False
            for wake in self._wakes:
                asyncio.get_running_loop().call_soon(wake)


def place(delivery: Delivery) -> tuple[str, str | None]:
    """Where a delivery stands in line."""
    return (delivery.destination, delivery.lane)
