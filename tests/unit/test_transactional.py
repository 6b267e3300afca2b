"""Transactional handlers: what they write and `delivered` are one commit, whatever goes wrong."""

import asyncio
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from services import on_virtual_time
from structlog.testing import capture_logs

from longstop import Event, Reject, RetryLater, Transaction
from longstop.config import parse
from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.dispatch import breaker_of
from longstop.group_commit import GroupCommit
from longstop.model.breaker import Circuit
from longstop.model.delivery import DeadReason, Delivery, OutcomeKind, State
from longstop.model.errors import ConfigurationError, HandlerRaisedError, LeaseLostError, StoreUnavailableError
from longstop.model.lease import Claim, LeaseRef, LeaseRequest
from longstop.model.retry import RetryPolicy
from longstop.model.settings import DestinationSettings
from longstop.senders.transactional import TransactionalSender
from longstop.stores.sqlite import SqliteStore, transactions
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock
from longstop.wiring import Gateway

Handler = Callable[[Event, Transaction], Any]
CONFIGURATION = """
[store]
url = "{store}"
[sources.shop]
kind = "generic"
verify = {{ scheme = "none" }}
[destinations.crm]
transaction = true
retry = {{ first = "10ms", max_age = "3650d" }}
[[routes]]
from = "shop"
to = ["crm"]
"""
POLICY = RetryPolicy(attempts=3, first_ms=1_000, jitter="none")


