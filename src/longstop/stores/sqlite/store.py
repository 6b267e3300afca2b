"""The store: the ports' methods, each a transaction on the writer's thread or a query on the reader's."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import apsw

from longstop.model.action import Action, Edit, Pause
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import Delivery, State
from longstop.model.errors import LeaseLostError, StoreUnavailableError
from longstop.model.event import Receipt
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseBatch, LeaseRef, LeaseRequest, Settlement
from longstop.model.listing import (
    BackedUp,
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
from longstop.model.node import Node
from longstop.model.recent import Recent
from longstop.model.rejection import HeldCount, HeldRequest, HoldSettings, Rejection, RejectionCount
from longstop.model.retention import Cutoffs, Forgettable, Kind, WholeEvent
from longstop.stores.sqlite import (
    append_rows,
    backup,
    circuits,
    clock_repair,
    counters,
    dead_groups,
    edits,
    inbox,
    lanes,
    ledger,
    lookups,
    nodes,
    recount,
    rejections,
    retention,
    schema,
    transactions,
)
from longstop.stores.sqlite.checkpoints import Checkpoints
from longstop.stores.sqlite.connection import ConnectionThread, T, Work, in_unsynced_transaction
from longstop.stores.sqlite.file_guard import FileGuard


class SqliteStore:
    """Inbox and Ledger in one SQLite file. Several processes may open it at once.

    watch_s: how often to look whether another process has written; None: never (one process only).
    threaded=False runs every statement in the event loop's own thread, for simulations.
    """

    def __init__(self, path: str | Path, *, watch_s: float | None = 0.02, threaded: bool = True) -> None:
        self._path = str(path)
        self._guard = FileGuard(self._path)
        self._threads: list[ConnectionThread] = []
        self._closing: set[asyncio.Future[None]] = set()
        self._writer = self._thread("writer", threaded, self._prepare)
        self._reader = self._thread("reader", threaded)
        # Searches have a thread of their own: what looks for expired leases, or counts, does not wait for them.
        self._searcher = self._thread("searcher", threaded)
        self._checkpoints = Checkpoints(self._thread("checkpoint", True), self._writer) if threaded else None
        self._watch_s = watch_s
        self._watch: asyncio.TimerHandle | None = None
        self._seen_version = 0
        self._wakes: list[Callable[[], None]] = []
        self._open = False

    def _prepare(self, connection: apsw.Connection) -> None:
        schema.prepare(connection, self._path)
        connection.execute(append_rows.SETUP)

    def _thread(
        self, name: str, threaded: bool, setup: Callable[[apsw.Connection], None] = lambda _: None
    ) -> ConnectionThread:
        made = ConnectionThread(
            self._path, f"longstop-{name}", self._guard, threaded=threaded, setup=setup, moved=self._let_go
        )
        self._threads.append(made)
        return made

    async def open(self) -> None:
        """Open or create the file and bring it to the newest schema."""
        try:
            # From here on: what this store finds when it opens is no arrival.
            self._seen_version = await self._writer.call(_data_version)
        except BaseException:
            await self._writer.disconnect()
            raise
        self._guard.may_create = False
        self._open = True

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if not self._open:
            return
        self._open = False
        if self._watch is not None:
            self._watch.cancel()
        if self._closing:
            await asyncio.wait(self._closing)
        if self._checkpoints is not None:
            await self._checkpoints.close()
        await self._searcher.close()
        await self._reader.close()
        await self._writer.close()

    def ready(self) -> bool:
        """See ports.Store. False while the file is not the one that the path names."""
        return self._open and not self._guard.lost

    def _let_go(self) -> None:
        """The file was lost: every connection is closed, so that all of them begin anew on what is there."""
        if self._closing or not self._guard.lost:
            return
        for thread in self._threads:
            closing = asyncio.ensure_future(thread.disconnect())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    # -- Inbox --------------------------------------------------------------------------------

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """See ports.Inbox."""
        receipts = await self._writer.call(lambda connection: inbox.append(connection, appends))
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

    async def expired(self, now_ms: int, limit: int) -> Sequence[Delivery]:
        """See ports.Inbox."""
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

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)
        if self._watch is None and self._watch_s is not None:
            self._watch_later()

    # -- Ledger -------------------------------------------------------------------------------

    async def event(self, event_id: str) -> KeptEvent | None:
        """See ports.Ledger."""
        return await self._reader.view(lambda connection: ledger.event(connection, event_id))

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """See ports.Ledger."""
        return await self._reader.view(lambda connection: ledger.delivery(connection, delivery_id))

    async def history(self, delivery_id: str) -> History:
        """See ports.Ledger."""
        return await self._reader.view(lambda connection: ledger.history(connection, delivery_id))

    async def find_events(self, wanted: EventFilter, page: Page) -> Listing[KeptEvent]:
        """See ports.Ledger."""
        return await self._searcher.view(lambda connection: ledger.events(connection, wanted, page))

    async def find_deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[Delivery]:
        """See ports.Ledger."""
        return await self._searcher.view(lambda connection: ledger.deliveries(connection, wanted, page))

    async def act(self, actions: Sequence[Action]) -> Sequence[Delivery | None]:
        """See ports.Ledger."""
        results = await self._transact(lambda connection: inbox.act(connection, actions))
        if any(each and lanes.may_let_go(each) for each in results):
            self._wake()
        return results

    async def replace(self, append: Append, edit: Edit, delivery_ids: Sequence[str]) -> None:
        """See ports.Ledger."""
        await self._transact(lambda connection: edits.replace(connection, append, edit, delivery_ids))
        self._wake()

    async def ahead(self, delivery_id: str) -> Delivery | None:
        """See ports.Ledger."""
        return await self._reader.call(lambda connection: lookups.ahead(connection, delivery_id))

    async def find_ids(self, part: str, limit: int = 10) -> Sequence[str]:
        """See ports.Ledger."""
        return await self._reader.call(lambda connection: lookups.find_ids(connection, part, limit))

    async def recent(self, since_ms: int, limit: int) -> Recent:
        """See ports.Ledger."""
        return await self._reader.call(lambda connection: lookups.recent(connection, since_ms, limit))

    async def beat(self, node: Node) -> None:
        """See ports.Ledger."""
        await self._transact(lambda connection: nodes.beat(connection, node))

    async def leave(self, name: str) -> None:
        """See ports.Ledger."""
        await self._transact(lambda connection: nodes.leave(connection, name))

    async def nodes(self) -> Sequence[Node]:
        """See ports.Ledger."""
        return await self._reader.call(nodes.nodes)

    async def pause(self, pause: Pause) -> bool:
        """See ports.Ledger."""
        return await self._transact(lambda connection: ledger.pause(connection, pause))

    async def resume(self, destination: str) -> bool:
        """See ports.Ledger."""
        ended = await self._transact(lambda connection: ledger.resume(connection, destination))
        if ended:
            self._wake()
        return ended

    async def pauses(self) -> Sequence[Pause]:
        """See ports.Ledger."""
        return await self._reader.call(ledger.pauses)

    async def circuits(self) -> Sequence[Circuit]:
        """See ports.Ledger."""
        return await self._reader.call(circuits.circuits)

    async def counts(self) -> Counts:
        """See ports.Ledger."""
        return await self._reader.view(counters.counts)

    async def dead_groups(self, destination: str | None = None, limit: int = 100) -> Sequence[DeadGroup]:
        """See ports.Ledger."""
        return await self._reader.view(lambda connection: dead_groups.dead_groups(connection, destination, limit))

    async def recount(self, after: str | None = None) -> Recount:
        """See ports.Ledger."""
        step = await self._searcher.view(lambda connection: recount.look(connection, after))
        if not recount.needs_repair(step):
            return Recount(step.next_after)
        drifts = await self._transact(lambda connection: recount.repair(connection, step))
        return Recount(step.next_after, tuple(drifts))

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        """See ports.Ledger."""
        return await self._searcher.view(
            lambda connection: retention.forgettable(connection, kind, before, after, limit)
        )

    async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
        """See ports.Ledger."""
        return await self._searcher.view(lambda connection: retention.whole(connection, event_ids))

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        """See ports.Ledger."""
        return await self._transact_unsynced(lambda connection: retention.forget(connection, event_ids, before))

    async def old_attempts(self, before_ms: int, after: str | None, limit: int) -> Forgettable:
        """See ports.Ledger."""
        return await self._searcher.view(lambda connection: retention.old_attempts(connection, before_ms, after, limit))

    async def forget_attempts(self, event_ids: Sequence[str], before_ms: int) -> int:
        """See ports.Ledger."""
        return await self._transact_unsynced(
            lambda connection: retention.forget_attempts(connection, event_ids, before_ms)
        )

    async def lived_until(self) -> int | None:
        """See ports.Ledger."""
        return await self._reader.view(retention.lived_until)

    async def live_until(self, at_ms: int) -> None:
        """See ports.Ledger."""
        await self._transact(lambda connection: retention.live_until(connection, at_ms))

    async def give_back(self) -> bool:
        """See ports.Ledger."""
        return await self._transact(retention.give_back)

    async def forget_dedup(self, now_ms: int) -> int:
        """See ports.Ledger."""
        return await self._transact(lambda connection: ledger.forget_dedup(connection, now_ms))

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """See ports.Ledger."""
        await self._transact(lambda connection: rejections.record(connection, counts, samples))

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """See ports.Ledger."""
        return await self._reader.call(lambda connection: rejections.rejections(connection, source, page))

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """See ports.Ledger."""
        return await self._reader.call(rejections.counts)

    async def forget_rejections(self, before_ms: int) -> int:
        """See ports.Ledger."""
        return await self._transact(lambda connection: rejections.forget(connection, before_ms))

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """See ports.Ledger."""
        return await self._transact(lambda connection: rejections.hold(connection, requests, limits))

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """See ports.Ledger."""
        return await self._reader.call(lambda connection: rejections.held_requests(connection, source, page))

    async def held_counts(self) -> Sequence[HeldCount]:
        """See ports.Ledger."""
        return await self._reader.call(rejections.held_counts)

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """See ports.Ledger."""
        return await self._transact(lambda connection: rejections.drop_held(connection, source, ids))

    async def forget_held(self, source: str, before_ms: int) -> int:
        """See ports.Ledger."""
        return await self._transact(lambda connection: rejections.forget_held(connection, source, before_ms))

    async def backup(self, target: Path) -> BackedUp:
        """See ports.Backups."""
        return await self._searcher.view(lambda connection: backup.backup(connection, target))

    # -- writing ------------------------------------------------------------------------------

    async def _transact(self, work: Work[T]) -> T:
        result = await self._writer.transact(work)
        self._written()
        return result

    async def _transact_unsynced(self, work: Work[T]) -> T:
        """For what may be undone by a power cut, because it is found and done again: no sync is waited for."""
        result = await self._writer.call(lambda connection: in_unsynced_transaction(connection, work))
        self._written()
        return result

    def _written(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.dirty()

    # -- waking -------------------------------------------------------------------------------

    def _wake(self) -> None:
        for wake in self._wakes:
            wake()

    def _watch_later(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._watch_s is not None
        self._watch = loop.call_later(self._watch_s, lambda: loop.create_task(self._look()))

    async def _look(self) -> None:
        """Wake the waiting when another process has committed.

        The version that the writer's connection sees moves with everybody's commits but its own.
        """
        if not self._open:
            return
        try:
            version = await self._writer.call(_data_version)
        except StoreUnavailableError:
            version = self._seen_version
        if not self._open:
            return
        if version != self._seen_version:
            self._seen_version = version
            self._wake()
        self._watch_later()


def _data_version(connection: apsw.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").get)
