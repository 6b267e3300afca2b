"""The way of every event: ports.Inbox over DynamoDB."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from typing import Any

import structlog

from longstop.model.append import Append
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Attempt, DeadReason, Delivery, State, Transition, Trigger
from longstop.model.errors import LeaseLostError, StoreUnavailableError, UnreadableRowError
from longstop.model.event import Event, Receipt, ReceiptStatus
from longstop.model.id_times import IdTimes
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of
from longstop.stores.aws.deliveries import lane_head, lane_keys, leased_until
from longstop.stores.aws.line import AwsLine, Line
from longstop.stores.aws.packing import (
    pack_attempt,
    pack_circuit,
    pack_event,
    to_circuit,
    to_delivery,
)
from longstop.stores.aws.reading import AwsReading
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import read, tell_parked, trouble_of

RACES_MAX = 10
"""So often a lease looks for more where others have taken what it found."""
BODY_AGAIN_MS = 5_000
"""After that one whose body could not be had is leased again."""
UNREADABLE = "rows that cannot be read"
"""Who parks one that nobody has leased."""

log = structlog.get_logger("longstop.store")


class AwsInbox(AwsReading, AwsLine):
    """See ports.Inbox."""

    commits_at_once = 4
    _duplicates_lately = False

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox. Raises ValueError where an id is taken."""
        apart = await self.put_bodies(appends)
        units = [self._appending(each, apart.get(each.event.id)) for each in appends]
        needs = [key for each in appends if (key := _dedup_key(each.event)) is not None]
        heads = [lane_head(each) for append in appends for each in append.deliveries if each.lane is not None]
        # Few are sent twice. So a key is held to be new, which the transaction checks, and is not read before it;
        # but where some were just sent twice, others will be.
        seen: Mapping[Key, Item | None] = {} if self._duplicates_lately else dict.fromkeys(needs)
        receipts = await self.units.run(units, [*needs, *heads], seen, [keys.event(each.event.id) for each in appends])
        self._duplicates_lately = any(each.status is ReceiptStatus.DUPLICATE for each in receipts)
        kept = {each.event_id for each in receipts}
        await self.drop_bodies([name for id_, name in apart.items() if id_ not in kept])
        return receipts

    def _appending(self, append: Append, apart: str | None) -> Callable[[View[Receipt]], Awaitable[Receipt]]:
        event, key = append.event, _dedup_key(append.event)

        async def unit(view: View[Receipt]) -> Receipt:
            kept = None if key is None else await view.get(key)
            if kept is not None and event.received_at_ms < int(kept["until_ms"]):
                return await self._duplicate(view, event, str(kept["event_id"]))
            if view.again and await self.is_kept(view, append):
                return Receipt(ReceiptStatus.ACCEPTED, event.id)
            if event.dedup is not None:
                digest = dedup_digest(event.source, event.dedup)
                await view.put(self.dedup_item(DedupKey(digest, event.id, append.dedup_until_ms)))
            await self.keep(view, append, apart)
            return Receipt(ReceiptStatus.ACCEPTED, event.id)

        return unit

    async def _duplicate(self, view: View[Receipt], event: Event, first: str) -> Receipt:
        if first == event.id:
            # Kept by a try whose answer was lost.
            return Receipt(ReceiptStatus.ACCEPTED, event.id)
        # The first may have been forgotten while its window lasts.
        await view.bump(keys.event(first), "redeliveries")
        return Receipt(ReceiptStatus.DUPLICATE, first)

    async def keep(self, view: View[Any], append: Append, apart: str | None = None) -> None:
        """Keep an event with its deliveries. apart: the name of its body, where that lies in the bucket."""
        view.put_new(self.event_item(append, apart))
        await self.note_marks(view, lambda times: _with(times, append))
        view.count((keys.COUNTERS, f"e#{append.event.source}"), "n")
        if not append.deliveries:
            view.count((keys.COUNTERS, "u"), "n")
        for delivery in append.deliveries:
            await self.deliveries.change(view, None, delivery)

    def dedup_item(self, key: DedupKey) -> Item:
        """A dedup key's row."""
        partition, order = keys.dedup(key.digest)
        item: Item = {"pk": partition, "sk": order, "event_id": key.event_id, "until_ms": key.until_ms}
        return item | {"ttl": keys.ttl_after(key.until_ms)}

    async def is_kept(self, view: View[Receipt], append: Append) -> bool:
        """Whether it was kept by a try whose answer was lost. Raises ValueError where its id is another's."""
        kept = await view.head(keys.event(append.event.id))
        if kept is None:
            return False
        if kept["row"] != self.event_item(append)["row"]:
            raise ValueError(f"{append.event.id} is another event's id already")
        return True

    def event_item(self, append: Append, apart: str | None = None) -> Item:
        """An event's row."""
        event = append.event
        shard = self.keys.shard_of(event.id)
        partition, order = keys.event(event.id)
        ids = sorted(each.id for each in append.deliveries)
        item: Item = {"pk": partition, "sk": order, "id": event.id, "row": pack_event(event, ids)}
        item |= {"body": event.body} if apart is None else {"kept_in": apart}
        item["size"] = len(event.body)
        item["of_all"] = f"E#{shard}"
        item["of_source"] = f"E#{event.source}#{shard}"
        if event.type is not None:
            item["of_type"] = f"E#{keys.short(event.type)}#{shard}"
        if event.key is not None:
            item["of_key"] = f"E#{keys.short(event.key)}"
        if not ids:
            item["of_group"], item["at"] = f"U#{shard}", f"{number(event.received_at_ms)}#{event.id}"
        return item

    # -- leasing ------------------------------------------------------------------------------

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """See ports.Inbox."""
        circuits, paused = await self.standing()
        names = [name for name in request.room if name not in paused]
        opened = {name: circuits[name] for name in names if name in circuits}
        due = [name for name in names if name not in opened]
        leased, next_due = await self._lease_due(due, request)
        over = await asyncio.gather(*(self._expired_of(name, request) for name in opened))
        leased += await self._lease_rows([row for rows in over for row in rows], request)
        probed = [await self._lease_probe(circuit, request) for circuit in opened.values()]
        leased += [delivery for _, delivery in probed if delivery is not None]
        opened = {circuit.destination: circuit for circuit, _ in probed}
        next_due += [await self._next_of_open(circuit, request) for circuit in opened.values()]
        claims = await self._claims(leased, request.now_ms)
        return LeaseBatch(claims, min((each for each in next_due if each is not None), default=None), opened)

    async def _lease_due(self, names: Sequence[str], request: LeaseRequest) -> tuple[list[Delivery], list[int | None]]:
        """What is due of these destinations, and when each has more. Where others were quicker it is what is behind."""
        leased: list[Delivery] = []
        for _ in range(RACES_MAX):
            line = await self.whole_line() if names else ()
            parts = await asyncio.gather(*(self._due(line, name, request, leased) for name in names))
            rows = sorted((row for rows, _ in parts for row in rows), key=_turn)
            taken = await self._lease_rows(rows, request)
            leased += taken
            if len(taken) == len(rows):
                return leased, [due for _, due in parts]
        return leased, [request.now_ms]

    async def _due(
        self, whole: Line | None, name: str, request: LeaseRequest, leased: Sequence[Delivery]
    ) -> tuple[list[Item], int | None]:
        """What is to be leased of a destination beside what is already, and when the next is due that is not yet."""
        mine = [each for each in leased if each.destination == name]
        room = request.room[name] - len(mine)
        retries = min(room, request.retries.get(name, room) - sum(each.attempts > 0 for each in mine))
        # One more than asked for, whether they are due or not.
        wanted = (("u", max(0, room) + 1), ("t", max(0, retries) + 1))
        line = await asyncio.gather(*(self.in_line(whole, name, kind, limit) for kind, limit in wanted))
        untried, tried = ([row for row in rows if _due_at(row) <= request.now_ms] for rows in line)
        later = [_due_at(row) for rows in line for row in rows if _due_at(row) > request.now_ms]
        for (kind, limit), rows in zip(wanted, line, strict=True):
            if len(rows) == limit and _due_at(rows[-1]) <= request.now_ms:
                later += [_due_at(row) for row in await self.in_line(whole, name, kind, 1, request.now_ms)]
        tried = tried[: max(0, retries)]
        pair = (tried, untried) if name in request.retries_first else (untried, tried)
        turns = chain.from_iterable(zip_longest(*pair))
        return list(islice((row for row in turns if row is not None), max(0, room))), min(later, default=None)

    async def _lease_rows(self, rows: Sequence[Item], request: LeaseRequest) -> list[Delivery]:
        units = [self._leasing(key_of(row), request) for row in rows]
        # They are written only if they stand as they were found.
        seen: dict[Key, Item | None] = {key_of(row): row for row in rows}
        lanes = [
            (str(row["turn"]).partition("#")[0], str(row["lane"]), str(row["id"])) for row in rows if "lane" in row
        ]
        needs = [key for lane in lanes for key in lane_keys(*lane)]
        return _leased([each for each in await self.units.run(units, needs, seen) if each is not None])

    def _leasing(
        self, key: Key, request: LeaseRequest
    ) -> Callable[[View[Delivery | None]], Awaitable[Delivery | None]]:
        """A unit: lease one, or park it where it cannot be read."""

        async def unit(view: View[Delivery | None]) -> Delivery | None:
            row = await view.get(key)
            if row is None or str(row.get("turn", "~")).startswith("~"):
                return None
            try:
                old = in_line(row)
            except UnreadableRowError as error:
                return await self._park(view, row, error, request.now_ms)
            if old.due_at_ms > request.now_ms and (old.expires_at_ms or request.over_ms + 1) > request.over_ms:
                return None
            if not await self.deliveries.has_seat(view, old.destination):
                return None
            new = old.leased(request.worker, request.now_ms, request.until_ms)
            await self.deliveries.change(view, old, new)
            return new

        return unit

    async def _claims(self, leased: Sequence[Delivery], now_ms: int) -> tuple[Claim, ...]:
        found = await self.table.get([keys.event(each.event_id) for each in leased])
        made = await asyncio.gather(
            *(self._claim(each, found.get(keys.event(each.event_id)), now_ms) for each in leased)
        )
        claims = [each for each in made if each is not None]
        return tuple(sorted(claims, key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id)))

    async def _claim(self, leased: Delivery, item: Item | None, now_ms: int) -> Claim | None:
        """What was leased with its event. It is parked where that cannot be read, and given back where its body cannot
        be had just now: neither was a try."""
        try:
            if item is None:
                raise UnreadableRowError("an event", "it is not there")
            return Claim(leased, await self.event_of(item))
        except UnreadableRowError as error:
            parked = _parked(leased, error, now_ms)
            if await self._put_back(parked):
                tell_parked(parked)
        except StoreUnavailableError as error:
            log.warning("body_away", delivery_id=leased.id, event_id=leased.event_id, error=str(error))
            again = Transition(Trigger.RETRY, now_ms, due_at_ms=now_ms + BODY_AGAIN_MS)
            await self._put_back(leased.after(again))
        return None

    async def _put_back(self, delivery: Delivery) -> bool:
        """End a lease without a try; whether that was done. If not, it runs out, and the others do not wait for it."""
        with contextlib.suppress(StoreUnavailableError):
            return (await self.settle([Settlement(delivery)])) == [None]
        return False

    async def _park(self, view: View[Any], row: Item, error: UnreadableRowError, now_ms: int) -> Delivery:
        """Let a delivery that waits be dead of its own row."""
        old = await self.deliveries.read(view, row)
        parked = _parked(old, error, now_ms)
        await self.deliveries.change(view, old, parked)
        return parked

    async def _readable(self, rows: Sequence[Item], now_ms: int) -> list[tuple[Item, Delivery]]:
        """Those that can be read, with what they say. The others are parked."""
        found: list[tuple[Item, Delivery]] = []
        unread: list[Item] = []
        for row in rows:
            try:
                found.append((row, to_delivery(row)))
            except UnreadableRowError:
                unread.append(row)
        _leased([each for each in await self.units.run([self._parking(row, now_ms) for row in unread]) if each])
        return found

    def _parking(self, row: Item, now_ms: int) -> Callable[[View[Delivery | None]], Awaitable[Delivery | None]]:
        async def unit(view: View[Delivery | None]) -> Delivery | None:
            kept = await view.get(key_of(row))
            try:
                if kept is not None:
                    to_delivery(kept)
            except UnreadableRowError as error:
                return await self._park(view, kept or {}, error, now_ms)
            return None

        return unit

    # -- an open circuit ----------------------------------------------------------------------

    async def _expired_of(self, name: str, request: LeaseRequest) -> list[Item]:
        """What has expired: it will not be sent."""
        return await self.of_shards("expires", f"{name}#", f"{name}#{number(request.over_ms)}~", request.room[name])

    async def _next_of_open(self, circuit: Circuit, request: LeaseRequest) -> int | None:
        if circuit.probe_at_ms > request.now_ms:
            return circuit.probe_at_ms
        name, now_ms = circuit.destination, request.now_ms
        line = await asyncio.gather(*(self.in_line(None, name, kind, 1, now_ms) for kind in "ut"))
        return min((_due_at(row) for rows in line for row in rows), default=None)

    async def _lease_probe(self, circuit: Circuit, request: LeaseRequest) -> tuple[Circuit, Delivery | None]:
        """The circuit as it is then, and the delivery that finds out best whether the destination is back."""
        row = None if circuit.probe_at_ms > request.now_ms else await self._probe(circuit, request)
        if row is None:
            return circuit, None
        probed = circuit.probed(request.now_ms, to_delivery(row).key)
        leasing = self._leasing(key_of(row), request)

        async def unit(view: View[Delivery | None]) -> Delivery | None:
            if _version(await view.get(keys.circuit(circuit.destination))) != circuit.version:
                return None
            leased = await leasing(view)
            if leased is not None:
                await view.put(circuit_item(probed))
            return leased

        (leased,) = await self.units.run([unit])
        return (probed if leased else circuit), leased

    async def _probe(self, circuit: Circuit, request: LeaseRequest) -> Item | None:
        name, now = circuit.destination, number(request.now_ms)
        untried = await self.of_shards(
            "turn", f"{name}#u#", f"{name}#u#{now}~", PROBE_CANDIDATES, backward=circuit.newest_first
        )
        candidates = {each.id: (row, each) for row, each in await self._readable(untried, request.now_ms)}
        if candidates:
            return candidates[circuit.probe([each for _, each in candidates.values()]).id][0]
        # Those with the fewest tries first; of these the few that are not due are passed over.
        tried = await self._readable(await self.of_shards("tries", f"{name}#", f"{name}~", None), request.now_ms)
        return next((row for row, _ in tried if _due_at(row) <= request.now_ms), None)

    # -- the end of a lease -------------------------------------------------------------------

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        units = [self._extending(each, until_ms) for each in leases]
        return await self.units.run(units, [self.keys.live(each.delivery_id) for each in leases])

    def _extending(
        self, lease: LeaseRef, until_ms: int
    ) -> Callable[[View[LeaseLostError | None]], Awaitable[LeaseLostError | None]]:
        async def unit(view: View[LeaseLostError | None]) -> LeaseLostError | None:
            held = await self._held(view, lease)
            if held is None:
                return LeaseLostError(lease.delivery_id, lease.token)
            item = self.deliveries.live(replace(held, lease_until_ms=until_ms), listed=True)
            await view.put(item | await self.deliveries.seat(view, held.id))
            return None

        return unit

    async def _held(self, view: View[LeaseLostError | None], lease: LeaseRef) -> Delivery | None:
        """The delivery, if this token still holds it."""
        row = await view.get(self.keys.live(lease.delivery_id))
        # One that cannot be read comes back when its lease runs out, and is parked then.
        delivery = None if row is None else read(row, to_delivery)
        holds = delivery is not None and delivery.state is State.LEASED and delivery.token == lease.token
        return delivery if holds else None

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        units = [self._settling(each) for each in settlements]
        settled = [each.delivery for each in settlements]
        lanes = [(each.destination, each.lane, each.id) for each in settled if each.lane is not None]
        needs = [*(self.keys.live(each.id) for each in settled), *(key for lane in lanes for key in lane_keys(*lane))]
        return await self.units.run(units, needs)

    def _settling(
        self, settlement: Settlement
    ) -> Callable[[View[LeaseLostError | None]], Awaitable[LeaseLostError | None]]:
        settled = settlement.delivery
        lease = LeaseRef(settled.id, settled.token)

        async def unit(view: View[LeaseLostError | None]) -> LeaseLostError | None:
            held = await self._held(view, lease)
            if held is None:
                return LeaseLostError(lease.delivery_id, lease.token)
            await self.deliveries.change(view, held, replace(settled, replaced_by=held.replaced_by))
            await self.note_marks(
                view, lambda times: times.wider(settled.id, settled.received_at_ms, settled.ended_at_ms)
            )
            if settlement.attempt is not None:
                view.put_new(self.attempt_item(settled.id, settlement.attempt))
            return None

        return unit

    def attempt_item(self, delivery_id: str, attempt: Attempt) -> Item:
        """An attempt's row."""
        partition, order = keys.attempt(delivery_id, attempt.number)
        item: Item = {"pk": partition, "sk": order, "row": pack_attempt(attempt)}
        at = f"{number(attempt.ended_at_ms)}#{delivery_id}#{order}"
        return item | {"of_end": f"R#a#{self.keys.shard_of(delivery_id)}", "at": at}

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """See ports.Inbox."""
        rows = await self.of_shards("turn", leased_until(0), f"{leased_until(now_ms)}~", limit)
        return [each for _, each in await self._readable(rows, now_ms)]

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """See ports.Inbox."""

        async def unit(view: View[bool]) -> bool:
            kept = await view.get(keys.circuit(destination))
            if _version(kept) != version:
                return False
            if circuit is None:
                await view.drop(keys.circuit(destination))
            else:
                await view.put(circuit_item(circuit))
            return True

        (changed,) = await self.units.run([unit])
        if changed:
            self.wake()
        return changed


