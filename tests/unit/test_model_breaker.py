"""The circuit breaker's rules and the limits: pure, with the time as an argument."""

from dataclasses import replace

import pytest

from longstop.model.breaker import BreakerPolicy, Circuit, Tally, asked_ms, opened, works
from longstop.model.concurrency_limit import START, Limiter
from longstop.model.delivery import Outcome, OutcomeKind

POLICY = BreakerPolicy(failures=3, rate=0.5, calls=10, window_ms=10_000, probe_ms=1_000, probe_cap_ms=8_000, probes=2)
NEVER_BY_RATE = replace(POLICY, calls=1_000_000)
RETRY = Outcome(OutcomeKind.RETRY, status=503)
CIRCUIT = Circuit("crm", 0, 1_000, answer_ms=15_000, why="…")


# -- when it opens ------------------------------------------------------------------------------------


def test_so_many_failures_in_a_row_open_it_and_a_success_begins_the_count_anew() -> None:
    tally = Tally(NEVER_BY_RATE)
    said = [tally.count(worked, 0) for worked in (False, False, True, False, False, False)]
    assert said == [None, None, None, None, None, "3 attempts in a row failed"]


def test_a_share_of_failures_over_the_window_opens_it() -> None:
    tally = Tally(replace(POLICY, failures=100))
    said = [tally.count(worked, 0) for worked in [True, False] * 5]
    assert said[:9] == [None] * 9
    assert said[9] == "5 of 10 attempts within 10 s failed"


def test_too_few_attempts_say_nothing_of_the_share() -> None:
    tally = Tally(replace(POLICY, failures=100))
    assert [tally.count(worked, 0) for worked in [True] * 4 + [False] * 5] == [None] * 9


def test_what_is_older_than_the_window_does_not_count() -> None:
    tally = Tally(replace(POLICY, failures=100))
    for _ in range(8):
        tally.count(False, 0)
    assert tally.count(False, 9_999) is None
    # The first eight are out of the window now.
    assert tally.count(False, 10_000) is None


def test_a_clock_that_is_set_back_does_not_upset_the_count() -> None:
    tally = Tally(NEVER_BY_RATE)
    said = [tally.count(False, at_ms) for at_ms in (50_000, 20_000, 0)]
    assert said[-1] == "3 attempts in a row failed"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(OutcomeKind.SUCCESS, status=204), True),
        (Outcome(OutcomeKind.REJECT, status=422), True),
        (RETRY, False),
        (Outcome(OutcomeKind.RETRY, error="refused"), False),
        (Outcome(OutcomeKind.RETRY, status=503, retry_after_s=9.0), False),
        # A handler's RetryLater: it speaks of one event.
        (Outcome(OutcomeKind.RETRY, error="later", retry_after_s=9.0), None),
        (Outcome(OutcomeKind.LOST), None),
        (Outcome(OutcomeKind.CRASHED), None),
        (Outcome(OutcomeKind.INTERRUPTED), None),
    ],
)
def test_what_an_outcome_says_of_the_destination(outcome: Outcome, expected: bool | None) -> None:
    assert works(outcome) is expected


@pytest.mark.parametrize(
    ("status", "after_s", "expected"),
    [(503, 2.5, 2_500), (429, 2.5, 2_500), (503, 1e9, 60_000), (500, 2.5, 0), (None, 2.5, 0), (503, None, 0)],
)
def test_what_asks_to_be_left_alone_as_a_whole(status: int | None, after_s: float | None, expected: int) -> None:
    assert asked_ms(Outcome(OutcomeKind.RETRY, status=status, retry_after_s=after_s), 60_000) == expected


# -- what probes do -----------------------------------------------------------------------------------


def test_it_opens_until_the_first_probe_or_for_as_long_as_was_asked() -> None:
    assert opened("crm", "…", POLICY, 500, 0, 15_000) == Circuit("crm", 500, 1_500, 15_000, "…")
    asked = opened("crm", "…", POLICY, 500, 300, 15_000)
    assert asked.probe_at_ms == 800
    assert asked.after_success(POLICY, 800) is None, "it said when to come back, and is believed"
    assert asked.after_failure(POLICY, 800, 0).after_success(POLICY, 2_000) is not None, "once"


