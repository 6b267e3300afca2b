"""Statistics over time: what is counted is in the store within seconds, adds up, and is forgotten in time."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from services import on_virtual_time

from longstop.model.statistics import (
    HOURS,
    MINUTES,
    Counted,
    Series,
    StatisticsError,
    StatisticsQuery,
    latency_bin,
)
from longstop.operating.silence import SilenceWatch
from longstop.operating.statistics import (
    AT_ONCE,
    POINTS_MAX,
    WRITE_EVERY_S,
    Asked,
    Line,
    Quantiles,
    StatisticsReader,
    StatisticsWriter,
)
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import make_append
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore
from longstop.testing.tasks import end_tasks

DEAD = ("dead", "shop", "crm")


class World:
    """A process that counts, and the store that its statistics go to."""

    def __init__(self, store: Any = None) -> None:
        self.clock = VirtualClock()
        self.clock.now_ms()
        self.store: Any = store or FaultyStore(MemoryStore())
        self.totals: dict[Counted, int] = {}
        self.writer = StatisticsWriter(self.store, lambda: self.totals, self.clock)
        self.reader = StatisticsReader(self.store, self.clock)

    async def of(self, kept: Any = MINUTES, series: str = "dead") -> list[tuple[int, int]]:
        """All buckets of a series: their start and their number."""
        query = StatisticsQuery(series, kept.step_ms, 0, 2**50, kept.step_ms)
        return [(each.at_ms, each.n) for each in await self.store.statistics(query)]

    async def running(self, work: Callable[[], Any]) -> None:
        task = asyncio.create_task(self.writer.run())
        await work()
        await end_tasks([task])


@on_virtual_time
async def test_what_is_counted_is_there_ten_seconds_later_and_only_once() -> None:
    world = World()
    world.totals = {DEAD: 3}

    async def work() -> None:
        assert await world.of() == []
        await asyncio.sleep(WRITE_EVERY_S + 0.1)
        assert [n for _, n in await world.of()] == [3]
        world.totals = {DEAD: 5}
        await asyncio.sleep(WRITE_EVERY_S * 2)
        assert sum(n for _, n in await world.of()) == 5
        assert sum(n for _, n in await world.of(HOURS)) == 5
        assert world.store.calls["add_statistics"] == 2, "where nothing was counted nothing is written"

    await world.running(work)


@on_virtual_time
async def test_each_number_is_in_its_minute() -> None:
    world = World()

    async def work() -> None:
        for minute in range(3):
            world.totals = {DEAD: 10 * (minute + 1)}
            await asyncio.sleep(60)

    await world.running(work)
    found = await world.of()
    assert [n for _, n in found] == [10, 10, 10]
    assert {after - before for (before, _), (after, _) in pairwise(found)} == {60_000}
    assert all(at_ms % 60_000 == 0 for at_ms, _ in found)


@on_virtual_time
async def test_several_processes_add_to_the_same_buckets() -> None:
    one = World()
    other = World(one.store)
    one.totals, other.totals = {DEAD: 3}, {DEAD: 4}
    await asyncio.gather(one.writer.write(), other.writer.write())
    assert [n for _, n in await one.of()] == [7]


@on_virtual_time
async def test_what_the_store_could_not_take_is_written_later_and_once() -> None:
    world = World()
    world.totals = {("dead", f"s{number}", "crm"): 1 for number in range(3 * AT_ONCE)}
    world.store.fail("add_statistics", times=1)
    await world.writer.write()
    assert await world.of() == []
    # The second transaction of six fails: what is in the first is not written again.
    await world.writer.write()
    assert sum(n for _, n in await world.of()) == 3 * AT_ONCE
    world.totals = dict.fromkeys(world.totals, 2)
    calls, real = [], world.store.add_statistics

    async def second_fails(buckets: Any) -> None:
        calls.append(len(buckets))
        if len(calls) == 2:
            world.store.fail("add_statistics")
        await real(buckets)

    world.store.add_statistics = second_fails
    await world.writer.write()
    await world.writer.write()
    assert max(calls) <= AT_ONCE
    assert sum(n for _, n in await world.of()) == 6 * AT_ONCE


@on_virtual_time
async def test_a_clock_that_jumps_ahead_writes_nothing_into_the_future_and_forgets_nothing() -> None:
    world = World()
    await world.store.live_until(world.clock.now_ms())
    real_now = world.clock.now_ms
    world.totals = {DEAD: 1}
    await world.writer.write()
    before = await world.of()
    world.clock.now_ms = lambda: real_now() + 365 * 86_400_000  # type: ignore[method-assign]

    async def work() -> None:
        world.totals = {DEAD: 2}
        await asyncio.sleep(500)

    await world.running(work)
    found = await world.of()
    assert sum(n for _, n in found) == 2
    assert all(at_ms <= real_now() for at_ms, _ in found)
    assert set(before) <= {(at_ms, 1) for at_ms, _ in found}, "what was there is there"


@on_virtual_time
async def test_what_is_old_is_forgotten_by_the_time_the_store_has_lived_through() -> None:
    world = World()
    world.totals = {DEAD: 1}
    await world.writer.write()
    await world.writer.forget()
    assert len(await world.of()) == 1, "of a store of which nobody knows how long it lived nothing is forgotten"
    await asyncio.sleep(2 * 86_400)
    await world.store.live_until(world.clock.now_ms())
    await world.writer.forget()
    assert len(await world.of()) == 1, "it is two days old and no more"
    await asyncio.sleep(120)
    await world.writer.forget()
    assert len(await world.of()) == 1, "the store has not lived through that yet"
    await world.store.live_until(world.clock.now_ms())
    await world.writer.forget()
    assert (await world.of(), len(await world.of(HOURS))) == ([], 1)
    await asyncio.sleep(89 * 86_400)
    await world.store.live_until(world.clock.now_ms())
    await world.writer.forget()
    assert await world.of(HOURS) == []


@on_virtual_time
async def test_forgetting_takes_small_steps() -> None:
    world = World()
    world.totals = {("dead", f"s{number}", "crm"): 1 for number in range(2 * AT_ONCE + 1)}
    await world.writer.write()
    await asyncio.sleep(3 * 86_400)
    await world.store.live_until(world.clock.now_ms())
    await world.writer.forget()
    assert await world.of() == []
    assert world.store.calls["forget_statistics"] == 3 + 1, "of the minutes in three, and a look at the hours"


@on_virtual_time
async def test_a_failing_store_ends_nothing() -> None:
    world = World()
    world.totals = {DEAD: 1}

    async def work() -> None:
        for name in ("add_statistics", "lived_until"):
            world.store.fail(name, times=2)
        await asyncio.sleep(1_300)

    await world.running(work)
    assert [n for _, n in await world.of()] == [1]


# -- reading --------------------------------------------------------------------------------------


async def kept(world: World) -> int:
    """Numbers in three minutes, of two sources and two destinations; when the first of them begins."""
    start_ms = MINUTES.start(world.clock.now_ms())
    for minute in range(3):
        for key in (("delivered", "shop", "crm"), ("delivered", "shop", "lake"), ("delivered", "app", "crm")):
            world.totals[key] = world.totals.get(key, 0) + 10**minute
        world.totals[latency_bin(4), "shop", "crm"] = 100 * (minute + 1)
        await world.writer.write()
        await asyncio.sleep(60)
    return start_ms


@on_virtual_time
async def test_a_series_has_a_point_for_each_step() -> None:
    world = World()
    start_ms = await kept(world)
    asked = Asked((Series.DELIVERED, Series.DEAD), start_ms + 5, start_ms + 4 * 60_000, 60_000)
    found = await world.reader.read(asked)
    assert (found.from_ms, found.to_ms, found.step_ms) == (start_ms, start_ms + 4 * 60_000, 60_000)
    assert found.lines == (
        Line(Series.DELIVERED, None, None, (3, 30, 300, 0)),
        Line(Series.DEAD, None, None, (0, 0, 0, 0)),
    )


@on_virtual_time
async def test_by_source_and_of_one_destination() -> None:
    world = World()
    start_ms = await kept(world)
    asked = Asked((Series.DELIVERED,), start_ms, start_ms + 180_000, 180_000, destination="crm", by_source=True)
    assert (await world.reader.read(asked)).lines == (
        Line(Series.DELIVERED, "app", None, (111,)),
        Line(Series.DELIVERED, "shop", None, (111,)),
    )


@on_virtual_time
async def test_latencies_are_quantiles_of_all_bins_together() -> None:
    world = World()
    start_ms = await kept(world)
    for by_destination, names in ((False, (None, None)), (True, (None, "crm"))):
        asked = Asked((Series.LATENCY,), start_ms, start_ms + 240_000, 120_000, by_destination=by_destination)
        (line,) = (await world.reader.read(asked)).lines
        assert (line.source, line.destination) == names
        first, second = line.points
        assert isinstance(first, Quantiles)
        assert first.p50_s == pytest.approx(0.175)
        assert second == first, "of a hundred as of two hundred of one bin"
    asked = Asked((Series.LATENCY,), start_ms - 120_000, start_ms, 60_000)
    assert (await world.reader.read(asked)).lines == (Line(Series.LATENCY, None, None, (None, None)),)


@on_virtual_time
async def test_too_many_points_or_none_are_refused() -> None:
    world = World()
    now_ms = world.clock.now_ms()
    for from_ms, to_ms in ((now_ms, now_ms - 120_000), (now_ms, now_ms + (POINTS_MAX + 1) * 60_000)):
        with pytest.raises(StatisticsError, match=str(POINTS_MAX)):
            await world.reader.read(Asked((Series.DEAD,), from_ms, to_ms, 60_000))


# -- silence --------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_source_that_says_nothing_for_longer_than_ever_is_silent() -> None:
    world = World()
    watch = SilenceWatch(world.store, world.clock)
    for minute in range(30):
        await world.store.append([make_append(minute + 1, received_at_ms=world.clock.now_ms())])
        world.totals["accepted", "shop", ""] = minute + 1
        await world.writer.write()
        await asyncio.sleep(300)
    last_ms = world.clock.now_ms() - 300_000
    found = await watch.look("shop")
    assert (found.last_event_at_ms, found.usual_gap_ms, found.silent) == (last_ms, 300_000, False)
    await asyncio.sleep(200)
    assert (await watch.look("shop")).silent
    assert not (await watch.look("other")).silent


@on_virtual_time
async def test_what_it_usually_does_is_not_asked_for_each_time() -> None:
    world = World()
    watch = SilenceWatch(world.store, world.clock)
    for _ in range(5):
        await watch.look("shop")
    assert world.store.calls["statistics"] == 2
    await asyncio.sleep(301)
    await watch.look("shop")
    assert world.store.calls["statistics"] == 4
