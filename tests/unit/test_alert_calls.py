"""Calling functions with alerts: what is told, how often it is tried, and that nothing waits for more than it may."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from services import FAILED, Works, on_virtual_time, settle_down, states
from structlog.testing import capture_logs

from longstop import Alert
from longstop.model.breaker import BreakerPolicy, CircuitChange
from longstop.model.delivery import State
from longstop.operating.alert_calls import WAITING_MAX, AlertCalls
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import ScriptedSender

OPENED = CircuitChange("crm", "opened", "20 events in a row failed", AT_MS)
CLOSED = CircuitChange("crm", "closed", "its probes succeeded", AT_MS + 75_250, open_s=75.25)
Step = str | None | Exception | float


class ScriptedAlerter:
    """Gives the results it was told, and then success. A number: it takes so many seconds before it succeeds."""

    def __init__(self, *script: Step, otherwise: Step = None) -> None:
        self._script = list(script)
        self._otherwise = otherwise
        self.tries: list[tuple[str, int]] = []
        """What was tried, and when: seconds since the beginning."""
        self.closed = False

    async def tell(self, alert: Alert) -> str | None:
        self.tries.append((alert.alert, (VirtualClock().now_ms() - AT_MS) // 1000))
        step = self._script.pop(0) if self._script else self._otherwise
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            await VirtualClock().sleep(step)
            return None
        return step

    async def close(self) -> None:
        self.closed = True


def started(alerter: ScriptedAlerter) -> AlertCalls:
    alerts = AlertCalls(alerter, stop_within_s=5.0)
    alerts.start()
    return alerts


def failed(logged: list[Any]) -> list[tuple[str, str]]:
    return [(line["alert"], line["error"]) for line in logged if line["event"] == "alert_failed"]


# -- what is told -------------------------------------------------------------------------------


def test_an_opened_circuit_in_stable_fields_and_in_a_sentence() -> None:
    document = Alert.of(OPENED).document()
    assert document == {
        "alert": "circuit_opened",
        "destination": "crm",
        "why": "20 events in a row failed",
        "at": "2026-01-01T00:00:00.000Z",
        "text": "The circuit of crm opened: 20 events in a row failed. It gets nothing but probes until it is back.",
        "status": "firing",
        "severity": "error",
        "kind": "circuit",
        "key": "circuit:crm",
        "since": "2026-01-01T00:00:00.000Z",
        "facts": {},
    }


def test_a_closed_one_says_for_how_long_it_was_open() -> None:
    document = Alert.of(CLOSED).document()
    assert (
        document.items()
        >= {
            "alert": "circuit_closed",
            "destination": "crm",
            "why": "its probes succeeded",
            "at": "2026-01-01T00:01:15.250Z",
            "open_s": 75.25,
            "text": "The circuit of crm closed after 75 s: its probes succeeded.",
            "status": "resolved",
            "since": "2026-01-01T00:00:00.000Z",
        }.items()
    )


# -- how often it is tried ----------------------------------------------------------------------


@on_virtual_time
async def test_alerts_are_told_once_each_and_in_order() -> None:
    alerter = ScriptedAlerter()
    alerts = started(alerter)
    alerts.circuit_changed(OPENED)
    alerts.circuit_changed(CLOSED)
    await settle_down()
    assert alerter.tries == [("circuit_opened", 0), ("circuit_closed", 0)]
    await alerts.stop()
    assert alerter.closed


@pytest.mark.parametrize(
    ("script", "tries", "said"),
    [
        (("down",), [0, 1], []),
        (("down", "down"), [0, 1, 3], []),
        (("down", "down", "still down"), [0, 1, 3], ["still down"]),
        ((OSError("secret"),) * 3, [0, 1, 3], ["internal error: OSError"]),
    ],
)
def test_it_is_tried_three_times_and_then_logged(script: tuple[Step, ...], tries: list[int], said: list[str]) -> None:
    @on_virtual_time
    async def scenario() -> None:
        alerter = ScriptedAlerter(*script)
        alerts = started(alerter)
        alerts.circuit_changed(OPENED)
        await VirtualClock().sleep(60)
        assert alerter.tries == [("circuit_opened", at_s) for at_s in tries]
        alerts.circuit_changed(CLOSED)
        await settle_down()
        assert alerter.tries[-1] == ("circuit_closed", 60), "the next one is told all the same"
        await alerts.stop()

    with capture_logs() as logged:
        scenario()
    assert failed(logged) == [("circuit_opened", error) for error in said]


@on_virtual_time
async def test_no_more_wait_than_there_is_room_for() -> None:
    alerter = ScriptedAlerter(3600.0)
    alerts = started(alerter)
    alerts.circuit_changed(OPENED)
    await settle_down()
    with capture_logs() as logged:
        for _ in range(WAITING_MAX + 2):
            alerts.circuit_changed(CLOSED)
    assert failed(logged) == [("circuit_closed", "100 others wait to be told")] * 2
    await VirtualClock().sleep(3601)
    assert len(alerter.tries) == 1 + WAITING_MAX
    await alerts.stop()


# -- who does not wait --------------------------------------------------------------------------


@on_virtual_time
async def test_deliveries_do_not_wait_for_a_hook_that_hangs() -> None:
    alerter = ScriptedAlerter(otherwise=3600.0)
    alerts = started(alerter)
    sender = ScriptedSender(*[FAILED] * 4)
    breaker = BreakerPolicy(failures=4, probes=1)
    async with Works(breaker=breaker, listeners=[alerts], crm=(sender, 4)) as works:
        await works.store.append([make_append(n) for n in range(1, 11)])
        await works.clock.sleep(5)
        assert set(await states(works.store)) == {State.DELIVERED}
        assert alerter.tries == [("circuit_opened", 0)]
    await alerts.stop()


def stopped_after(
    alerter: ScriptedAlerter, before: Callable[[AlertCalls], Any], wait_s: float = 0
) -> tuple[float, Any]:
    """How long a stop took, and what was logged as not told."""
    took: list[float] = []

    @on_virtual_time
    async def scenario() -> None:
        alerts = started(alerter)
        before(alerts)
        await VirtualClock().sleep(wait_s)
        begun_ms = VirtualClock().now_ms()
        await alerts.stop()
        took.append((VirtualClock().now_ms() - begun_ms) / 1000)
        assert [task for task in asyncio.all_tasks() if task.get_name() == "alert_calls"] == []

    with capture_logs() as logged:
        scenario()
    return took[0], failed(logged)


def both(alerts: AlertCalls) -> None:
    alerts.circuit_changed(OPENED)
    alerts.circuit_changed(CLOSED)


def test_a_stop_waits_for_nothing_where_nothing_waits() -> None:
    alerter = ScriptedAlerter()
    assert stopped_after(alerter, lambda _: None) == (0, [])
    assert alerter.closed


def test_a_stop_tells_what_waits() -> None:
    alerter = ScriptedAlerter(otherwise=1.0)
    assert stopped_after(alerter, both) == (2.0, [])
    assert [name for name, _ in alerter.tries] == ["circuit_opened", "circuit_closed"]


def test_a_stop_waits_no_longer_than_its_limit_for_a_hook_that_hangs() -> None:
    alerter = ScriptedAlerter(otherwise=3600.0)
    stopped = "the gateway stopped before it was told"
    assert stopped_after(alerter, both) == (5.0, [("circuit_opened", stopped), ("circuit_closed", stopped)])
    assert alerter.closed


def test_a_stop_ends_the_wait_for_the_next_try_which_is_the_last() -> None:
    alerter = ScriptedAlerter(otherwise="down")
    assert stopped_after(alerter, both, wait_s=0.5) == (0, [("circuit_opened", "down"), ("circuit_closed", "down")])
    assert [name for name, _ in alerter.tries] == ["circuit_opened", "circuit_opened", "circuit_closed"]


def test_a_function_that_refuses_to_be_broken_off_holds_up_a_stop_for_twice_the_limit_at_most() -> None:
    class Stubborn(ScriptedAlerter):
        async def tell(self, alert: Alert) -> str | None:
            for _ in range(100):
                try:
                    await VirtualClock().sleep(3600)
                except asyncio.CancelledError:
                    continue
            return None

    alerter = Stubborn()
    took: list[float] = []

    @on_virtual_time
    async def scenario() -> None:
        alerts = started(alerter)
        alerts.circuit_changed(OPENED)
        await alerts.stop()
        took.append(VirtualClock().now_ms() - AT_MS)
        (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "alert_calls"]
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)

    scenario()
    assert took == [10_000]