def circuit_item(circuit: Circuit) -> Item:
    """An open circuit's row."""
    partition, order = keys.circuit(circuit.destination)
    return {"pk": partition, "sk": order, "row": pack_circuit(circuit)}


def _version(item: Item | None) -> int:
    """Of a circuit; one that cannot be read is closed."""
    circuit = None if item is None else read(item, to_circuit)
    return 0 if circuit is None else circuit.version


def in_line(row: Item) -> Delivery:
    """The delivery of a row that stands in line. Raises UnreadableRowError."""
    delivery = to_delivery(row)
    if delivery.state is not State.SCHEDULED:
        raise UnreadableRowError("a delivery", f"it stands in line and is {delivery.state}")
    return delivery


def _parked(old: Delivery, error: UnreadableRowError, now_ms: int) -> Delivery:
    leased = old if old.state is State.LEASED else old.leased(UNREADABLE, now_ms, now_ms)
    dead = leased.after(Transition(Trigger.PARK, now_ms, reason=DeadReason.MALFORMED))
    return replace(dead, last_error=trouble_of(error))


def _leased(changed: Sequence[Delivery]) -> list[Delivery]:
    """Those that were leased; of those that were parked it is told."""
    for each in changed:
        if each.state is State.DEAD:
            tell_parked(each)
    return [each for each in changed if each.state is State.LEASED]


def _with(times: IdTimes, append: Append) -> IdTimes:
    times = times.wider(append.event.id, append.event.received_at_ms)
    for each in append.deliveries:
        times = times.wider(each.id, each.received_at_ms, each.ended_at_ms)
    return times


def _dedup_key(event: Event) -> Key | None:
    return None if event.dedup is None else keys.dedup(dedup_digest(event.source, event.dedup))


def _turn(row: Item) -> tuple[int, str]:
    return _due_at(row), str(row["sk"])


def _due_at(row: Item) -> int:
    """When a row in line is due: from its turn, unread. One that another program has written over is due now."""
    due = str(row["turn"]).split("#")[2:3]
    return int(due[0]) if due and due[0].isdigit() else 0
