"""The way of every event: ports.Inbox and ports.Transactions over an SQLite file."""

from collections.abc import Callable, Sequence

from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError, UnreadableRowError
from longstop.model.event import Receipt
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.sqlite import (
    append_rows,
    circuits,
    clock_repair,
    inbox,
    lanes,
    transactions,
)
from longstop.stores.sqlite.database import Database


class SqliteInbox(Database):
    """See ports.Inbox."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox."""
        receipts = await self._writer.call(lambda connection: append_rows.append(connection, appends))
        self._written()
        if any(each.state is State.SCHEDULED for item in appends for each in item.deliveries):
            self._wake()
        return receipts

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """See ports.Inbox."""
        return await self._transact(lambda connection: inbox.lease(connection, request))

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        return await self._transact(lambda connection: inbox.extend(connection, leases, until_ms))

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        results = await self._transact(lambda connection: inbox.settle(connection, settlements))
        if any(lanes.may_let_go(each.delivery) for each in settlements):
            self._wake()
        return results

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """See ports.Inbox."""
        try:
            return await self._reader.call(lambda connection: inbox.expired(connection, now_ms, limit))
        except UnreadableRowError:
            await self._transact(lambda connection: inbox.park_expired(connection, now_ms, limit))
            return await self._reader.call(lambda connection: inbox.expired(connection, now_ms, limit))

    async def repair_clock(self, repair: ClockRepair) -> int:
        """See ports.Inbox."""
        found = await self._reader.call(lambda connection: clock_repair.find(connection, repair))
        if not any(found):
            return 0
        repaired = await self._transact(lambda connection: clock_repair.mend(connection, repair, found))
        self._wake()
        return repaired

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """See ports.Inbox."""
        changed = await self._transact(lambda connection: circuits.change(connection, destination, version, circuit))
        if changed:
            self._wake()
        return changed

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """See ports.Transactions. Nothing else is written meanwhile, so a handler had better be quick."""
        lost = await self._transact(
            lambda connection: transactions.settle_with(connection, lease, work, done, timeout_s)
        )
        self._wake()
        return lost
