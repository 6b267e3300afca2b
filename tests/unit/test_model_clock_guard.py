"""Which clock is believed, and what time has certainly passed."""

import pytest

from longstop.model.clock_guard import JUMP_MS, TRUSTED_AFTER_MS, ClockGuard, trusted_now_ms
from longstop.testing.builders import AT_MS, make_delivery, make_event

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS


def guard() -> ClockGuard:
    return ClockGuard(AT_MS, 0)


def test_a_clock_that_goes_on_has_not_jumped_nor_one_that_is_slewed() -> None:
    watched = guard()
    # Half a thousandth, as time services do it, for a day.
    looks = [watched.look(AT_MS + second * 1000 + second // 2, second * 1000) for second in range(0, 86_400, 10)]
    assert set(looks) == {None}
    assert watched.steady_ms(86_400_000) == 86_400_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS, JUMP_MS, -JUMP_MS])
def test_a_jump_is_seen_once_and_told_by_how_much(by_ms: int) -> None:
    watched = guard()
    jump = watched.look(AT_MS + 5_000 + by_ms, 5_000)
    assert jump is not None
    assert (jump.from_ms, jump.to_ms, jump.by_ms) == (AT_MS + 5_000, AT_MS + 5_000 + by_ms, by_ms)
    assert watched.look(AT_MS + 6_000 + by_ms, 6_000) is None
    assert watched.steady_ms(6_000) == 1_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, -HOUR_MS, YEAR_MS, -YEAR_MS])
def test_an_instant_before_a_jump_is_as_long_ago_as_it_is(by_ms: int) -> None:
    watched = guard()
    watched.look(AT_MS + 10_000 + by_ms, 10_000)
    now_ms = AT_MS + 15_000 + by_ms
    assert now_ms - watched.translated_ms(AT_MS + 3_000, now_ms) == 12_000
    assert watched.translated_ms(now_ms - 1_000, now_ms) == now_ms - 1_000, "after it"


def test_there_and_back() -> None:
    watched = guard()
    watched.look(AT_MS + 10_000 + YEAR_MS, 10_000)
    watched.look(AT_MS + 20_000, 20_000)
    now_ms = AT_MS + 30_000
    assert watched.translated_ms(AT_MS + 5_000, now_ms) == AT_MS + 5_000
    assert watched.translated_ms(AT_MS + 15_000 + YEAR_MS, now_ms) == AT_MS + 15_000


def test_a_round_that_begins_in_the_future_begins_now_and_is_of_use_as_long_as_it_was_to_be() -> None:
    delivery = make_delivery(make_event(1), expires_at_ms=AT_MS + 60_000)
    now_ms = AT_MS - HOUR_MS
    moved = ClockGuard(now_ms, 0).in_step(delivery, now_ms)
    assert (moved.round_at_ms, moved.expires_at_ms) == (now_ms, now_ms + 60_000)
    assert guard().in_step(delivery, AT_MS) is delivery


# -- for one who erases -------------------------------------------------------------------------------


def test_a_clock_that_is_ahead_at_the_start_makes_nothing_older_for_a_day() -> None:
    ahead = AT_MS + YEAR_MS
    for elapsed_ms in (0, HOUR_MS, TRUSTED_AFTER_MS - 1):
        assert trusted_now_ms(ahead + elapsed_ms, elapsed_ms, AT_MS, elapsed_ms) == AT_MS + elapsed_ms
    assert trusted_now_ms(ahead, TRUSTED_AFTER_MS, AT_MS, TRUSTED_AFTER_MS) == ahead


def test_a_clock_that_jumps_ahead_makes_nothing_older_and_one_that_is_set_back_nothing_younger() -> None:
    assert trusted_now_ms(AT_MS + YEAR_MS, 0, AT_MS, 1_000) == AT_MS + 1_000
    assert trusted_now_ms(AT_MS - YEAR_MS, 0, AT_MS, 1_000) == AT_MS


def test_the_very_first_time_the_wall_clock_is_all_there_is() -> None:
    assert trusted_now_ms(AT_MS, 0, None, 0) == AT_MS
