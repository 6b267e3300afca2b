"""A store in plain dicts: for tests, for simulations and for embedding where losing everything on exit is fine.

It keeps every promise of the ports but the one about the disk. No method awaits anything between its first
change and its last, so each batch is one step of the event loop: all or nothing, and no other caller sees half.
"""

import asyncio
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from typing import TypeVar

from longstop.model.action import Action, ActionRecord, Edit, Pause
from longstop.model.append import Append
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.delivery import Attempt, DeadReason, Delivery, State
from longstop.model.error_group import group_of, says
from longstop.model.errors import LeaseLostError, TransitionError
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.ids import END_CHARS, id_ms
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
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
)
from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.model.recent import Recent
from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent, event_may_go
from longstop.stores.memory_rejections import MemoryRejections

T = TypeVar("T")

_WAITING = frozenset({State.SCHEDULED, State.LEASED})
_IN_LANE = frozenset({State.SCHEDULED, State.LEASED, State.DEAD})

SAMPLE = 5
"""How many ids a group of the dead shows."""
_FOR_EVER_MS = 10**12
LOOK_EVERY = 64
"""After so many rows a search looks at the time."""


class MemoryStore(MemoryRejections):
    """Implements `ports.Store` within one process and one event loop. What it holds lasts as long as the object.

    Leasing costs a binary search and a move of pointers, whatever the backlog; listings and counts walk all
    there is.
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
        self._dedup: dict[tuple[str, bytes], tuple[str, int]] = {}
        """(source, key) to the first event's id and the end of its window (exclusive)."""
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
        self._nodes: dict[str, Node] = {}
        self._pauses: dict[str, Pause] = {}
        self._circuits: dict[str, Circuit] = {}
        self._lived_ms: int | None = None
        self._enlisted = False
        """Something was put into `_due` since the last wake."""
        self._wakes: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Nothing to do: it is open from the start."""

    async def close(self) -> None:
        """Nothing to do. What is kept stays, so that a simulated restart can go on with the same object."""

    def ready(self) -> bool:
        """Always."""
        return True

    # -- Inbox ----------------------------------------------------------------------------------

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """Keep events with their deliveries. Raises ValueError where an id is taken; then nothing is kept."""
        self._refuse_taken_ids(appends)
        receipts = [self._append_one(append) for append in appends]
        self._wake_if_enlisted()
        return receipts

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """Claim what is due for the destinations that have room."""
        request = replace(request, room={name: n for name, n in request.room.items() if name not in self._pauses})
        chosen = sorted(entry for name, room in request.room.items() for entry in self._choose(name, request, room))
        claims = tuple(self._lease_one(delivery_id, request) for _, delivery_id in chosen)
        opened = {name: self._circuits[name] for name in request.room if name in self._circuits}
        return LeaseBatch(claims, self._next_due_at_ms(request), opened)

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """Hold leases until a later time."""
        return [self._extend_one(lease, until_ms) for lease in leases]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """End leases whose token is still the delivery's."""
        results = [self._settle_one(settlement) for settlement in settlements]
        self._wake_if_enlisted()
        return results

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """Leases that have run out, the longest first."""
        over = [
            (delivery.lease_until_ms, delivery.id)
            for delivery in map(self._deliveries.__getitem__, self._leased)
            if delivery.lease_until_ms is not None and delivery.lease_until_ms <= now_ms
        ]
        return [self._deliveries[delivery_id] for _, delivery_id in sorted(over)[:limit]]

    async def repair_clock(self, repair: ClockRepair) -> int:
        """Mend what a clock that was ahead has left behind."""
        latest_ms = repair.now_ms + repair.lease_ms
        over_long = [each for each in map(self._deliveries.__getitem__, self._leased) if _ends(each) > latest_ms]
        mended = [replace(each, lease_until_ms=latest_ms) for each in over_long]
        waiting = (each for each in self._deliveries.values() if each.state is State.SCHEDULED)
        known = (each for each in waiting if each.destination in repair.waits)
        visible = (each for each in known if repair.thorough or each.lane is None or self._is_free(each))
        mended += filter(None, map(repair.repaired, visible))
        for delivery in mended[:REPAIRS_MAX]:
            self._put(delivery)
        self._wake_if_enlisted()
        return len(mended[:REPAIRS_MAX]) + self._repair_circuits(repair) + self._repair_dedup(repair)

    def _is_free(self, delivery: Delivery) -> bool:
        return self._free.get((delivery.destination, str(delivery.lane))) == delivery

    def _repair_circuits(self, repair: ClockRepair) -> int:
        mended = [circuit for circuit in map(repair.repaired_circuit, self._circuits.values()) if circuit is not None]
        self._circuits.update((circuit.destination, circuit) for circuit in mended)
        return len(mended)

    def _repair_dedup(self, repair: ClockRepair) -> int:
        latest_ms = repair.now_ms + repair.dedup_ms
        over_long = [key for key, (_, until_ms) in self._dedup.items() if repair.thorough and until_ms > latest_ms]
        self._dedup.update((key, (self._dedup[key][0], latest_ms)) for key in over_long)
        return len(over_long)

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """Put a circuit in place of the one of this version."""
        kept = self._circuits.get(destination)
        if (kept.version if kept else 0) != version:
            return False
        if circuit is None:
            self._circuits.pop(destination, None)
        else:
            self._circuits[destination] = circuit
        self._enlisted = True
        self._wake_if_enlisted()
        return True

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Call `wake` soon after a delivery became scheduled, or the first of its lane."""
        self._wakes.append(wake)

    # -- Ledger ---------------------------------------------------------------------------------

    async def event(self, event_id: str) -> KeptEvent | None:
        """An event with its deliveries."""
        return self._kept(event_id) if event_id in self._events else None

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """A delivery."""
        return self._deliveries.get(delivery_id)

    async def history(self, delivery_id: str) -> History:
        """The attempts and actions of a delivery."""
        return History(
            tuple(self._attempts.get(delivery_id, ())),
            tuple(self._actions.get(delivery_id, ())),
        )

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """One page of events."""
        page = page if wanted.contains is not None else replace(page, patience_ms=_FOR_EVER_MS)
        return _list(self._event_ids, page, lambda id_: self._event_fits(id_, wanted), self._kept)

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """One page of deliveries."""
        page = page if wanted.contains is not None else replace(page, patience_ms=_FOR_EVER_MS)
        return _list(
            self._delivery_ids,
            page,
            lambda id_: self._delivery_fits(self._deliveries[id_], wanted),
            self._deliveries.__getitem__,
        )

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """Carry out people's decisions."""
        results = [self._act_one(action) for action in actions]
        self._wake_if_enlisted()
        return results

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """Keep an event in the place of another one."""
        self._refuse_taken_ids([append])
        self._keep(append)
        self._edits[edit.event_id] = edit
        for id_ in delivery_ids:
            if id_ in self._deliveries:
                self._put(replace(self._deliveries[id_], replaced_by=edit.event_id))
        self._wake_if_enlisted()

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """What a held delivery waits for."""
        held = self._deliveries.get(delivery_id)
        if held is None or held.lane is None or held.state is not State.SCHEDULED:
            return None
        place = (held.destination, held.lane)
        leased = (each for each in map(self._deliveries.__getitem__, self._leased) if _place(each) == place)
        first = next(leased, None) or self._deliveries[self._lanes[place][0]]
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

    async def beat(self, node: Node) -> None:
        """Note that a process is there."""
        self._nodes[node.name] = node
        oldest_ms = node.seen_at_ms - FORGOTTEN_AFTER_MS
        self._nodes = {name: each for name, each in self._nodes.items() if each.seen_at_ms >= oldest_ms}

    async def leave(self, name: str) -> None:
        """Note that a process has ended."""
        self._nodes.pop(name, None)

    async def nodes(self) -> Sequence[Node]:
        """The processes that are there."""
        return [self._nodes[name] for name in sorted(self._nodes)]

    async def pause(self, pause: Pause) -> bool:
        """Let nothing more be leased for a destination."""
        earlier = self._pauses.get(pause.destination)
        self._pauses[pause.destination] = pause if earlier is None else replace(pause, at_ms=earlier.at_ms)
        return earlier is None

    async def resume(self, destination: str) -> bool:
        """End a destination's pause."""
        ended = self._pauses.pop(destination, None) is not None
        self._enlisted |= ended
        self._wake_if_enlisted()
        return ended

    async def pauses(self) -> Sequence[Pause]:
        """The destinations that are paused."""
        return [self._pauses[name] for name in sorted(self._pauses)]

    async def circuits(self) -> Sequence[Circuit]:
        """The circuits that are open."""
        return [self._circuits[name] for name in sorted(self._circuits)]

    async def counts(self) -> Counts:
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

    async def dead_groups(self, destination: str | None = None, limit: int = 100) -> Sequence[DeadGroup]:
        """What is dead, by what it died of."""
        groups: dict[tuple[str, DeadReason, int | None, str], list[Delivery]] = {}
        for each in self._deliveries.values():
            if each.state is State.DEAD and each.reason and destination in (None, each.destination):
                of_group = (each.destination, each.reason, each.last_status, group_of(each.last_error))
                groups.setdefault(of_group, []).append(each)
        made = [_group(*of_group, dead) for of_group, dead in groups.items()]
        return sorted(made, key=lambda group: -group.count)[:limit]

    async def recount(self, after: str | None = None) -> Recount:  # noqa: ARG002
        """Nothing is kept here that could be wrong: `counts` counts."""
        return Recount(None)

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
        found = [self._kept(id_) for id_ in event_ids if id_ in self._events]
        return [WholeEvent(kept, tuple([await self.history(each.id) for each in kept.deliveries])) for kept in found]

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """Forget those that may still go."""
        going = [id_ for id_ in dict.fromkeys(event_ids) if id_ in self._events and self._may_go(id_, before)]
        for id_ in going:
            self._forget(id_)
        return len(going)

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

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """Events with old attempts."""
        old = (each for each in self._deliveries.values() if self._old_attempts(each, before_ms))
        return _step([(each.ended_at_ms or 0, each.event_id) for each in old], after, limit, lambda _: True)

    def _old_attempts(self, delivery: Delivery, before_ms: int) -> list[Attempt]:
        if delivery.ended_at_ms is None or delivery.ended_at_ms >= before_ms:
            return []
        return [each for each in self._attempts.get(delivery.id, ()) if each.started_at_ms < before_ms]

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
        over = [key for key, (_, until_ms) in self._dedup.items() if until_ms <= now_ms]
        for key in over:
            del self._dedup[key]
        return len(over)

    # -- appending ------------------------------------------------------------------------------

    def _refuse_taken_ids(self, appends: Sequence[Append]) -> None:
        # Overwriting an event would lose it silently; a simulation had better hear of its ids.
        ids = [append.event.id for append in appends] + [d.id for append in appends for d in append.deliveries]
        if len(set(ids)) < len(ids) or any(id_ in self._events or id_ in self._deliveries for id_ in ids):
            raise ValueError("an event or delivery id in this batch is used twice or is already kept")

    def _append_one(self, append: Append) -> Receipt:
        event = append.event
        first = self._first_of(event)
        if first is not None:
            # The first may have been forgotten while its window lasts.
            if first in self._redeliveries:
                self._redeliveries[first] += 1
            return Receipt(ReceiptStatus.DUPLICATE, first)
        if event.dedup is not None:
            self._dedup[event.source, event.dedup] = (event.id, append.dedup_until_ms)
        self._keep(append)
        return Receipt(ReceiptStatus.ACCEPTED, event.id)

    def _first_of(self, event: Event) -> str | None:
        """The kept event of which this one is a duplicate."""
        if event.dedup is None:
            return None
        first, until_ms = self._dedup.get((event.source, event.dedup), (None, 0))
        return first if event.received_at_ms < until_ms else None

    def _keep(self, append: Append) -> None:
        event_id = append.event.id
        self._events[event_id] = append.event
        self._redeliveries[event_id] = 0
        self._delivery_ids_of[event_id] = sorted(delivery.id for delivery in append.deliveries)
        insort(self._event_ids, event_id)
        for delivery in append.deliveries:
            insort(self._delivery_ids, delivery.id)
            self._put(delivery)

    # -- leases ---------------------------------------------------------------------------------

    def _choose(self, destination: str, request: LeaseRequest, room: int) -> list[tuple[int, str]]:
        """What to lease: what is due; of an open circuit a probe, if its time has come, and what has expired."""
        circuit = self._circuits.get(destination)
        if circuit is None:
            return self._due_entries(destination, request, room)
        expiring = self._expiring.get(destination, [])
        over = {id_ for _, id_ in expiring[: bisect_left(expiring, (request.over_ms + 1, ""))]}
        chosen = [(self._deliveries[id_].due_at_ms, id_) for id_ in over][:room]
        probe = self._probe(destination, circuit, request.now_ms, over)
        if probe is not None and circuit.probe_at_ms <= request.now_ms:
            chosen.append((probe.due_at_ms, probe.id))
            self._circuits[destination] = circuit.probed(request.now_ms, probe.key)
        return chosen

    def _probe(self, destination: str, circuit: Circuit, now_ms: int, over: Container[str]) -> Delivery | None:
        """What finds out best whether the destination is back."""
        due = self._are_due(destination, False, now_ms)
        ids = (id_ for _, id_ in (reversed(due) if circuit.newest_first else due) if id_ not in over)
        untried = [self._deliveries[id_] for id_ in islice(ids, PROBE_CANDIDATES)]
        if untried:
            return circuit.probe(untried)
        tried = (self._deliveries[id_] for _, id_ in self._are_due(destination, True, now_ms) if id_ not in over)
        return min(tried, key=lambda each: (each.tries, each.due_at_ms, each.id), default=None)

    def _are_due(self, destination: str, tried: bool, now_ms: int) -> list[tuple[int, str]]:
        scheduled = self._due.get((destination, tried), [])
        return scheduled[: bisect_left(scheduled, (now_ms + 1, ""))]

    def _due_entries(self, destination: str, request: LeaseRequest, room: int) -> list[tuple[int, str]]:
        """As much as there is room for, in turns: what was never tried, and what was."""
        untried = self._are_due(destination, False, request.now_ms)[:room]
        tried = self._are_due(destination, True, request.now_ms)[: min(room, request.retries.get(destination, room))]
        pair = (tried, untried) if destination in request.retries_first else (untried, tried)
        turns = chain.from_iterable(zip_longest(*pair))
        return list(islice((entry for entry in turns if entry is not None), room))

    def _lease_one(self, delivery_id: str, request: LeaseRequest) -> Claim:
        delivery = self._deliveries[delivery_id].leased(request.worker, request.now_ms, request.until_ms)
        self._put(delivery)
        return Claim(delivery, self._events[delivery.event_id])

    def _next_due_at_ms(self, request: LeaseRequest) -> int | None:
        future = []
        for name in request.room:
            circuit = self._circuits.get(name)
            if circuit is not None and circuit.probe_at_ms > request.now_ms:
                future.append((circuit.probe_at_ms, ""))
                continue
            for tried in (False, True):
                scheduled = self._due.get((name, tried), [])
                # What is due already and found no room is not worth asking for again until there is room.
                later = bisect_left(scheduled, (request.now_ms + 1, ""))
                future += scheduled[later : later + 1]
        return min(future)[0] if future else None

    def _held(self, delivery_id: str, token: int) -> Delivery | None:
        """The delivery, if this token still holds it."""
        delivery = self._deliveries.get(delivery_id)
        holds = delivery is not None and delivery.state is State.LEASED and delivery.token == token
        return delivery if holds else None

    def _extend_one(self, lease: LeaseRef, until_ms: int) -> LeaseLostError | None:
        held = self._held(lease.delivery_id, lease.token)
        if held is None:
            return LeaseLostError(lease.delivery_id, lease.token)
        self._put(replace(held, lease_until_ms=until_ms))
        return None

    def _settle_one(self, settlement: Settlement) -> LeaseLostError | None:
        settled = settlement.delivery
        held = self._held(settled.id, settled.token)
        if held is None:
            return LeaseLostError(settled.id, settled.token)
        self._put(replace(settled, replaced_by=held.replaced_by))
        if settlement.attempt is not None:
            self._attempts.setdefault(settled.id, []).append(settlement.attempt)
        return None

    # -- people ---------------------------------------------------------------------------------

    def _act_one(self, action: Action) -> Delivery | None:
        delivery = self._deliveries.get(action.delivery_id)
        if delivery is None:
            return None
        try:
            changed = delivery.after(action.transition)
        except TransitionError:
            return None
        self._put(changed)
        record = ActionRecord(action.transition.trigger, action.transition.at_ms, action.by, action.why)
        self._actions.setdefault(delivery.id, []).append(record)
        return changed

    def _kept(self, event_id: str) -> KeptEvent:
        deliveries = tuple(self._deliveries[id_] for id_ in self._delivery_ids_of[event_id])
        edits = sorted((each for each in self._edits.values() if each.parent == event_id), key=lambda e: e.event_id)
        made_by = self._edits.get(event_id)
        return KeptEvent(self._events[event_id], self._redeliveries[event_id], deliveries, made_by, tuple(edits))

    def _event_fits(self, event_id: str, wanted: EventFilter) -> bool:
        event = self._events[event_id]
        return (
            wanted.source in (None, event.source)
            and wanted.type in (None, event.type)
            and wanted.key in (None, event.key)
            and _within(event.received_at_ms, wanted.since_ms, wanted.until_ms)
            and (wanted.contains is None or wanted.contains in event.body)
            and not (wanted.unrouted and self._delivery_ids_of[event_id])
        )

    def _delivery_fits(self, delivery: Delivery, wanted: DeliveryFilter) -> bool:
        return (
            wanted.state in (None, delivery.state)
            and wanted.source in (None, delivery.source)
            and wanted.destination in (None, delivery.destination)
            and wanted.type in (None, delivery.type)
            and wanted.key in (None, delivery.key)
            and wanted.reason in (None, delivery.reason)
            and wanted.status in (None, delivery.last_status)
            and (wanted.error is None or says(delivery.last_error, wanted.error))
            and wanted.held in (None, self._is_held(delivery))
            and _within(delivery.ended_at_ms, wanted.since_ms, wanted.until_ms)
            and _within(delivery.received_at_ms, wanted.received_since_ms, wanted.received_until_ms)
            and (wanted.contains is None or wanted.contains in self._events[delivery.event_id].body)
        )

    def _is_held(self, delivery: Delivery) -> bool:
        """Whether another of its key goes first."""
        if delivery.state is not State.SCHEDULED or delivery.lane is None:
            return False
        free = self._free.get((delivery.destination, delivery.lane))
        return free is None or free.id != delivery.id

    # -- one place that changes a delivery --------------------------------------------------------

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
        if not ids or any(lane == _place(self._deliveries[each]) for each in self._leased):
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


