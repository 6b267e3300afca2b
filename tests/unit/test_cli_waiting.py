"""What waits: seen with its reason, hurried by `expedite`, taken back by `discard`."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram, make_dead

from longstop.model.action import Pause
from longstop.model.delivery import State, Transition, Trigger, Wait
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.node import GONE_AFTER_MS, Node
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append

Capture = pytest.CaptureFixture[str]
NODE = Node("host:1", ("ingest", "work"), "0.1.0", AT_MS, NOW_MS)


def delivery_of(number: int) -> str:
    return delivery_id(event_id(number), 0)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    """1 waits after a failure; 2 and 3 are held, one key with 4, which is dead; 5 is for a paused destination."""
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    dead = make_dead(2)
    in_lane = [
        replace(each, deliveries=(replace(each.deliveries[0], lane="k"),))
        for each in (dead, make_append(3), make_append(4))
    ]
    made.keep(make_append(1), *in_lane, make_append(5, to=("lake",)))
    asyncio.run(_begin(made))
    return made


async def _begin(program: FakeProgram) -> None:
    store = program.store
    await store.beat(NODE)
    await store.pause(Pause("lake", AT_MS, "bob", "it is mended"))
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 9}, AT_MS, AT_MS + 1))).claims
    waits = Transition(Trigger.RETRY, AT_MS, due_at_ms=NOW_MS + 300_000, wait=Wait.BACKOFF)
    await store.settle([Settlement(claim.delivery.after(waits))])


def rows(program: FakeProgram, capsys: Capture, *argv: str) -> list[dict[str, Any]]:
    assert program.cli(*argv, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_why_each_waits_and_until_when(program: FakeProgram, capsys: Capture) -> None:
    found = [row["deliveries"][0] for row in rows(program, capsys, "events", "list", "--state", "scheduled")]
    told = [(each["waits_for"], each["held_by"], each["due_at"]) for each in found]
    arrived = "2026-01-01T00:00:00.000Z"
    assert told == [
        ("pause", None, arrived),
        ("held", delivery_of(2), arrived),
        ("held", delivery_of(2), arrived),
        ("backoff", None, "2026-01-01T01:05:00.000Z"),
    ]
    assert program.cli("events", "list") == 0
    shown = capsys.readouterr().out
    for said in ("backoff, 2026-01-01T01:05:00.000Z", f"held by {delivery_of(2)}"):
        assert f"crm: scheduled ({said})" in shown
    assert "lake: scheduled (paused)" in shown
    assert program.cli("events", "show", event_id(3)) == 0
    assert f"held: {delivery_of(2)} of the same key goes first" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "numbers"),
    [
        (("--state", "held"), [4, 3]),
        (("--state", "held", "--oldest-first", "--limit", "1"), [3]),
        (("--state", "dead"), [2]),
        (("--destination", "lake"), [5]),
        (("--state", "scheduled", "--key", "order-1"), [1]),
        (("--state", "delivered"), []),
    ],
)
def test_events_by_where_their_deliveries_stand(
    argv: tuple[str, ...], numbers: list[int], program: FakeProgram, capsys: Capture
) -> None:
    assert [row["id"] for row in rows(program, capsys, "events", "list", *argv)] == [event_id(n) for n in numbers]


def test_an_event_is_listed_once_however_many_of_its_deliveries_match(capsys: Capture) -> None:
    program = FakeProgram()
    program.keep(make_append(1, to=("crm", "lake")))
    assert len(rows(program, capsys, "events", "list", "--state", "scheduled")) == 1


@pytest.mark.parametrize("id_", [delivery_of(1), event_id(1)])
def test_expedite_by_id(id_: str, program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("expedite", id_, "--why", "it is back") == 0
    assert capsys.readouterr().out == "1 expedited\n"
    hurried = program.delivery(delivery_of(1))
    assert (hurried.due_at_ms, hurried.wait, hurried.state) == (NOW_MS, None, State.SCHEDULED)


def test_expedite_by_filter_takes_what_waits_and_nothing_else(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("expedite", "--destination", "crm", "--dry-run") == 0
    assert capsys.readouterr().out.startswith("3 would be expedited; nothing was changed.\n")
    assert program.cli("expedite", "--destination", "crm") == 0
    assert [program.delivery(delivery_of(n)).due_at_ms == NOW_MS for n in (1, 2, 3, 4, 5)] == [
        *(True, False, True, True, False)
    ]
    assert program.cli("expedite", event_id(2)) == 1
    assert "it has nothing that can be expedited: its deliveries are dead" in capsys.readouterr().err


def test_a_replay_that_has_not_gone_out_is_taken_back(program: FakeProgram, capsys: Capture) -> None:
    program.cli("replay", event_id(2), "--rate", "1/h")
    assert program.cli("discard", event_id(2), "--why", "a mistake") == 0
    assert program.delivery(delivery_of(2)).state is State.DISCARDED
    capsys.readouterr()
    asyncio.run(program.store.leave("host:1"))
    assert program.cli("discard", "--state", "scheduled", "--key", "order-1", "--why", "a mistake") == 0
    assert capsys.readouterr().out == "1 discarded\n"


def test_status_says_who_is_at_work(program: FakeProgram, capsys: Capture) -> None:
    (row,) = rows(program, capsys, "status")
    assert (row["accepting"], row["delivering"]) == (True, True)
    assert [(each["name"], each["running"]) for each in row["nodes"]] == [("host:1", True)]
    assert program.cli("status") == 0
    shown = capsys.readouterr().out
    assert "host:1 accepts and delivers, version 0.1.0, started 2026-01-01 00:00:00Z (1 h ago)" in shown
    assert "lake, by bob, since 2026-01-01 00:00:00Z (1 h ago): it is mended" in shown
    # Into a pipe: the exact time.
    assert "crm\t3\t0\t0\t1\t0\t2026-01-01T00:00:00.000Z\t" in shown


def test_status_says_that_somebody_was_killed(program: FakeProgram, capsys: Capture) -> None:
    asyncio.run(program.store.beat(replace(NODE, seen_at_ms=NOW_MS - GONE_AFTER_MS)))
    (row,) = rows(program, capsys, "status")
    assert (row["accepting"], row["delivering"], row["nodes"][0]["running"]) == (False, False, False)
    assert program.cli("status") == 0
    shown = capsys.readouterr().out
    assert "host:1 ended without a word; last seen 2026-01-01 00:59:40Z (20 s ago)" in shown
    assert "none delivers; `longstop serve` starts one" in shown
