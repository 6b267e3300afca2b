"""Canaries: what senders, destinations and people wrote reaches neither a terminal nor a log as anything but text."""

import asyncio
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from cli_program import TEXT, FakeProgram

from longstop.edges.cli import output, tables
from longstop.model.action import Action, Pause
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, DeadReason, OutcomeKind, State, Transition, Trigger
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.printable import printable
from longstop.model.rejection import UNKNOWN, Rejection, RejectionCount, RejectionReason
from longstop.telemetry.logs import configure_logs
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_delivery, make_event

CANARY = (
    "C\t\x00\x07\x1b]0;title\x07\x1b[2J\x7f\x85\x9b31m\u200b\u202e\u2066\u2028\r\n9999-12-31 [info] forged\ud800\ue000"
)
WIRE = CANARY.encode("utf-8", "surrogatepass").decode("latin-1")
DESTINATION = "crm\x1b[31m\u202e"
EVENT = make_event(
    1,
    type=CANARY,
    key=CANARY,
    dedup=CANARY.encode("utf-8", "replace"),
    headers=Headers([("X-Canary", WIRE), (WIRE, "v")]),
    body=CANARY.encode("utf-8", "replace"),
)
ID, DELIVERY = event_id(1), delivery_id(event_id(1), 0)


async def kept(program: FakeProgram) -> None:
    """An event and all that can be written about one, with a canary wherever somebody else has the word."""
    store = program.store
    await store.append([Append(EVENT, (make_delivery(EVENT), make_delivery(EVENT, DESTINATION, 1)))])
    claim = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 9))).claims[0]
    dead = replace(
        claim.delivery,
        state=State.DEAD,
        reason=DeadReason.REJECTED,
        last_error=CANARY,
        ended_at_ms=AT_MS,
        lease_until_ms=None,
    )
    attempt = Attempt(1, 1, AT_MS, 5, OutcomeKind.REJECT, 422, CANARY, CANARY.encode("utf-8", "surrogatepass"))
    await store.settle([Settlement(dead, attempt)])
    for trigger in (Trigger.DISCARD, Trigger.REPLAY):
        await store.act([Action(DELIVERY, Transition(trigger, AT_MS), CANARY, CANARY)])
    claim = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 9))).claims[0]
    await store.settle([Settlement(replace(dead, token=claim.delivery.token), attempt)])
    request = Request(EVENT.headers, EVENT.body, method=CANARY, client=CANARY, path=CANARY, query=CANARY)
    for source in ("shop", UNKNOWN):
        sample = Rejection(
            *(event_id(9), source, AT_MS, RejectionReason.WRONG_PROOF, 401, (CANARY,), request, 9, True),
            asked=CANARY,
            nearest="shop",
        )
        count = RejectionCount(source, RejectionReason.WRONG_PROOF, 1, AT_MS, AT_MS)
        await store.record_rejections([count], [sample])
    for name in ("crm", DESTINATION):
        await store.pause(Pause(name, AT_MS, CANARY, CANARY))
        assert await store.change_circuit(name, 0, Circuit(name, AT_MS, AT_MS + 5, 5, CANARY))


COMMANDS = [
    ["events", "list"],
    ["events", "show", ID],
    ["events", "list", "--key", CANARY],
    ["events", "show", CANARY],
    ["dead", "list"],
    ["dead", "list", "--destination", CANARY],
    ["replay", "--all", "--dry-run"],
    ["replay", DELIVERY],
    ["replay", CANARY],
    ["discard", DELIVERY, "--why", CANARY],
    ["discard", CANARY, "--why", CANARY],
    ["status"],
    ["pause", "crm", "--why", CANARY],
    ["pause", CANARY],
    ["resume", "crm"],
    ["resume", DESTINATION],
    ["sources", "list"],
    ["sources", "show", "shop"],
    ["sources", "show", CANARY],
    ["sources", "rejections", "shop"],
    ["sources", "rejections", UNKNOWN],
    ["sources", "rejections", CANARY],
    ["check"],
]


