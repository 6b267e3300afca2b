"""What failures say of a destination: an outage is seen, and events that fail for themselves are not taken for one."""

import random
from dataclasses import replace

import pytest

from longstop.model import evidence
from longstop.model.breaker import BreakerPolicy
from longstop.model.evidence import SLOTS, VOICES, Evidence, Tally

POLICY = BreakerPolicy(failures=8, rate=0.5, calls=10, window_ms=10_000)
NEVER_BY_RUN = replace(POLICY, failures=1_000_000)
NEVER_BY_RATE = replace(POLICY, calls=1_000_000)


def failed(name: object, failures: int = 0, answered: bool = True) -> Evidence:
    return Evidence(str(name), False, answered, failures)


def arrived(failures: int = 0) -> Evidence:
    return Evidence("", True, failures=failures)


def said(tally: Tally, *seen: Evidence, at_ms: int = 0) -> list[str | None]:
    return [tally.count(each, at_ms) for each in seen]


def until_open(tally: Tally, seen: list[Evidence]) -> int | None:
    """How many of these it takes; None where all of them are not enough."""
    return next((number for number, each in enumerate(seen, 1) if tally.count(each, 0)), None)


def mixed(share: float, count: int, seed: int, answered: bool = True) -> list[Evidence]:
    """First tries of events of which this share fails, whatever is done."""
    dice = random.Random(seed)
    return [failed(n, answered=answered) if dice.random() < share else arrived() for n in range(count)]


# -- a run of failures --------------------------------------------------------------------------------


def test_so_many_events_in_a_row_open_it_and_one_that_arrives_begins_the_count_anew() -> None:
    tally = Tally(NEVER_BY_RATE)
    arrivals = [arrived()] * 7
    assert said(tally, *map(failed, range(7)), *arrivals, *map(failed, range(10, 17))) == [None] * 21
    assert said(tally, failed(17)) == ["8 events in a row failed"]


def test_one_event_that_fails_ten_times_is_one_voice() -> None:
    tally = Tally(NEVER_BY_RATE)
    assert said(tally, *[failed("same")] * 10, *(failed(n) for n in range(6))) == [None] * 16
    assert said(tally, failed(6)) == ["8 events in a row failed"]


def test_where_answers_are_usual_none_counts_twice() -> None:
    silent = [failed(n, answered=False) for n in range(8)]
    why = [None, "4 events in a row failed, 4 of them without an answer"]
    assert said(Tally(NEVER_BY_RATE), *[arrived()] * 5, *silent[:4])[-2:] == why


def test_of_a_destination_that_is_not_known_yet_no_answer_says_no_more_than_an_answer() -> None:
    silent = [failed(n, answered=False) for n in range(100)]
    assert until_open(Tally(NEVER_BY_RATE), silent) == 8


def test_one_that_failed_before_has_half_a_voice_for_each_time_and_in_the_end_none() -> None:
    for failures, expected in ((1, 16), (2, 32), (3, 64)):
        seen = [failed(n, failures) for n in range(1_000)]
        assert until_open(Tally(NEVER_BY_RATE), seen) == expected
    assert until_open(Tally(NEVER_BY_RATE), [failed(n, VOICES) for n in range(10_000)]) is None


def test_what_failed_while_others_arrived_has_no_voice_until_it_arrives_itself() -> None:
    tally = Tally(NEVER_BY_RATE)
    some = [failed(n) for n in range(7)]
    assert said(tally, *some, *[arrived()] * 10, *(replace(each, failures=1) for each in some * 9)) == [None] * 80
    said(tally, *(replace(each, worked=True) for each in some))
    assert said(tally, *some, failed(7)) == [None] * 7 + ["8 events in a row failed"]


@pytest.mark.parametrize(("events", "at_ms", "opens"), [(2, 600_000, True), (1, 600_000, False), (7, 599_999, False)])
def test_where_nothing_arrives_for_ten_minutes_a_quarter_is_enough(events: int, at_ms: int, opens: bool) -> None:
    tally = Tally(NEVER_BY_RATE)
    said(tally, *map(failed, range(events)))
    # By then it has failed too often to have a voice, and reminds of those who had.
    assert (tally.count(failed(0, failures=9), at_ms) is not None) is opens


def test_the_ten_minutes_count_from_the_first_of_the_run() -> None:
    for at_ms, opens in ((1_599_999, False), (1_600_000, True)):
        tally = Tally(NEVER_BY_RATE)
        said(tally, failed(0), at_ms=1_000_000)
        said(tally, failed(1), at_ms=1_300_000)
        assert (tally.count(failed(0, failures=9), at_ms) is not None) is opens


def test_one_is_told_as_one() -> None:
    one, two = (Tally(replace(NEVER_BY_RATE, failures=count)) for count in (1, 2))
    assert said(one, failed(1)) == ["1 event in a row failed"]
    assert said(two, failed(1), failed(2)) == [None, "2 events in a row failed"]


@pytest.mark.parametrize(("share", "most"), [(0.0, 40), (0.5, 45), (0.9, 140)])
def test_where_many_fail_anyway_it_takes_a_longer_run_and_a_real_outage_is_seen_all_the_same(
    share: float, most: int
) -> None:
    tally = Tally(BreakerPolicy())
    said(tally, *mixed(share, 2_000, seed=1), arrived())
    needed = until_open(tally, [failed(-n) for n in range(1, 1_000)])
    assert needed is not None
    assert 20 <= needed <= most


