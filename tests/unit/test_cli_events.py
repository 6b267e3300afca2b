"""events list, events show, dead list, status: rows with stable fields, tables that are safe to look at."""

import asyncio
import json

import pytest
from cli_program import FakeProgram, make_dead

from longstop.model.action import Action
from longstop.model.delivery import Attempt, OutcomeKind, State, Transition, Trigger
from longstop.model.event import Headers
from longstop.model.lease import LeaseRequest, Settlement
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append, make_quarantined

Capture = pytest.CaptureFixture[str]

EVENT_FIELDS = (
    "id source type key dedup received_at occurred_at size origin parent redeliveries made_by edits deliveries"
).split()
DEAD_FIELDS = (
    "id event_id source destination type key state reason attempts last_status last_error received_at dead_at skipped "
    "replaced_by ended_at due_at waits_for waits_until held_by expires_at round"
).split()


@pytest.fixture
def program() -> FakeProgram:
    return FakeProgram()


def rows(program: FakeProgram, capsys: Capture, *argv: str) -> list[dict[str, object]]:
    assert program.cli(*argv, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_events_for_programs(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1, dedup=b"d-1"), make_append(2, to=(), dedup=b"\xff"))
    newest, first = rows(program, capsys, "events", "list")
    assert list(first) == EVENT_FIELDS
    assert first == {
        "id": event_id(1),
        "source": "shop",
        "type": "order.paid",
        "key": "order-1",
        "dedup": "d-1",
        "received_at": "2026-01-01T00:00:00.000Z",
        "occurred_at": None,
        "size": 12,
        "origin": "webhook",
        "parent": None,
        "redeliveries": 0,
        "made_by": None,
        "edits": [],
        "deliveries": [
            {
                "id": delivery_id(event_id(1), 0),
                "destination": "crm",
                "state": "scheduled",
                "attempts": 0,
                "skipped": False,
                "reason": None,
                "due_at": "2026-01-01T00:00:00.000Z",
                "waits_for": "gateway",
                "waits_until": None,
                "held_by": None,
                "expires_at": None,
                "replaced_by": None,
                "in_order": False,
            }
        ],
    }
    assert (newest["id"], newest["dedup"], newest["deliveries"]) == (event_id(2), "base64:/w==", [])


def test_dead_for_programs(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_dead(1), make_quarantined(2), make_append(3))
    quarantined, dead = rows(program, capsys, "dead", "list")
    assert list(dead) == DEAD_FIELDS
    assert dead["id"] == delivery_id(event_id(1), 0)
    assert dead["dead_at"] == "2026-01-01T00:01:00.000Z"
    assert (dead["reason"], dead["attempts"], dead["last_status"]) == ("rejected", 3, 422)
    assert (quarantined["destination"], quarantined["reason"]) == (None, "malformed")


@pytest.mark.parametrize(
    ("argv", "numbers"),
    [
        ((), [3, 2, 1]),
        (("--limit", "2"), [3, 2]),
        (("--destination", "crm"), [3, 1]),
        (("--key", "order-2"), [2]),
        (("--type", "order.paid", "--source", "shop"), [3, 2, 1]),
        (("--status", "422"), [3, 2, 1]),
        (("--status", "500"), []),
        (("--error", "HTTP"), [3, 2, 1]),
        (("--oldest-first",), [1, 2, 3]),
        (("--oldest-first", "--after", delivery_id(event_id(1), 0)), [2, 3]),
        (("--reason", "exhausted"), []),
        (("--contains", '"number":3'), [3]),
        (("--since", "58m"), [3, 2]),
        (("--until", "2026-01-01T00:02:00Z"), [1]),
    ],
)
def test_filters_of_dead_list(argv: tuple[str, ...], numbers: list[int], program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_dead(1), make_dead(2, destination="ledger"), make_dead(3))
    assert [row["event_id"] for row in rows(program, capsys, "dead", "list", *argv)] == [event_id(n) for n in numbers]


def test_unrouted_events_are_found(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1), make_append(2, to=()))
    assert [row["id"] for row in rows(program, capsys, "events", "list", "--unrouted")] == [event_id(2)]


def test_that_there_is_more_is_said_aside(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_dead(1), make_dead(2))
    assert program.cli("dead", "list", "--limit", "1", "--json") == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    last = delivery_id(event_id(2), 0)
    assert shown.err == f"1 more; --limit 2 shows all, --after {last} goes on.\n"
    assert program.cli("dead", "list", "--limit", "2", "--json") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argv", [("events", "list"), ("dead", "list")])
def test_a_limit_below_one_is_a_usage_error(argv: tuple[str, ...], program: FakeProgram, capsys: Capture) -> None:
    assert program.cli(*argv, "--limit", "0") == 2
    assert "--limit: found 0; expected 1 or more" in capsys.readouterr().err


def test_tables_show_no_raw_control_characters(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_dead(1, type="\x1b[31mred", key="[bold]k[/bold]"))
    for argv in (("dead", "list"), ("events", "list")):
        assert program.cli(*argv) == 0
        shown = capsys.readouterr().out
        assert "\x1b" not in shown
        assert "\\x1b[31mred" in shown
        assert "[bold]k[/bold]" in shown


# -- events show --------------------------------------------------------------------------------

HEADERS = Headers(
    [("Authorization", "Bearer abc"), ("x-shop-key", "hunter2"), ("X-Signature", "s=1"), ("A", "\x1b[1m")]
)


