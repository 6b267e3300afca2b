"""Appending, leasing, settling."""

from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest

from longstop.model.append import Append
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.memory.rows import MemoryRows


class MemoryInbox(MemoryRows):
    """The store as an Inbox."""

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

    commits_at_once = 1

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Call `wake` soon after a delivery became scheduled, or the first of its lane."""
        self._wakes.append(wake)

    def _append_one(self, append: Append) -> Receipt:
        event = append.event
        first = self._first_of(event)
        if first is not None:
            # The first may have been forgotten while its window lasts.
            if first in self._redeliveries:
                self._redeliveries[first] += 1
            return Receipt(ReceiptStatus.DUPLICATE, first)
        if event.dedup is not None:
            digest = dedup_digest(event.source, event.dedup)
            self._dedup[digest] = DedupKey(digest, event.id, append.dedup_until_ms)
        self._keep(append)
        return Receipt(ReceiptStatus.ACCEPTED, event.id)

    def _first_of(self, event: Event) -> str | None:
        """The kept event of which this one is a duplicate."""
        key = self._key_of(event)
        return key.event_id if key is not None and event.received_at_ms < key.until_ms else None

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

    def _is_free(self, delivery: Delivery) -> bool:
        return self._free.get((delivery.destination, str(delivery.lane))) == delivery

    def _repair_circuits(self, repair: ClockRepair) -> int:
        mended = [circuit for circuit in map(repair.repaired_circuit, self._circuits.values()) if circuit is not None]
        self._circuits.update((circuit.destination, circuit) for circuit in mended)
        return len(mended)

    def _repair_dedup(self, repair: ClockRepair) -> int:
        latest_ms = repair.now_ms + repair.dedup_ms
        over_long = [key for key in self._dedup.values() if repair.thorough and key.until_ms > latest_ms]
        self._dedup.update((key.digest, replace(key, until_ms=latest_ms)) for key in over_long)
        return len(over_long)


def _ends(delivery: Delivery) -> int:
    return delivery.lease_until_ms or 0
