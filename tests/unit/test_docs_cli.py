"""docs/cli.md against the program: every field of every row, by name and in order, and nothing that is not there."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram, StandingClock, make_dead

from longstop.edges.rows.sources import rejection_row
from longstop.model.action import Action
from longstop.model.delivery import Attempt, OutcomeKind, Transition, Trigger
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.node import Node
from longstop.model.rejection import Rejection, RejectionReason
from longstop.model.setup import Finding, Step
from longstop.model.waiting import WaitsFor
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append

Capture = pytest.CaptureFixture[str]
Row = dict[str, Any]
PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()
FIELD = re.compile(r"^\| `([a-z0-9_]+)` \|", re.MULTILINE)
SECTIONS = {
    heading: FIELD.findall(text)
    for heading, text in re.findall(r"^### ([^\n]+)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


class Stops(StandingClock):
    async def sleep(self, seconds: float) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram(clock=Stops())
    made.keep(make_append(1), make_dead(2))
    asyncio.run(_live(made))
    return made


async def _live(program: FakeProgram) -> None:
    await program.store.beat(Node("host:1", ("work",), "0.1.0", AT_MS, NOW_MS))
    (claim,) = (await program.store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 1))).claims
    retry = Transition(Trigger.RETRY, AT_MS, due_at_ms=AT_MS)
    attempt = Attempt(1, 1, AT_MS, 7, OutcomeKind.RETRY, 503, "it is down")
    await program.store.settle([Settlement(claim.delivery.after(retry), attempt)])
    hurry = Transition(Trigger.EXPEDITE, AT_MS, due_at_ms=AT_MS)
    await program.store.act([Action(claim.delivery.id, hurry, "ann")])


def ask(program: FakeProgram, capsys: Capture, *argv: str) -> Row:
    assert program.cli(*argv, "--json") in (0, 130)
    row: Row = json.loads(capsys.readouterr().out.splitlines()[0])
    return row


def edited(program: FakeProgram, capsys: Capture, tmp_path: Path, *options: str) -> Row:
    (tmp_path / "body.json").write_text('{"number": 3}')
    return ask(program, capsys, "replay", delivery_id(event_id(2), 0), "--edit", str(tmp_path / "body.json"), *options)


def an_edit(program: FakeProgram, capsys: Capture, tmp_path: Path) -> Row:
    edited(program, capsys, tmp_path)
    row: Row = ask(program, capsys, "events", "show", event_id(2))["edits"][0]
    return row


def history(program: FakeProgram, capsys: Capture) -> Row:
    row: Row = ask(program, capsys, "events", "show", event_id(1))["history"][0]
    return row


def a_user(program: FakeProgram, capsys: Capture, tmp_path: Path) -> Row:
    (tmp_path / "password").write_text("a good long password")
    return ask(program, capsys, "users", "add", "ada", "--role", "view", "--password-file", str(tmp_path / "password"))


def a_token(program: FakeProgram, capsys: Capture, tmp_path: Path) -> Row:
    assert list(ask(program, capsys, "tokens", "create", "ci", "--scope", "view"))[-1] == "token"
    return ask(program, capsys, "tokens", "list")


SHOWN: dict[str, Callable[[FakeProgram, Capture, Path], Row]] = {
    "`events list`": lambda p, c, _: ask(p, c, "events", "list"),
    "An edit": an_edit,
    "A delivery of an event": lambda p, c, _: ask(p, c, "events", "list")["deliveries"][0],
    "What was done with a delivery": lambda p, c, _: history(p, c),
    "An attempt": lambda p, c, _: history(p, c)["attempts"][0],
    "An action": lambda p, c, _: history(p, c)["actions"][0],
    "`dead list`": lambda p, c, _: ask(p, c, "dead", "list"),
    "`dead summary`": lambda p, c, _: ask(p, c, "dead", "summary"),
    "`replay`, `discard`, `expedite`": lambda p, c, _: ask(p, c, "replay", delivery_id(event_id(2), 0)),
    "A job": lambda p, c, _: ask(p, c, "replay", "--all", "--no-wait"),
    "With `--dry-run`": lambda p, c, _: ask(p, c, "replay", "--all", "--dry-run"),
    "`replay --edit` with `--dry-run`": lambda p, c, folder: edited(p, c, folder, "--dry-run"),
    "`status`": lambda p, c, _: ask(p, c, "status"),
    "A node": lambda p, c, _: ask(p, c, "status")["nodes"][0],
    "A destination": lambda p, c, _: ask(p, c, "status")["destinations"][0],
    "`tail`": lambda p, c, _: ask(p, c, "tail", "--since", "2h"),
    "`pause`": lambda p, c, _: ask(p, c, "pause", "crm"),
    "`resume`": lambda p, c, _: ask(p, c, "resume", "crm"),
    "`purge`": lambda p, c, _: ask(p, c, "purge", "--dry-run"),
    "`sources list`": lambda p, c, _: ask(p, c, "sources", "list"),
    "`sources release`": lambda p, c, _: ask(p, c, "sources", "release", "shop", "--dry-run"),
    "`users list`": a_user,
    "`tokens list`": a_token,
    "`audit`": lambda p, c, folder: a_user(p, c, folder) and ask(p, c, "audit"),
    "`check`": lambda p, c, _: ask(p, c, "check"),
}


@pytest.mark.parametrize("heading", SHOWN)
def test_every_field_is_described_and_every_description_is_of_a_field(
    heading: str, program: FakeProgram, capsys: Capture, tmp_path: Path
) -> None:
    assert SECTIONS[heading] == list(SHOWN[heading](program, capsys, tmp_path))


def test_what_show_has_more_than_list(program: FakeProgram, capsys: Capture) -> None:
    shown = list(ask(program, capsys, "events", "show", event_id(1)))
    assert SECTIONS["`events list`"] + SECTIONS["`events show`"] == shown


def test_every_reason_to_wait_is_described() -> None:
    assert SECTIONS["What a delivery waits for"] == [each.value for each in WaitsFor]


def test_no_table_is_left_out() -> None:
    beside = {"`events show`", "What a delivery waits for", "`sources rejections`", "`aws init`", "`aws check`"}
    assert set(SECTIONS) == {*SHOWN, *beside}


def test_what_is_said_of_an_account_is_described() -> None:
    assert SECTIONS["`aws init`"] == [each.name for each in fields(Step)]
    assert SECTIONS["`aws check`"] == [each.name for each in fields(Finding)]


def test_a_rejection_is_described() -> None:
    request = Request(Headers(), b"")
    rejection = Rejection("1", "shop", AT_MS, RejectionReason.RATE, 429, (), request, 0)
    assert SECTIONS["`sources rejections`"] == list(rejection_row(rejection))


def test_replays_discards_and_expedites_have_the_same_rows(program: FakeProgram, capsys: Capture) -> None:
    for argv in (("expedite", event_id(1)), ("discard", event_id(1), "--why", "x"), ("replay", event_id(1))):
        assert list(ask(program, capsys, *argv)) == SECTIONS["`replay`, `discard`, `expedite`"]
