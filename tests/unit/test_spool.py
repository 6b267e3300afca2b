"""While the store cannot be had events are kept in the spool, and follow in order: none lost, none doubled."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from services import on_virtual_time, settle_down
from spool_world import World

from longstop.group_commit import GroupCommit
from longstop.model.append import Append
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.event import Headers, Origin, Receipt, ReceiptStatus
from longstop.stores.memory import MemoryStore
from longstop.stores.spool import look, rows, store
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore


def ids(*numbers: int) -> list[str]:
    return [event_id(number) for number in numbers]


async def append_each(world: World, *numbers: int, **changes: Any) -> list[Receipt]:
    return [(await world.store.append([make_append(n, **changes)]))[0] for n in numbers]


@on_virtual_time
async def test_while_the_store_works_nothing_is_in_the_spool(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await append_each(world, 1, 2)
        assert await world.kept() == ids(1, 2)
        facts = world.store.facts()
        assert (facts.in_use, facts.events, facts.spooled) == (False, 0, 0)


@on_virtual_time
async def test_what_comes_while_the_store_is_away_follows_in_order(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await append_each(world, 1)
        world.far.away()
        receipts = await append_each(world, 2, 3, 4)
        assert [each.status for each in receipts] == [ReceiptStatus.ACCEPTED] * 3
        await asyncio.sleep(60)
        facts = world.store.facts()
        assert (facts.in_use, facts.events, facts.oldest_at_ms, facts.why) == (True, 3, AT_MS, "connection refused")
        assert world.store.ready()
        world.far.works()
        await world.drained()
        await append_each(world, 5)
        assert await world.kept() == ids(1, 2, 3, 4, 5)
        facts = world.store.facts()
        assert (facts.in_use, facts.events, facts.bytes, facts.forwarded, facts.oldest_at_ms) == (False, 0, 0, 3, None)


@on_virtual_time
async def test_all_of_an_event_goes_through_the_spool(tmp_path: Path) -> None:
    rich = make_append(
        1, to=("crm", "lake"), body=b"\x00\xff", headers=Headers([("X-One", "caf\xe9"), ("X-One", "2")]), type="a",
        key="\x00k", dedup=b"\x00\xff", origin=Origin.PUBLISH, parent=event_id(9), occurred_at_ms=AT_MS - 7,
    )  # fmt: skip
    for each in (rich, make_quarantined(2), make_append(3, to=(), type=None, key=None)):
        assert rows.unpacked(rows.packed(each)) == each


@on_virtual_time
async def test_a_slow_store_is_waited_for_once_and_no_longer_than_the_limit(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with World(tmp_path) as world:
        world.far.slow_s = 5.0
        for number, least_ms, most_ms in ((1, 2_000, 2_000), (2, 0, 0)):
            began_ms = clock.monotonic_ms()
            (receipt,) = await append_each(world, number)
            assert receipt == Receipt(ReceiptStatus.ACCEPTED, event_id(number))
            assert least_ms <= clock.monotonic_ms() - began_ms <= most_ms
        # The append that nobody waited for is carried out after all.
        await asyncio.sleep(60)
        assert sorted(await world.kept()) == ids(1, 2)
        assert len(await world.memory.whole(ids(1, 2))) == 2


@on_virtual_time
async def test_a_store_that_stays_slow_keeps_nobody_waiting_again_and_again(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with World(tmp_path) as world:
        world.far.slow_s = 3.0
        waits = []
        for number in range(60):
            began_ms = clock.monotonic_ms()
            await append_each(world, number)
            waits.append(clock.monotonic_ms() - began_ms)
            # Often, and so rarely that nothing is in the spool when the next one comes.
            await asyncio.sleep(0.5 if number < 30 else 20)
        assert [wait for wait in waits if wait] == [2_000]
        assert world.store.facts().in_use
        world.far.slow_s = 0.0
        await append_each(world, 60)
        await world.drained()
        assert await world.kept() == ids(*range(61))


@pytest.mark.parametrize("dedup", [None, b"k"])
@pytest.mark.parametrize("mode", ["loses answers", "hangs"])
@on_virtual_time
async def test_an_append_whose_answer_was_lost_is_one_event(tmp_path: Path, mode: str, dedup: bytes | None) -> None:
    async with World(tmp_path) as world:
        world.far.mode = mode
        await append_each(world, 1, dedup=dedup)
        await append_each(world, 2)
        await asyncio.sleep(10)
        world.far.works()
        await world.drained()
        assert sorted(await world.kept()) == ids(1, 2)
        found = await world.memory.whole(ids(1, 2))
        assert [each.kept.redeliveries for each in found] == [0, 0]
        facts = world.store.facts()
        assert (facts.stuck, facts.duplicates) == (0, 0)


@on_virtual_time
async def test_an_answer_that_is_lost_while_forwarding_doubles_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, 1, 2, 3)
        world.far.mode = "loses answers"
        await asyncio.sleep(5)
        assert len(world.far.batches) == 0
        world.far.works()
        await world.drained()
        assert sorted(await world.kept()) == ids(1, 2, 3)
        assert world.far.batches == []


@on_virtual_time
async def test_duplicates_between_and_within_spool_and_store_are_one_event(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await append_each(world, 1, dedup=b"before")
        world.far.away()
        known, new, again = [
            (await append_each(world, number, dedup=key))[0]
            for number, key in ((2, b"before"), (3, b"during"), (4, b"during"))
        ]
        assert (new.status, again) == (ReceiptStatus.ACCEPTED, Receipt(ReceiptStatus.DUPLICATE, event_id(3)))
        # Only the store knows that this one was there.
        assert known.status is ReceiptStatus.ACCEPTED
        other = await append_each(world, 5, dedup=b"during", source="another")
        late = await append_each(world, 6, dedup=b"during", received_at_ms=AT_MS + 60_000)
        assert [each.status for each in (*other, *late)] == [ReceiptStatus.ACCEPTED] * 2
        world.far.works()
        await world.drained()
        assert sorted(await world.kept()) == ids(1, 3, 5, 6)
        (first,) = await world.memory.whole(ids(1))
        assert first.kept.redeliveries == 1
        assert world.store.facts().duplicates == 1
        (after,) = await append_each(world, 7, dedup=b"during", received_at_ms=AT_MS + 60_001)
        assert (after.status, after.event_id) == (ReceiptStatus.DUPLICATE, event_id(6))


@on_virtual_time
async def test_new_events_go_behind_what_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "AT_ONCE", 2)
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, *range(1, 8))
        world.far.works()
        world.far.slow_s = 0.5
        for number in range(8, 20):
            await append_each(world, number)
            await asyncio.sleep(0.2)
        await world.drained()
        await append_each(world, 20)
        assert [id_ for batch in world.far.batches for id_ in batch] == ids(*range(1, 21))


@on_virtual_time
async def test_what_is_just_being_put_is_waited_for_before_the_store_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, 1)
        put = world.file.put

        async def slowly(appends: Sequence[Append]) -> Sequence[Receipt]:
            await asyncio.sleep(5)
            return await put(appends)

        monkeypatch.setattr(world.file, "put", slowly)
        waiting = asyncio.create_task(world.store.append([make_append(2)]))
        await settle_down()
        world.far.works()
        await asyncio.sleep(4)
        assert (world.store.facts().in_use, world.store.facts().events) == (True, 0)
        await waiting
        await world.drained()
        await append_each(world, 3)
        assert await world.kept() == ids(1, 2, 3)


@on_virtual_time
async def test_nothing_is_answered_before_it_is_in_the_file(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        faulty: Any = FaultyStore(world.file)  # type: ignore[arg-type]
        gate = faulty.stall("put")
        faulty.stands = world.file.stands
        world.far.away()
        world.store._file = faulty
        waiting = asyncio.create_task(world.store.append([make_append(1)]))
        await asyncio.sleep(30)
        assert not waiting.done()
        gate.set()
        assert (await waiting)[0].status is ReceiptStatus.ACCEPTED
        world.store._file = world.file


@on_virtual_time
async def test_what_is_put_is_synced_and_what_is_removed_need_not_be(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        settings: list[tuple[str, int]] = []

        def on_commit(connection: apsw.Connection) -> int:
            settings.append(("commit", connection.pragma("synchronous")))
            return 0

        world.far.away()
        await append_each(world, 1)
        connection = world.file._thread._connection
        assert connection is not None
        connection.set_commit_hook(lambda: bool(on_commit(connection)))
        await append_each(world, 2)
        # FULL: the log is synced at each commit (https://sqlite.org/pragma.html#pragma_synchronous).
        assert settings == [("commit", 2)]
        assert connection.pragma("journal_mode") == "wal"


@on_virtual_time
async def test_nothing_leaves_the_spool_before_the_store_has_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, 1, 2)
        world.far.mode = "hangs"
        await asyncio.sleep(5)
        assert world.store.facts().events == 2
        await world.restart()
        assert world.store.facts().events == 2
        world.far.works()
        await world.drained()
        assert await world.kept() == ids(1, 2)


@on_virtual_time
async def test_a_full_spool_is_forwarded_after_a_restart_whatever_was_forwarded_already(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, *range(1, 6))
        # Two came into the store, and the process died before it could let go of them.
        await world.memory.append([make_append(1), make_append(2)])
        await world.restart()
        assert world.store.newest_id == event_id(5)
        await append_each(world, 6)
        world.far.works()
        await world.drained()
        assert sorted(await world.kept()) == ids(*range(1, 7))
        assert [id_ for batch in world.far.batches for id_ in batch] == ids(3, 4, 5, 6)


@on_virtual_time
async def test_a_full_spool_takes_no_more_and_says_why(tmp_path: Path) -> None:
    async with World(tmp_path, max_events=2, max_bytes=1_000, min_free_bytes=500) as world:
        world.far.away()
        await append_each(world, 1)
        with pytest.raises(StoreUnavailableError, match=r"spool\.db is full: it holds 1 events, \d+ bytes"):
            await append_each(world, 2, body=b"x" * 1_000)
        with pytest.raises(StoreUnavailableError, match="is full: it holds 1 events"):
            await world.store.append([make_append(2), make_append(3)])
        world.free_bytes = 400
        with pytest.raises(StoreUnavailableError, match="is full: its disk is nearly full"):
            await append_each(world, 2)
        world.free_bytes = 10**9
        await append_each(world, 2)
        world.far.works()
        await world.drained()
        world.far.away()
        await append_each(world, 3, 4)
        assert await world.kept() == ids(1, 2)


@pytest.mark.parametrize("mode", ["away", "hangs"])
@on_virtual_time
async def test_a_start_without_the_store_takes_events_and_reaches_it_later(tmp_path: Path, mode: str) -> None:
    world = World(tmp_path)
    world.far.mode = mode
    wakes: list[str] = []
    world.store.on_arrival(lambda: wakes.append("woken"))
    async with world:
        with pytest.raises(StoreUnavailableError):
            await asyncio.wait_for(world.store.counts(), 60)
        await append_each(world, 1)
        world.far.works()
        await world.drained()
        await settle_down()
        assert await world.kept() == ids(1)
        assert (await world.store.counts()).events == 1
        assert wakes == ["woken"]


@on_virtual_time
async def test_a_store_that_is_none_of_ours_is_no_store_that_is_away(tmp_path: Path) -> None:
    class Foreign(MemoryStore):
        async def open(self) -> None:
            raise SchemaError("another program's")

    world = World(tmp_path)
    world.far.store = Foreign()
    with pytest.raises(SchemaError, match="another program's"):
        await world.store.open()
    # And the spool is free for the next start.
    async with World(tmp_path):
        pass


@on_virtual_time
async def test_a_spool_is_one_process_s(tmp_path: Path) -> None:
    async with World(tmp_path):
        with pytest.raises(SchemaError, match=r"another process has this spool; give each process one of its own"):
            await World(tmp_path).store.open()


@on_virtual_time
async def test_a_spool_is_no_store_and_a_store_is_no_spool(tmp_path: Path) -> None:
    async with World(tmp_path):
        pass
    with pytest.raises(SchemaError, match="another program"):
        await SqliteStore(tmp_path / "spool.db", threaded=False, watch_s=None).open()
    (tmp_path / "b").mkdir()
    kept = SqliteStore(tmp_path / "b" / "spool.db", threaded=False, watch_s=None)
    await kept.open()
    await kept.close()
    with pytest.raises(SchemaError, match="another program"):
        await World(tmp_path / "b").store.open()


class Picky(MemoryStore):
    """A store that cannot do anything with event 2."""

    error: Exception = ValueError("it is too odd")

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        if any(each.event.id == event_id(2) for each in appends):
            raise self.error
        return await super().append(appends)


@pytest.mark.parametrize("error", [ValueError("it is too odd"), StoreUnavailableError("data error")], ids=str)
@on_virtual_time
async def test_what_the_store_can_do_nothing_with_is_set_aside_and_the_others_pass(
    tmp_path: Path, error: Exception
) -> None:
    world = World(tmp_path)
    world.memory = world.far.store = Picky()
    world.memory.error = error  # type: ignore[attr-defined]
    world.far.raises_others = True
    async with world:
        world.far.away()
        await append_each(world, *range(1, 7))
        world.far.works()
        await world.drained()
        assert await world.kept() == ids(1, 3, 4, 5, 6)
        facts = world.store.facts()
        assert (facts.events, facts.stuck) == (1, 1)
        # It is kept, and tried again by the next start.
        world.memory = world.far.store = MemoryStore()
        await world.restart()
        await world.drained()
        assert await world.kept() == ids(2)


@on_virtual_time
async def test_a_store_that_is_away_for_long_has_nothing_set_aside(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, *range(1, 6))
        await asyncio.sleep(3_600)
        assert world.store.facts().stuck == 0
        world.far.works()
        await world.drained()
        assert await world.kept() == ids(*range(1, 6))


@on_virtual_time
async def test_a_row_that_cannot_be_read_is_in_nobodys_way(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, 1, 2, 3)
        await world.file._thread.transact(
            lambda c: c.execute("UPDATE spooled SET item = x'00' WHERE event_id = ?", ids(2)).fetchall()
        )
        world.far.works()
        await world.drained()
        assert await world.kept() == ids(1, 3)
        assert world.store.facts().stuck == 1


@on_virtual_time
async def test_whoever_looks_at_the_file_sees_what_it_holds(tmp_path: Path) -> None:
    assert look(str(tmp_path / "spool.db")) is None
    async with World(tmp_path) as world:
        world.far.away()
        await append_each(world, 1, 2)
        found, facts = look(world.settings.path), world.store.facts()
        assert found is not None
        assert (found.in_use, found.events, found.bytes, found.oldest_at_ms) == (True, 2, facts.bytes, AT_MS)
    assert os.stat(world.settings.path).st_mode & 0o777 == 0o600


SECONDS, RATE = 60, 200


@pytest.mark.parametrize("killed", [False, True])
@on_virtual_time
async def test_a_store_that_is_away_for_a_minute_under_200_events_a_second(tmp_path: Path, killed: bool) -> None:
    """Nobody is refused, nothing is lost, nothing doubled, all of it in order; also where the process is killed in
    the middle of the outage and in the middle of forwarding."""
    async with World(tmp_path) as world:
        accepted: list[str] = []
        refused: list[str] = []
        number = 0

        async def send(seconds: int, begun: int) -> int:
            appends = GroupCommit(world.store.append)
            waiting = []
            for each in range(begun, begun + seconds * RATE):
                waiting.append(asyncio.create_task(appends.submit(make_append(each, dedup=b"k%d" % each))))
                if each % 10 == 9:
                    await asyncio.sleep(10 / RATE)
            for answer in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(answer, Receipt):
                    accepted.append(answer.event_id)
                else:
                    refused.append(repr(answer))
            return begun + seconds * RATE

        number = await send(2, number)
        world.far.away()
        number = await send(SECONDS // 2, number)
        if killed:
            await world.restart()
        number = await send(SECONDS // 2, number)
        world.far.works()
        number = await send(1, number)
        if killed:
            world.far.mode = "loses answers"
            number = await send(1, number)
            await world.restart()
            world.far.works()
        number = await send(2, number)
        await world.drained()
        assert refused == []
        assert sorted(await world.kept()) == sorted(accepted) == ids(*range(number))
        counts = await world.memory.counts()
        assert (counts.events, counts.deliveries["crm"]["scheduled"]) == (number, number)
        forwarded = [id_ for batch in world.far.batches for id_ in batch]
        assert len(forwarded) == len(set(forwarded))
        assert forwarded == sorted(forwarded)
