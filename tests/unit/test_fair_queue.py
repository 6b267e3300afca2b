"""Turns: a source that is alone has no limit, and beside others only so many places."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from longstop.accepting.fair_queue import HEARD_MS, FairQueue
from longstop.testing.clock import VirtualClock, run


class Crowd:
    """Requests of several sources, each worked on until it is told to end."""

    def __init__(self, places: int = 2) -> None:
        self.queue = FairQueue(VirtualClock(), places)
        self.working: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, *requests: str) -> None:
        """Requests named SOURCE-NUMBER come."""
        for request in requests:
            self._gates[request] = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._work(request)))
        await turned()

    async def _work(self, request: str) -> None:
        source = request.partition("-")[0]
        if not self.queue.acquire_nowait(source, VirtualClock().monotonic_ms()):
            await self.queue.acquire(source, 100)
        self.working.append(request)
        await self._gates[request].wait()
        self.working.remove(request)
        self.queue.release(source)

    async def end(self, *requests: str) -> None:
        for request in requests:
            self._gates[request].set()
        await turned()


async def turned() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def scenario(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        run(test())

    wrapped.__name__ = test.__name__
    return wrapped


@scenario
async def test_a_source_that_is_alone_has_no_limit() -> None:
    crowd = Crowd()
    await crowd.come("loud-1", "loud-2", "loud-3", "loud-4")
    assert crowd.working == ["loud-1", "loud-2", "loud-3", "loud-4"]


@scenario
async def test_beside_another_a_source_has_so_many_places_and_keeps_its_order() -> None:
    crowd = Crowd()
    await crowd.come("quiet-1", "loud-1", "loud-2", "loud-3", "loud-4", "quiet-2")
    assert crowd.working == ["quiet-1", "loud-1", "loud-2", "quiet-2"]
    await crowd.end("loud-2")
    assert crowd.working == ["quiet-1", "loud-1", "quiet-2", "loud-3"]
    await crowd.end("loud-1", "loud-3")
    assert crowd.working == ["quiet-1", "quiet-2", "loud-4"]


@scenario
async def test_who_was_alone_gives_up_places_as_its_turns_end() -> None:
    crowd = Crowd()
    await crowd.come("loud-1", "loud-2", "loud-3", "quiet-1", "loud-4")
    assert crowd.working == ["loud-1", "loud-2", "loud-3", "quiet-1"]
    await crowd.end("loud-1")
    assert "loud-4" not in crowd.working
    await crowd.end("loud-2")
    assert "loud-4" in crowd.working


@scenario
async def test_all_are_let_in_when_the_others_have_fallen_silent() -> None:
    crowd = Crowd(places=1)
    await crowd.come("quiet-1", "loud-1", "loud-2", "loud-3")
    assert crowd.working == ["quiet-1", "loud-1"]
    await asyncio.sleep(HEARD_MS / 1000 + 0.1)
    await crowd.end("loud-1")
    assert crowd.working == ["quiet-1", "loud-2", "loud-3"]


@scenario
async def test_who_waits_too_long_is_told_and_his_place_goes_to_the_next() -> None:
    queue = FairQueue(VirtualClock(), places=1)
    assert queue.acquire_nowait("quiet", VirtualClock().monotonic_ms())
    assert queue.acquire_nowait("loud", VirtualClock().monotonic_ms())
    assert not queue.acquire_nowait("loud", VirtualClock().monotonic_ms())
    with pytest.raises(TimeoutError):
        await queue.acquire("loud", 0.2)
    patient = asyncio.create_task(queue.acquire("loud", 10))
    await turned()
    queue.release("loud")
    await patient
    queue.release("loud")
    assert queue.acquire_nowait("loud", VirtualClock().monotonic_ms())


@scenario
async def test_a_turn_that_comes_to_one_who_leaves_is_not_lost() -> None:
    queue = FairQueue(VirtualClock(), places=1)
    queue.acquire_nowait("quiet", VirtualClock().monotonic_ms())
    queue.acquire_nowait("loud", VirtualClock().monotonic_ms())
    leaving = asyncio.create_task(queue.acquire("loud", 10))
    await turned()
    queue.release("loud")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert queue.acquire_nowait("loud", VirtualClock().monotonic_ms()), "the place is still taken by one who is gone"
