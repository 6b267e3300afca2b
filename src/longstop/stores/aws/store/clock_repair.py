"""Mending what a clock that was ahead has left: found by reading, written where it stands so yet."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.delivery import Delivery, State
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Key, key_of
from longstop.stores.aws.deliveries import leased_until
from longstop.stores.aws.packing import to_delivery
from longstop.stores.aws.store.inbox import AwsInbox
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import read, readable
from longstop.stores.aws.walk import AwsWalk


class AwsClockRepair(AwsInbox, AwsWalk):
    """See ports.Inbox."""

    async def repair_clock(self, repair: ClockRepair) -> int:
        """See ports.Inbox."""
        found = await self._over_long_leases(repair) + await self._over_long_waits(repair)
        units = [self._mending(id_, repair) for id_ in found[:REPAIRS_MAX]]
        mended = sum(await self.units.run(units))
        circuits, _ = await self.standing()
        for circuit in circuits.values():
            repaired = repair.repaired_circuit(circuit)
            if repaired is not None:
                mended += await self.change_circuit(circuit.destination, circuit.version, repaired)
        return mended + (await self._mend_dedup(repair) if repair.thorough else 0)

    async def _over_long_leases(self, repair: ClockRepair) -> list[str]:
        latest_ms = repair.now_ms + repair.lease_ms
        rows = await self.of_shards("turn", leased_until(latest_ms + 1), "~~", REPAIRS_MAX)
        return [str(row["id"]) for row in rows]

    async def _over_long_waits(self, repair: ClockRepair) -> list[str]:
        found: list[str] = []
        for name, wait_ms in repair.waits.items():
            after = number(repair.now_ms + wait_ms + 1)
            for kind in "ut":
                rows = await self.of_shards("turn", f"{name}#{kind}#{after}", f"{name}#{kind}~", None)
                found += [row.id for row in readable(rows, to_delivery) if repair.repaired(row) is not None]
            if repair.thorough:
                found += await self._held_after(name, after, repair)
        return found

    async def _held_after(self, name: str, after: str, repair: ClockRepair) -> list[str]:
        index = "by_group_end"
        asked = (
            self.table.query(
                f"H#{name}#{shard}", after, index=index, names=keys.GLOBAL_INDEXES[index], consistent=False
            )
            for shard in self.keys.all_shards()
        )
        ids = [str(row["sk"]) for rows in await asyncio.gather(*asked) for row in rows]
        held = await self.kept_deliveries(ids)
        return [each.id for each in held.values() if each.state is State.SCHEDULED and repair.repaired(each)]

    def _mending(self, delivery_id: str, repair: ClockRepair) -> Callable[[View[bool]], Awaitable[bool]]:
        async def unit(view: View[bool]) -> bool:
            row = await view.get(self.keys.live(delivery_id))
            old = None if row is None else read(row, to_delivery)
            new = None if old is None else _mended(old, repair)
            if old is None or new is None:
                return False
            await self.deliveries.change(view, old, new)
            return True

        return unit

    async def _mend_dedup(self, repair: ClockRepair) -> int:
        latest_ms = repair.now_ms + repair.dedup_ms
        after: str | None = None
        over_long: list[Key] = []
        while len(over_long) < REPAIRS_MAX:
            rows = await self.dedup_rows(after, REPAIRS_MAX)
            over_long += [key_of(row) for row in rows if int(row["until_ms"]) > latest_ms]
            if len(rows) < REPAIRS_MAX:
                break
            after = str(rows[-1]["sk"])

        def mending(key: Key) -> Callable[[View[bool]], Awaitable[bool]]:
            async def unit(view: View[bool]) -> bool:
                kept = await view.get(key)
                if kept is None or int(kept["until_ms"]) <= latest_ms:
                    return False
                await view.put(kept | {"until_ms": latest_ms})
                return True

            return unit

        return sum(await self.units.run([mending(key) for key in over_long[:REPAIRS_MAX]]))


def _mended(delivery: Delivery, repair: ClockRepair) -> Delivery | None:
    if delivery.state is State.SCHEDULED:
        return repair.repaired(delivery) if delivery.destination in repair.waits else None
    latest_ms = repair.now_ms + repair.lease_ms
    over_long = (delivery.lease_until_ms or 0) > latest_ms
    return replace(delivery, lease_until_ms=latest_ms) if over_long else None