def _ends(delivery: Delivery) -> int:
    return delivery.lease_until_ms or 0


def _place(delivery: Delivery) -> tuple[str, str | None]:
    return (delivery.destination, delivery.lane)


def _within(at_ms: int | None, since_ms: int | None, until_ms: int | None) -> bool:
    if since_ms is None and until_ms is None:
        return True
    if at_ms is None:
        return False
    return (since_ms is None or since_ms <= at_ms) and (until_ms is None or at_ms < until_ms)


def _step(entries: list[tuple[int, str]], after: str | None, limit: int, may_go: Callable[[str], bool]) -> Forgettable:
    """The next few of what has ended, by when and by id; `after` is the last of the step before."""
    behind = sorted({entry for entry in entries if after is None or f"{entry[0]:020} {entry[1]}" > after})
    looked_at = behind[:limit]
    cursor = f"{looked_at[-1][0]:020} {looked_at[-1][1]}" if looked_at else after
    return Forgettable(tuple(id_ for _, id_ in looked_at if may_go(id_)), cursor, len(behind) > limit)


def _group(destination: str, reason: DeadReason, status: int | None, error: str, dead: Sequence[Delivery]) -> DeadGroup:
    ended = sorted(((each.ended_at_ms or 0, each.id) for each in dead), reverse=True)
    keys = {each.key for each in dead} - {None}
    sample = tuple(id_ for _, id_ in ended[:SAMPLE])
    return DeadGroup(destination, reason, status, error, len(dead), len(keys), ended[-1][0], ended[0][0], sample)


def _list(ids: list[str], page: Page, fits: Callable[[str], bool], row: Callable[[str], T]) -> Listing[T]:
    until_s = time.monotonic() + page.patience_ms / 1000
    shown: list[str] = []
    last = page.after
    for place, id_ in enumerate(_walk(ids, page), 1):
        if len(shown) == page.limit and fits(id_):
            return Listing(tuple(map(row, shown)), shown[-1])
        if len(shown) < page.limit and fits(id_):
            shown.append(id_)
        last = id_
        if place % LOOK_EVERY == 0 and time.monotonic() >= until_s:
            return Listing(tuple(map(row, shown)), last, id_ms(last))
    return Listing(tuple(map(row, shown)), None)


def _walk(ids: list[str], page: Page) -> Iterable[str]:
    """The sorted ids in the page's direction, from behind its cursor."""
    if page.newest_first:
        end = len(ids) if page.after is None else bisect_left(ids, page.after)
        return (ids[i] for i in range(end - 1, -1, -1))
    start = 0 if page.after is None else bisect_right(ids, page.after)
    return (ids[i] for i in range(start, len(ids)))
