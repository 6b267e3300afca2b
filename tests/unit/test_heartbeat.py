"""The heartbeat: the record is renewed, outlives a store that fails, and is gone after a stop."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from services import on_virtual_time

from longstop.model.errors import StoreUnavailableError
from longstop.model.node import BEAT_EVERY_S, GONE_AFTER_MS, Node
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


@on_virtual_time
async def test_it_says_at_once_and_again_and_again_that_it_is_there() -> None:
    store, clock = Failing(), VirtualClock()
    heart = Heartbeat(store, clock, NODE)
    task = asyncio.create_task(heart.run())
    await asyncio.sleep(0)
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
