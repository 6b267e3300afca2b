"""The heartbeat: the record is renewed, outlives a store that fails, and is gone after a stop."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from services import on_virtual_time

from longstop.model.errors import StoreUnavailableError
from longstop.model.node import BEAT_EVERY_S, GONE_AFTER_MS, Node, NodeWatch
from longstop.operating.heartbeat import Heartbeat
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock

NODE = Node("host:1", ("work",), "0.1.0", AT_MS, AT_MS)


class Failing(MemoryStore):
    """Cannot be written while `broken`."""

    broken = False

    async def beat(self, node: Node) -> None:
        if self.broken:
            raise StoreUnavailableError("the disk is full")
        await super().beat(node)

    async def leave(self, name: str) -> None:
        if self.broken:
            raise StoreUnavailableError("the disk is full")
        await super().leave(name)


async def seen_at(store: MemoryStore) -> Sequence[int]:
    return [each.seen_at_ms - AT_MS for each in await store.nodes()]


def heart_of(store: MemoryStore, clock: VirtualClock, node: Node = NODE, **more: Any) -> Heartbeat:
    silent: dict[str, Any] = {"cpu_s": lambda: 0.0, "attempts": lambda: 0, "workers": lambda _: None}
    return Heartbeat(store, clock, node, **(silent | more))


@on_virtual_time
async def test_it_says_at_once_and_again_and_again_that_it_is_there() -> None:
    store, clock = Failing(), VirtualClock()
    heart = heart_of(store, clock)
    await heart.beat()
    task = asyncio.create_task(heart.run())
    assert await seen_at(store) == [0]
    await asyncio.sleep(BEAT_EVERY_S * 2 + 1)
    assert await seen_at(store) == [round(BEAT_EVERY_S * 2_000)]
    store.broken = True
    await asyncio.sleep(BEAT_EVERY_S * 3)
    store.broken = False
    await asyncio.sleep(BEAT_EVERY_S)
    assert await seen_at(store) == [round(BEAT_EVERY_S * 6_000)]
    task.cancel()
    store.broken = True
    await heart.leave()
    store.broken = False
    await heart.leave()
    assert await store.nodes() == []


@pytest.mark.parametrize(
    ("silent_ms", "runs"), [(0, True), (GONE_AFTER_MS - 1, True), (GONE_AFTER_MS, False), (-9, True)]
)
def test_who_is_silent_for_long_is_held_to_be_gone(silent_ms: int, runs: bool) -> None:
    assert replace(NODE, seen_at_ms=AT_MS - silent_ms).runs(AT_MS) == runs


def test_one_missed_beat_is_no_death() -> None:
    assert BEAT_EVERY_S * 3_000 <= GONE_AFTER_MS


@on_virtual_time
async def test_it_says_how_much_it_has_to_do() -> None:
    store, clock = MemoryStore(), VirtualClock()
    used = iter((10.0, 10.0, 12.5, 12.5))
    heart = heart_of(store, clock, cpu_s=lambda: next(used), attempts=lambda: 3)
    await heart.beat()
    (node,) = await store.nodes()
    assert (node.cpu_percent, node.attempts) == (None, 3), "nothing is known of the processor yet"
    for percent in (50, 0):
        await asyncio.sleep(5)
        await heart.beat()
        (node,) = await store.nodes()
        assert node.cpu_percent == percent


# -- among how many ------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_worker_knows_among_how_many_it_is() -> None:
    store, clock = MemoryStore(), VirtualClock()
    told: list[int] = []
    heart = heart_of(store, clock, workers=told.append)
    other = replace(NODE, name="host:2")
    await store.beat(replace(NODE, name="host:3", roles=("ingest",)))
    await heart.beat()
    await store.beat(other)
    await heart.beat()
    assert told == [1, 2]
    task = asyncio.create_task(heart.run())
    await asyncio.sleep(GONE_AFTER_MS / 1000 - BEAT_EVERY_S)
    assert told[-1] == 2, "three beats missed are no death"
    await asyncio.sleep(BEAT_EVERY_S * 2)
    assert told[-1] == 1, "killed, and not heard of since"
    task.cancel()


@on_virtual_time
async def test_of_all_workers_the_eldest_does_what_one_has_to_do() -> None:
    store, clock = MemoryStore(), VirtualClock()
    elder, younger = (
        heart_of(store, clock, replace(NODE, name=f"host:{10 - age}", started_at_ms=AT_MS + age)) for age in (0, 1)
    )
    same = heart_of(store, clock, replace(NODE, name="host:99"))
    accepting = replace(NODE, name="a:1", roles=("ingest",), started_at_ms=AT_MS - 1)
    await store.beat(accepting)
    for each in (younger, elder, same, younger, elder):
        await each.beat()
    assert [each.is_first for each in (elder, younger, same)] == [True, False, False]
    await elder.leave()
    for each in (younger, same):
        await each.beat()
    assert [each.is_first for each in (younger, same)] == [False, True]


class TestWatch:
    def test_a_clock_that_is_far_behind_is_no_sign_of_death(self) -> None:
        watch, behind = NodeWatch(), replace(NODE, seen_at_ms=AT_MS - 3_600_000)
        assert watch.look([behind], AT_MS, 0) == [], "it may have been killed an hour ago"
        beats = replace(behind, seen_at_ms=behind.seen_at_ms + 5_000)
        assert watch.look([beats], AT_MS + 5_000, 5_000) == [beats]
        assert watch.look([beats], AT_MS + 6_000, 5_000 + GONE_AFTER_MS - 1) == [beats]
        assert watch.look([beats], AT_MS + 6_000, 5_000 + GONE_AFTER_MS) == []

    def test_a_clock_that_is_far_ahead_makes_nobody_immortal(self) -> None:
        watch, ahead = NodeWatch(), replace(NODE, seen_at_ms=AT_MS + 3_600_000)
        assert watch.look([ahead], AT_MS, 0) == [ahead]
        assert watch.look([ahead], AT_MS + GONE_AFTER_MS, GONE_AFTER_MS) == []

    def test_who_left_and_came_back_is_there_again(self) -> None:
        watch = NodeWatch()
        assert watch.look([NODE], AT_MS, 0) == [NODE]
        assert watch.look([], AT_MS, 1) == []
        assert watch.look([NODE], AT_MS, 2) == [NODE]
