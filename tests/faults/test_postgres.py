"""PostgreSQL killed, restarted, silent at the wrong moment; and two nodes that race. What was acknowledged is kept.

And the proof of the proof: a server that forgets, an append that asks nobody, a lane without its lock are found out.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import postgres_server
from longstop.model.append import Append
from longstop.model.delivery import Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.errors import LeaseLostError, StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.model.lease import Claim, LeaseRequest, Settlement
from longstop.stores.postgres import PostgresStore, ServerSettings, append_rows, lanes, settlements
from longstop.stores.postgres.arrivals import Arrivals
from longstop.stores.postgres.failures import AnswerLostError
from longstop.stores.postgres.folding import Folding
from longstop.stores.postgres.watch import Watch
from longstop.testing.builders import AT_MS, event_id, make_append, make_delivery, make_event
from longstop.testing.store_contract.steps import delivered, settlement, to_retry
from stores_at_hand import Place

CYCLES = int(os.environ.get("CYCLES", "100"))
SEED = int(os.environ.get("SEED", "20261128"))
UNTIL_MS = AT_MS + 30_000
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
FORGETS = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}


@contextlib.asynccontextmanager
async def opened(*stores: PostgresStore) -> AsyncIterator[None]:
    for store in stores:
        await store.open()
    try:
        yield
    finally:
        for store in stores:
            await store.close()


# -- 8: the server is killed ----------------------------------------------------------------------


@dataclass
class Ledger:
    """What clients know for certain."""

    acknowledged: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    refused: int = 0
    done: bool = False


async def _append(store: PostgresStore, ledger: Ledger, sender: int) -> None:
    """Event after event; what got no answer again, with the same dedup key and another id, as a gateway would."""
    number = sender * 1_000_000
    again = 0
    while not ledger.done:
        number += 1
        append = make_append(number, dedup=b"%d-%d" % (sender, number - again), key=f"k{number % 7}")
        lane = f"k{number % 7}" if sender % 2 else None
        item = replace(append, deliveries=tuple(replace(each, lane=lane) for each in append.deliveries))
        try:
            (receipt,) = await store.append([replace(item, dedup_until_ms=UNTIL_MS)])
        except StoreUnavailableError:
            ledger.refused += 1
            again += 1
            await asyncio.sleep(0.01)
            continue
        again = 0
        ledger.acknowledged.add(receipt.event_id)


async def _work(store: PostgresStore, ledger: Ledger, name: str) -> None:
    while not ledger.done:
        try:
            claims = (await store.lease(LeaseRequest(name, {"crm": 20}, AT_MS, UNTIL_MS))).claims
            ends = [delivered(claim) for claim in claims]
            for claim, lost in zip(claims, await store.settle(ends), strict=True):
                assert lost is None, "nobody else had this lease"
                ledger.settled.add(claim.delivery.id)
        except StoreUnavailableError:
            ledger.refused += 1
        await asyncio.sleep(0.005)


async def _under_kills(server: postgres_server.PostgresServer, url: str, relaxed: bool, cycles: int) -> dict[str, int]:
    """The figures of a run in which the server is killed so many times."""
    ledger, rng = Ledger(), random.Random(SEED)
    store = PostgresStore(ServerSettings(url, relaxed=relaxed, poll_s=0.05))
    async with opened(store):
        tasks = [asyncio.create_task(_append(store, ledger, sender)) for sender in range(1, 9)]
        tasks += [asyncio.create_task(_work(store, ledger, f"w{number}")) for number in range(2)]
        for _ in range(cycles):
            enough = len(ledger.acknowledged) + rng.randrange(20, 130)
            while len(ledger.acknowledged) < enough and not any(task.done() for task in tasks):
                await asyncio.sleep(0.005)
            server.kill()
            await asyncio.to_thread(server.start)
        ledger.done = True
        await asyncio.gather(*tasks)
        kept = {id_ for id_ in ledger.acknowledged if await store.event(id_) is not None}
        ended = {id_ for id_ in ledger.settled if await _is_delivered(store, id_)}
        drifts = [drift async for drift in _drifts(store)]
    return {
        "acknowledged": len(ledger.acknowledged),
        "settled": len(ledger.settled),
        "refused": ledger.refused,
        "lost": len(ledger.acknowledged) - len(kept),
        "unsettled": len(ledger.settled) - len(ended),
        "drifts": len(drifts),
    }


async def _is_delivered(store: PostgresStore, id_: str) -> bool:
    found = await store.delivery(id_)
    return found is not None and found.state is State.DELIVERED


async def _drifts(store: PostgresStore) -> AsyncIterator[Any]:
    after = None
    while True:
        step = await store.recount(after)
        for drift in step.drifts:
            yield drift
        after = step.next_after
        if after is None:
            return


@pytest.fixture
def durable() -> Iterator[postgres_server.PostgresServer]:
    postgres_server.needed()
    with postgres_server.running() as server:
        server.sql("CREATE DATABASE longstop")
        yield server


@pytest.mark.timeout(120 + 5 * CYCLES)
async def test_what_was_acknowledged_survives_every_kill_of_the_server(
    durable: postgres_server.PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = await _under_kills(durable, durable.url("longstop"), False, CYCLES)
    with capsys.disabled():
        print(f"\n{CYCLES} kills of PostgreSQL: {figures}")
    assert figures["acknowledged"] > 20 * CYCLES
    assert figures["settled"] > 0
    assert (figures["lost"], figures["unsettled"], figures["drifts"]) == (0, 0, 0)


async def test_a_server_that_forgets_is_refused_and_would_be_found(capsys: pytest.CaptureFixture[str]) -> None:
    postgres_server.needed()
    with postgres_server.running(FORGETS) as server:
        server.sql("CREATE DATABASE longstop")
        with pytest.raises(StoreUnavailableError, match="synchronous_commit off"):
            await PostgresStore(ServerSettings(server.url("longstop"))).open()
        figures = await _under_kills(server, server.url("longstop"), True, 2)
    with capsys.disabled():
        print(f"\nplanted: synchronous_commit = off: {figures}")
    assert figures["lost"] > 0


# -- 7: the answer is lost ------------------------------------------------------------------------


class Wire:
    """A proxy before the server that can swallow the answer to what is sent next, and hang up."""

    def __init__(self, folder: str) -> None:
        self._server_path = f"{folder}/.s.PGSQL.5432"
        self.port = 0
        self.swallow = False
        self.swallowed = 0

    async def __aenter__(self) -> "Wire":
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._server_path)
        armed = False

        async def there() -> None:
            nonlocal armed
            while data := await client.read(1 << 20):
                armed = self.swallow
                to_server.write(data)
            to_server.close()

        sending = asyncio.create_task(there())
        with contextlib.suppress(OSError):
            while data := await server.read(1 << 20):
                if armed and data.endswith(b"Z\x00\x00\x00\x05I"):
                    # It is done, and committed: nobody hears of it.
                    self.swallow = False
                    self.swallowed += 1
                    break
                to_client.write(data)
        sending.cancel()
        to_client.close()
        to_server.close()


@pytest.fixture
async def wired(
    postgresql: postgres_server.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[PostgresStore, Wire]]:
    # The answer that is swallowed is that to the test's own call: nothing else is asked meanwhile.
    for each in (Arrivals, Folding, Watch):
        monkeypatch.setattr(each, "begin", lambda _self: None)
    with postgresql.place() as url:
        async with Wire(str(postgresql.folder)) as wire:
            name = url.partition("@/")[2].partition("?")[0]
            store = PostgresStore(ServerSettings(f"postgresql://longstop@127.0.0.1:{wire.port}/{name}", relaxed=True))
            async with opened(store):
                # What a statement is prepared with has been said before the answer is swallowed.
                await _warm(store)
                yield store, wire


async def _warm(store: PostgresStore) -> None:
    await store.append([make_append(90, to=("warm",), dedup=None)])
    claims = (await store.lease(LeaseRequest("w", {"warm": 1}, AT_MS, UNTIL_MS))).claims
    await store.settle([delivered(claim) for claim in claims])


@pytest.mark.parametrize("dedup", [None, b"key"], ids=["without a dedup key", "with a dedup key"])
async def test_an_append_whose_answer_was_lost_is_accepted_once(
    wired: tuple[PostgresStore, Wire], dedup: bytes | None
) -> None:
    store, wire = wired
    wire.swallow = True
    item = replace(make_append(1, dedup=dedup), dedup_until_ms=UNTIL_MS)
    (receipt,) = await store.append([item])
    assert wire.swallowed == 1
    assert (receipt.status, receipt.event_id) == (ReceiptStatus.ACCEPTED, event_id(1))
    kept = await store.event(event_id(1))
    assert kept is not None
    assert (kept.redeliveries, len(kept.deliveries)) == (0, 1)
    assert (await store.counts()).sources["shop"] == 2
    assert [drift async for drift in _drifts(store)] == []


async def test_a_settlement_whose_answer_was_lost_was_made(wired: tuple[PostgresStore, Wire]) -> None:
    store, wire = wired
    await store.append([make_append(1)])
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, UNTIL_MS))).claims
    wire.swallow = True
    assert await store.settle([delivered(claim)]) == [None]
    assert wire.swallowed == 1
    assert len((await store.history(claim.delivery.id)).attempts) == 1
    # A stale one is refused all the same.
    assert await store.settle([to_retry(claim, AT_MS)]) != [None]


async def test_an_append_that_asks_nobody_would_be_found(
    wired: tuple[PostgresStore, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, wire = wired
    append = append_rows.append
    told: list[BaseException] = []

    async def once(*args: Any) -> Any:
        try:
            return await append(*args)
        except AnswerLostError as error:
            told.append(error)
            raise StoreUnavailableError("nobody knows") from error

    monkeypatch.setattr(append_rows, "append", once)
    wire.swallow = True
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(1)])
    assert len(told) == 1


# -- 11: two nodes race ---------------------------------------------------------------------------


class Race:
    """Two nodes on one store, and who is in flight where."""

    def __init__(self, *stores: PostgresStore) -> None:
        self.stores = stores
        self.in_flight: dict[str, str] = {}
        self.together: list[tuple[str, str]] = []
        self.delivered: dict[str, list[str]] = {}
        self.claimed: list[tuple[str, int]] = []
        self._rng = random.Random(SEED)

    async def append(self, store: PostgresStore, numbers: range) -> None:
        for number in numbers:
            event = make_event(number, key=f"k{number % 3}")
            await store.append([Append(event, (make_delivery(event, lane=f"k{number % 3}"),))])

    async def work(self, store: PostgresStore, name: str, total: int) -> None:
        idle = 0
        while sum(map(len, self.delivered.values())) < total and idle < 300:
            claims = (await store.lease(LeaseRequest(name, {"crm": 4}, AT_MS, UNTIL_MS))).claims
            idle = 0 if claims else idle + 1
            for claim in claims:
                self._begin(claim)
            await asyncio.sleep(self._rng.uniform(0, 0.004))
            await store.settle([self._end(claim) for claim in claims])

    def _begin(self, claim: Claim) -> None:
        lane = str(claim.delivery.lane)
        self.claimed.append((claim.delivery.id, claim.delivery.token))
        if lane in self.in_flight:
            self.together.append((self.in_flight[lane], claim.delivery.id))
        self.in_flight[lane] = claim.delivery.id

    def _end(self, claim: Claim) -> Settlement:
        lane = str(claim.delivery.lane)
        self.in_flight.pop(lane, None)
        if self._rng.random() < 0.2:
            return settlement(claim, Outcome(OutcomeKind.RETRY, 503), Transition(Trigger.RETRY, AT_MS, due_at_ms=AT_MS))
        self.delivered.setdefault(lane, []).append(claim.delivery.id)
        return delivered(claim)


async def _raced(place: Place, each: int) -> Race:
    one, two = place(), place()
    assert isinstance(one, PostgresStore)
    assert isinstance(two, PostgresStore)
    race = Race(one, two)
    async with opened(one, two):
        await asyncio.gather(
            race.append(one, range(1, each + 1)),
            race.append(two, range(each + 1, 2 * each + 1)),
            *(race.work(store, f"w{number}", 2 * each) for number, store in enumerate((one, two, one, two))),
        )
        assert [drift async for drift in _drifts(one)] == []
    return race


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_of_a_lane_one_is_in_flight_whoever_appends_and_whoever_works(place: Place) -> None:
    race = await _raced(place, 150)
    assert race.together == []
    assert len(set(race.claimed)) == len(race.claimed), "a lease was given twice"
    assert sum(map(len, race.delivered.values())) == 300, "some wait for ever"


async def _leased_at_once(place: Place) -> int:
    """How many are leased of a lane into which two nodes have put their first at the same time.

    What is appended before them has set the marks, whose row the two would share otherwise.
    """
    one, two = place(), place()
    assert isinstance(one, PostgresStore)
    assert isinstance(two, PostgresStore)
    first, second = (
        Append(event, (make_delivery(event, lane="k"),)) for event in (make_event(number, key="k") for number in (1, 2))
    )
    async with opened(one, two):
        await _warm(one)
        meanwhile: list[asyncio.Task[Any]] = []

        async def append(connection: Any) -> None:
            await append_rows.within(connection, [first])
            meanwhile.append(asyncio.create_task(two.append([second])))
            while not meanwhile[0].done() and not await connection.fetchval(WAITING):
                await asyncio.sleep(0.005)

        await one.transact(append)
        await meanwhile[0]
        return len((await two.lease(LeaseRequest("w", {"crm": 9}, AT_MS, UNTIL_MS))).claims)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_two_that_come_at_once_into_a_lane_go_one_after_the_other(place: Place) -> None:
    assert await _leased_at_once(place) == 1


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_lane_without_its_lock_would_be_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object) -> None:
        """Whoever comes looks at what stands there just now."""

    monkeypatch.setattr(lanes, "lock", nobody)
    assert await _leased_at_once(place) == 2


async def _stale(place: Place) -> LeaseLostError | None:
    """What a worker is told that settles under a lease which another has had since."""
    one, two = place(), place()
    assert isinstance(one, PostgresStore)
    assert isinstance(two, PostgresStore)
    async with opened(one, two):
        await one.append([make_append(1)])
        (first,) = (await one.lease(LeaseRequest("one", {"crm": 1}, AT_MS, UNTIL_MS))).claims
        await two.settle([to_retry(first, AT_MS)])
        assert (await two.lease(LeaseRequest("two", {"crm": 1}, AT_MS, UNTIL_MS))).claims
        (told,) = await one.settle([replace(delivered(first), attempt=None)])
        return told


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_stale_lease_settles_nothing(place: Place) -> None:
    assert isinstance(await _stale(place), LeaseLostError)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_settlement_that_shows_no_token_would_be_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    without = settlements._SETTLE.replace(settlements._MINE, "q.id = e.id")
    assert without != settlements._SETTLE
    monkeypatch.setattr(settlements, "_SETTLE", without)
    assert await _stale(place) is None


# -- what one node appends, another works on ------------------------------------------------------


async def _is_seen(url: str, poll_s: float, within_s: float) -> bool:
    """Whether a node finds out by then what another has appended, whose NOTIFY nobody hears."""
    silent = PostgresStore(ServerSettings(url, relaxed=True, pooled=True))
    worker = PostgresStore(ServerSettings(url, relaxed=True, poll_s=poll_s))
    woken = asyncio.Event()
    worker.on_arrival(woken.set)
    async with opened(silent, worker):
        # It listens by then, and what woke it first is over.
        while not await silent.rows("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"):
            await asyncio.sleep(0.01)
        await silent.append([make_append(1)])
        woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), within_s)
        return woken.is_set()


async def test_what_no_notification_told_is_found_by_looking(postgresql: postgres_server.PostgresServer) -> None:
    with postgresql.database() as url:
        assert await _is_seen(url, poll_s=0.05, within_s=30)


async def test_a_node_that_goes_by_notifications_alone_would_be_found(
    postgresql: postgres_server.PostgresServer,
) -> None:
    with postgresql.database() as url:
        assert not await _is_seen(url, poll_s=3_600, within_s=1)
