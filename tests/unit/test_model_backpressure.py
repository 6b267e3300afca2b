"""Backpressure's arithmetic: rates, backlogs, and the seconds of a Retry-After."""

import random

import pytest

from longstop.model.backpressure import Backlog, TokenBucket, retry_after_s


def test_a_second_s_worth_may_come_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(10, now_ms=0)
    assert [bucket.take(0) for _ in range(10)] == [0] * 10
    assert bucket.take(0) == pytest.approx(0.1)
    assert bucket.take(99) > 0
    assert bucket.take(100) == 0
    assert sum(bucket.take(now_ms) == 0 for now_ms in range(100, 10_100)) in (99, 100)


def test_a_rate_below_one_a_second_lets_one_through_at_a_time() -> None:
    bucket = TokenBucket(1 / 60, now_ms=0)
    assert bucket.take(0) == 0
    assert bucket.take(30_000) == pytest.approx(30)
    assert bucket.take(60_000) == 0


def test_a_clock_that_is_set_back_grants_nothing_and_does_not_stop_the_bucket() -> None:
    bucket = TokenBucket(1, now_ms=1_000_000)
    assert bucket.take(1_000_000) == 0
    assert bucket.take(0) > 0
    assert bucket.take(1_000) == 0


def test_a_backlog_closes_at_its_mark_and_opens_well_below() -> None:
    backlog = Backlog(100)
    seen = [backlog.full]
    for waiting in (100, 101, 95, 91, 90, 100, 101):
        backlog.seen(waiting, 0, 0)
        seen.append(backlog.full)
    assert seen == [False, False, True, True, True, False, False, True]


def test_the_wait_follows_from_how_fast_deliveries_end() -> None:
    backlog = Backlog(100)
    backlog.seen(300, 0, 70_000)
    assert backlog.wait_s() is None
    backlog.seen(290, 10, 71_000)
    assert backlog.wait_s() == pytest.approx((290 - 90) / 10)
    backlog.seen(290, 10, 72_000)
    assert backlog.wait_s() == pytest.approx((290 - 90) / 7)
    backlog.seen(90, 10, 73_000)
    assert backlog.wait_s() == 0, "there is room"


def test_a_replay_is_no_negative_speed() -> None:
    backlog = Backlog(100)
    backlog.seen(200, 50, 0)
    backlog.seen(250, 0, 1_000)
    assert backlog.wait_s() is None


@pytest.mark.parametrize("most_s", [1, 5, 60, 3600])
@pytest.mark.parametrize("wait_s", [None, 0.0, 0.001, 0.7, 3, 4.9, 5, 59, 1e9])
def test_never_early_never_over_what_the_sender_s_rules_allow(wait_s: float | None, most_s: int) -> None:
    told = [retry_after_s(wait_s, most_s, random.Random(seed)) for seed in range(200)]
    assert all(1 <= each <= most_s for each in told)
    if wait_s is not None and wait_s < most_s:
        assert min(told) >= wait_s


@pytest.mark.parametrize(("wait_s", "most_s"), [(None, 60), (None, 5), (1e9, 60), (20, 60), (3, 5), (0.1, 60)])
def test_senders_refused_together_do_not_come_back_together(wait_s: float | None, most_s: int) -> None:
    told = {retry_after_s(wait_s, most_s, random.Random(seed)) for seed in range(200)}
    assert len(told) >= 2


class Loaded(random.Random):
    """Dice that always show the same."""

    def __init__(self, shows: float) -> None:
        super().__init__()
        self._shows = shows

    def random(self) -> float:
        return self._shows


@pytest.mark.parametrize(
    ("wait_s", "most_s", "earliest", "middle", "latest"),
    [(20, 60, 20, 25, 30), (0.1, 60, 1, 1, 2), (50, 60, 50, 60, 60), (60, 60, 60, 45, 31), (None, 60, 60, 45, 31)],
)
def test_it_is_spread_over_half_as_much_again_and_at_the_most_over_its_upper_half(
    wait_s: float | None, most_s: int, earliest: int, middle: int, latest: int
) -> None:
    told = [retry_after_s(wait_s, most_s, Loaded(shows)) for shows in (0.0, 0.5, 0.999)]
    assert told == [earliest, middle, latest]
