"""The way of every event: ports.Inbox over PostgreSQL."""

from collections.abc import Callable, Sequence

from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError
from longstop.model.event import Receipt
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.stores.postgres import append_rows, circuits, clock_repair, lanes, transactions
from longstop.stores.postgres import leases as leasing
from longstop.stores.postgres import settlements as settling
from longstop.stores.postgres.database import PostgresDatabase
from longstop.stores.postgres.failures import AnswerLostError


class PostgresInbox(PostgresDatabase):
    """See ports.Inbox."""

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox."""
        try:
            receipts = await append_rows.append(self, appends)
        except AnswerLostError:
            # What it kept, if it did, it kept under the events' own ids.
            receipts = await append_rows.append(self, appends)
        scheduled = [each for item in appends for each in item.deliveries if each.state is State.SCHEDULED]
        if scheduled:
            self.floors.lower(scheduled)
            self._arrivals.arrived()
        return receipts

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """See ports.Inbox."""
        return await leasing.lease(self, request)

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        return await leasing.extend(self, leases, until_ms)

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        try:
            results = await settling.settle(self, settlements)
        except AnswerLostError:
            results = await settling.settle(self, settlements)
            results = await settling.settled_before(self, settlements, results)
        letting_go = [each.delivery for each in settlements if lanes.may_let_go(each.delivery)]
        if letting_go:
            self.floors.lower(letting_go)
            self._arrivals.arrived()
        return results

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """See ports.Transactions. `work` is called once, and `done` in the event loop."""
        try:
            await self.transact_once(
                lambda connection: transactions.settle_with(
                    connection, self._settings.schema, lease, work, done, timeout_s, self._handler_threads
                )
            )
        except transactions.LostError:
            return transactions.lost(lease)
        self.floors.forget()
        self._arrivals.arrived()
        return None

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """See ports.Inbox."""
        return await leasing.expired(self, now_ms, limit)

    async def repair_clock(self, repair: ClockRepair) -> int:
        """See ports.Inbox."""
        found = await self.view(lambda connection: clock_repair.find(connection, repair))
        if not found.count:
            return 0
        repaired = await self.transact(lambda connection: clock_repair.mend(connection, repair, found))
        self.floors.forget()
        self._arrivals.arrived()
        return repaired

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """See ports.Inbox."""
        changed = await self.transact(lambda connection: circuits.change(connection, destination, version, circuit))
        if changed:
            self.floors.forget()
            self._arrivals.arrived()
        return changed
