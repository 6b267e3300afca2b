"""Redis: a call is carried out once, whatever becomes of its answer, and only on a server that keeps it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio import Redis

from longstop.model.errors import StoreUnavailableError
from longstop.model.event import ReceiptStatus
from longstop.model.store_health import StoreWarningKind
from longstop.ports import Store
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease, lease_one, parked, replay, settled
from redis_server import SAFE, RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="longstop-redis-") as made:
        yield Path(made)


@pytest.fixture
def server(folder: Path) -> Iterator[RedisServer]:
    made = RedisServer(folder)
    made.start()
    yield made
    made.stop()


class Cut:
    """A way to the server that can swallow answers: what comes back while `lossy` ends the connection instead."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.socket = server.folder / "cut"
        self.losses = 0
        """So many more answers are lost."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._serve, str(self.socket))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_unix_connection(str(self.server.socket))
        back = asyncio.ensure_future(self._back(there, writer))
        while data := await reader.read(65536):
            out.write(data)
        out.close()
        await back

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65536):
            if self.losses:
                self.losses -= 1
                break
            writer.write(data)
        writer.close()


@pytest.fixture
async def cut(server: RedisServer) -> AsyncIterator[Cut]:
    made = Cut(server)
    listening = await made.listen()
    yield made
    listening.close()


@pytest.fixture
async def store(cut: Cut) -> AsyncIterator[Store]:
    made = RedisStore(f"unix://{cut.socket}")
    await made.open()
    await made.append([make_append(100, to=())])
    yield made
    await made.close()


async def test_an_append_whose_answer_was_lost_is_told_again(store: Store, cut: Cut) -> None:
    await store.append([make_append(1, dedup=b"k")])
    cut.losses = 1
    receipts = await store.append([make_append(2), make_append(3, dedup=b"k")])
    assert not cut.losses
    assert [(each.status, each.event_id) for each in receipts] == [
        (ReceiptStatus.ACCEPTED, event_id(2)),
        (ReceiptStatus.DUPLICATE, event_id(1)),
    ]
    first = await store.event(event_id(1))
    assert first is not None
    assert first.redeliveries == 1


async def test_a_lease_whose_answer_was_lost_is_told_again_with_its_events(store: Store, cut: Cut) -> None:
    await store.append([make_append(1)])
    cut.losses = 1
    claim = await lease_one(store)
    assert (claim.delivery.token, claim.event) == (1, make_append(1).event)
    cut.losses = 1
    await settled(store, delivered(claim))


async def test_decisions_whose_answer_was_lost_are_told_again(store: Store, cut: Cut) -> None:
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    cut.losses = 2
    (again,) = await store.act([replay(dead.id)])
    assert again is not None
    assert again.round == 2
    assert len((await store.history(dead.id)).actions) == 1


async def test_of_a_server_that_loses_every_answer_it_is_said_that_it_may_have_been_done(
    store: Store, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut.losses = 1_000
    with monkeypatch.context() as impatient:
        impatient.setattr("longstop.stores.redis.database.PATIENCE_S", 0.3)
        with pytest.raises(StoreUnavailableError):
            await store.append([make_append(1)])
    assert not store.ready()
    cut.losses = 0
    (claim,) = (await lease(store)).claims
    assert claim.event.id == event_id(1), "what was done though its answer was lost"
    assert store.ready()


async def test_a_server_that_is_away_is_found_again(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store.open()
    await store.append([make_append(1)])
    server.kill()
    with pytest.raises(StoreUnavailableError, match=r"cannot be reached|not answered"):
        await store.append([make_append(2)])
    assert not store.ready()
    server.start()
    assert [each.event.id for each in (await lease(store)).claims] == [event_id(1)]
    assert store.ready()
    await store.close()


async def test_what_another_process_puts_in_wakes_also_after_the_server_was_away(server: RedisServer) -> None:
    here, there = RedisStore(server.url), RedisStore(server.url)
    await here.open()
    await there.open()
    woken = asyncio.Event()
    here.on_arrival(woken.set)
    await there.append([make_append(1)])
    await asyncio.wait_for(woken.wait(), 10)
    server.kill()
    server.start()
    woken.clear()
    await asyncio.wait_for(woken.wait(), 10)
    woken.clear()
    await there.append([make_append(2)])
    await asyncio.wait_for(woken.wait(), 10)
    await here.close()
    await there.close()


UNSAFE = {
    "no log": (("--appendonly", "no"), "found appendonly no, .*expected appendonly yes"),
    "a sync a second": (("--appendonly", "yes", "--appendfsync", "everysec"), "expected appendfsync always"),
    "no sync": (("--appendonly", "yes", "--appendfsync", "no"), "expected appendfsync always"),
    "eviction": ((*SAFE, "--maxmemory-policy", "allkeys-lru"), "expected maxmemory-policy noeviction"),
    "settings hidden": ((*SAFE, "--rename-command", "CONFIG", ""), "appendonly unknown"),
}


@pytest.mark.parametrize("name", UNSAFE)
async def test_a_server_that_may_lose_what_it_acknowledges_is_refused(folder: Path, name: str) -> None:
    settings, said = UNSAFE[name]
    server = RedisServer(folder, settings)
    server.start()
    try:
        store = RedisStore(server.url)
        with pytest.raises(StoreUnavailableError, match=said):
            await store.open()
        relaxed = RedisStore(server.url, relaxed=True)
        await relaxed.open()
        (warning,) = (await relaxed.health(AT_MS)).warnings
        assert warning.kind is StoreWarningKind.DURABILITY_RELAXED
        assert all(f"{name} {found}" in warning.text for name, found in warning.details.items())
        await relaxed.close()
    finally:
        server.stop()


async def _fill(store: Store) -> None:
    for number in range(1, 200):
        await store.append([make_append(number, body=b"x" * 100_000)])


async def test_a_server_that_is_full_refuses_events_and_lets_the_others_go_on(folder: Path) -> None:
    server = RedisServer(folder, (*SAFE, "--maxmemory", "8mb"))
    server.start()
    try:
        store = RedisStore(server.url)
        await store.open()
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            await _fill(store)
        claims = (await lease(store)).claims
        assert claims
        assert await store.settle([delivered(each, AT_MS + 5) for each in claims]) == [None] * len(claims)
        await store.close()
    finally:
        server.stop()


async def test_a_replica_is_not_written_to(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store.open()
    client = Redis.from_url(server.url)
    await client.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailableError, match=r"(?i)replica"):
        await store.append([make_append(1)])
    await client.replicaof("NO", "ONE")
    await store.append([make_append(1)])
    await client.aclose()
    await store.close()


async def test_large_bodies_go_in_several_calls(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store.open()
    batch = [make_append(number, body=b"x" * 7_000_000) for number in range(1, 7)]
    assert [each.event_id for each in await store.append(batch)] == [event_id(number) for number in range(1, 7)]
    kept = await store.event(event_id(6))
    assert kept is not None
    assert len(kept.event.body) == 7_000_000
    await store.close()


async def test_a_wrong_password_is_said_without_the_password(folder: Path) -> None:
    server = RedisServer(folder, (*SAFE, "--requirepass", "right-one"))
    server.start()
    try:
        store = RedisStore(f"unix://:wrong-one@{server.socket}")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.open()
        assert "wrong-one" not in str(caught.value)
        assert "invalid username-password pair" in str(caught.value)
    finally:
        server.stop()


async def test_a_call_that_was_given_up_is_not_carried_out_after_the_next_of_its_slot(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store.open()
    with store._slots.taken() as slot:
        late, next_one = slot.next_number(), slot.next_number()
        await store._write("resume", slot, next_one, ("crm",))
        with pytest.raises(StoreUnavailableError, match="LATE"):
            await store._write("resume", slot, late, ("crm",))
    await store.close()


async def test_whoever_is_cancelled_in_the_midst_of_a_call_is(server: RedisServer) -> None:
    """At whichever turn of the loop that is: the driver loses it where its own waiting is over just then."""
    store = RedisStore(server.url)
    await store.open()
    cancelled = 0
    for turns in range(40):
        task = asyncio.create_task(store.counts())
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
            cancelled += 1
    assert cancelled > 3
    assert (await store.counts()).events == 0, "no answer is left for the next caller"


async def test_whoever_is_cancelled_before_it_calls_is(server: RedisServer) -> None:
    """As a command that Ctrl-C comes to while it draws on the terminal, and that then waits for a call."""
    store = RedisStore(server.url)
    await store.open()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await store.counts()
    # Who cleans up after that may call all the same.
    await store.counts()
    task.uncancel()
    await store.close()


@pytest.mark.parametrize("torn", [60, 200, 400])
async def test_half_of_a_call_in_a_torn_log_does_nothing_twice(server: RedisServer, torn: int) -> None:
    """Redis 7.0 carries that half out when it reads its log the second time."""
    store = RedisStore(server.url)
    await store.open()
    await store.append([make_append(number) for number in range(1, 4)])
    ends = [delivered(each) for each in (await lease(store)).claims]
    await store.settle(ends)
    server.kill()
    (log,) = (server.folder / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(log.read_bytes()[:-torn])
    server.start()
    again = RedisStore(server.url)
    await again.open()
    assert await again.settle(ends) == [None] * 3
    server.kill()
    server.start()
    assert [len((await again.history(each.delivery.id)).attempts) for each in ends] == [1, 1, 1]
    assert (await again.recount()).drifts == ()
    await again.close()
    await store.close()
