"""Times, rates and filters as people write them; text that is fit for a terminal."""

import pytest

from longstop.edges.cli import output
from longstop.edges.cli.errors import UsageError
from longstop.edges.cli.filters import DeadOptions, EventOptions
from longstop.edges.cli.options import parse_rate
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
    dead = DeadOptions("s", "d", "t", "k", DeadReason.CRASHED, "1s", "2026-01-02", "caf\udcc3\udca9")
    assert dead.filter(NOW_MS) == DeliveryFilter(
        State.DEAD, "s", "d", "t", "k", DeadReason.CRASHED, NOW_MS - 1000, NOW_MS + 86_400_000, b"caf\xc3\xa9"
    )
    events = EventOptions("s", "t", "k", "1s", "2026-01-02", "text", True)
    assert events.filter(NOW_MS) == EventFilter(
        "s", "t", "k", NOW_MS - 1000, NOW_MS + 86_400_000, b"text", unrouted=True
    )


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


def test_a_table_takes_no_markup_and_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("id", "what"), [("1", ("[red]x[/red] :smile:", "\x1b]0;title\x07"))])
    shown = capsys.readouterr().out
    assert "[red]x[/red] :smile:" in shown
    assert "\\x1b]0;title\\x07" in shown
    assert "\x1b" not in shown


def test_an_id_is_never_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    output.table(("id", "what"), [("0" * 36, "word " * 40)])
    assert "0" * 36 in capsys.readouterr().out


def test_moments_and_ages() -> None:
    assert output.rfc3339(NOW_MS + 7) == "2026-01-01T00:00:00.007Z"
    assert output.rfc3339(None) is None
    assert output.for_people(NOW_MS + 999) == "2026-01-01 00:00:00Z"
    spans = [0, 999, 61_000, 7_200_000, 86_400_000, 3 * 86_400_000]
    assert [output.age(ms) for ms in spans] == ["0 ms", "999 ms", "1 min", "2 h", "1 day", "3 days"]