def test_each_probe_that_fails_doubles_the_wait_up_to_the_cap() -> None:
    circuit, waits = CIRCUIT, []
    for _ in range(5):
        circuit = circuit.after_failure(POLICY, 10_000, 0)
        waits.append(circuit.probe_at_ms - 10_000)
    assert waits == [2_000, 4_000, 8_000, 8_000, 8_000]
    assert circuit.version == CIRCUIT.version + 5
    assert circuit.after_failure(POLICY, 10_000, 60_000).probe_at_ms == 70_000
    assert replace(CIRCUIT, failed=10**6).after_failure(POLICY, 0, 0).probe_at_ms == 8_000


def test_probes_in_a_row_close_it_and_one_that_fails_begins_anew() -> None:
    once = CIRCUIT.after_success(POLICY, 5_000)
    assert once is not None
    assert (once.passed, once.probe_at_ms, once.failed) == (1, 5_000, 0)
    assert once.after_success(POLICY, 5_100) is None
    failed = once.after_failure(POLICY, 5_100, 0)
    assert (failed.passed, failed.probe_at_ms) == (0, 6_100), "it lets some through: it is asked again soon"
    assert failed.after_failure(POLICY, 7_000, 0).probe_at_ms == 9_000
    assert failed.after_success(POLICY, 9_000) is not None


# -- limits -------------------------------------------------------------------------------------------


def full(limiter: Limiter, times: int, at_ms: int, took_ms: int = 10, worked: bool = True) -> None:
    """So many attempts end, each while all that is allowed is under way."""
    for _ in range(times):
        limiter.ended(worked, at_ms, at_ms + took_ms, limiter.limit)


def test_a_fixed_limit_stays_where_it_is() -> None:
    limiter = Limiter(32)
    full(limiter, 100, 0, worked=False)
    full(limiter, 100, 0, took_ms=60_000)
    assert limiter.limit == 32


def test_after_a_ramp_it_begins_with_one_and_each_success_adds_one() -> None:
    limiter = Limiter(32)
    limiter.ramp()
    assert limiter.limit == 1
    full(limiter, 7, 0)
    assert limiter.limit == 8
    full(limiter, 100, 0)
    assert limiter.limit == 32


def test_what_was_not_used_up_does_not_grow() -> None:
    limiter = Limiter(32, adaptive=True)
    for _ in range(100):
        limiter.ended(True, 0, 10, running=1)
    assert limiter.limit == START


def test_an_error_halves_it_once_for_all_that_were_under_way() -> None:
    limiter = Limiter(64, adaptive=True)
    full(limiter, 24, 0)
    assert limiter.limit == 32
    full(limiter, 5, at_ms=100, worked=False)
    assert limiter.limit == 16
    full(limiter, 1, at_ms=200, worked=False)
    assert limiter.limit == 8
    # From here on it grows by one for each round trip, not for each success.
    full(limiter, 8, at_ms=300)
    assert limiter.limit in (8, 9)


def test_slow_answers_lower_it() -> None:
    limiter = Limiter(64, adaptive=True)
    full(limiter, 24, 0)
    full(limiter, 1, at_ms=100, took_ms=500)
    assert limiter.limit == 28


def test_it_never_falls_below_one() -> None:
    limiter = Limiter(8, adaptive=True)
    for at_ms in range(100, 10_000, 100):
        full(limiter, 1, at_ms, worked=False)
    assert limiter.limit == 1


def test_it_finds_what_a_service_can_take() -> None:
    """A service with 20 places: what is over that waits in its queue, and over 40 is refused."""
    limiter = Limiter(200, adaptive=True)
    limits = []
    for turn in range(400):
        at_ms, sent = turn * 1_000, limiter.limit
        took_ms = round(50 * max(1.0, sent / 20))
        for place in range(sent):
            limiter.ended(place < 40, at_ms, at_ms + took_ms, sent)
        limits.append(limiter.limit)
    settled = limits[100:]
    assert min(settled) >= 15
    assert max(settled) <= 60
