"""Backoff, Retry-After, and what becomes of a delivery after each kind of outcome."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, Transition, Trigger, Wait
from longstop.model.retry import (
    RETRIED_STATUSES,
    RetryPolicy,
    backoff_ms,
    classify_status,
    decide,
    expiry,
    parse_retry_after,
)
from longstop.testing.builders import AT_MS, make_delivery, make_event

PLAIN = RetryPolicy(jitter="none")
POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 50),
    first_ms=st.integers(0, 10**7),
    factor=st.floats(1, 100),
    cap_ms=st.integers(0, 10**8),
    jitter=st.sampled_from(["full", "none"]),
    max_age_ms=st.integers(0, 10**9),
    retry_after_cap_ms=st.integers(0, 10**8),
)
NOW_MS = AT_MS + 10_000
YEAR_S = 365 * 86_400


def delivery(**changes: object) -> Delivery:
    fields: dict[str, object] = {"lane": "k", "attempts": 1, "tries": 1} | changes
    return replace(make_delivery(make_event(1)).leased("w", AT_MS, AT_MS + 99), **fields)  # type: ignore[arg-type]


def decided(kind: OutcomeKind, policy: RetryPolicy = PLAIN, after_s: float | None = None, **of: object) -> Transition:
    return decide(delivery(**of), Outcome(kind, retry_after_s=after_s), policy, NOW_MS, random.Random(1))


# -- backoff ----------------------------------------------------------------------------------------


@given(POLICIES, st.integers(1, 10_000), st.integers())
def test_no_wait_is_negative_or_over_the_cap(policy: RetryPolicy, tries: int, seed: int) -> None:
    assert 0 <= backoff_ms(policy, tries, random.Random(seed)) <= policy.cap_ms


@given(POLICIES, st.integers(1, 60), st.integers())
def test_jitter_only_ever_shortens(policy: RetryPolicy, tries: int, seed: int) -> None:
    ceiling = backoff_ms(replace(policy, jitter="none"), tries, random.Random(seed))
    assert backoff_ms(replace(policy, jitter="full"), tries, random.Random(seed)) <= ceiling


def test_it_doubles_up_to_the_cap() -> None:
    rng = random.Random(1)
    found = [backoff_ms(PLAIN, tries, rng) for tries in range(1, 12)]
    assert found == [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 900_000]


def test_full_jitter_fills_the_whole_range_evenly() -> None:
    rng = random.Random(1)
    found = [backoff_ms(RetryPolicy(), 4, rng) for _ in range(4000)]
    assert min(found) < 100
    assert max(found) > 7900
    assert abs(sum(found) / len(found) - 4000) < 150


# -- deciding -----------------------------------------------------------------------------------------


def test_success_is_delivered_whatever_the_budget() -> None:
    assert decided(OutcomeKind.SUCCESS, tries=99) == Transition(Trigger.SUCCEED, NOW_MS)


def test_a_never_is_dead_at_once() -> None:
    assert decided(OutcomeKind.REJECT) == Transition(Trigger.PARK, NOW_MS, reason=DeadReason.REJECTED)


@pytest.mark.parametrize(("tries", "dead"), [(1, False), (7, False), (8, True), (9, True)])
def test_the_last_attempt_of_the_budget_is_the_last(tries: int, dead: bool) -> None:
    transition = decided(OutcomeKind.RETRY, replace(PLAIN, attempts=8), tries=tries, attempts=tries)
    assert (transition.reason is DeadReason.EXHAUSTED) == dead
    assert transition.trigger is (Trigger.PARK if dead else Trigger.RETRY)
    assert transition.at_ms == NOW_MS


def test_by_default_there_is_no_last_attempt_but_an_age_and_a_wait_of_a_quarter_of_an_hour() -> None:
    assert decided(OutcomeKind.RETRY, tries=10_000).due_at_ms == NOW_MS + 900_000
    day_ms = 86_400_000
    assert decided(OutcomeKind.RETRY, tries=10, round_at_ms=NOW_MS - 2 * day_ms).trigger is Trigger.RETRY
    assert decided(OutcomeKind.RETRY, tries=10, round_at_ms=NOW_MS - 3 * day_ms).reason is DeadReason.EXHAUSTED


def test_a_probe_that_fails_ends_no_round_however_old_or_spent_it_is() -> None:
    spent = delivery(tries=99, round_at_ms=0)
    failed = Outcome(OutcomeKind.RETRY)
    assert decide(spent, failed, replace(PLAIN, attempts=8), NOW_MS, random.Random(1), probe=True).reason is None
    rejected = decide(spent, Outcome(OutcomeKind.REJECT), PLAIN, NOW_MS, random.Random(1), probe=True)
    assert rejected.reason is DeadReason.REJECTED, "what the destination says never to is a never"


@pytest.mark.parametrize(("age_ms", "dead"), [(11_000, False), (10_999, True)])
def test_a_try_may_fall_due_at_max_age_and_not_after_it(age_ms: int, dead: bool) -> None:
    # The round began at AT_MS; the next try is due 1 s from now, 11 s after that.
    transition = decided(OutcomeKind.RETRY, replace(PLAIN, max_age_ms=age_ms), round_at_ms=AT_MS)
    assert (transition.reason is DeadReason.EXHAUSTED) == dead


def test_age_counts_from_the_round_not_from_arrival() -> None:
    policy = replace(PLAIN, max_age_ms=5_000)
    assert decided(OutcomeKind.RETRY, policy, round_at_ms=NOW_MS - 4_000).trigger is Trigger.RETRY


@pytest.mark.parametrize(
    ("asked_s", "wait_ms"),
    [
        (None, 1000),
        (0.0, 1000),
        (0.5, 1000),
        (1.0, 1000),
        (1.5, 1500),
        (60.0, 60_000),
        (3600.0, 3_600_000),
        (YEAR_S, 3_600_000),
    ],
)
def test_the_longer_of_backoff_and_what_was_asked_up_to_the_cap(asked_s: float | None, wait_ms: int) -> None:
    transition = decided(OutcomeKind.RETRY, after_s=asked_s)
    assert transition.due_at_ms == NOW_MS + wait_ms
    assert transition.wait is (Wait.RETRY_AFTER if wait_ms > 1000 else Wait.BACKOFF)


@pytest.mark.parametrize("kind", [OutcomeKind.LOST, OutcomeKind.CRASHED])
@pytest.mark.parametrize(("lost", "dead"), [(1, False), (9, False), (10, True), (11, True)])
def test_a_payload_under_which_workers_keep_dying_is_poison(lost: int, dead: bool, kind: OutcomeKind) -> None:
    transition = decided(kind, lost=lost, tries=0)
    assert (transition.reason is DeadReason.CRASHED) == dead
    assert (transition.due_at_ms is None) == dead
    assert transition.at_ms == NOW_MS


def test_a_lost_lease_is_tried_again_at_once_and_a_crash_after_a_backoff_of_its_own_count() -> None:
    assert decided(OutcomeKind.LOST, lost=3, tries=0).due_at_ms == NOW_MS
    waits = [decided(OutcomeKind.CRASHED, lost=lost, tries=5).due_at_ms for lost in (1, 2, 3)]
    assert waits == [NOW_MS + 1_000, NOW_MS + 2_000, NOW_MS + 4_000]


def test_crashes_past_max_age_end_the_round_as_failures_do() -> None:
    transition = decided(OutcomeKind.CRASHED, replace(PLAIN, max_age_ms=10_999), lost=1, tries=0, round_at_ms=AT_MS)
    assert transition.reason is DeadReason.EXHAUSTED


def test_an_interruption_is_tried_again_at_once_and_costs_nothing() -> None:
    transition = decided(OutcomeKind.INTERRUPTED, tries=99, lost=99)
    assert transition == Transition(Trigger.RETRY, NOW_MS, due_at_ms=NOW_MS)


@pytest.mark.parametrize(("on_dead", "leaves"), [("hold", False), ("skip", True)])
@pytest.mark.parametrize("kind", [OutcomeKind.REJECT, OutcomeKind.RETRY, OutcomeKind.LOST, OutcomeKind.CRASHED])
def test_on_dead_says_whether_the_lane_is_left(kind: OutcomeKind, on_dead: str, leaves: bool) -> None:
    policy = replace(PLAIN, on_dead=on_dead)  # type: ignore[arg-type]
    transition = decided(kind, replace(policy, attempts=8), tries=8, lost=10)
    assert transition.trigger is Trigger.PARK
    assert transition.leaves_lane == leaves
    assert delivery(lost=10).after(transition).lane == (None if leaves else "k")


@given(POLICIES, st.sampled_from(OutcomeKind), st.none() | st.floats(0, 1e10), st.integers(1, 60), st.integers())
def test_every_decision_can_be_applied_and_none_is_due_in_the_past(
    policy: RetryPolicy, kind: OutcomeKind, after_s: float | None, tries: int, seed: int
) -> None:
    before = delivery(tries=tries, attempts=tries)
    transition = decide(before, Outcome(kind, retry_after_s=after_s), policy, NOW_MS, random.Random(seed))
    after = before.after(transition)
    longest = max(policy.cap_ms, policy.retry_after_cap_ms)
    assert transition.due_at_ms is None or NOW_MS <= transition.due_at_ms <= NOW_MS + longest
    assert (after.reason is not None) == (transition.trigger is Trigger.PARK)


def test_what_is_of_no_use_any_more_ends_now_and_is_nothing_to_wait_for() -> None:
    assert expiry(delivery(), NOW_MS) is None
    assert expiry(delivery(expires_at_ms=NOW_MS + 1), NOW_MS) is None
    late = Transition(Trigger.PARK, NOW_MS, reason=DeadReason.EXPIRED, leaves_lane=True)
    assert expiry(delivery(expires_at_ms=NOW_MS), NOW_MS) == late


# -- what an answer means -------------------------------------------------------------------------------


def test_statuses() -> None:
    never = set(range(400, 500)) - {408, 425, 429}
    for status in range(100, 600):
        success = OutcomeKind.SUCCESS if 200 <= status < 300 else OutcomeKind.RETRY
        assert classify_status(status) is (OutcomeKind.REJECT if status in never else success), status


def test_which_statuses_are_retried_can_be_chosen() -> None:
    assert {408, 425, 429} == RETRIED_STATUSES
    assert classify_status(404, frozenset({404})) is OutcomeKind.RETRY
    assert classify_status(429, frozenset({404})) is OutcomeKind.REJECT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        (str(YEAR_S), float(YEAR_S)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("9" * 400, None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thursday, 01-Jan-26 00:01:00 GMT", 60.0),
        ("Thu Jan  1 00:01:00 2026", 60.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", float(YEAR_S)),
        ("Thu, 01 Jan 2026 00:00:00 GMT", None),
        ("Wed, 31 Dec 2025 23:59:59 GMT", None),
        ("Thu, 99 Jan 2026 00:01:00 GMT", None),
        ("Thu, 01 Jan 99999 00:01:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, AT_MS) == seconds


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize("value", ["Thu, 01 Jan 2026 00:01:00 GMT", "Thu Jan  1 00:01:00 2026"])
def test_a_date_is_in_utc_wherever_the_gateway_stands(value: str) -> None:
    assert parse_retry_after(value, AT_MS) == 60.0
    assert parse_retry_after(value, AT_MS + 59_500) == 0.5


@given(st.text(max_size=60))
def test_no_retry_after_breaks_the_reader(value: str) -> None:
    found = parse_retry_after(value, AT_MS)
    assert found is None or found >= 0
