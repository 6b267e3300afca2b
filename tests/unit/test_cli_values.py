"""Times, rates and filters as people write them; text that is fit for a terminal."""

from typing import Any

import pytest

from longstop.edges.cli import times
from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.filters import DeadOptions, EventOptions
from longstop.edges.cli.options import parse_rate
from longstop.edges.rows.values import rfc3339
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter
from longstop.model.printable import printable

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("15m", NOW_MS - 900_000),
        ("2h", NOW_MS - 7_200_000),
        ("3d", NOW_MS - 259_200_000),
        ("1w", NOW_MS - 604_800_000),
        ("2026-01-01", NOW_MS),
        ("2026-01-01T00:00:00Z", NOW_MS),
        ("2026-01-01 01:00:00.250+01:00", NOW_MS + 250),
        ("2026-01-01T00:00", NOW_MS),
    ],
)
def test_times(text: str, at_ms: int) -> None:
    assert DeadOptions(since=text).filter(NOW_MS).since_ms == at_ms
    assert EventOptions(until=text).filter(NOW_MS).until_ms == at_ms


@pytest.mark.parametrize("text", ["", "yesterday", "15", "-1h", "2026-13-01", "20260101", "2026-W01", "9999-99-99T99"])
def test_what_is_no_time_says_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"--since: found .*expected an age such as 90s"):
        EventOptions(since=text).filter(NOW_MS)


def test_every_filter_reaches_the_store() -> None:
    shared: dict[str, Any] = {"source": "s", "destination": "d", "type": "t", "key": "k"}
    given: dict[str, Any] = {"since": "1s", "until": "2026-01-02"}
    ends: dict[str, Any] = {"since_ms": NOW_MS - 1000, "until_ms": NOW_MS + 86_400_000}
    arrives: dict[str, Any] = {f"received_{name}": at_ms for name, at_ms in ends.items()}
    dead = DeadOptions(
        **shared, reason=DeadReason.CRASHED, status=503, error="refused", contains="caf\udcc3\udca9", **given
    )
    found: dict[str, Any] = {
        "reason": DeadReason.CRASHED,
        "status": 503,
        "error": "refused",
        "contains": b"caf\xc3\xa9",
    }
    assert dead.filter(NOW_MS) == DeliveryFilter(State.DEAD, **shared, **found, **ends)
    # What has not ended has no time of its end.
    assert dead.filter(NOW_MS, State.SCHEDULED) == DeliveryFilter(State.SCHEDULED, **shared, **found, **arrives)
    events = EventOptions("s", "t", "k", "1s", "2026-01-02", "text", True)
    assert events.filter(NOW_MS) == EventFilter("s", "t", "k", **ends, contains=b"text", unrouted=True)
    assert events.of_deliveries(NOW_MS) is None
    standing = EventOptions(**shared, state="held", contains="text", **given)
    assert standing.of_deliveries(NOW_MS) == DeliveryFilter(
        State.SCHEDULED, held=True, **shared, contains=b"text", **arrives
    )
    assert EventOptions(state="dead").of_deliveries(NOW_MS) == DeliveryFilter(State.DEAD)
    assert EventOptions(destination="quarantine").of_deliveries(NOW_MS) == DeliveryFilter(destination="")
    with pytest.raises(UsageError, match="an unrouted event has no delivery"):
        EventOptions(unrouted=True, state="dead").of_deliveries(NOW_MS)


def test_an_empty_filter_counts_as_given() -> None:
    assert not DeadOptions().given()
    assert DeadOptions(key="").given()


@pytest.mark.parametrize(
    ("text", "rate"), [("5", 5.0), ("5/s", 5.0), ("300/m", 5.0), ("1800/h", 0.5), ("0.5", 0.5), (None, None)]
)
def test_rates(text: str | None, rate: float | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-1", "fast", "5/d", "", "inf", "1e9"])
def test_what_is_no_rate_says_what_is_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"--rate: found .*expected a number above 0"):
        parse_rate(text)


def test_no_control_character_reaches_the_terminal() -> None:
    assert printable("a\x1b[31m\r\n\x9b\u202e\x00é 你") == "a\\x1b[31m\\r\\n\\x9b\\u202e\\x00é 你"


def test_moments_and_spans() -> None:
    assert rfc3339(NOW_MS + 7) == "2026-01-01T00:00:00.007Z"
    assert rfc3339(None) is None
    assert times.moment(NOW_MS + 999) == "2026-01-01 00:00:00Z"
    spans = [0, 999, 61_000, 7_200_000, 86_400_000, 3 * 86_400_000]
    assert [times.span(ms) for ms in spans] == ["0 ms", "999 ms", "1 min", "2 h", "1 day", "3 days"]
    since = [None, NOW_MS - 61_000, NOW_MS + 999, NOW_MS + 7_200_000]
    assert [times.ago(at_ms, NOW_MS) for at_ms in since] == ["-", "1 min ago", "now", "in 2 h"]
    assert times.when(NOW_MS - 12_000, NOW_MS) == "2025-12-31 23:59:48Z (12 s ago)"
    assert times.when(None, NOW_MS) == "-"
