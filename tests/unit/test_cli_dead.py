"""dead summary, names that nobody knows, and edits: what is seen first and what remains of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram, make_dead

from longstop.edges.rows.edits import body_diff
from longstop.model.delivery import State
from longstop.testing.builders import delivery_id, event_id, make_quarantined

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    made.keep(make_dead(1), make_dead(2, destination="ledger"), make_dead(3), make_quarantined(4))
    return made


def rows(program: FakeProgram, capsys: Capture, *argv: str) -> list[dict[str, Any]]:
    assert program.cli(*argv, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_they_died_of(program: FakeProgram, capsys: Capture) -> None:
    first, *others = rows(program, capsys, "dead", "summary")
    over_time = first.pop("over_time")
    # Both died as this began; an hour may have ended since.
    assert (len(over_time), sum(over_time[:-2]), sum(over_time[-2:])) == (24, 0, 2)
    assert first == {
        "destination": "crm",
        "reason": "rejected",
        "status": 422,
        "error": "HTTP #",
        "count": 2,
        "keys": 2,
        "first_at": "2026-01-01T00:01:00.000Z",
        "last_at": "2026-01-01T00:03:00.000Z",
        "sample": [delivery_id(event_id(3), 0), delivery_id(event_id(1), 0)],
    }
    assert sorted((each["destination"] or "", each["count"]) for each in others) == [("", 1), ("ledger", 1)]
    assert program.cli("dead", "summary", "--destination", "crm") == 0
    assert capsys.readouterr().out == (
        "2\t2\tcrm\trejected\t422\t2026-01-01T00:01:00.000Z\t2026-01-01T00:03:00.000Z\tHTTP 422\n"
    )
    assert [each["reason"] for each in rows(program, capsys, "dead", "summary", "--destination", "quarantine")] == [
        "malformed"
    ]


def test_a_summary_says_what_it_leaves_out(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("dead", "summary", "--limit", "1") == 0
    assert capsys.readouterr().err == "2 more are dead, of other errors; a higher --limit shows them.\n"
    assert FakeProgram().cli("dead", "summary") == 0
    assert capsys.readouterr() == ("", "Nothing is dead.\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("dead", "list", "--source", "shpo"), 'found no source "shpo"; expected one of: shop; did you mean "shop"?'),
        (("dead", "list", "--destination", "cmr"), 'found no destination "cmr"; expected one of: crm, ledger'),
        (("dead", "summary", "--destination", "x"), 'found no destination "x"; expected one of: crm, ledger'),
        (("events", "list", "--source", "x"), 'found no source "x"; expected one of: shop'),
        (("events", "list", "--destination", "x"), 'found no destination "x"; expected one of: crm, ledger'),
        (("replay", "--destination", "x"), 'found no destination "x"; expected one of: crm, ledger'),
        (("replay", "--source", "x", "--dry-run"), 'found no source "x"; expected one of: shop'),
        (("discard", "--destination", "x", "--why", "y"), 'found no destination "x"; expected one of: crm, ledger'),
        (("expedite", "--destination", "x"), 'found no destination "x"; expected one of: crm, ledger'),
    ],
)
def test_a_name_that_nobody_knows_is_no_empty_listing(
    argv: tuple[str, ...], said: str, program: FakeProgram, capsys: Capture
) -> None:
    assert program.cli(*argv) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


@pytest.mark.parametrize("destination", ["ledger", "quarantine"])
def test_a_name_that_only_the_store_knows_is_one(destination: str, program: FakeProgram, capsys: Capture) -> None:
    assert len(rows(program, capsys, "dead", "list", "--destination", destination)) == 1


@pytest.mark.parametrize("argv", [("events", "list"), ("dead", "list")])
def test_alerts_are_looked_for_before_there_is_one(
    argv: tuple[str, ...], program: FakeProgram, capsys: Capture
) -> None:
    assert rows(program, capsys, *argv, "--source", "longstop") == []


# -- edits ----------------------------------------------------------------------------------------


def edit(program: FakeProgram, tmp_path: Path, *options: str) -> int:
    file = tmp_path / "mended.json"
    file.write_bytes(b'{"number": "mended"}')
    return program.cli("replay", delivery_id(event_id(1), 0), "--edit", str(file), *options)


def test_an_edit_shows_first_what_it_changes_and_where_it_goes(
    program: FakeProgram, capsys: Capture, tmp_path: Path
) -> None:
    assert edit(program, tmp_path, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert '-  "number": 1\n+  "number": "mended"\n' in shown
    assert "would go to   crm\n" in shown
    assert shown.endswith("Nothing was changed.\n")
    assert edit(program, tmp_path, "--dry-run", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["parent"], row["destinations"]) == (event_id(1), ["crm"])
    assert row["replaces"] == [delivery_id(event_id(1), 0)]
    assert len(rows(program, capsys, "events", "list")) == 4


def test_both_events_tell_of_an_edit(program: FakeProgram, capsys: Capture, tmp_path: Path) -> None:
    assert edit(program, tmp_path, "--why", "a wrong number") == 0
    capsys.readouterr()
    (new,) = rows(program, capsys, "events", "list", "--since", "1s")
    trail = {
        "event_id": new["id"],
        "parent": event_id(1),
        "at": "2026-01-01T01:00:00.000Z",
        "by": "ann",
        "why": "a wrong number",
    }
    (first,) = rows(program, capsys, "events", "show", event_id(1))
    assert (new["made_by"], new["edits"]) == (trail, [])
    assert (first["made_by"], first["edits"]) == (None, [trail])
    assert program.cli("events", "show", event_id(1)) == 0
    said = "by ann, 2026-01-01 01:00:00Z (now): a wrong number"
    assert f"replaced      by {new['id']} {said}" in capsys.readouterr().out
    assert program.cli("events", "show", new["id"]) == 0
    assert f"sent          in the place of {event_id(1)} {said}" in capsys.readouterr().out


def test_replays_of_many_leave_out_what_was_edited(program: FakeProgram, capsys: Capture, tmp_path: Path) -> None:
    edit(program, tmp_path)
    capsys.readouterr()
    marked = {row["event_id"]: row["replaced_by"] for row in rows(program, capsys, "dead", "list")}
    assert marked[event_id(1)] is not None
    assert marked[event_id(3)] is None
    assert program.cli("replay", "--destination", "crm", "--dry-run") == 0
    assert capsys.readouterr().out.startswith("1 would be replayed")
    assert program.cli("replay", "--destination", "crm") == 0
    assert program.delivery(delivery_id(event_id(1), 0)).state is State.DEAD
    assert program.cli("replay", "--destination", "crm", "--including-edited") == 0
    again = program.delivery(delivery_id(event_id(1), 0))
    assert (again.state, again.due_at_ms, again.replaced_by) == (State.SCHEDULED, NOW_MS, None)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'{"a":1}', b'{ "a": 1 }', []),
        (b'\xef\xbb\xbf{"a":1}', b'{"a":2}', ['-  "a": 1', '+  "a": 2']),
        (b"a=1\nb=2", b"a=1\nb=3", ["-b=2", "+b=3"]),
        (b"\xff\n", b"x\n", ["-\\xff", "+x"]),
    ],
)
def test_a_diff_of_bodies(old: bytes, new: bytes, expected: list[str]) -> None:
    assert [line for line in body_diff(old, new) if line[:1] in "+-" and line[:3] not in ("+++", "---")] == expected


# -- completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -F"), ("zsh", "#compdef longstop"), ("fish", "complete")]
)
def test_a_shell_can_complete(shell: str, sign: str, capsys: Capture) -> None:
    assert FakeProgram().cli("completion", shell) == 0
    script = capsys.readouterr().out
    assert sign in script
    for word in ("expedite", "summary", "including-edited", "completion"):
        assert word in script
