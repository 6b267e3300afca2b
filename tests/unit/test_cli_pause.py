"""pause and resume: what is said, what is kept, and that `status` shows it."""

import asyncio
import json
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram

from longstop.model.action import Pause
from longstop.model.alert import Severity
from longstop.model.alert_book import AlertBook, Standing
from longstop.model.breaker import Circuit
from longstop.testing.builders import make_append

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    made.keep(make_append(1), make_append(2), make_append(3, to=("in-code",)))
    return made


def pauses(program: FakeProgram) -> list[Pause]:
    async def found() -> list[Pause]:
        return list(await program.store.pauses())

    return asyncio.run(found())


def said(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_pause_is_kept_with_name_and_reason(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("pause", "crm", "--why", "migration", "--json") == 0
    assert said(capsys) == {
        **{"destination": "crm", "paused": True, "changed": True, "held": 2},
        **{"paused_at": "2026-01-01T01:00:00.000Z", "paused_by": "ann", "paused_why": "migration"},
    }
    assert pauses(program) == [Pause("crm", NOW_MS, "ann", "migration")]


def test_resume_ends_it(program: FakeProgram, capsys: Capture) -> None:
    program.cli("pause", "crm")
    capsys.readouterr()
    assert program.cli("resume", "crm", "--json") == 0
    assert said(capsys) == {
        **{"destination": "crm", "paused": False, "changed": True, "held": 2},
        **{"paused_at": "2026-01-01T01:00:00.000Z", "paused_by": "ann", "paused_why": None},
        **{"pause_ended": True, "circuit_closed": False, "alert_error": None},
    }
    assert pauses(program) == []


def test_a_second_pause_says_why_from_now_on(
    program: FakeProgram, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.cli("pause", "crm", "--why", "migration")
    monkeypatch.setenv("LONGSTOP_USER", "bob")
    capsys.readouterr()
    program.cli("pause", "crm", "--why", "until 15:00")
    assert capsys.readouterr().out == (
        "crm was paused already, since 2026-01-01 01:00:00Z by ann: migration; the reason is now: until 15:00\n"
    )
    assert pauses(program) == [Pause("crm", NOW_MS, "bob", "until 15:00")]
    program.cli("pause", "crm", "--json")
    assert (said(capsys)["changed"], pauses(program)) == (False, [Pause("crm", NOW_MS, "bob", "until 15:00")])


# -- a circuit ----------------------------------------------------------------------------------


CLOSED = (
    "crm goes on; 2 deliveries wait for it\n"
    "  its circuit was open since 2026-01-01 00:58:44Z: 20 events in a row failed\n"
)


def notices(program: FakeProgram) -> list[tuple[str, str]]:
    """What is to be told, and why."""
    book = asyncio.run(program.store.alert_book())
    return [(alert.alert, alert.why) for notice in book.outbox for alert in notice.alerts]


async def told_of(program: FakeProgram, circuit: Circuit) -> None:
    """As a gateway that saw it open."""
    (key, why) = (f"circuit:{circuit.destination}", circuit.why)
    known = Standing("circuit", circuit.destination, circuit.opened_at_ms, why, Severity.ERROR, told_at_ms=NOW_MS - 1)
    await program.store.keep_alert_book(AlertBook(standing={key: known}))


def open_circuit(program: FakeProgram) -> None:
    circuit = Circuit("crm", NOW_MS - 75_250, NOW_MS + 1_000, 15_000, "20 events in a row failed", version=7)
    asyncio.run(program.store.change_circuit("crm", 0, circuit))
    asyncio.run(told_of(program, circuit))


def test_resume_closes_a_circuit_and_tells_who_did(program: FakeProgram, capsys: Capture) -> None:
    open_circuit(program)
    assert program.cli("resume", "crm", "--json") == 0
    told_so = said(capsys)
    assert (told_so["changed"], told_so["pause_ended"], told_so["circuit_closed"]) == (True, False, True)
    assert asyncio.run(program.store.circuits()) == []
    assert notices(program) == [("circuit_closed", "ann resumed it")]
    assert program.cli("resume", "crm") == 0
    assert len(notices(program)) == 1, "there is nothing to close any more"


def test_where_somebody_was_quicker_nothing_is_told(program: FakeProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    open_circuit(program)

    async def too_late(*_: object) -> bool:
        return False

    monkeypatch.setattr(program.store, "change_circuit", too_late)
    assert program.cli("resume", "crm") == 0
    assert notices(program) == []


def test_who_resumes_needs_no_channels_secret(program: FakeProgram, capsys: Capture) -> None:
    program.text += '[alerts]\nurl = "https://a.example/${NOT_SET}"\n'
    open_circuit(program)
    assert program.cli("resume", "crm") == 0
    assert capsys.readouterr().out == CLOSED
    assert notices(program) == [("circuit_closed", "ann resumed it")], "a gateway, which has it, sends it"


def test_for_people(program: FakeProgram, capsys: Capture) -> None:
    for argv, line in (
        (("resume", "crm"), "crm was not paused, and its circuit is closed"),
        (("pause", "crm"), "crm is paused; 2 deliveries wait for it so far"),
        (("pause", "crm"), "crm is paused already, since 2026-01-01 01:00:00Z by ann"),
        (
            ("resume", "crm"),
            "crm goes on; 2 deliveries wait for it\n  it was paused since 2026-01-01 01:00:00Z by ann",
        ),
        (("pause", "in-code"), "in-code is paused; 1 delivery waits for it so far"),
    ):
        assert program.cli(*argv) == 0
        assert capsys.readouterr().out == line + "\n"


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_unknown_destination_is_refused_with_the_known_ones(
    command: str, program: FakeProgram, capsys: Capture
) -> None:
    assert program.cli(command, "cmr") == 1
    assert 'found no destination "cmr"; expected one of: crm, in-code' in capsys.readouterr().err
    assert pauses(program) == []


def test_status_shows_what_is_paused(program: FakeProgram, capsys: Capture) -> None:
    program.cli("pause", "crm", "--why", "migration")
    capsys.readouterr()
    program.cli("status", "--json")
    paused = {
        each["destination"]: (each["paused_at"], each["paused_by"], each["paused_why"])
        for each in said(capsys)["destinations"]
    }
    assert paused == {"crm": ("2026-01-01T01:00:00.000Z", "ann", "migration"), "in-code": (None, None, None)}
    program.cli("status")
    shown = capsys.readouterr().out
    assert "paused          crm, by ann, since 2026-01-01 01:00:00Z (now): migration\n" in shown
    next_due = {cells[0]: cells[-1] for line in shown.splitlines() if len(cells := line.split("\t")) > 1}
    assert next_due == {"crm": "paused", "in-code": "now"}, "what is overdue is due now"