def test_where_many_are_answered_with_an_error_no_answer_is_still_seen_soon() -> None:
    tally = Tally(BreakerPolicy())
    said(tally, *mixed(0.9, 2_000, seed=1), arrived())
    assert until_open(tally, [failed(-n, answered=False) for n in range(1, 1_000)]) == 20


def usual_of(rounds: int, silent: int) -> Tally:
    """So many times four new events failed and the fifth arrived; so many of the first that failed had no answer."""
    tally = Tally(BreakerPolicy(failures=40, calls=1_000_000))
    for number in range(rounds * 4):
        said(tally, failed(f"usual {number}", answered=number >= silent))
        if number % 4 == 3:
            said(tally, arrived())
    return tally


@pytest.mark.parametrize(
    ("rounds", "silent", "answered", "needed"),
    [
        # Of 100, with ten more of which the square root of a half fails: 87.1 of 110, so 40 / (2 log2(110 / 87.1)).
        (20, 0, True, 60),
        (20, 25, True, 60),
        # Of no answer three times 25: 82.1 of 110.
        (20, 25, False, 48),
        (20, 40, False, 60),
        (20, 0, False, 20),
        # Of 400 the older half is forgotten: 167.1 of 210, and of no answer 157.1.
        (79, 0, True, 62),
        (80, 0, True, 61),
        (80, 100, False, 48),
    ],
)
def test_how_long_a_run_has_to_be_follows_from_what_is_usual(
    rounds: int, silent: int, answered: bool, needed: int
) -> None:
    outage = [failed(n, answered=answered) for n in range(1_000)]
    assert until_open(usual_of(rounds, silent), outage) == needed


def test_suspects_are_remembered_and_of_too_many_the_youngest(monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = [failed(f"old {n}") for n in range(8)], [failed(f"young {n}") for n in range(8)]
    for remembered, opens in ((8, True), (16, False)):
        monkeypatch.setattr(evidence, "SUSPECTS", remembered)
        tally = Tally(NEVER_BY_RATE)
        said(tally, *[arrived()] * 100, *old, arrived(), *young, *[arrived()] * 9)
        assert said(tally, *young) == [None] * 8
        assert (said(tally, *old)[-1] is not None) is opens


def test_an_outage_is_not_taken_for_what_is_usual() -> None:
    tally = Tally(BreakerPolicy())
    for _ in range(20):
        assert until_open(tally, [failed(n) for n in range(100)]) == 40
        tally.begin_anew()
        tally.count(arrived(), 0)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_events_that_fail_for_themselves_open_nothing(share: float, answered: bool) -> None:
    for seed in range(20):
        why = said(Tally(BreakerPolicy()), *mixed(share, 5_000, seed, answered))
        assert why == [None] * 5_000, f"seed {seed}"


# -- a share of the window ----------------------------------------------------------------------------


def test_a_share_of_failures_opens_it_where_what_arrives_had_mostly_failed_before() -> None:
    tally = Tally(NEVER_BY_RUN)
    assert said(tally, *[arrived(failures=1)] * 3, *[arrived()] * 2, *map(failed, range(5)))[:9] == [None] * 9
    (why,) = said(tally, failed(9))
    assert why == "6 of 11 attempts within 10 s failed, and what arrived had mostly failed before"


def test_a_share_of_failures_says_nothing_where_what_arrives_does_so_at_once() -> None:
    some = [arrived(failures=1), arrived(), *map(failed, range(8))]
    assert said(Tally(NEVER_BY_RUN), *some * 3) == [None] * 30


def test_too_few_attempts_say_nothing_of_the_share() -> None:
    assert said(Tally(NEVER_BY_RUN), *[arrived(failures=1)] * 3, *map(failed, range(6))) == [None] * 9


@pytest.mark.parametrize(("at_ms", "opens"), [(9_999, True), (10_000, False)])
def test_what_is_older_than_the_window_does_not_count(at_ms: int, opens: bool) -> None:
    tally = Tally(NEVER_BY_RUN)
    said(tally, *[arrived(failures=1)] * 3, *map(failed, range(6)))
    assert (tally.count(failed(7), at_ms) is not None) is opens


def test_what_is_not_listened_to_any_more_does_not_count_in_the_window_either() -> None:
    some = [arrived(failures=1)] * 3 + [failed(n, VOICES) for n in range(100)]
    assert said(Tally(NEVER_BY_RUN), *some) == [None] * 103


def test_a_part_of_the_window_goes_as_a_whole() -> None:
    tally = Tally(NEVER_BY_RUN)
    said(tally, *[arrived(failures=1)] * 3, *map(failed, range(6)), at_ms=999)
    assert tally.count(failed(7), 10_000) is None


def test_exactly_the_share_is_enough_and_less_is_not() -> None:
    exactly = [*[arrived(failures=1)] * 5, *map(failed, range(5))]
    assert said(Tally(NEVER_BY_RUN), *exactly)[-1] is not None
    assert said(Tally(NEVER_BY_RUN), arrived(failures=1), *exactly) == [None] * 11


def test_a_window_takes_as_much_room_as_it_has_parts_however_many_attempts_there_are() -> None:
    tally = Tally(NEVER_BY_RUN)
    for at_ms in range(0, 30_000, 10):
        said(tally, arrived(), failed(at_ms), at_ms=at_ms)
    assert len(tally._window._slots) == SLOTS
