"""Why a delivery waits: of several reasons the one that has to go first."""

import random
from typing import Any

import pytest

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Outcome, OutcomeKind, State, Wait
from longstop.model.retry import RetryPolicy, decide
from longstop.model.waiting import Standing, Waiting, WaitsFor
from longstop.testing.builders import AT_MS, make_delivery, make_event

PAUSE = {"crm": Pause("crm", AT_MS, "ann")}
OPEN = {"crm": Circuit("crm", AT_MS, AT_MS + 500, 10, "20 attempts in a row failed", 1)}


def waiting(held: bool = False, delivery: dict[str, Any] | None = None, **standing: Any) -> Waiting | None:
    return Standing(AT_MS, **standing).waiting(make_delivery(make_event(1), **(delivery or {})), held)


@pytest.mark.parametrize(
    ("held", "delivery", "standing", "expected"),
    [
        (True, {}, {"delivering": False, "pauses": PAUSE}, Waiting(WaitsFor.HELD, None)),
        (False, {}, {"delivering": False, "pauses": PAUSE}, Waiting(WaitsFor.GATEWAY, None)),
        (False, {}, {"pauses": PAUSE, "circuits": OPEN}, Waiting(WaitsFor.PAUSE, None)),
        (False, {}, {"circuits": OPEN}, Waiting(WaitsFor.CIRCUIT, AT_MS + 500)),
        (False, {"due_at_ms": AT_MS + 900}, {"circuits": OPEN}, Waiting(WaitsFor.CIRCUIT, AT_MS + 900)),
        *(
            (False, {"due_at_ms": AT_MS + 1, "wait": wait}, {}, Waiting(WaitsFor(wait.value), AT_MS + 1))
            for wait in Wait
        ),
        (False, {"due_at_ms": AT_MS + 1}, {}, Waiting(WaitsFor.TIME, AT_MS + 1)),
        (False, {"wait": Wait.BACKOFF}, {"rated": frozenset({"crm"})}, Waiting(WaitsFor.RATE, AT_MS)),
        (False, {"wait": Wait.BACKOFF}, {}, Waiting(WaitsFor.ROOM, AT_MS)),
        (False, {"destination": "lake"}, {"pauses": PAUSE, "circuits": OPEN}, Waiting(WaitsFor.ROOM, AT_MS)),
    ],
)
def test_the_first_reason(held: bool, delivery: dict[str, Any], standing: dict[str, Any], expected: Waiting) -> None:
    assert waiting(held, delivery, **standing) == expected


@pytest.mark.parametrize(
    ("asked_s", "wait", "waits_ms"),
    [(None, Wait.BACKOFF, 1_000), (0.5, Wait.BACKOFF, 1_000), (30, Wait.RETRY_AFTER, 30_000)],
)
def test_a_retry_says_what_it_waits_for(asked_s: float | None, wait: Wait, waits_ms: int) -> None:
    policy = RetryPolicy(jitter="none", first_ms=1_000)
    tried = make_delivery(make_event(1), state=State.LEASED, tries=1)
    outcome = Outcome(OutcomeKind.RETRY, retry_after_s=asked_s)
    transition = decide(tried, outcome, policy, AT_MS, random.Random(1))
    assert (transition.wait, transition.due_at_ms) == (wait, AT_MS + waits_ms)
    assert tried.after(transition).wait is wait


@pytest.mark.parametrize("outcome", [OutcomeKind.LOST, OutcomeKind.INTERRUPTED])
def test_what_is_due_at_once_waits_for_nothing(outcome: OutcomeKind) -> None:
    tried = make_delivery(make_event(1), state=State.LEASED, wait=Wait.BACKOFF)
    assert tried.after(decide(tried, Outcome(outcome), RetryPolicy(), AT_MS, random.Random(1))).wait is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.SCHEDULED])
def test_what_is_not_scheduled_waits_for_nothing(state: State) -> None:
    assert waiting(True, {"state": state}, delivering=False) is None
