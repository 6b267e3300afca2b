"""pause and resume: what is said, what is kept, and that `status` shows it."""

import asyncio
import json
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram

from longstop.model.keeping import Pause
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
    assert said(capsys) == {"destination": "crm", "paused": True, "changed": True, "held": 2}
    assert pauses(program) == [Pause("crm", NOW_MS, "ann", "migration")]


def test_resume_ends_it(program: FakeProgram, capsys: Capture) -> None:
    program.cli("pause", "crm")
    capsys.readouterr()
    assert program.cli("resume", "crm", "--json") == 0
    assert said(capsys) == {"destination": "crm", "paused": False, "changed": True, "held": 2}
    assert pauses(program) == []


def test_for_people(program: FakeProgram, capsys: Capture) -> None:
    for argv, line in (
        (("resume", "crm"), "crm was not paused"),
        (("pause", "crm"), "crm is paused; 2 deliveries wait for it so far"),
        (("pause", "crm"), "crm is paused already, since 2026-01-01 01:00:00Z by ann"),
        (("resume", "crm"), "crm goes on; 2 deliveries wait for it"),
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
    program.cli("pause", "crm")
    capsys.readouterr()
    program.cli("status", "--json")
    paused = {each["destination"]: each["paused_at"] for each in said(capsys)["destinations"]}
    assert paused == {"crm": "2026-01-01T01:00:00.000Z", "in-code": None}
    program.cli("status")
    assert "paused          crm, since 2026-01-01T01:00:00.000Z" in capsys.readouterr().out
