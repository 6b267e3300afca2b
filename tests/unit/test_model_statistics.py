"""The arithmetic of statistics: buckets, quantiles, which resolution answers, and whose clock they are written by."""

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.statistics import (
    BELIEVED_AFTER_MS,
    BINS,
    DAY_MS,
    HOURS,
    LATENCY_BOUNDS_S,
    MINUTES,
    SLIP_MS,
    Bucket,
    Pace,
    Resolution,
    StatisticsError,
    grown_since,
    increments,
    latency_bin,
    quantiles,
    resolution_for,
)

NOW_MS = 1_800_000_123_456


def binned(seconds: list[float]) -> list[int]:
    bins = [0] * BINS
    for each in seconds:
        bins[bisect_left(LATENCY_BOUNDS_S, each)] += 1
    return bins


def quantile(bins: list[int], share: float) -> float | None:
    found = quantiles(bins, [share])
    return None if found is None else found[0]


def test_what_grew_is_added_to_its_minute_and_to_its_hour() -> None:
    grown = grown_since({("dead", "shop", "crm"): 7, ("accepted", "shop", ""): 2}, {("dead", "shop", "crm"): 4})
    assert grown == {("dead", "shop", "crm"): 3, ("accepted", "shop", ""): 2}
    assert increments(grown, NOW_MS) == [
        Bucket(kept.step_ms, NOW_MS // kept.step_ms * kept.step_ms, *names, n)
        for kept in (MINUTES, HOURS)
        for names, n in ((("dead", "shop", "crm"), 3), (("accepted", "shop", ""), 2))
    ]
    assert grown_since({("a", "b", "c"): 3}, {("a", "b", "c"): 3}) == {}


def test_bins_of_a_latency_grow_in_one_bucket() -> None:
    grown = {(latency_bin(4), "shop", "crm"): 5, ("dead", "shop", "crm"): 1, (latency_bin(0), "shop", "crm"): 2}
    grown |= {(latency_bin(1), "app", "crm"): 0}
    dead, latency = increments(grown, NOW_MS)[:2]
    assert (dead.series, dead.n, dead.bins) == ("dead", 1, ())
    assert (latency.series, latency.source, latency.n) == ("latency", "shop", 7)
    assert latency.bins == (2, 0, 0, 0, 5, *[0] * (BINS - 5))
    assert len(increments(grown, NOW_MS)) == 4, "of each resolution two, and none of nothing"


def test_a_quantile_lies_within_its_bin_in_proportion() -> None:
    bins = binned([0.3] * 50 + [2.0] * 49 + [20.0])
    assert quantile(bins, 0.5) == 0.5, "the fiftieth of fifty: the end of its bin"
    assert quantile(bins, 0.25) == pytest.approx(0.375)
    assert quantile(bins, 0.99) == 2.5
    assert quantile(bins, 1.0) == 30
    assert quantile([0] * BINS, 0.5) is None
    assert quantile(binned([10.0**6]), 0.5) == LATENCY_BOUNDS_S[-1], "beyond the last bound nobody knows"


@given(st.lists(st.floats(0, 80_000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_never_in_another_bin_than_the_true_one(seconds: list[float], share: float) -> None:
    rank = max(1, -int(-share * len(seconds) // 1))
    true = sorted(seconds)[rank - 1]
    found = quantile(binned(seconds), share)
    assert found is not None
    place = bisect_left(LATENCY_BOUNDS_S, true)
    low = LATENCY_BOUNDS_S[place - 1] if place else 0
    assert low - 1e-9 <= found <= LATENCY_BOUNDS_S[place] + 1e-9


@given(st.lists(st.lists(st.floats(0, 80_000)), min_size=1))
def test_bins_of_many_minutes_add_up_to_those_of_all(parts: list[list[float]]) -> None:
    together = [sum(column) for column in zip(*map(binned, parts), strict=True)]
    assert together == binned([each for part in parts for each in part])


@pytest.mark.parametrize(
    ("step_s", "days_ago", "expected"),
    [
        (60, 0.5, MINUTES),
        (60, 2, MINUTES),
        (300, 2, MINUTES),
        (5_400, 1, MINUTES),
        (3_600, 0.5, HOURS),
        (3_600, 30, HOURS),
        (86_400, 90, HOURS),
        (3_600, 400, HOURS),
    ],
)
def test_the_resolution_with_the_fewest_numbers_answers(step_s: int, days_ago: float, expected: Resolution) -> None:
    assert resolution_for(step_s * 1000, int(NOW_MS - days_ago * DAY_MS), NOW_MS) is expected


@pytest.mark.parametrize(
    ("step_s", "days_ago", "said"),
    [(0, 1, "multiple of 60 s"), (-60, 1, "multiple of 60 s"), (90, 1, "multiple of 60 s"), (60, 3, "3600")],
)
def test_what_cannot_be_told_is_no_zero(step_s: int, days_ago: float, said: str) -> None:
    with pytest.raises(StatisticsError, match=said):
        resolution_for(step_s * 1000, int(NOW_MS - days_ago * DAY_MS), NOW_MS)


# -- a clock that jumps ---------------------------------------------------------------------------


def test_the_wall_clock_is_believed_where_it_goes_as_time_does() -> None:
    pace = Pace(NOW_MS, 0)
    assert pace.now_ms(NOW_MS + 10_000, 10_000) == NOW_MS + 10_000
    assert pace.now_ms(NOW_MS + 20_000 + SLIP_MS, 20_000) == NOW_MS + 20_000 + SLIP_MS, "it is put right a little"


@pytest.mark.parametrize("by_ms", [10 * 365 * DAY_MS, -10 * DAY_MS, SLIP_MS + 1])
def test_a_jump_is_not_believed_for_ten_minutes(by_ms: int) -> None:
    pace, seen = Pace(NOW_MS, 0), []
    for ran_ms in range(10_000, BELIEVED_AFTER_MS + 30_000, 10_000):
        found = pace.now_ms(NOW_MS + ran_ms + by_ms, ran_ms)
        seen.append(found - NOW_MS - ran_ms)
    assert set(seen) == {0, by_ms}
    assert seen == sorted(seen, key=lambda off: off != 0), "first as before, then as it says"
    assert seen.count(0) == BELIEVED_AFTER_MS // 10_000


def test_a_clock_that_is_put_right_in_time_has_never_been_believed() -> None:
    pace = Pace(NOW_MS, 0)
    for ran_ms in range(10_000, 10 * BELIEVED_AFTER_MS, 10_000):
        wrong = (ran_ms // 300_000) % 2
        assert pace.now_ms(NOW_MS + ran_ms + wrong * DAY_MS, ran_ms) == NOW_MS + ran_ms