@pytest.mark.parametrize("id_", [event_id(1), delivery_id(event_id(1), 0), event_id(1).upper()])
def test_show_takes_either_id_and_hides_credentials(id_: str, program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1, headers=HEADERS, body=b'{"a":\n1}\x1b'))
    assert program.cli("events", "show", id_) == 0
    shown = capsys.readouterr().out
    assert event_id(1) in shown
    assert "abc" not in shown
    assert "hunter2" not in shown
    assert "X-Signature: s=1" in shown
    assert '\n  {"a":\n  1}\\x1b\n' in shown
    assert "\x1b" not in shown
    (row,) = rows(program, capsys, "events", "show", id_)
    besides = ["headers", "content_type", "body_size", "archived_in", "body", "body_base64", "history"]
    assert list(row) == [*EVENT_FIELDS, *besides]
    assert row["headers"] == [
        ["Authorization", "(not shown)"],
        ["x-shop-key", "(not shown)"],
        ["X-Signature", "s=1"],
        ["A", "\x1b[1m"],
    ]
    assert row["body"] == '{"a":\n1}\x1b'


@pytest.mark.parametrize("body", [b"\x00\xff\r\n", b"", b"no newline at the end"])
def test_raw_writes_the_body_and_nothing_else(
    body: bytes, program: FakeProgram, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    program.keep(make_append(1, body=body))
    assert program.cli("events", "show", event_id(1), "--raw") == 0
    assert capfdbinary.readouterr() == (body, b"")


def test_what_is_not_text_comes_as_base64(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1, body=b"\xff"))
    (row,) = rows(program, capsys, "events", "show", event_id(1))
    assert (row["body"], row["body_base64"]) == (None, "/w==")
    assert program.cli("events", "show", event_id(1)) == 0
    assert "(1 bytes that are not UTF-8 text; --raw writes them)" in capsys.readouterr().out


def test_show_tells_attempts_and_decisions_in_order(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1))
    asyncio.run(_fail_then_discard(program))
    assert program.cli("events", "show", event_id(1)) == 0
    shown = capsys.readouterr().out
    assert "crm: discarded" in shown
    assert shown.index("attempt 1  reject  HTTP 422  7 ms  refused\\x07") < shown.index("discard by ann: no use")
    (row,) = rows(program, capsys, "events", "show", event_id(1))
    assert row["history"] == [
        {
            "delivery_id": delivery_id(event_id(1), 0),
            "destination": "crm",
            "attempts": [
                {
                    "number": 1,
                    "round": 1,
                    "started_at": "2026-01-01T00:00:00.000Z",
                    "duration_ms": 7,
                    "outcome": "reject",
                    "status": 422,
                    "error": "refused\x07",
                    "answer": "no\\xff",
                    "frames": [],
                }
            ],
            "actions": [{"action": "discard", "at": "2026-01-01T00:00:09.000Z", "by": "ann", "why": "no use"}],
        }
    ]


async def _fail_then_discard(program: FakeProgram) -> None:
    batch = await program.store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 1000))
    leased = batch.claims[0].delivery
    attempt = Attempt(1, 1, AT_MS, 7, OutcomeKind.REJECT, 422, "refused\x07", b"no\xff")
    await program.store.settle([Settlement(leased.after(Transition(Trigger.PARK, AT_MS + 7)), attempt)])
    await program.store.act([Action(leased.id, Transition(Trigger.DISCARD, AT_MS + 9000), "ann", "no use")])


@pytest.mark.parametrize(
    ("id_", "said"), [("42", 'found "42"; expected an id such as'), (event_id(9), "no event or delivery has the id")]
)
def test_an_unknown_id_fails(id_: str, said: str, program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("events", "show", id_) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


# -- status -------------------------------------------------------------------------------------


def test_status_counts_and_names_what_is_no_longer_configured(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1), make_dead(2, destination="old"), make_append(3, to=()), make_quarantined(4))
    (row,) = rows(program, capsys, "status")
    nothing = ("paused_at", "paused_by", "paused_why", "circuit", "oldest_waiting_at", "next_due_at")
    none = {**dict.fromkeys(nothing), **dict.fromkeys((state.value for state in State), 0)}
    arrived = "2026-01-01T00:00:00.000Z"
    assert row == {
        "events": 4,
        "unrouted": 1,
        "oldest_waiting_at": "2026-01-01T00:00:00.000Z",
        "oldest_waiting_s": 3600.0,
        "counts": {"events": 4, "unrouted": 1, "scheduled": 1, "leased": 0, "delivered": 0, "dead": 2, "discarded": 0},
        "backlog": 1,
        "sources": [{"source": "shop", "events": 4}],
        "spool": None,
        "warnings": [],
        "accepting": False,
        "delivering": False,
        "nodes": [],
        "destinations": [
            {
                **{"destination": "crm", "configured": True, **none, "scheduled": 1},
                **{"oldest_waiting_at": arrived, "next_due_at": arrived},
            },
            {"destination": None, "configured": False, **none, "dead": 1},
            {"destination": "old", "configured": False, **none, "dead": 1},
        ],
        "refused": [],
        "held_requests": [],
    }
    assert program.cli("status") == 0
    shown = capsys.readouterr()
    assert "oldest waiting  2026-01-01 00:00:00Z (1 h ago)" in shown.out
    assert "gateway         none delivers; `longstop serve` starts one" in shown.out
    assert "Not in the configuration, so nothing is delivered there: old\n" in shown.err


def test_status_of_an_empty_store(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("status") == 0
    assert "nothing waits" in capsys.readouterr().out


def test_a_table_names_where_each_delivery_stands(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_append(1, to=("crm", "ledger")), make_append(2, to=()), make_quarantined(3))
    assert program.cli("events", "list") == 0
    shown = capsys.readouterr().out
    for standing in ("crm: scheduled", "ledger: scheduled", "unrouted", "quarantine: dead"):
        assert standing in shown
