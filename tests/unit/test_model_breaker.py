"""The circuit breaker's rules and the limits: pure, with the time as an argument."""

from dataclasses import replace

import pytest

from longstop.model.breaker import PATIENCE, BreakerPolicy, Circuit, CircuitChange, asked_ms, opened, works
from longstop.model.concurrency_limit import START, Limiter
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.testing.builders import make_delivery, make_event

POLICY = BreakerPolicy(probe_ms=1_000, probe_cap_ms=8_000, probes=2)
RETRY = Outcome(OutcomeKind.RETRY, status=503)
CIRCUIT = Circuit("crm", 0, 1_000, answer_ms=15_000, why="…")


# -- what an outcome says ------------------------------------------------------------------------------


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


def test_an_event_that_asks_for_time_again_and_again_asks_for_itself() -> None:
    asks = Outcome(OutcomeKind.RETRY, status=503, retry_after_s=60.0)
    assert [asked_ms(asks, 60_000, failures) for failures in range(5)] == [60_000, 60_000, 60_000, 0, 0]


# -- what probes do -----------------------------------------------------------------------------------


def test_it_opens_until_the_first_probe_or_for_as_long_as_was_asked() -> None:
    assert opened("crm", "…", POLICY, 500, 0, 15_000) == Circuit("crm", 500, 1_500, 15_000, "…")
    asked = opened("crm", "…", POLICY, 500, 300, 15_000)
    assert (asked.probe_at_ms, asked.passed) == (800, 1)
    assert asked.after_success(POLICY, 800) is None, "it said when to come back, and is believed"


def test_each_probe_that_fails_doubles_the_wait_up_to_the_cap() -> None:
    circuit, waits = CIRCUIT, []
    for _ in range(5):
        circuit = circuit.after_failure(POLICY, 10_000, 0)
        waits.append(circuit.probe_at_ms - 10_000)
    assert waits == [2_000, 4_000, 8_000, 8_000, 8_000]
    assert circuit.version == CIRCUIT.version + 5
    assert circuit.after_failure(POLICY, 10_000, 60_000).probe_at_ms == 70_000
    assert replace(CIRCUIT, failed=10**6).after_failure(POLICY, 0, 0).probe_at_ms == 8_000


def test_probes_that_succeed_close_it_whatever_fails_between_them() -> None:
    once = CIRCUIT.after_success(POLICY, 5_000)
    assert once is not None
    assert (once.passed, once.probe_at_ms) == (1, 5_000), "the next one goes out at once"
    assert once.version == CIRCUIT.version + 1
    failed = once.after_failure(POLICY, 5_100, 0)
    assert (failed.passed, failed.probe_at_ms) == (1, 6_100), "it takes some: it is asked again soon"
    assert failed.after_success(POLICY, 6_100) is None


def test_one_that_takes_some_is_asked_often_and_one_that_then_takes_none_less_and_less() -> None:
    circuit, waits = CIRCUIT.after_success(POLICY, 0), []
    for _ in range(PATIENCE + 4):
        assert circuit is not None
        circuit = circuit.after_failure(POLICY, 0, 0)
        waits.append(circuit.probe_at_ms)
    assert waits == [1_000] * PATIENCE + [2_000, 4_000, 8_000, 8_000]


def test_a_probe_that_leaves_is_waited_for_and_is_a_change_as_any_other() -> None:
    probed = CIRCUIT.probed(2_000, "k")
    assert (probed.probe_at_ms, probed.probe_key, probed.version) == (2_000 + 15_000, "k", CIRCUIT.version + 1)
    put_off = probed.put_off(90_000)
    assert (put_off.probe_at_ms, put_off.version) == (90_000, CIRCUIT.version + 2)


def test_the_probes_take_turns_with_the_newest_and_the_oldest() -> None:
    assert [replace(CIRCUIT, failed=failed).newest_first for failed in range(4)] == [True, False, True, False]


