"""The command line's two ways: the same commands, on the store and over a gateway's API, write the same."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from api_store import TEXT, dead_id, fill
from cli_program import FakeProgram

from longstop.edges.cli.app import COMMANDS
from longstop.model.accounts import PASSWORD_CHARS_MIN
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import event_id

Capture = pytest.CaptureFixture[str]
URL = "http://localhost:8081"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LONGSTOP_URL", "LONGSTOP_TOKEN", "LONGSTOP_TOKEN_FILE", "LONGSTOP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    # Who decides beside the store; over the API of a gateway that asks nobody who he is it is "local".
    monkeypatch.setenv("LONGSTOP_USER", "local")


def filled() -> FakeProgram:
    store = MemoryStore()
    asyncio.run(fill(store))
    return FakeProgram(text=TEXT, store=store)


def said(program: FakeProgram, capsys: Capture, argv: Sequence[str]) -> tuple[int, str, str]:
    status = program.cli(*argv)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def parsed(text: str) -> Any:
    """JSON without the order of its fields, which is nobody's business; other lines as they are."""
    try:
        return [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return text


EVENT, DEAD = event_id(1), dead_id()
LOOKING = [
    "status",
    "events list",
    "events list --limit 2",
    "events list --limit 2 --oldest-first",
    "events list --state dead",
    "events list --state held",
    "events list --destination crm --since 2025-12-01",
    "events list --key nobody",
    "events list --unrouted",
    f"events show {EVENT}",
    f"events show {DEAD}",
    f"events show {EVENT} --raw",
    "dead list",
    "dead list --destination quarantine",
    "dead list --limit 1",
    "dead list --since 2026-01-01T00:00:00Z --reason rejected",
    "dead summary",
    "dead summary --destination crm",
    "jobs list",
    "sources list",
    "sources show shop",
    "sources rejections shop",
    "sources rejections --unknown",
    "alerts list",
    "alerts silences",
    "users list",
    "tokens list",
    "audit",
    "replay --all --dry-run",
    "discard --all --why x --dry-run",
    "expedite --all --dry-run",
    f"replay {DEAD} {EVENT} --dry-run",
    f"replay {event_id(9_999)} --dry-run",
]


@pytest.mark.parametrize("argv", LOOKING)
@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["text", "json"])
def test_what_is_looked_at_is_the_same_both_ways(argv: str, json_: tuple[str, ...], capsys: Capture) -> None:
    if "--raw" in argv and json_:
        return
    program = filled()
    if argv == "audit":
        program.cli("pause", "crm", "--why", "away")
        capsys.readouterr()
    beside = said(program, capsys, [*argv.split(), *json_])
    over = said(program, capsys, [*argv.split(), *json_, "--url", URL])
    assert parsed(over[1]) == parsed(beside[1])
    assert over[0] == beside[0]
    assert json_ or (over[1], over[2]) != ("", "")


BODY = '{"id": "e-1", "type": "order.paid", "orderId": "order-1", "edited": true}'
DECIDING: list[list[str]] = [
    ["replay", DEAD],
    ["replay", DEAD, "--rate", "5/s", "--why", "mended"],
    ["replay", EVENT, DEAD, event_id(9_999)],
    ["replay", "--all", "--no-wait"],
    ["replay", "--key", "nobody"],
    ["discard", DEAD, "--why", "no use"],
    ["discard", "--all", "--why", "no use", "--no-wait"],
    ["expedite", "--all"],
    ["expedite", event_id(9_999)],
    ["pause", "crm", "--why", "away"],
    ["pause", "nowhere"],
    ["resume", "crm"],
    ["alerts", "silence", "backlog", "--for", "2h", "--why", "known"],
    ["alerts", "silence", "nothing", "--for", "2h"],
    ["alerts", "unsilence", "backlog", "crm"],
    ["users", "remove", "nobody"],
    ["tokens", "revoke", "nothing1"],
    ["jobs", "show", "nothing1"],
    ["events", "show", event_id(9_999)],
    ["events", "list", "--source", "nobody"],
    ["dead", "list", "--destination", "nowhere"],
    ["sources", "show", "nowhere"],
]


def states(program: FakeProgram) -> list[tuple[str, str]]:
    from longstop.model.listing import DeliveryFilter, Page

    found = asyncio.run(_deliveries(program, DeliveryFilter(), Page(500)))
    return [(each.destination, each.state.value) for each in found]


async def _deliveries(program: FakeProgram, wanted: Any, page: Any) -> Any:
    return (await program.store.find_deliveries(wanted, page)).rows