def seen(shown: str) -> set[str]:
    """The characters that are not to be seen, line ends aside."""
    return {char for char in shown if not char.isprintable()} - {"\n"}


@pytest.mark.parametrize("json_", [False, True], ids=["people", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(map(ascii, words))[:40])
def test_no_command_shows_what_others_wrote_as_anything_but_text(
    command: list[str], json_: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGSTOP_USER", f"ada{CANARY.replace(chr(0), '').replace(chr(0xD800), '')}")
    program = FakeProgram()
    asyncio.run(kept(program))
    program.cli(*command, *(["--json"] if json_ else []))
    out, err = capsys.readouterr()
    assert out + err, "it says something"
    # Between the cells of a listing, and nowhere else: see test_tables_and_lines_escape.
    assert seen(out + err) <= {"\t"}
    assert not any(line.startswith("9999-12-31") for line in (out + err).split("\n")), "no line of theirs"


def test_nor_does_a_dry_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = TEXT.replace('secrets = ["hunter2-hunter2"]', 'secrets = ["hunter2-hunter2"]\ntype = "type"\nkey = "key"')
    file = tmp_path / "captured"
    file.write_text(json.dumps({"type": CANARY[:-2], "key": CANARY[:-2], "wanted": True}))
    header = ("--header", "X-Shop-Key: hunter2-hunter2")
    program = FakeProgram(text.replace('"wanted"', '"type || key"'))
    for more in ([], ["--json"]):
        assert program.cli("sources", "test", "shop", str(file), *header, *more) == 0
        assert seen(capsys.readouterr().out) == set()


class Hostile:
    def __repr__(self) -> str:
        return CANARY


@pytest.mark.parametrize("as_json", [False, True], ids=["console", "json"])
def test_no_log_line_does(as_json: bool) -> None:
    stream = io.StringIO()
    configure_logs(json=as_json, stream=stream)
    try:
        log = structlog.get_logger("test")
        log.warning(CANARY, error=CANARY, bare="\x1b[31m", nested={CANARY: [CANARY]}, made=Hostile(), **{CANARY: 1})
        try:
            raise ValueError(CANARY)
        except ValueError:
            log.exception("failed")
    finally:
        structlog.reset_defaults()
    text = stream.getvalue()
    if not as_json:
        assert "\\x1b[31m" in text
        # The colours of a line on a terminal are our own.
        text = re.sub("\x1b\\[(?:[0-2]|3[1-6])m", "", text)
    lines = text.split("\n")
    ours = [line for line in lines if "[warning" in line or "[error" in line or line.startswith("{")]
    assert len(ours) == 2
    assert all(line in ours or line.startswith("  ") or not line for line in lines), "no line of theirs"
    assert seen(text) == set()


def test_every_character_that_is_not_seen_is_escaped() -> None:
    for number in (*range(0x300), *range(0x2000, 0x2100), 0xAD, 0x61C, 0xFEFF, 0xFFF9, 0xD800, 0xE0001, 0x10FFFF):
        shown = printable(chr(number))
        assert shown.isprintable()
        assert (shown == chr(number)) is chr(number).isprintable()


@pytest.mark.parametrize("number", [*range(0x100), 0x202E, 0x2028, 0xD800, 0x1F600])
def test_json_is_visible_ascii_and_says_the_same(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    value = {f"k{chr(number)}": [chr(number)]}
    output.json_line(value)
    line = capsys.readouterr().out.removesuffix("\n")
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == value


def test_tables_and_lines_escape(capsys: pytest.CaptureFixture[str]) -> None:
    tables.write([tables.Column("a"), tables.Column("b")], [(CANARY, CANARY)])
    out = capsys.readouterr().out
    assert (seen(out), out.count("\t"), out.count("\n")) == ({"\t"}, 1, 1)
    output.line(CANARY)
    assert seen(capsys.readouterr().out) == set()
