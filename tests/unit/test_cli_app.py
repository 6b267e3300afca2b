"""The command line's frame: help, exit statuses, how errors are said."""

import importlib
import sys

import pytest
from cli_program import FakeProgram

from longstop import __version__
from longstop.edges.cli import app
from longstop.model.errors import ConfigurationError, StoreUnavailableError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_without_a_command_there_is_help(argv: tuple[str, ...], capsys: Capture) -> None:
    assert FakeProgram().cli(*argv) == 0
    shown = capsys.readouterr().out
    for command in app.COMMANDS:
        assert f"  {command.name} " in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize("argv", [("events",), ("events", "--help"), ("dead", "-h")])
def test_a_group_alone_shows_its_commands(argv: tuple[str, ...], capsys: Capture) -> None:
    assert FakeProgram().cli(*argv) == 0
    shown = capsys.readouterr().out
    assert f"  {argv[0]} list " in shown
    assert "serve" not in shown


@pytest.mark.parametrize("command", app.COMMANDS, ids=lambda command: command.name)
def test_every_command_exists_and_explains_itself(command: app.Command, capsys: Capture) -> None:
    module, _, function = command.function.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert FakeProgram().cli(*command.name.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert f"Usage: longstop {command.name}" in shown
    if command.name not in ("demo", "completion", "migrate-store"):
        assert "--config" in shown
    if command.name not in ("init", "serve", "ingest", "work", "completion", "mcp", "export"):
        assert "--json" in shown
    if command.name.split()[-1] in ("list", "summary", "rejections", "silences", "audit"):
        assert "--limit" in shown


def test_the_version(capsys: Capture) -> None:
    assert FakeProgram().cli("--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["servr"], 'Unknown command "servr"'),
        (["dead", "lst"], 'Did you mean "list"?'),
        (["dead", "list", "--sinse", "3d"], "Did you mean --since?"),
        (["dead", "list", "--reason", "bad"], 'Choose from: "exhausted"'),
        (["status", "--no-json"], "Unknown option: --no-json"),
        (["events", "list", "--limit", "many"], "--limit"),
        (["discard", "x"], "--why"),
        (["send"], "SOURCE"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(argv: list[str], said: str, capsys: Capture) -> None:
    assert FakeProgram().cli(*argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "--help` says more" in shown.err
    assert "Traceback" not in shown.err


def test_every_problem_of_a_configuration_has_its_line(capsys: Capture) -> None:
    assert FakeProgram(text='[server]\nport = 0\n[store]\nurl = "x"\n').cli("serve") == 1
    said = capsys.readouterr().err
    assert [line.split(":")[0] for line in said.splitlines()] == ["server.port", "store.url", "sources"]


def test_a_command_that_looks_minds_nothing_but_the_store(capsys: Capture) -> None:
    assert FakeProgram(text="[server]\nport = 0\n").cli("status") == 0
    assert capsys.readouterr().err == (
        "longstop: passes over longstop.toml: server.port: found 0, and 1 more (`longstop check` says all)\n"
    )
    assert FakeProgram(text='[server]\nport = 0\n[store]\nurl = "x"\n').cli("status") == 1
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["store.url"]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (StoreUnavailableError("the disk is full\x1b[2J"), 1, "longstop: the disk is full\\x1b[2J\n"),
        (ConfigurationError(("a: one", "b: two")), 1, "a: one\nb: two\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_exit_statuses(
    error: BaseException, status: int, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = FakeProgram()

    def fail(_settings: object) -> object:
        raise error

    monkeypatch.setattr(program, "opened", fail)
    assert program.cli("status") == status
    assert capsys.readouterr() == ("", said)


def test_the_environment_names_the_configuration(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("LONGSTOP_CONFIG", "elsewhere.toml")
    program = FakeProgram()
    assert program.cli("check", "--json") == 0
    assert '"config": "elsewhere.toml"' in capsys.readouterr().out
    assert program.cli("check", "--json", "--config", "given.toml") == 0
    assert '"config": "given.toml"' in capsys.readouterr().out


def test_serving_announces_where_to_post_and_what_to_try(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = '[sources.hello]\nkind = "generic"\nverify = { scheme = "none" }\n'
    assert FakeProgram(text=text).cli("serve", "--log-level", "error") == 0
    shown = capsys.readouterr().out
    assert "hello (generic): POST http://0.0.0.0:8080/webhooks/hello\n" in shown
    assert "try: curl -i http://127.0.0.1:8080/webhooks/hello" in shown
    assert shown.endswith("\nconsole: http://127.0.0.1:8081/\nCtrl-C stops.\n")
    assert FakeProgram().cli("serve") == 0
    shown = capsys.readouterr().out
    assert "curl" not in shown, "a source that verifies cannot be tried with a plain curl"
    assert "crm: delivering to http://127.0.0.1:9/" in shown
    assert FakeProgram().cli("work") == 0
    assert "POST" not in capsys.readouterr().out
    assert FakeProgram().cli("ingest") == 0
    assert "crm" not in capsys.readouterr().out