@pytest.mark.parametrize(("now_ms", "open_s"), [(4_500, 3.5), (1_000, 0.0), (0, 0.0)])
def test_an_outage_is_as_long_as_it_was_and_never_shorter_than_nothing(now_ms: int, open_s: float) -> None:
    change = CircuitChange.closed(replace(CIRCUIT, opened_at_ms=1_000), "its probes succeeded", now_ms)
    assert change == CircuitChange("crm", "closed", "its probes succeeded", now_ms, open_s)


def test_a_probe_is_of_another_key_where_there_is_one() -> None:
    some = [make_delivery(make_event(number, key=key)) for number, key in enumerate(("a", "a", None, "b"), 1)]
    assert CIRCUIT.probe(some) is some[0]
    assert replace(CIRCUIT, probe_key="a").probe(some) is some[2], "without a key it is like no other"
    assert replace(CIRCUIT, probe_key="a").probe(some[:2]) is some[0]


# -- limits -------------------------------------------------------------------------------------------


def full(limiter: Limiter, times: int, at_ms: int, took_ms: int = 10, worked: bool = True) -> None:
    """So many attempts end, each while all that is allowed is under way."""
    for _ in range(times):
        limiter.ended(worked, at_ms, at_ms + took_ms, limiter.limit)


def test_a_fixed_limit_stays_where_it_is() -> None:
    limiter = Limiter(32)
    assert limiter.limit == 32
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


def test_what_began_by_the_moment_of_an_error_does_not_lower_it_again() -> None:
    limiter = Limiter(64, adaptive=True)
    limiter.ended(False, 0, 100, running=8)
    assert limiter.limit == START // 2
    limiter.ended(False, 100, 200, running=8)
    assert limiter.limit == START // 2
    limiter.ended(False, 101, 200, running=8)
    assert limiter.limit == START // 4


@pytest.mark.parametrize(("before", "doubles_to"), [(32, 16), (12, 6)])
def test_an_adaptive_limit_doubles_to_half_of_what_it_was_before_the_ramp(before: int, doubles_to: int) -> None:
    limiter = Limiter(64, adaptive=True)
    full(limiter, before - START, 0)
    assert limiter.limit == before
    limiter.ramp()
    assert limiter.limit == 1
    full(limiter, doubles_to - 1, 0)
    assert limiter.limit == doubles_to
    # From here on it grows by one for each round trip.
    full(limiter, doubles_to - 1, 0)
    assert limiter.limit == doubles_to
    full(limiter, 2, 0)
    assert limiter.limit == doubles_to + 1


def test_a_limit_of_one_is_still_one_after_a_ramp() -> None:
    limiter = Limiter(8, adaptive=True)
    for at_ms in range(100, 1_000, 100):
        full(limiter, 1, at_ms, worked=False)
    limiter.ramp()
    full(limiter, 1, 2_000)
    assert limiter.limit == 2, "a round trip of one"
    full(limiter, 1, 2_000)
    assert limiter.limit == 2


def test_slow_answers_lower_it() -> None:
    limiter = Limiter(64, adaptive=True)
    full(limiter, 24, 0)
    full(limiter, 1, at_ms=100, took_ms=500)
    assert limiter.limit == 28


@pytest.mark.parametrize(
    ("quickest_ms", "idle_ms", "took_ms", "slow"),
    [
        # Twice as long as the quickest, and 20 ms more.
        (100, 0, 220, False),
        (100, 0, 221, True),
        (0, 0, 20, False),
        (0, 0, 21, True),
        # The quickest is forgotten by 2 % a second, up to twice its time at a look.
        (100, 10_000, 260, False),
        (100, 10_000, 261, True),
        (100, 500_000, 420, False),
        (100, 500_000, 421, True),
        # Where no time has passed nothing is forgotten, nor where the clock went back.
        (50_000, 0, 100_021, True),
        (50_000, -40_000, 100_021, True),
    ],
)
def test_an_answer_is_slow_beside_the_quickest_lately(quickest_ms: int, idle_ms: int, took_ms: int, slow: bool) -> None:
    limiter = Limiter(8, adaptive=True)
    limiter.ended(True, 1_000_000 - quickest_ms, 1_000_000, running=1)
    limiter.ended(True, 1_000_000 + idle_ms - took_ms, 1_000_000 + idle_ms, running=1)
    assert limiter.limit == (7 if slow else 8)


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