def without_ids(text: str) -> str:
    """New ids differ, and jobs have one each."""
    import re

    return re.sub(r"[Jj]ob [0-9a-f]{8}|jobs (?:show|resume) [0-9a-f]{8}", "job", text)


@pytest.mark.parametrize("argv", DECIDING, ids=" ".join)
def test_what_is_decided_is_the_same_both_ways(argv: list[str], capsys: Capture) -> None:
    beside, over = filled(), filled()
    first = said(beside, capsys, argv)
    second = said(over, capsys, [*argv, "--url", URL])
    assert second[0] == first[0]
    assert without_ids(second[1]) == without_ids(first[1])
    assert states(over) == states(beside)


def test_an_edited_replay_is_the_same_both_ways(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(BODY)
    beside, over = filled(), filled()
    dry = ["replay", DEAD, "--edit", str(file), "--dry-run"]
    assert said(over, capsys, [*dry, "--url", URL])[1] == said(beside, capsys, dry)[1]
    assert parsed(said(over, capsys, [*dry, "--json", "--url", URL])[1]) == parsed(
        said(beside, capsys, [*dry, "--json"])[1]
    )
    assert states(over) == states(beside)
    real = ["replay", DEAD, "--edit", str(file), "--why", "a field was missing"]
    assert said(beside, capsys, real)[0] == said(over, capsys, [*real, "--url", URL])[0] == 0
    assert states(over) == states(beside)


def test_users_and_tokens_are_managed_over_the_api(capsys: Capture, tmp_path: Path) -> None:
    program, file = filled(), tmp_path / "password"
    file.write_text("x" * PASSWORD_CHARS_MIN)
    for argv in (
        ["users", "add", "ann", "--role", "view", "--password-file", str(file)],
        ["users", "role", "ann", "admin"],
        ["users", "passwd", "ann", "--password-file", str(file)],
        ["users", "disable", "ann"],
        ["users", "enable", "ann"],
        ["tokens", "create", "ci", "--scope", "view", "--days", "3"],
    ):
        status, out, err = said(program, capsys, [*argv, "--url", URL])
        assert (status, bool(out)) == (0, True), err
    for argv in (["users", "list"], ["tokens", "list"]):
        assert said(program, capsys, argv)[1] == said(program, capsys, [*argv, "--url", URL])[1] != ""
    (token,) = parsed(said(program, capsys, ["tokens", "list", "--json"])[1])
    assert said(program, capsys, ["tokens", "revoke", token["id"][-8:], "--url", URL])[1].endswith("of ci is revoked\n")
    assert said(program, capsys, ["users", "remove", "ann", "--url", URL])[0] == 0
    assert parsed(said(program, capsys, ["users", "list", "--json"])[1]) == []


def test_a_captured_request_is_tried_the_same_both_ways(capsys: Capture, tmp_path: Path) -> None:
    program, file = filled(), tmp_path / "body.json"
    file.write_text(BODY)
    for more in ((), ("--header", "X-Shop-Key: wrong"), ("--json",)):
        argv = ["sources", "test", "shop", str(file), *more]
        beside, over = said(program, capsys, argv), said(program, capsys, [*argv, "--url", URL])
        assert (over[0], parsed(over[1])) == (beside[0], parsed(beside[1]))


def test_after_a_page_the_next_one_follows_both_ways(capsys: Capture) -> None:
    program = filled()
    first = parsed(said(program, capsys, ["events", "list", "--limit", "2", "--json"])[1])
    after = ["events", "list", "--limit", "2", "--json", "--after", first[-1]["id"]]
    assert parsed(said(program, capsys, [*after, "--url", URL])[1]) == parsed(said(program, capsys, after)[1]) != []
    _, _, err = said(program, capsys, ["events", "list", "--limit", "2", "--url", URL])
    cursor = err.split("--after ")[1].split()[0]
    over = ["events", "list", "--limit", "2", "--json", "--after", cursor, "--url", URL]
    assert parsed(said(program, capsys, over)[1]) == parsed(said(program, capsys, after)[1])


# -- which way, and what is shown there ---------------------------------------------------------------


def test_what_is_typed_goes_before_the_environment(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    program = filled()
    monkeypatch.setenv("LONGSTOP_URL", "http://gateway.invalid.example:8081")
    monkeypatch.setenv("LONGSTOP_TOKEN", "secret-token")
    assert said(program, capsys, ["status", "--config", "longstop.toml"])[0] == 0
    status, _, err = said(program, capsys, ["status"])
    assert status == 1
    assert "is not encrypted" in err
    assert said(program, capsys, ["status", "--url", URL])[0] == 0
    assert said(program, capsys, ["status", "--url", URL, "--config", "x"])[0] == 2
    monkeypatch.delenv("LONGSTOP_URL")
    assert said(program, capsys, ["status", "--token-file", "x"])[0] == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example",
        "http://10.0.0.7:8081",
        "http://localhost.example:8081",
        "http://127.0.0.1@evil.example",
    ],
)
def test_a_token_is_never_sent_where_everybody_reads_it(
    url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = filled()
    monkeypatch.setenv("LONGSTOP_TOKEN", "secret-token")
    status, out, err = said(program, capsys, ["status", "--url", url])
    assert (status, out) == (1, "")
    assert "is not encrypted" in err
    assert "expected https://" in err
    assert "secret-token" not in err


@pytest.mark.parametrize("url", ["gateway:8081", "ftp://gateway", "https://", ""])
def test_a_url_that_is_none_is_told(url: str, capsys: Capture) -> None:
    status, out, err = said(filled(), capsys, ["status", "--url", url])
    assert (status, out) == (1, "")
    assert "expected the operators' port" in err


def test_the_token_is_read_from_a_file_and_is_never_an_argument(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = filled()
    seen: list[str | None] = []
    real = program.desk_at

    def desk_at(remote: Any) -> Any:
        seen.append(remote.token)
        assert "in-file" not in repr(remote)
        return real(remote)

    program.desk_at = desk_at  # type: ignore[method-assign]
    file = tmp_path / "token"
    file.write_text("in-file\n")
    said(program, capsys, ["status", "--url", URL, "--token-file", str(file)])
    monkeypatch.setenv("LONGSTOP_TOKEN_FILE", str(file))
    said(program, capsys, ["status", "--url", URL])
    monkeypatch.setenv("LONGSTOP_TOKEN", "in-environment")
    said(program, capsys, ["status", "--url", URL])
    said(program, capsys, ["status", "--url", URL, "--token-file", str(file)])
    assert seen == ["in-file", "in-file", "in-environment", "in-file"]
    assert said(program, capsys, ["status", "--url", URL, "--token", "x"])[0] == 2
    file.write_text("two words")
    status, _, err = said(program, capsys, ["status", "--url", URL, "--token-file", str(file)])
    assert (status, "expected one token and nothing else" in err) == (1, True)
    assert said(program, capsys, ["status", "--url", URL, "--token-file", str(tmp_path / "none")])[0] == 1


BESIDE = [
    *("init", "check", "demo", "serve", "ingest", "work", "completion", "sources release", "backup", "purge"),
    *("export", "import", "migrate-store"),
    "alerts test",
    *("aws template", "aws init", "aws check"),
]


@pytest.mark.parametrize("name", BESIDE)
def test_a_command_that_has_only_one_way_says_so(name: str, capsys: Capture) -> None:
    status, out, err = said(filled(), capsys, [*name.split(), "--url", URL])
    assert (status, out) == (2, "")
    assert f"--url: `longstop {name}`" in err


def test_every_command_has_both_ways_or_says_why_not(capsys: Capture) -> None:
    for each in COMMANDS:
        if each.name in BESIDE or each.name in ("tail", "mcp", "send"):  # theirs is another one
            continue
        assert filled().cli(*each.name.split(), "--help") == 0
        assert "--url" in capsys.readouterr().out, each.name


def test_what_empties_a_store_does_not_mistake_one_for_another(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGSTOP_URL", "https://gateway.example")
    status, _, err = said(filled(), capsys, ["purge"])
    assert (status, "expected --config FILE" in err) == (2, True)
    assert said(filled(), capsys, ["purge", "--config", "longstop.toml", "--dry-run"])[0] == 0


def test_beside_the_store_nothing_is_loaded_for_the_other_way(tmp_path: Path) -> None:
    archive = '[retention]\narchive = "s3://bucket/kept"\n'
    (tmp_path / "longstop.toml").write_text(f'[store]\nurl = "sqlite:///longstop.db"\n{archive}')
    program = (
        "import sys\n"
        "from longstop.__main__ import command\n"
        "sys.argv = ['longstop', 'status', '--json']\n"
        "assert command() == 0\n"
        "heavy = {'httpx', 'fastapi', 'starlette', 'mcp', 'uvicorn', 'botocore', 'longstop.client'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
