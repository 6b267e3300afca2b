"""replay and discard: what is selected, what is done with it, what is said of it."""

import asyncio
import json
from pathlib import Path

import pytest
from cli_program import NOW_MS, FakeProgram, make_dead

from longstop.model.delivery import State
from longstop.model.listing import EventFilter, KeptEvent, Page
from longstop.testing.builders import delivery_id, event_id, make_append, make_quarantined

Capture = pytest.CaptureFixture[str]


def delivery_of(number: int) -> str:
    return delivery_id(event_id(number), 0)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    made.keep(make_dead(1), make_dead(2, destination="ledger"), make_dead(3))
    return made


def states(program: FakeProgram) -> list[State]:
    return [program.delivery(delivery_of(number)).state for number in (1, 2, 3)]


def results(capsys: Capture) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def events(program: FakeProgram) -> tuple[KeptEvent, ...]:
    return asyncio.run(_events(program))


async def _events(program: FakeProgram) -> tuple[KeptEvent, ...]:
    found = await program.store.find_events(EventFilter(), Page())
    whole = [await program.store.event(each.event.id) for each in found.rows]
    return tuple(kept for kept in whole if kept is not None)


DEAD, SCHEDULED, DISCARDED = State.DEAD, State.SCHEDULED, State.DISCARDED


@pytest.mark.parametrize("id_", [delivery_of(1), event_id(1)])
def test_replay_by_either_id(id_: str, program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", id_, "--json") == 0
    assert results(capsys) == [{"id": delivery_of(1), "event_id": event_id(1), "state": "scheduled", "error": None}]
    assert states(program) == [SCHEDULED, DEAD, DEAD]
    assert program.delivery(delivery_of(1)).round == 2


@pytest.mark.parametrize(
    ("argv", "after"),
    [
        (("--destination", "crm"), [SCHEDULED, DEAD, SCHEDULED]),
        (("--contains", '"number":2'), [DEAD, SCHEDULED, DEAD]),
        (("--all",), [SCHEDULED] * 3),
        (("--key", "nobody"), [DEAD] * 3),
    ],
)
def test_replay_by_filter(argv: tuple[str, ...], after: list[State], program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", *argv) == 0
    assert states(program) == after
    assert ("Nothing matches that could be replayed" in capsys.readouterr().err) == (SCHEDULED not in after)


def test_a_few_by_id_are_paced_at_once(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", *(event_id(number) for number in (1, 2, 3)), "--rate", "60/m") == 0
    assert capsys.readouterr().out == "3 replayed\n"
    due = [program.delivery(delivery_of(number)).due_at_ms for number in (1, 2, 3)]
    assert due == [NOW_MS, NOW_MS + 1000, NOW_MS + 2000]


@pytest.mark.parametrize("command", [("replay",), ("discard", "--why", "no use")])
@pytest.mark.parametrize("which", [("--destination", "crm"), (delivery_of(1), event_id(3))])
def test_a_dry_run_changes_nothing(
    command: tuple[str, ...], which: tuple[str, ...], program: FakeProgram, capsys: Capture
) -> None:
    assert program.cli(*command, *which, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("2 would be ")
    assert delivery_of(1) in shown
    assert program.cli(*command, *which, "--dry-run", "--json") == 0
    (row,) = results(capsys)
    assert row["count"] == 2
    assert isinstance(row["sample"], list)
    assert [each["id"] for each in row["sample"]] == [delivery_of(1), delivery_of(3)]
    assert states(program) == [DEAD] * 3


def test_one_that_fails_does_not_keep_the_others(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", "nonsense", event_id(9), delivery_of(1), event_id(1)) == 1
    shown = capsys.readouterr()
    assert shown.out == "1 replayed, 2 could not be\n"
    assert 'nonsense: found "nonsense"; expected an id' in shown.err
    assert f"{event_id(9)}: no event or delivery has the id" in shown.err
    assert states(program) == [SCHEDULED, DEAD, DEAD]


def test_an_event_that_is_under_way_is_not_sent_twice(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(4, body=b'{"wanted":true}'))
    assert program.cli("replay", event_id(4)) == 1
    assert "it has nothing that can be replayed: its deliveries are scheduled" in capsys.readouterr().err
    assert len(events(program)) == 4


def test_an_unrouted_event_is_routed_anew(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(4, to=(), body=b'{"wanted":true}'), make_append(5, to=(), body=b"{}"))
    assert program.cli("replay", event_id(4), event_id(5), "--json") == 1
    routed, unwanted = results(capsys)
    newest = events(program)[0]
    assert (newest.event.parent, newest.deliveries[0].destination) == (event_id(4), "crm")
    assert routed == {"id": event_id(4), "event_id": newest.event.id, "state": "scheduled", "error": None}
    assert unwanted["state"] is None
    assert "no route of source shop wants it" in str(unwanted["error"])


def test_an_edited_body_is_a_new_event(program: FakeProgram, capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "mended.json"
    file.write_bytes(b'{"number": "mended"}')
    assert program.cli("replay", delivery_of(1), "--edit", str(file), "--json") == 0
    newest = events(program)[0]
    assert (newest.event.body, newest.event.parent) == (b'{"number": "mended"}', event_id(1))
    assert results(capsys) == [{"id": delivery_of(1), "event_id": newest.event.id, "state": "scheduled", "error": None}]
    assert states(program) == [DEAD] * 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["replay"], "expected ids, filters such as --destination NAME, or --all"),
        (["discard", "--why", "x"], "expected ids, filters such as --destination NAME, or --all"),
        (["replay", "--all", "--key", "k"], "found filters and --all"),
        (["replay", "a", "--key", "k"], "found ids and filters"),
        (["replay", "--all", "--edit", "x"], "--edit: found no ids"),
        (["replay", "a", "b", "--edit", "x"], "--edit: found 2 ids"),
        (["replay", "a", "--edit", "--json"], "found --json where a file is expected"),
        (["replay", "--all", "--rate", "0"], "--rate: found"),
        (["replay", "--since", "soon"], "--since: found"),
        (["discard", "a"], "--why"),
        (["discard", "a", "--why", "  "], "--why: found nothing in it"),
    ],
)
def test_wrong_ways_to_ask(argv: list[str], said: str, program: FakeProgram, capsys: Capture) -> None:
    assert program.cli(*argv) == 2
    assert said in capsys.readouterr().err
    assert states(program) == [DEAD] * 3


def test_discard_keeps_who_and_why(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("discard", "--destination", "crm", "--why", "sent by hand") == 0
    assert capsys.readouterr().out == "2 discarded\n"
    assert states(program) == [DISCARDED, DEAD, DISCARDED]
    history = asyncio.run(_history(program, delivery_of(1)))
    assert history == [("ann", "sent by hand")]


async def _history(program: FakeProgram, id_: str) -> list[tuple[str, str | None]]:
    return [(action.by, action.why) for action in (await program.store.history(id_)).actions]


def test_what_cannot_be_discarded_says_so(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(4), make_append(5, to=()), make_quarantined(6))
    program.cli("discard", delivery_of(1), "--why", "x")
    capsys.readouterr()
    assert program.cli("discard", delivery_of(1), delivery_of(4), event_id(5), event_id(6), "--why", "x") == 1
    shown = capsys.readouterr()
    assert shown.out == "2 discarded, 2 could not be\n"
    assert "it is discarded" in shown.err
    assert "no delivery that could be discarded" in shown.err


def test_a_file_that_cannot_be_read(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("replay", delivery_of(1), "--edit", "/no/such/file") == 1
    assert "/no/such/file cannot be read: No such file or directory" in capsys.readouterr().err
