"""Why a delivery waits: of several reasons the one that has to go first."""

from typing import Any

import pytest

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import State, Wait
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


@pytest.mark.parametrize("state", [state for state in State if state is not State.SCHEDULED])
def test_what_is_not_scheduled_waits_for_nothing(state: State) -> None:
    assert waiting(True, {"state": state}, delivering=False) is None
