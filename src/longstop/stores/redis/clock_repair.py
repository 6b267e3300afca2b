"""Mending what a clock that was ahead has left: found by reading, written where it stands yet."""

from collections.abc import AsyncIterator
from dataclasses import replace

from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.packing import pack, pack_delivery, to_delivery

Change = tuple[str, bytes, bytes]
"""A delivery's id, its row as it was seen, and as it is to be."""


async def repair_deliveries(database: RedisDatabase, repair: ClockRepair) -> int:
    """Scheduled ones, and leases; how many there were."""
    changes = [change async for change in _leases(database, repair)]
    found = len(changes)
    async for change in _waiting(database, repair):
        changes.append(change)
        if len(changes) - found >= REPAIRS_MAX:
            break
    if not changes:
        return 0
    (changed,) = await database.call("repair_deliveries", pack(changes))
    return int(changed)


async def repair_dedup(database: RedisDatabase, repair: ClockRepair) -> int:
    """Dedup keys, where the repair is thorough; how many there were."""
    if not repair.thorough:
        return 0
    (changed,) = await database.call("repair_dedup", repair.now_ms + repair.dedup_ms, REPAIRS_MAX)
    return int(changed)


async def _leases(database: RedisDatabase, repair: ClockRepair) -> AsyncIterator[Change]:
    latest_ms = repair.now_ms + repair.lease_ms
    for row in await database.ask("leased_after", latest_ms, REPAIRS_MAX):
        delivery = to_delivery(row)
        yield delivery.id, row, pack_delivery(replace(delivery, lease_until_ms=latest_ms))


async def _waiting(database: RedisDatabase, repair: ClockRepair) -> AsyncIterator[Change]:
    for destination, wait_ms in repair.waits.items():
        for which in ("untried", "tried", "held") if repair.thorough else ("untried", "tried"):
            async for row in _due_after(database, destination, which, repair.now_ms + wait_ms):
                delivery = to_delivery(row)
                repaired = repair.repaired(delivery)
                if repaired is not None:
                    yield delivery.id, row, pack_delivery(repaired)


async def _due_after(database: RedisDatabase, destination: str, which: str, after_ms: int) -> AsyncIterator[bytes]:
    skip = 0
    while True:
        rows = await database.ask("due_after", destination, which, after_ms, skip, REPAIRS_MAX)
        for row in rows:
            yield row
        if len(rows) < REPAIRS_MAX:
            return
        skip += REPAIRS_MAX
