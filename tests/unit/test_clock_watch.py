"""The wall clock is watched: what a jump sets off, how often the store is mended, and what is told of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from services import on_virtual_time
from structlog.testing import capture_logs

from longstop.delivering.clock_watch import REPAIR_EVERY_S, ClockRepairs, ClockWatch, longest_wait_ms
from longstop.model.breaker import BreakerPolicy
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.errors import StoreUnavailableError
from longstop.model.retry import RetryPolicy
from longstop.testing.builders import AT_MS, make_delivery, make_event
from longstop.testing.clock import VirtualClock

HOUR_MS = 3_600_000
WAITS = {"crm": 900_000}


class Mended:
    """An inbox that notes when it was asked to repair what, and says how much it was."""

    def __init__(self, counts: Sequence[int | Exception] = ()) -> None:
        self._counts = list(counts)
        self.asked: list[tuple[int, ClockRepair]] = []

    async def repair_clock(self, repair: ClockRepair) -> int:
        self.asked.append((VirtualClock().monotonic_ms(), repair))
        count = self._counts.pop(0) if self._counts else 0
        if isinstance(count, Exception):
            raise count
        return count

    def thorough(self) -> list[tuple[int, bool]]:
        """When it was asked, and whether for a look at everything."""
        return [(at_ms, repair.thorough) for at_ms, repair in self.asked]


def repairs(inbox: Any) -> ClockRepairs:
    clock = VirtualClock()
    return ClockRepairs(inbox, clock, ClockWatch(clock), WAITS, lease_ms=30_000, dedup_ms=HOUR_MS)


async def for_s(seconds: float, inbox: Mended, jump_s: float = 0.0) -> None:
    """Let it run for so long, and then as long again after a jump."""
    running = asyncio.create_task(repairs(inbox).run())
    await asyncio.sleep(seconds)
    if jump_s:
        VirtualClock().jump(jump_s)
        await asyncio.sleep(seconds)
    running.cancel()


# -- the store is mended ------------------------------------------------------------------------------


@on_virtual_time
async def test_it_looks_at_everything_at_the_start_and_every_ten_seconds_at_what_has_come_to_light() -> None:
    inbox = Mended()
    await for_s(3 * REPAIR_EVERY_S - 0.5, inbox)
    assert inbox.thorough() == [(0, True), (10_000, False), (20_000, False)]
    assert inbox.asked[1][1] == ClockRepair(AT_MS + 10_000, WAITS, 30_000, HOUR_MS, thorough=False)


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
def test_a_jump_has_it_look_at_everything_within_a_second_by_the_new_clock(jump_s: float) -> None:
    @on_virtual_time
    async def scenario() -> None:
        inbox = Mended()
        await for_s(2.5, inbox, jump_s)
        assert inbox.thorough() == [(0, True), (3_000, True)]
        assert inbox.asked[1][1].now_ms == AT_MS + 3_000 + jump_s * 1000

    scenario()


@on_virtual_time
async def test_a_store_that_cannot_be_mended_is_asked_again_for_everything() -> None:
    inbox = Mended([StoreUnavailableError("locked")])
    with capture_logs() as logged:
        await for_s(2.5, inbox)
    assert inbox.thorough() == [(0, True), (1_000, True)]
    assert [each["event"] for each in logged] == ["clock_repair_failed"]
    assert "locked" in logged[0]["error"]


@pytest.mark.parametrize(
    ("counts", "calls", "entries"),
    [([0], 1, []), ([7], 1, [7]), ([REPAIRS_MAX, 7], 2, [REPAIRS_MAX + 7]), ([REPAIRS_MAX, 0], 2, [REPAIRS_MAX])],
)
def test_it_goes_on_until_nothing_is_left_and_says_how_much_it_was(
    counts: list[int], calls: int, entries: list[int]
) -> None:
    @on_virtual_time
    async def scenario() -> None:
        inbox = Mended(counts)
        with capture_logs() as logged:
            await for_s(0.5, inbox)
        assert len(inbox.asked) == calls
        assert len({repr(repair) for _, repair in inbox.asked}) == 1
        assert [(each["event"], each["entries"]) for each in logged] == [("clock_repaired", each) for each in entries]

    scenario()


@pytest.mark.parametrize(
    ("retry", "breaker", "timeout_ms", "longest_ms"),
    [
        (RetryPolicy(first_ms=90_000, cap_ms=1, retry_after_cap_ms=1), BreakerPolicy(probe_cap_ms=1), 1, 90_000),
        (RetryPolicy(first_ms=1, cap_ms=90_000, retry_after_cap_ms=1), BreakerPolicy(probe_cap_ms=1), 1, 90_000),
        (RetryPolicy(first_ms=1, cap_ms=1, retry_after_cap_ms=90_000), BreakerPolicy(probe_cap_ms=1), 1, 90_000),
        (RetryPolicy(first_ms=1, cap_ms=1, retry_after_cap_ms=1), BreakerPolicy(probe_cap_ms=90_000), 1, 90_000),
        (RetryPolicy(first_ms=1, cap_ms=1, retry_after_cap_ms=1), BreakerPolicy(probe_cap_ms=1), 45_000, 90_000),
    ],
)
def test_nothing_waits_longer_than_the_longest_of_all_waits(
    retry: RetryPolicy, breaker: BreakerPolicy, timeout_ms: int, longest_ms: int
) -> None:
    assert longest_wait_ms(retry, breaker, timeout_ms) == longest_ms


# -- what this process knows --------------------------------------------------------------------------


@on_virtual_time
async def test_a_jump_is_counted_and_told_once() -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock)
    assert watch.look() == AT_MS
    await clock.sleep(1)
    clock.jump(3_600)
    with capture_logs() as logged:
        assert watch.look() == AT_MS + 1_000 + HOUR_MS
        watch.look()
    assert watch.jumps == 1
    clock.jump(-60)
    watch.look()
    assert watch.jumps == 2
    (told,) = logged
    assert (told["event"], told["by_s"]) == ("clock_jumped", 3_600)
    assert (told["from_ms"], told["to_ms"]) == (AT_MS + 1_000, AT_MS + 1_000 + HOUR_MS)


@on_virtual_time
async def test_only_a_clock_that_was_set_forward_lately_has_made_leases_seem_to_run_out() -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock)
    assert not watch.set_forward_within(HOUR_MS)
    clock.jump(-3_600)
    assert not watch.set_forward_within(HOUR_MS), "back"
    await clock.sleep(5)
    clock.jump(60)
    assert watch.set_forward_within(1_000)
    await clock.sleep(0.999)
    assert watch.set_forward_within(1_000)
    await clock.sleep(0.001)
    assert not watch.set_forward_within(1_000)


@on_virtual_time
async def test_how_long_it_has_not_jumped_counts_from_the_last_jump() -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock)
    assert watch.steady_ms() == 0
    await clock.sleep(7)
    assert watch.steady_ms() == 7_000
    clock.jump(60)
    assert watch.steady_ms() == 0
    await clock.sleep(2)
    assert watch.steady_ms() == 2_000


@on_virtual_time
async def test_what_expires_is_judged_by_the_clock_that_noted_it() -> None:
    clock = VirtualClock()
    watch = ClockWatch(clock)
    delivery = make_delivery(make_event(1), expires_at_ms=AT_MS + 60_000)
    assert watch.expired_by_ms() == AT_MS
    clock.jump(3_600)
    assert watch.expired_by_ms() == AT_MS, "nothing has become older"
    found = watch.in_step(delivery)
    assert (found.round_at_ms, found.expires_at_ms) == (AT_MS + HOUR_MS, AT_MS + HOUR_MS + 60_000)
