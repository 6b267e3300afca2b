"""What is known of deliveries by the ids of their events."""

import operator
import random

import pytest

from longstop.model.id_times import APART_MAX_MS, IdTimes
from longstop.model.ids import format_uuid7, id_ms
from longstop.model.listing import Page

AHEAD_MS, BEHIND_MS = 7, 12
TIMES = IdTimes(AHEAD_MS, BEHIND_MS, early_ms=3)


def an_id(received_at_ms: int, rng: random.Random) -> str:
    """One of those farthest ahead and behind, or in between."""
    off_ms = rng.choice((AHEAD_MS, -BEHIND_MS, rng.randint(-BEHIND_MS, AHEAD_MS)))
    return format_uuid7(received_at_ms + off_ms, rng.choice((0, (1 << 74) - 1, rng.getrandbits(74))))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("newest_first", [True, False])
def test_what_comes_before_others_does_so_and_a_cursor_passes_over_no_event(seed: int, newest_first: bool) -> None:
    rng, is_behind = random.Random(seed), operator.lt if newest_first else operator.gt
    arrivals = [1_000 + rng.randrange(60) for _ in range(80)]
    delivery_of = {an_id(at, rng): an_id(at, rng) for at in arrivals}
    events = sorted(delivery_of, reverse=newest_first)
    for place in range(1, len(events)):
        looked_at = [delivery_of[each] for each in events[:place]]
        others = [delivery_of[each] for each in events[place:]]
        found = TIMES.before_others(looked_at, events[place - 1], newest_first)
        assert all(is_behind(other, each) for each in found for other in others)
        cursor = rng.choice(looked_at)
        after = TIMES.events_behind(Page(1, cursor, newest_first))
        assert after is not None
        passed_over = [each for each in events if not is_behind(each, after)]
        assert not any(is_behind(delivery_of[each], cursor) for each in passed_over)
    assert len(TIMES.before_others(delivery_of.values(), events[-1], newest_first)) > 0


def test_the_bounds_are_as_narrow_as_the_offsets_allow() -> None:
    """What is off by the most is within, and nothing of a millisecond further."""
    at_ms, apart_ms = 5_000, AHEAD_MS + BEHIND_MS
    looked_to = format_uuid7(at_ms, 99)
    ids = [format_uuid7(at_ms + off, 1) for off in (-apart_ms - 1, -apart_ms, apart_ms, apart_ms + 1)]
    assert TIMES.before_others(ids, looked_to, newest_first=True) == ids[3:]
    assert TIMES.before_others(ids, looked_to, newest_first=False) == ids[:1]
    for newest_first, off_ms in ((True, apart_ms + 1), (False, -apart_ms - 1)):
        after = TIMES.events_behind(Page(1, looked_to, newest_first))
        assert after is not None
        assert id_ms(after) == at_ms + off_ms


def test_times_of_arrival_are_bounds_of_ids() -> None:
    low, high = TIMES.received(100, 200)
    assert (low, high) == (format_uuid7(100 - BEHIND_MS, 0), format_uuid7(200 + AHEAD_MS, 0))
    assert TIMES.received(None, 200, 150) == (None, format_uuid7(150 + AHEAD_MS + 3, 0))
    assert TIMES.received(None, None) == (None, None)
    assert TIMES.received(5, None) == (format_uuid7(0, 0), None), "before all time"


@pytest.mark.parametrize("after", [None, "", "no id"])
def test_a_page_without_a_row_before_it_begins_with_the_first_event(after: str | None) -> None:
    assert TIMES.events_behind(Page(after=after)) is None


def test_before_all_time_there_is_nothing() -> None:
    first = format_uuid7(3, 0)
    assert TIMES.events_behind(Page(1, first, newest_first=False)) == ""
    assert TIMES.before_others([first], first, newest_first=False) == []


def test_a_clock_that_was_put_back_sets_ids_too_far_apart_to_go_by() -> None:
    assert IdTimes(APART_MAX_MS, 0, 0).are_near
    assert not IdTimes(APART_MAX_MS, 1, 0).are_near