class Bench:
    """One leased delivery, and what becomes of it."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self.path = path
        self.store = SqliteStore(path, watch_s=None, threaded=False)
        self._handler = handler

    async def deliver(self, probe: Circuit | None = None) -> Delivery:
        """Keep an event, lease it, have it handled; the delivery as it then is."""
        await self.store.open()
        await self.store.append([make_append(1)])
        claim = await self._lease()
        return await self.handle(claim, probe)

    async def _lease(self) -> Claim:
        (claim,) = (await self.store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 30_000))).claims
        return claim

    async def handle(self, claim: Claim, probe: Circuit | None = None) -> Delivery:
        """One attempt."""
        clock = VirtualClock()
        sender = TransactionalSender(DestinationSettings("crm"), self._handler)
        destination = Destination("crm", sender, POLICY, 1, transactional=sender)
        deliver = AttemptRunner(GroupCommit(self.store.settle), clock, random.Random(1), self.store)
        await deliver.run(claim, destination, breaker_of(destination, self.store, clock), probe)
        found = await self.store.delivery(claim.delivery.id)
        assert found is not None
        return found

    def rows(self) -> list[Any]:
        """What handlers have booked, as another program sees it."""
        with sqlite3.connect(self.path) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE name = 'booked'").fetchall()
            return connection.execute("SELECT * FROM booked").fetchall() if tables else []


def book(event: Event, transaction: Transaction) -> None:
    transaction.execute("CREATE TABLE IF NOT EXISTS booked (event_id TEXT, type TEXT)")
    transaction.execute("INSERT INTO booked VALUES (?, ?)", (event.id, event.type))


def then(what: Callable[[Transaction], Any]) -> Handler:
    """A handler that books, and then does something else."""

    def handler(event: Event, transaction: Transaction) -> None:
        book(event, transaction)
        what(transaction)

    return handler


def raising(error: BaseException) -> Callable[[Transaction], None]:
    def fail(_: Transaction) -> None:
        raise error

    return fail


@on_virtual_time
async def test_its_writes_are_there_with_delivered(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)
    delivery = await bench.deliver()
    assert delivery.state is State.DELIVERED
    assert bench.rows() == [(delivery.event_id, "order.paid")]
    (attempt,) = (await bench.store.history(delivery.id)).attempts
    assert (attempt.outcome, attempt.number) == (OutcomeKind.SUCCESS, 1)


@on_virtual_time
async def test_what_it_delivered_is_told_and_so_is_what_came_too_late(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)
    with capture_logs() as logged:
        delivery = await bench.deliver()
    names = {"delivery_id": delivery.id, "event_id": delivery.event_id, "destination": "crm", "attempts": 0}
    assert logged == [{"event": "delivered", "log_level": "debug", **names}]
    event = await bench.store.event(delivery.event_id)
    assert event is not None
    with capture_logs() as logged:
        await bench.handle(Claim(replace(delivery, attempts=0), event.event))
    assert logged == [{"event": "lease_lost", "log_level": "warning", **names}]
    assert len(bench.rows()) == 1


@on_virtual_time
async def test_a_transaction_that_cannot_be_committed_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)

    async def down(*_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    bench.store.settle_with = down  # type: ignore[method-assign, assignment]
    delivery = await bench.deliver()
    assert (delivery.state, delivery.tries) == (State.SCHEDULED, 1)
    assert (delivery.last_error or "").startswith("the transaction was not committed: ")
    assert "the disk is full" in (delivery.last_error or "")


@on_virtual_time
async def test_as_a_probe_it_is_at_nobody_s_expense(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)
    circuit = Circuit("crm", AT_MS, AT_MS, 15_000, "…")
    delivery = await bench.deliver(probe=circuit)
    assert (delivery.state, delivery.attempts, delivery.tries) == (State.DELIVERED, 1, 0)


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (RuntimeError("no"), State.SCHEDULED, "RuntimeError: no"),
        (RetryLater(60, "locked"), State.SCHEDULED, "locked"),
        (Reject("never"), State.DEAD, "never"),
        (SystemExit(3), State.SCHEDULED, "SystemExit: 3"),
        (StopIteration(), State.SCHEDULED, "StopIteration"),
    ],
)
def test_what_raises_leaves_nothing_behind(error: BaseException, state: State, said: str, tmp_path: Path) -> None:
    @on_virtual_time
    async def scenario() -> None:
        bench = Bench(tmp_path / "store.db", then(raising(error)))
        delivery = await bench.deliver()
        assert (delivery.state, delivery.last_error, delivery.attempts) == (state, said, 1)
        assert bench.rows() == []

    scenario()


@pytest.mark.parametrize(
    "statement",
    ["COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT s", "PRAGMA synchronous = OFF", "ATTACH 'x.db' AS x"],
)
def test_it_cannot_end_the_transaction(statement: str, tmp_path: Path) -> None:
    expect_refused(tmp_path, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events",
        "UPDATE deliveries SET state = 'dead'",
        "DROP TABLE attempts",
        "ALTER TABLE pauses ADD COLUMN x",
        "DELETE FROM pauses WHERE destination = ?",
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END",
    ],
)
def test_it_cannot_change_our_tables(statement: str, tmp_path: Path) -> None:
    expect_refused(tmp_path, statement, ("crm",) if "?" in statement else ())


def expect_refused(tmp_path: Path, statement: str, values: tuple[str, ...] = ()) -> None:
    @on_virtual_time
    async def scenario() -> None:
        bench = Bench(tmp_path / "store.db", then(lambda transaction: transaction.execute(statement, values)))
        await bench.store.open()
        # The statement's text may be one of ours, prepared already.
        await bench.store.resume("crm")
        delivery = await bench.deliver()
        assert delivery.state is State.SCHEDULED
        assert delivery.last_error is not None
        assert delivery.last_error.startswith("PermissionError: refused: found")
        assert bench.rows() == []

    scenario()


@on_virtual_time
async def test_a_handler_that_swallows_an_error_which_undid_the_transaction_writes_no_more(tmp_path: Path) -> None:
    def stubborn(event: Event, transaction: Transaction) -> None:
        transaction.execute("CREATE TABLE IF NOT EXISTS booked (event_id TEXT PRIMARY KEY)")
        transaction.execute("INSERT INTO booked VALUES ('x')")
        try:
            transaction.execute("INSERT OR ROLLBACK INTO booked VALUES ('x')")
        except Exception:
            transaction.execute("CREATE TABLE booked (event_id TEXT)")

    bench = Bench(tmp_path / "store.db", stubborn)
    delivery = await bench.deliver()
    assert delivery.state is State.SCHEDULED
    assert "an earlier error has undone the transaction" in (delivery.last_error or "")
    assert bench.rows() == []


@on_virtual_time
async def test_one_that_swallows_such_an_error_and_returns_is_not_delivered(tmp_path: Path) -> None:
    def silent(event: Event, transaction: Transaction) -> None:
        book(event, transaction)
        try:
            transaction.execute("CREATE UNIQUE INDEX one ON booked (event_id)")
            transaction.execute("INSERT OR ROLLBACK INTO booked VALUES (?, '')", (event.id,))
        except Exception:
            return

    bench = Bench(tmp_path / "store.db", silent)
    assert (await bench.deliver()).state is State.SCHEDULED
    assert bench.rows() == []


@on_virtual_time
async def test_afterwards_the_transaction_is_of_no_use(tmp_path: Path) -> None:
    kept: list[Transaction] = []
    bench = Bench(tmp_path / "store.db", then(kept.append))
    await bench.deliver()
    with pytest.raises(RuntimeError, match="the transaction is over"):
        kept[0].execute("DELETE FROM booked")
    assert len(bench.rows()) == 1


@on_virtual_time
async def test_a_lost_lease_calls_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)
    await bench.store.open()
    await bench.store.append([make_append(1)])
    claim = await bench._lease()
    stale = LeaseRef(claim.delivery.id, claim.delivery.token + 1)

    def never(_: Transaction) -> None:
        raise AssertionError("called under a lost lease")

    lost = await bench.store.settle_with(stale, never, lambda: pytest.fail("settled"), 1.0)
    assert isinstance(lost, LeaseLostError)


@on_virtual_time
async def test_what_takes_too_long_is_undone(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", book)
    await bench.store.open()
    await bench.store.append([make_append(1)])
    claim = await bench._lease()
    with pytest.raises(HandlerRaisedError) as raised:
        await bench.store.settle_with(
            LeaseRef(claim.delivery.id, claim.delivery.token),
            lambda transaction: book(claim.event, transaction),
            lambda: pytest.fail("settled"),
            -1.0,
        )
    assert isinstance(raised.value.error, TimeoutError)
    assert bench.rows() == []


@on_virtual_time
async def test_rejected_it_is_dead_and_not_booked(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "store.db", then(raising(Reject("no"))))
    assert (await bench.deliver()).reason is DeadReason.REJECTED


def test_an_async_handler_is_refused() -> None:
    async def handler(event: Event, transaction: Transaction) -> None: ...

    with pytest.raises(ConfigurationError, match="found an async handler; expected a plain function"):
        TransactionalSender(DestinationSettings("crm"), handler)


def test_memory_has_no_transactions() -> None:
    text = CONFIGURATION.format(store="memory://")
    settings = parse(text, where="longstop.toml", environ={}, base=Path(), handlers=["crm"])
    with pytest.raises(ConfigurationError, match="expected a store with transactions: sqlite:///FILE"):
        Gateway(settings, handlers={"crm": book})


@pytest.mark.parametrize("handler", [book, then(raising(ValueError("first")))])
async def test_in_a_gateway_on_threads(handler: Handler, tmp_path: Path) -> None:
    text = CONFIGURATION.format(store="sqlite:///store.db")
    settings = parse(text, where="longstop.toml", environ={}, base=tmp_path, handlers=["crm"])
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    failed: list[str] = []

    def counted(event: Event, transaction: Transaction) -> None:
        if handler is not book and not failed:
            failed.append(event.id)
            handler(event, transaction)
        book(event, transaction)
        loop.call_soon_threadsafe(done.set)

    gateway = Gateway(settings, handlers={"crm": counted})
    await gateway.start()
    store = SqliteStore(tmp_path / "store.db", watch_s=None)
    await store.open()
    await store.append([make_append(1)])
    async with asyncio.timeout(60):
        await done.wait()
    await gateway.stop()
    await store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("SELECT count(*) FROM booked").fetchone() == (1,)
        assert connection.execute("SELECT state FROM deliveries").fetchone() == ("delivered",)


async def test_every_table_of_the_stores_is_known_as_its_own(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", watch_s=None)
    await store.open()
    await store.close()
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    connection = apsw.Connection(str(tmp_path / "store.db"))
    assert {str(name) for (name,) in connection.execute(tables)} == transactions.OURS
    connection.close()
