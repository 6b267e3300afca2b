"""Group commit: who shares a commit with whom, and whose failure is whose."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from longstop.group_commit import LOOK_EVERY_S, GroupCommit
from longstop.model.errors import StoreUnavailableError
from longstop.testing.clock import run


class Disk:
    """Commits batches of numbers: doubles them. Negative ones cannot be stored; it can be held or be down."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate: asyncio.Event | None = None
        self.down = False

    async def commit(self, ops: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(ops))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise StoreUnavailableError("down")
        if any(op < 0 for op in ops):
            raise ValueError("cannot be stored")
        return [LookupError("refused") if op == 0 else op * 2 for op in ops]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lone_caller_waits_for_nobody() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    assert await group.submit(21) == 42
    assert disk.batches == [[21]]


async def test_who_arrives_during_a_commit_shares_the_next() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    group = GroupCommit(disk.commit)
    first = asyncio.create_task(group.submit(1))
    await turns()
    others = [asyncio.create_task(group.submit(op)) for op in (2, 3, 4)]
    await turns()
    assert disk.batches == [[1]]
    assert not first.done()
    disk.gate.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert disk.batches == [[1], [2, 3, 4]]


async def test_nobody_hears_before_the_commit_returned() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    group = GroupCommit(disk.commit)
    waiting = asyncio.create_task(group.submit(1))
    await turns(50)
    assert not waiting.done()
    disk.gate.set()
    assert await waiting == 2


async def test_a_batch_has_a_limit_and_keeps_the_order() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit, batch_max=3)
    results = await asyncio.gather(*(group.submit(op) for op in range(1, 9)))
    assert results == [2, 4, 6, 8, 10, 12, 14, 16]
    assert disk.batches == [[1, 2, 3], [4, 5, 6], [7, 8]]


async def test_a_refusal_is_raised_to_its_own_caller() -> None:
    group = GroupCommit(Disk().commit)
    results = await asyncio.gather(*(group.submit(op) for op in (1, 0, 3)), return_exceptions=True)
    assert (results[0], results[2]) == (2, 6)
    assert isinstance(results[1], LookupError)


async def test_what_cannot_be_stored_fails_nobody_but_its_caller() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    results = await asyncio.gather(*(group.submit(op) for op in (1, -1, 3)), return_exceptions=True)
    assert (results[0], results[2]) == (2, 6)
    assert isinstance(results[1], ValueError)
    assert disk.batches == [[1, -1, 3], [1], [-1], [3]]


async def test_a_store_that_is_down_fails_the_whole_batch_once() -> None:
    disk = Disk()
    disk.down = True
    group = GroupCommit(disk.commit)
    results = await asyncio.gather(*(group.submit(op) for op in (1, 2)), return_exceptions=True)
    assert [type(each) for each in results] == [StoreUnavailableError] * 2
    assert disk.batches == [[1, 2]]
    disk.down = False
    assert await group.submit(5) == 10


async def test_a_caller_that_leaves_harms_nobody_and_takes_nothing_back() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    group = GroupCommit(disk.commit)
    tasks = [asyncio.create_task(group.submit(op)) for op in (1, 2, 3)]
    await turns()
    tasks[1].cancel()
    late = asyncio.create_task(group.submit(4))
    await turns()
    disk.gate.set()
    results = await asyncio.gather(*tasks, late, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert (results[0], results[2], results[3]) == (2, 6, 8)
    assert [op for batch in disk.batches for op in batch] == [1, 2, 3, 4]


async def test_more_than_can_wait_are_turned_away_at_once() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    group = GroupCommit(disk.commit, waiting_max=2)
    under_way = asyncio.create_task(group.submit(1))
    await turns()
    waiting = [asyncio.create_task(group.submit(op)) for op in (2, 3)]
    await turns()
    with pytest.raises(StoreUnavailableError, match="2 operations are waiting"):
        await group.submit(4)
    disk.gate.set()
    assert await asyncio.gather(under_way, *waiting) == [2, 4, 6]
    assert await group.submit(5) == 10


async def test_idle_when_nothing_waits_and_nothing_is_under_way() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    group = GroupCommit(disk.commit, batch_max=1)
    await group.idle()
    tasks = [asyncio.create_task(group.submit(op)) for op in (1, 2)]
    await turns()
    idle = asyncio.create_task(group.idle())
    await turns()
    assert not idle.done()
    disk.gate.set()
    await idle
    assert disk.batches == [[1], [2]]
    assert await asyncio.gather(*tasks) == [2, 4]


def test_no_caller_waits_longer_than_its_patience_and_all_is_well_after() -> None:
    async def scenario() -> None:
        loop, disk = asyncio.get_running_loop(), Disk()
        disk.gate = asyncio.Event()
        group = GroupCommit(disk.commit, batch_max=1)
        begun = loop.time()
        # The patient one is under way, another waits for its turn, one would wait for ever.
        patience_s = (3.0, 0.6, math.inf)
        tasks = [asyncio.create_task(group.submit(op, patience_s=each)) for op, each in enumerate(patience_s, 1)]
        for place in (1, 0):
            with pytest.raises(TimeoutError):
                await tasks[place]
            assert patience_s[place] <= loop.time() - begun <= patience_s[place] + LOOK_EVERY_S
        assert not tasks[2].done()
        disk.gate.set()
        await group.idle()
        assert await group.submit(3) == 6

    run(scenario())


def test_looking_for_the_impatient_takes_one_timer_however_often_it_begins_anew() -> None:
    async def scenario() -> None:
        loop: Any = asyncio.get_running_loop()
        disk = Disk()
        group = GroupCommit(disk.commit)
        for op in range(1, 1_000):
            await group.submit(op, patience_s=3)
            await turns(2)
        assert len(loop._scheduled) == 1
        disk.gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            await group.submit(1, patience_s=3)
        disk.gate.set()
        await group.idle()
        await asyncio.sleep(2 * LOOK_EVERY_S)
        assert loop._scheduled == []

    run(scenario())
