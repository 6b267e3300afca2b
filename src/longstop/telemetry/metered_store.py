"""A store that tells the meter what passes through it: telemetry at the ports' boundary, once an operation."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import Delivery
from longstop.model.errors import LeaseLostError, StoreUnavailableError
from longstop.model.event import Receipt
from longstop.model.handler import Transaction
from longstop.model.job import Job, JobStep
from longstop.model.lease import LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.ports import Store, Transactions
from longstop.telemetry.meter import Meter

T = TypeVar("T")


def metered(store: Store, meter: Meter) -> Store:
    """The same store, with its operations counted and timed."""
    return cast(Store, _MeteredStore(store, meter))


def metered_transactions(transactions: Transactions, meter: Meter) -> Transactions:
    """The same for a store whose transactions can hold a handler's writes."""
    return _MeteredTransactions(transactions, meter)


class _Timed:
    """Times what is awaited by the event loop's own clock, so that it is virtual where that is."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def _timed(self, operation: str, work: Awaitable[T]) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            result = await work
        except StoreUnavailableError:
            self._meter.failed(operation)
            raise
        self._meter.took(operation, loop.time() - began)
        return result


class _MeteredStore(_Timed):
    """What is not named here goes to the store itself: people's questions are many, and few."""

    def __init__(self, store: Store, meter: Meter) -> None:
        super().__init__(meter)
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox."""
        # As `_timed` does it, and without its call: this is on every request's way.
        meter, time = self._meter, asyncio.get_running_loop().time
        began = time()
        try:
            receipts = await self._store.append(appends)
        except StoreUnavailableError:
            meter.failed("append")
            raise
        meter.took("append", time() - began)
        meter.sizes["append"].add(len(appends))
        meter.appended(appends, receipts)
        return receipts

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """See ports.Inbox."""
        return await self._timed("lease", self._store.lease(request))

    async def extend(self, leases: Sequence[LeaseRef], until_ms: int) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        results = await self._timed("extend", self._store.extend(leases, until_ms))
        self._meter.extended(results)
        return results

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        """See ports.Inbox."""
        results = await self._timed("settle", self._store.settle(settlements))
        self._meter.sizes["settle"].add(len(settlements))
        self._meter.settled(settlements, results)
        return results

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Decisions."""
        results = await self._timed("act", self._store.act(actions))
        self._meter.acted(actions, results)
        return results

    async def advance_job(self, step: JobStep) -> Job | None:
        """See ports.Jobs."""
        job = await self._timed("advance_job", self._store.advance_job(step))
        self._meter.advanced(step, job)
        return job


class _MeteredTransactions(_Timed):
    def __init__(self, transactions: Transactions, meter: Meter) -> None:
        super().__init__(meter)
        self._transactions = transactions

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """See ports.Transactions. How long it takes is the handler's own time, and so not the store's latency."""
        settlements: list[Settlement] = []

        def kept() -> Settlement:
            settlements.append(done())
            return settlements[-1]

        try:
            lost = await self._transactions.settle_with(lease, work, kept, timeout_s)
        except StoreUnavailableError:
            self._meter.failed("settle")
            raise
        if lost is not None:
            self._meter.lost += 1
        else:
            self._meter.settled(settlements[-1:], [None])
        return lost
