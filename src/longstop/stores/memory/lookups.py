"""Listings and counts; they walk all there is."""

import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from longstop.model.breaker import Circuit
from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.error_group import group_of
from longstop.model.ids import END_CHARS, id_ms
from longstop.model.listing import (
    Counts,
    DeadGroup,
    DeliveryFilter,
    EventFilter,
    History,
    KeptEvent,
    Listing,
    Page,
    Recount,
    TimeSteps,
)
from longstop.model.recent import Recent
from longstop.stores.memory.rows import MemoryRows, place

T = TypeVar("T")

_WAITING = frozenset({State.SCHEDULED, State.LEASED})

SAMPLE = 5
"""How many ids a group of the dead shows."""
_FOR_EVER_MS = 10**12
LOOK_EVERY = 64
"""After so many rows a search looks at the time."""


class MemoryLookups(MemoryRows):
    """What there is."""

    async def event(self, event_id: str) -> KeptEvent | None:
        """An event with its deliveries."""
        return self._kept(event_id) if event_id in self._events else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery."""
        return self._deliveries.get(delivery_id)

    async def history(self, delivery_id: str) -> History:
        """The attempts and actions of a delivery."""
        return self._history(delivery_id)

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """One page of events."""
        page = page if wanted.contains is not None else replace(page, patience_ms=_FOR_EVER_MS)
        return _list(self._event_ids, page, lambda id_: self._event_fits(id_, wanted), self._listed)

    def _listed(self, event_id: str) -> KeptEvent:
        kept = self._kept(event_id)
        return replace(kept, event=replace(kept.event, body=b""), listed_bytes=len(kept.event.body))

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """One page of deliveries."""
        page = page if wanted.contains is not None else replace(page, patience_ms=_FOR_EVER_MS)
        return _list(
            self._delivery_ids,
            page,
            lambda id_: self._delivery_fits(self._deliveries[id_], wanted),
            self._deliveries.__getitem__,
        )

    async def dead_groups(
        self, destination: str | None = None, limit: int = 100, over: TimeSteps | None = None
    ) -> Sequence[DeadGroup]:
        """What is dead, by what it died of."""
        groups: dict[tuple[str, DeadReason, int | None, str], list[Delivery]] = {}
        for each in self._deliveries.values():
            if each.state is State.DEAD and each.reason and destination in (None, each.destination):
                of_group = (each.destination, each.reason, each.last_status, group_of(each.last_error))
                groups.setdefault(of_group, []).append(each)
        made = [_group(*of_group, dead, over) for of_group, dead in groups.items()]
        return sorted(made, key=lambda group: -group.count)[:limit]

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """What a held delivery waits for."""
        held = self._deliveries.get(delivery_id)
        if held is None or held.lane is None or held.state is not State.SCHEDULED:
            return None
        where = (held.destination, held.lane)
        leased = (each for each in map(self._deliveries.__getitem__, self._leased) if place(each) == where)
        first = next(leased, None) or self._deliveries[self._lanes[where][0]]
        return None if first.id == held.id else first

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """Ids that begin or end so."""
        end = part if len(part) == END_CHARS else None
        ids = (*self._events, *self._deliveries)
        found = [id_ for id_ in ids if id_.startswith(part) or id_[-END_CHARS:] == end]
        return sorted(found, reverse=True)[:limit]

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """What happened since a time."""
        events = [each for each in self._events.values() if each.received_at_ms >= since_ms]
        attempts = [
            (self._deliveries[id_], each)
            for id_, attempts in self._attempts.items()
            for each in attempts
            if each.ended_at_ms >= since_ms
        ]
        actions = [
            (self._deliveries[id_], each)
            for id_, records in self._actions.items()
            for each in records
            if each.at_ms >= since_ms
        ]
        return Recent(
            tuple(replace(each, body=b"") for each in sorted(events, key=lambda e: (e.received_at_ms, e.id))[:limit]),
            tuple(sorted(attempts, key=lambda row: (row[1].ended_at_ms, row[0].id))[:limit]),
            tuple(sorted(actions, key=lambda row: row[1].at_ms)[:limit]),
        )

    async def circuits(self) -> Sequence[Circuit]:
        """The circuits that are open."""
        return [self._circuits[name] for name in sorted(self._circuits)]

    async def counts(self, times: bool = True) -> Counts:  # noqa: ARG002
        """How much of everything there is."""
        deliveries: dict[str, dict[State, int]] = {}
        oldest: dict[str, tuple[str, int]] = {}
        for delivery in self._deliveries.values():
            states = deliveries.setdefault(delivery.destination, {})
            states[delivery.state] = states.get(delivery.state, 0) + 1
            if delivery.state in _WAITING:
                first = (delivery.id, delivery.received_at_ms)
                oldest[delivery.destination] = min(oldest.get(delivery.destination, first), first)
        sources = Counter(event.source for event in self._events.values())
        next_due: dict[str, int] = {}
        for (name, _), entries in self._due.items():
            if entries:
                next_due[name] = min(next_due.get(name, entries[0][0]), entries[0][0])
        return Counts(
            events=len(self._events),
            unrouted=sum(not ids for ids in self._delivery_ids_of.values()),
            deliveries=deliveries,
            oldest_waiting_at_ms=min((at_ms for _, at_ms in oldest.values()), default=None),
            sources=sources,
            oldest_waiting={name: at_ms for name, (_, at_ms) in oldest.items()},
            next_due=next_due,
        )

    async def recount(self, after: str | None = None) -> Recount:  # noqa: ARG002
        """Nothing is kept here that could be wrong: `counts` counts."""
        return Recount(None)

    def _event_fits(self, event_id: str, wanted: EventFilter) -> bool:
        event = self._events[event_id]
        return (
            wanted.fits(event)
            and (wanted.contains is None or wanted.contains in event.body)
            and not (wanted.unrouted and self._delivery_ids_of[event_id])
        )

    def _delivery_fits(self, delivery: Delivery, wanted: DeliveryFilter) -> bool:
        return (
            wanted.fits(delivery)
            and wanted.held in (None, self._is_held(delivery))
            and (wanted.contains is None or wanted.contains in self._events[delivery.event_id].body)
        )

    def _is_held(self, delivery: Delivery) -> bool:
        """Whether another of its key goes first."""
        if delivery.state is not State.SCHEDULED or delivery.lane is None:
            return False
        free = self._free.get((delivery.destination, delivery.lane))
        return free is None or free.id != delivery.id


def _group(
    destination: str,
    reason: DeadReason,
    status: int | None,
    error: str,
    dead: Sequence[Delivery],
    over: TimeSteps | None,
) -> DeadGroup:
    ended = sorted(((each.ended_at_ms or 0, each.id) for each in dead), reverse=True)
    keys = {each.key for each in dead} - {None}
    sample = tuple(id_ for _, id_ in ended[:SAMPLE])
    over_time = over.counts(at_ms for at_ms, _ in ended) if over else ()
    times = ended[-1][0], ended[0][0]
    return DeadGroup(destination, reason, status, error, len(dead), len(keys), *times, sample, over_time)


def _list(ids: list[str], page: Page, fits: Callable[[str], bool], row: Callable[[str], T]) -> Listing[T]:
    until_s = time.monotonic() + page.patience_ms / 1000
    shown: list[str] = []
    last = page.after
    for number, id_ in enumerate(_walk(ids, page), 1):
        if len(shown) == page.limit and fits(id_):
            return Listing(tuple(map(row, shown)), shown[-1])
        if len(shown) < page.limit and fits(id_):
            shown.append(id_)
        last = id_
        if number % LOOK_EVERY == 0 and time.monotonic() >= until_s:
            return Listing(tuple(map(row, shown)), last, id_ms(last))
    return Listing(tuple(map(row, shown)), None)


def _walk(ids: list[str], page: Page) -> Iterable[str]:
    """The sorted ids in the page's direction, from behind its cursor."""
    if page.newest_first:
        end = len(ids) if page.after is None else bisect_left(ids, page.after)
        return (ids[i] for i in range(end - 1, -1, -1))
    start = 0 if page.after is None else bisect_right(ids, page.after)
    return (ids[i] for i in range(start, len(ids)))
