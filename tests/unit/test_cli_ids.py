"""Ids as a person gives them: whole, by a beginning, by the last eight characters; never one of several."""

import pytest
from cli_program import FakeProgram, make_dead

from longstop.model.delivery import State
from longstop.testing.builders import delivery_id, event_id, make_append

Capture = pytest.CaptureFixture[str]
FAR = 70_000
"""Of an event a minute later, whose id begins otherwise."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    # The builders' ids end alike; a real one ends in dice.
    made.keep(make_append(1), make_append(2, to=("crm", "lake")), make_dead(FAR))
    return made


@pytest.mark.parametrize("part", [event_id(FAR)[:13], f" {event_id(FAR)[:13].upper()} ", event_id(FAR)[:12]])
def test_a_beginning_of_an_event_and_its_own_deliveries_means_the_event(
    part: str, program: FakeProgram, capsys: Capture
) -> None:
    assert program.cli("events", "show", part) == 0
    assert f"id            {event_id(FAR)}" in capsys.readouterr().out


def test_several_are_listed(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("events", "show", event_id(1)[:10]) == 1
    said = capsys.readouterr().err
    assert f"{event_id(1)[:10]} may be any of" in said
    assert event_id(2) in said
    assert "give more of it" in said


def test_the_last_characters_mean_the_one_that_has_them(program: FakeProgram, capsys: Capture) -> None:
    lake = delivery_id(event_id(2), 1)
    assert program.cli("events", "show", lake[-8:]) == 0
    assert f"id            {event_id(2)}" in capsys.readouterr().out
    assert program.cli("events", "show", lake[-8:-1] + "f") == 1
    assert "no id begins with 0000000f, and none of the latest ends with it" in capsys.readouterr().err


def test_what_decides_takes_them_too_and_decides_on_none_of_several(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", event_id(FAR)[:13], event_id(1)[:10], "zzz") == 1
    said = capsys.readouterr()
    assert said.out == "1 replayed, 2 could not be\n"
    assert "may be any of" in said.err
    assert 'zzz: found "zzz"; expected an id' in said.err
    assert program.delivery(delivery_id(event_id(FAR), 0)).state is State.SCHEDULED
