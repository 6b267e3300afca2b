"""The way of every event: ports.Inbox over Redis."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import structlog

from longstop.model.append import Append
from longstop.model.breaker import PROBE_CANDIDATES, Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError, UnreadableRowError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.redis.clock_repair import repair_dedup, repair_deliveries
from longstop.stores.redis.packing import (
    items,
    pack,
    pack_attempt,
    pack_circuit,
    pack_delivery,
    to_circuit,
    to_delivery,
    to_event,
)
from longstop.stores.redis.parking import RedisParking
from longstop.stores.redis.reading import readable

log = structlog.get_logger("longstop.store")

CALL_EVENTS_MAX = 1_000
"""So many events go into one call: Lua has room for some thousands of arguments."""
CALL_BYTES_MAX = 16 * 2**20
"""So much of bodies goes into one call: the server takes at most 512 MB, and does nothing else while it is at it.
https://redis.io/docs/latest/develop/reference/clients/ (proto-max-bulk-len). Of what was kept of a batch whose later
calls failed nobody was told; the senders' next tries are its duplicates."""
Found = tuple[bytes, bytes | None, bytes | int | None]
"""A claim as the functions answer with it: the delivery's row, the event's head and body. Where others were large, 1
stands for a body that is to be asked for."""


class RedisInbox(RedisParking):
    """See ports.Inbox."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox."""
        apart = await self._put_bodies(appends)
        firsts: list[bytes] = []
        for some in _in_calls(appends, apart):
            firsts += await self.call("append", *items(some, apart))
        receipts = [_receipt(each.event.id, first) for each, first in zip(appends, firsts, strict=True)]
        kept = {each.event_id for each in receipts}
        await self._drop_bodies([name for id_, name in apart.items() if id_ not in kept])
        return receipts

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """See ports.Inbox."""
        asked = [
            (name, room, request.retries.get(name, room), name in request.retries_first)
            for name, room in request.room.items()
        ]
        await self._look_for_bodies()
        packed = pack((request.worker, request.now_ms, request.until_ms, request.over_ms, asked))
        found, places, unread = await self.call("lease", packed)
        for id_ in unread:
            await self._park_unread(id_.decode(), request.now_ms)
        claims = await self._claims(found, request.now_ms)
        circuits: dict[str, Circuit] = {}
        next_due: list[int] = []
        for kept, due_at_ms in places:
            next_at_ms = due_at_ms
            if kept:
                circuit, probe = await self._lease_probe(to_circuit(kept), kept, request)
                claims += probe
                circuits[circuit.destination] = circuit
                next_at_ms = circuit.probe_at_ms if circuit.probe_at_ms > request.now_ms else due_at_ms
            next_due += [next_at_ms] if next_at_ms >= 0 else []
        if len(claims) < len(found) or unread:
            # What was parked took others' room.
            next_due.append(request.now_ms)
        claims.sort(key=lambda claim: (claim.delivery.due_at_ms, claim.delivery.id))
        return LeaseBatch(tuple(claims), min(next_due, default=None), circuits)

    async def _lease_probe(self, circuit: Circuit, kept: bytes, request: LeaseRequest) -> tuple[Circuit, list[Claim]]:
        """The circuit as it is then, and the one delivery that finds out best whether the destination is back, if it
        is time for one."""
        if circuit.probe_at_ms > request.now_ms:
            return circuit, []
        place = (circuit.destination, request.now_ms)
        rows, unread = await self.ask("probes", *place, int(circuit.newest_first), PROBE_CANDIDATES)
        for id_ in unread:
            await self._park_unread(id_.decode(), request.now_ms)
        if not rows:
            return circuit, []
        candidates = [to_delivery(row) for row in rows]
        chosen = circuit.probe(candidates)
        probed = circuit.probed(request.now_ms, chosen.key)
        row = rows[candidates.index(chosen)]
        lease = (request.worker, request.now_ms, request.until_ms)
        packed = pack((*lease, circuit.destination, kept, pack_circuit(probed), chosen.id, row))
        found = await self.call("lease_probe", packed)
        return (probed if found else circuit), await self._claims(found, request.now_ms)

    async def _claims(self, found: Sequence[Found], now_ms: int) -> list[Claim]:
        """What was leased; of that, what cannot be read, or whose event cannot, is parked."""
        claims = []
        for row, head, kept in found:
            try:
                delivery = to_delivery(row)
                body = await self._asked_for(delivery) if isinstance(kept, int) else kept
                claims.append(Claim(delivery, to_event(head, await self._body(head, body))))
            except UnreadableRowError as error:
                await self._park(row, error, now_ms)
        return claims

    async def _asked_for(self, delivery: Delivery) -> bytes | None:
        body: bytes | None = await self._command("GET", f"{self._prefix}body:{delivery.event_id}")
        return body

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        held = await self.call("extend", pack(([(each.delivery_id, each.token) for each in leases], until_ms)))
        return [_lost(each.delivery_id, each.token, kept) for each, kept in zip(leases, held, strict=True)]

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        held = await self.call("settle", pack([_settlement(each) for each in settlements]))
        deliveries = [each.delivery for each in settlements]
        return [_lost(each.id, each.token, kept) for each, kept in zip(deliveries, held, strict=True)]

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """See ports.Inbox."""
        rows, unread = await self.ask("expired", now_ms, limit)
        for id_ in unread:
            await self._park_unread(id_.decode(), now_ms)
        read = [readable(to_delivery, row, "a delivery whose lease has run out") for row in rows]
        found = [each for each in read if each is not None]
        if astray := [each.id for each in found if each.state is not State.LEASED]:
            await self.call("put_right", pack(astray))
        return [each for each in found if each.state is State.LEASED]

    async def repair_clock(self, repair: ClockRepair) -> int:
        """See ports.Inbox."""
        repaired = await repair_deliveries(self, repair) + await repair_dedup(self, repair)
        for kept in (await self.pipeline(("HVALS", f"{self._prefix}circuits")))[0]:
            circuit = repair.repaired_circuit(to_circuit(kept))
            if circuit is not None:
                repaired += await self.change_circuit(circuit.destination, circuit.version - 1, circuit)
        return repaired

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """See ports.Inbox."""
        packed = b"" if circuit is None else pack_circuit(circuit)
        (changed,) = await self.call("change_circuit", destination, version, packed)
        return bool(changed)


def _in_calls(appends: Sequence[Append], apart: Collection[str]) -> Iterator[Sequence[Append]]:
    """All of them, as few at a time as keep a call below CALL_BYTES_MAX and CALL_EVENTS_MAX; mostly that is all."""
    start = size = 0
    for place, each in enumerate(appends):
        here = 0 if each.event.id in apart else len(each.event.body)
        size += here
        if (size > CALL_BYTES_MAX and place > start) or place - start == CALL_EVENTS_MAX:
            yield appends[start:place]
            start, size = place, here
    if appends:
        yield appends[start:]


def _receipt(event_id: str, first: bytes) -> Receipt:
    if first:
        return Receipt(ReceiptStatus.DUPLICATE, first.decode())
    return Receipt(ReceiptStatus.ACCEPTED, event_id)


def _lost(delivery_id: str, token: int, held: int) -> LeaseLostError | None:
    return None if held else LeaseLostError(delivery_id, token)


def _settlement(settlement: Settlement) -> tuple[bytes, bytes | bool, int]:
    delivery, attempt = settlement.delivery, settlement.attempt
    row = pack_delivery(delivery if delivery.replaced_by is None else replace(delivery, replaced_by=None))
    return (row, False, 0) if attempt is None else (row, pack_attempt(attempt), attempt.ended_at_ms)
