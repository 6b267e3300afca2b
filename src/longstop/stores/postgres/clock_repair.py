"""Mending what a clock that was ahead has left: found in a view, written where it stands yet."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.delivery import Delivery
from longstop.stores.postgres import circuits
from longstop.stores.postgres.rows import DELIVERY, each, to_delivery

_WAITING = f"""
    SELECT {DELIVERY} FROM queue q JOIN deliveries d ON d.id = q.id
    WHERE q.destination = $1 AND q.lease_until_ms IS NULL AND q.due_at_ms > $2
"""
_FREE = f"{_WAITING} AND NOT q.held AND q.tried = {{}} ORDER BY q.due_at_ms LIMIT {REPAIRS_MAX * 4}"
_HELD = f"{_WAITING} AND q.held ORDER BY q.id"
_QUERIES = (_FREE.format("false"), _FREE.format("true"))
_LEASES = "SELECT id, token FROM queue WHERE lease_until_ms > $1 ORDER BY lease_until_ms LIMIT $2"
_DEDUP = "SELECT digest FROM dedup WHERE until_ms > $1 LIMIT $2"
_MEND = """
    WITH mended AS (
        UPDATE queue q SET due_at_ms = $3, expires_at_ms = $5
        WHERE q.id = $1 AND q.token = $2 AND q.due_at_ms = $6 AND q.lease_until_ms IS NULL RETURNING q.id
    )
    UPDATE deliveries d SET due_at_ms = $3, round_at_ms = $4, expires_at_ms = $5 FROM mended WHERE d.id = mended.id
"""
_SHORTEN = "UPDATE queue SET lease_until_ms = $1 WHERE id = $2 AND token = $3 AND lease_until_ms IS NOT NULL"
_FORGET_BY = "UPDATE dedup SET until_ms = $1 WHERE digest = ANY($2::bytea[])"


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be mended."""

    deliveries: list[tuple[Delivery, int]]
    """As they are to be, with their `due_at_ms` until now."""
    leases: list[tuple[str, int]]
    circuits: list[Circuit]
    keys: list[bytes]

    @property
    def count(self) -> int:
        """How much there is."""
        return len(self.deliveries) + len(self.leases) + len(self.circuits) + len(self.keys)


async def find(connection: asyncpg.Connection, repair: ClockRepair) -> Found:
    """What is to be mended; reads only."""
    rows = await connection.fetch(_LEASES, repair.now_ms + repair.lease_ms, REPAIRS_MAX)
    opened = await circuits.circuits(connection)
    deliveries: list[tuple[Delivery, int]] = []
    async for found in _deliveries(connection, repair):
        deliveries.append(found)
        if len(deliveries) >= REPAIRS_MAX:
            break
    keys: list[bytes] = []
    if repair.thorough:
        late = await connection.fetch(_DEDUP, repair.now_ms + repair.dedup_ms, REPAIRS_MAX)
        keys = [row["digest"] for row in late]
    mended = [circuit for circuit in map(repair.repaired_circuit, opened) if circuit is not None]
    return Found(deliveries, [(row["id"], row["token"]) for row in rows], mended, keys)


async def _deliveries(connection: asyncpg.Connection, repair: ClockRepair) -> AsyncIterator[tuple[Delivery, int]]:
    for destination, wait_ms in repair.waits.items():
        for query in (*_QUERIES, _HELD) if repair.thorough else _QUERIES:
            async for row in connection.cursor(query, destination, repair.now_ms + wait_ms):
                for found in each([row], to_delivery):
                    repaired = repair.repaired(found)
                    if repaired is not None:
                        yield repaired, found.due_at_ms


async def mend(connection: asyncpg.Connection, repair: ClockRepair, found: Found) -> int:
    """Write it, within one transaction; how much there was."""
    for new, due_at_ms in sorted(found.deliveries, key=lambda item: item[0].id):
        values = (new.id, new.token, new.due_at_ms, new.round_at_ms, new.expires_at_ms, due_at_ms)
        await connection.execute(_MEND, *values)
    for id_, token in sorted(found.leases):
        await connection.execute(_SHORTEN, repair.now_ms + repair.lease_ms, id_, token)
    for circuit in found.circuits:
        await circuits.change(connection, circuit.destination, circuit.version - 1, circuit)
    if found.keys:
        await connection.execute(_FORGET_BY, repair.now_ms + repair.dedup_ms, found.keys)
    return found.count
