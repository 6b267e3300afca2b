"""When a source is silent: longer than it ever is, and not for less."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.silence import HOUR_MS, KNOWN_AFTER, LEAST_MS, MARGIN, MINUTE_MS, is_silent, usual_gap_ms

NOW_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS


def steps(number: int, each_ms: int) -> list[int]:
    return [NOW_MS + place * each_ms for place in range(number)]


def test_the_longest_gap_between_minutes_is_the_usual_one() -> None:
    minutes = [*steps(10, MINUTE_MS), NOW_MS + 17 * MINUTE_MS]
    assert usual_gap_ms(minutes, [NOW_MS]) == 8 * MINUTE_MS


def test_a_night_that_only_hours_know_of_counts() -> None:
    hours = [*steps(8, HOUR_MS), NOW_MS + 20 * HOUR_MS]
    # From the beginning of 07:00 to the end of 20:00, at the longest.
    assert usual_gap_ms(steps(60, MINUTE_MS), hours) == 14 * HOUR_MS


def test_hours_that_follow_each_other_tell_less_than_minutes() -> None:
    assert usual_gap_ms(steps(200, MINUTE_MS), steps(4, HOUR_MS)) == MINUTE_MS
    assert usual_gap_ms([], steps(20, HOUR_MS)) == 2 * HOUR_MS, "the longest it can have been"


@pytest.mark.parametrize("number", [0, 1, KNOWN_AFTER - 1])
def test_of_one_that_came_a_few_times_nothing_is_known(number: int) -> None:
    assert usual_gap_ms(steps(number, MINUTE_MS), steps(1, HOUR_MS)) is None
    assert usual_gap_ms(steps(KNOWN_AFTER, MINUTE_MS), []) is not None


def test_it_is_silent_from_one_and_a_half_times_its_longest_gap_on() -> None:
    usual_ms = 20 * MINUTE_MS
    edge_ms = NOW_MS + int(usual_ms * MARGIN)
    assert not is_silent(NOW_MS, usual_ms, edge_ms)
    assert is_silent(NOW_MS, usual_ms, edge_ms + 1)


def test_a_busy_source_is_not_silent_within_minutes() -> None:
    assert not is_silent(NOW_MS, MINUTE_MS, NOW_MS + LEAST_MS)
    assert is_silent(NOW_MS, MINUTE_MS, NOW_MS + LEAST_MS + 1)


def test_one_that_nobody_knows_is_never_silent() -> None:
    assert not is_silent(None, MINUTE_MS, NOW_MS)
    assert not is_silent(NOW_MS, None, NOW_MS + 10**12)


@given(st.lists(st.integers(0, 90 * 24 * 60), min_size=KNOWN_AFTER, unique=True))
def test_no_gap_that_has_been_is_silence(at_minutes: list[int]) -> None:
    """Whatever it did before: by what is known after the fact, none of it was longer than ever."""
    minutes = sorted(NOW_MS + each * MINUTE_MS for each in at_minutes)
    hours = sorted({each // HOUR_MS * HOUR_MS for each in minutes})
    for known in (minutes, minutes[-KNOWN_AFTER:], []):
        usual_ms = usual_gap_ms(known, hours)
        if usual_ms is None:
            continue
        assert not any(is_silent(a, usual_ms, b) for a, b in pairwise(minutes))
