"""Logs: JSON for programs, readable lines for people, and no locals of a frame in either."""

import io
import json
import re
from collections.abc import Iterator

import pytest
import structlog

from longstop.telemetry.logs import configure_logs, log_of_command


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(as_json: bool) -> list[str]:
    stream = io.StringIO()
    configure_logs(json=as_json, stream=stream)
    log = structlog.get_logger("longstop.test")
    log.warning(
        "retrying", due_at_ms=1_769_851_800_000, duration_ms=5, none_at_ms=None, event_id="0190-a", why="it is so"
    )
    secret = "hunter2-hunter2"
    try:
        raise ValueError(len(secret))
    except ValueError:
        log.exception("failed")
    return re.sub("\x1b\\[\\d+m", "", stream.getvalue()).splitlines()


def test_a_person_reads_times() -> None:
    first, *_ = lines(as_json=False)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \[warning  \] retrying ", first)
    fields = dict(re.findall(r"(\w+)=('[^']*'|\S+)", first))
    expected = {"due_at": "2026-01-31T09:30:00Z", "duration_ms": "5", "none_at_ms": "None", "event_id": "0190-a"}
    assert fields == {**expected, "why": "'it is so'"}


def test_a_program_reads_what_it_did() -> None:
    first = json.loads(lines(as_json=True)[0])
    assert (first["due_at_ms"], first["event"], first["level"]) == (1_769_851_800_000, "retrying", "warning")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", first["timestamp"])


@pytest.mark.parametrize("as_json", [False, True])
def test_a_trace_shows_no_locals(as_json: bool) -> None:
    told = "\n".join(lines(as_json))
    assert "ValueError: 15" in told
    assert "hunter2" not in told


def test_a_commands_log_is_no_part_of_its_output(capsys: pytest.CaptureFixture[str]) -> None:
    log_of_command()
    structlog.get_logger("longstop.test").info("forgotten")
    structlog.get_logger("longstop.test").warning("made_private", path="x")
    out, err = capsys.readouterr()
    assert (out, json.loads(err)["event"]) == ("", "made_private")


def test_what_an_application_has_set_up_stays() -> None:
    stream = io.StringIO()
    configure_logs(json=True, stream=stream)
    log_of_command()
    structlog.get_logger("longstop.test").warning("seen")
    assert "seen" in stream.getvalue()
