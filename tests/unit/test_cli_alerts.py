"""`longstop alerts`: what is on, whether a channel works, and silence for a time."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from cli_program import NOW_MS, FakeProgram

from longstop.model.alert import Notice, Severity
from longstop.model.alert_book import AlertBook, Silence, Standing
from longstop.model.append import Append
from longstop.model.delivery import Delivery, State
from longstop.model.event import Event, Origin
from longstop.model.node import Node

Capture = pytest.CaptureFixture[str]
CHANNELS = """
[alerts.channels.team]
kind = "slack"
url = "${SLACK_URL}"

[alerts.channels.pager]
kind = "pagerduty"
routing_key = "${PAGER_KEY}"
"""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    made = FakeProgram()
    made.text += CHANNELS
    return made


def book(program: FakeProgram) -> AlertBook:
    return asyncio.run(program.store.alert_book())


def keep(program: FakeProgram, kept: AlertBook) -> None:
    assert asyncio.run(program.store.keep_alert_book(kept))


def rows(capsys: Capture) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


DEAD = Standing(
    "dead_letters",
    "crm",
    NOW_MS - 3_600_000,
    "3 of one cause: rejected (HTTP 422)",
    Severity.ERROR,
    {"count": 3},
    told_at_ms=NOW_MS - 3_590_000,
)
SILENT = Standing("source_silent", "shop", NOW_MS - 7_200_000, "for 2 h", Severity.WARNING)
STANDING = AlertBook(began_at_ms=1, standing={DEAD.key: DEAD, SILENT.key: SILENT})


def test_what_is_on_the_longest_first(program: FakeProgram, capsys: Capture) -> None:
    keep(program, replace(STANDING, silences=(Silence("source_silent", None, NOW_MS + 1, "bob", None, NOW_MS),)))
    assert program.cli("alerts", "list", "--json") == 0
    silent, dead = rows(capsys)
    assert dead == {
        "key": "dead_letters:crm",
        "kind": "dead_letters",
        "about": "destination",
        "subject": "crm",
        "severity": "error",
        "since": "2026-01-01T00:00:00.000Z",
        "title": "Dead letters at crm",
        "why": "3 of one cause: rejected (HTTP 422)",
        "told_at": "2026-01-01T00:00:10.000Z",
        "ending": False,
        "silenced_until": None,
        "silenced_by": None,
        "facts": {"count": 3},
    }
    assert (silent["key"], silent["silenced_by"], silent["told_at"]) == ("source_silent:shop", "bob", None)
    assert program.cli("alerts", "list") == 0
    captured = capsys.readouterr()
    assert captured.out == (
        "warning\t2025-12-31T23:00:00.000Z\tNothing comes from shop\tfor 2 h\tsilenced\n"
        "error\t2026-01-01T00:00:00.000Z\tDead letters at crm\t3 of one cause: rejected (HTTP 422)"
        "\t2026-01-01T00:00:10.000Z\n"
    )
    assert "Silenced: source_silent until 2026-01-01 01:00:00Z, by bob" in captured.err
    assert program.cli("alerts", "list", "--limit", "1") == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "1 more; --limit 2 shows all." in captured.err


def test_nothing_is_wrong_or_nobody_has_looked(program: FakeProgram, capsys: Capture) -> None:
    program.cli("alerts", "list")
    assert "No gateway has looked yet." in capsys.readouterr().err
    keep(program, AlertBook(began_at_ms=1))
    program.cli("alerts", "list")
    assert "Nothing is wrong." in capsys.readouterr().err


def test_a_text_of_others_moves_no_terminal(program: FakeProgram, capsys: Capture) -> None:
    evil = replace(DEAD, why="\x1b[2J\r\n gone", subject="crm\x07")
    keep(program, AlertBook(began_at_ms=1, standing={evil.key: evil}))
    program.cli("alerts", "list")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert not set(out) & set("\x1b\x07\r")


def test_a_silence_is_kept_listed_and_ended(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("alerts", "silence", "backlog", "crm", "--for", "2h", "--why", "a deployment") == 0
    assert capsys.readouterr().out == "backlog of crm until 2026-01-01 03:00:00Z, by ann: a deployment\n"
    assert book(program).silences == (Silence("backlog", "crm", NOW_MS + 7_200_000, "ann", "a deployment", NOW_MS),)
    assert program.cli("alerts", "silence", "*", "--for", "5m", "--json") == 0
    (row,) = rows(capsys)
    assert row == {
        "kind": "*",
        "subject": None,
        "until": "2026-01-01T01:05:00.000Z",
        "by": "ann",
        "why": None,
        "at": "2026-01-01T01:00:00.000Z",
    }
    program.cli("alerts", "silences", "--json")
    assert [each["kind"] for each in rows(capsys)] == ["backlog", "*"]
    assert program.cli("alerts", "unsilence", "backlog") == 0
    assert "backlog was not silenced" in capsys.readouterr().out
    assert program.cli("alerts", "unsilence", "backlog", "crm") == 0
    assert capsys.readouterr().out == "backlog of crm is told of again\n"
    program.cli("alerts", "silences")
    assert capsys.readouterr().out == "everything until 2026-01-01 01:05:00Z, by ann\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("silence", "backlogs", "--for", "2h"), 'found no kind of alert "backlogs"; expected dead_letters, circuit'),
        (("silence", "backlog", "--for", "soon"), '--for: found "soon"; expected a duration, as in "2h"'),
        (("silence", "backlog", "--for", "0s"), '--for: found "0s"; expected more than zero, as in "2h"'),
        (("silence", "test", "--for", "2h"), 'found no kind of alert "test"'),
        (("unsilence", "nothing"), 'found no kind of alert "nothing"'),
    ],
)
def test_what_cannot_be_meant(program: FakeProgram, capsys: Capture, argv: tuple[str, ...], said: str) -> None:
    assert program.cli("alerts", *argv) == 2
    assert said in capsys.readouterr().err
    assert book(program).silences == ()


# -- a test -------------------------------------------------------------------------------------


class Gateway:
    """In the place of one that runs: while the command waits, it sends what is in the outbox, with these ends."""

    def __init__(self, program: FakeProgram, **ends: Any) -> None:
        self._program, self._ends = program, ends
        program.clock.sleep = self._sleep  # type: ignore[method-assign]
        asyncio.run(program.store.beat(Node("gw:1", ("work",), "1", NOW_MS, NOW_MS)))

    async def _sleep(self, _seconds: float) -> None:
        store = self._program.store
        kept = await store.alert_book()
        await store.append([self._append(place, notice) for place, notice in enumerate(kept.outbox)])
        await store.keep_alert_book(replace(kept, outbox=()))

    def _append(self, place: int, notice: Notice) -> Append:
        alert = notice.alerts[0]
        id_ = f"019b7000-0000-7000-8000-00000000000{place}"
        event = Event(
            id_, "longstop", NOW_MS, notice.body(), key=alert.key, dedup=notice.id.encode(), origin=Origin.ALERT
        )
        delivery = Delivery(
            f"{id_[:-2]}{place + 5}a", id_, "longstop", None, alert.key, NOW_MS, "alerts.x", State.SCHEDULED, NOW_MS
        )
        return Append(event, (replace(delivery, attempts=1, **self._ends[alert.subject]),), NOW_MS + 1_000)


TOOK = {"state": State.DELIVERED, "ended_at_ms": NOW_MS}
LATER = {"last_error": "a.example answered HTTP 503", "last_status": 503}


def test_every_channel_is_tested_and_what_became_of_it_is_said(program: FakeProgram, capsys: Capture) -> None:
    Gateway(program, team=TOOK, pager=LATER)
    assert program.cli("alerts", "test") == 1
    assert capsys.readouterr().out == (
        "team (slack)  took it\n"
        "pager (pagerduty)  did not take it: a.example answered HTTP 503; it is tried again for an hour\n"
    )


def test_one_channel_and_no_secret_is_needed(program: FakeProgram, capsys: Capture) -> None:
    Gateway(program, pager=TOOK)
    assert program.cli("alerts", "test", "pager", "--json") == 0
    (row,) = rows(capsys)
    assert (row["channel"], row["state"], row["error"]) == ("pager", "delivered", None)
    assert row["delivery_id"]


def test_a_channel_that_is_not_there(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("alerts", "test", "teem") == 1
    assert (
        'found no alert channel "teem"; expected one of: pager, team; did you mean "team"?' in capsys.readouterr().err
    )
    program.text = program.text.replace(CHANNELS, "")
    assert program.cli("alerts", "test") == 1
    assert "found no alert channel; expected one in the configuration" in capsys.readouterr().err
    assert book(program).outbox == ()


def test_where_no_gateway_runs_that_is_said(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("alerts", "test", "team") == 1
    assert "no gateway delivers now; the test goes out when one does" in capsys.readouterr().err
    assert [notice.kind for notice in book(program).outbox] == ["test"]


def test_a_gateway_that_does_not_know_the_channel_is_not_waited_for_without_end(
    program: FakeProgram, capsys: Capture
) -> None:
    asyncio.run(program.store.beat(Node("gw:1", ("work",), "1", NOW_MS, NOW_MS)))
    assert program.cli("alerts", "test", "team") == 1
    assert "did not take it: no gateway has taken it up" in capsys.readouterr().out
    assert sum(program.clock.slept_s) == pytest.approx(15, abs=1)
