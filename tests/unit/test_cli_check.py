"""init and check."""

import json
import os
import stat
from pathlib import Path

import pytest
from cli_program import FakeProgram

from longstop.__main__ import _Program
from longstop.edges.cli import app
from longstop.edges.cli.starter import STARTER

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LONGSTOP_CONFIG", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))


def cli(*argv: str) -> int:
    return app.run(argv, _Program())


def test_init_writes_what_check_accepts(capsys: Capture) -> None:
    assert cli("init") == 0
    assert Path("longstop.toml").read_text() == STARTER
    assert "longstop serve" in capsys.readouterr().out
    assert cli("check") == 0
    shown = capsys.readouterr()
    assert "hello (generic)" in shown.out
    assert shown.err == ""


def test_what_init_writes_is_the_owners_alone_whatever_the_umask() -> None:
    before = os.umask(0)
    try:
        assert cli("init") == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("longstop.toml").stat().st_mode) == 0o600


def test_init_overwrites_nothing(capsys: Capture) -> None:
    Path("mine.toml").write_text("mine")
    assert cli("init", "--config", "mine.toml") == 1
    assert Path("mine.toml").read_text() == "mine"
    assert "mine.toml exists and is left as it is" in capsys.readouterr().err


def test_init_says_where_it_cannot_write(capsys: Capture) -> None:
    assert cli("init", "--config", "no/such/folder.toml") == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_check_says_all_that_is_wrong(capsys: Capture) -> None:
    Path("longstop.toml").write_text('[server]\nport = "x"\n[sources.a]\nkind = "nope"\n')
    assert cli("check") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    places = [line.split(": ")[0] for line in shown.err.splitlines()]
    assert places == ["longstop.toml:2", "longstop.toml:4", "longstop"]
    assert shown.err.endswith("longstop: 2 problems in longstop.toml\n")


def test_check_finds_a_handler_that_is_missing_and_one_beside_the_file(capsys: Capture) -> None:
    Path("here_only.py").write_text("def handle(event): ...\n")
    text = STARTER.replace("longstop:print_event", "here_only:{}")
    Path("longstop.toml").write_text(text.replace("{}", "handle", 1))
    assert cli("check") == 0
    Path("longstop.toml").write_text(text.replace("{}", "other", 1))
    assert cli("check") == 1
    assert "here_only" in capsys.readouterr().err


def test_check_for_programs(capsys: Capture) -> None:
    program = FakeProgram(problems=("destinations.crm.handler: found no module",))
    assert program.cli("check", "--json", "--config", "c.toml") == 1
    row = json.loads(capsys.readouterr().out)
    assert row["config"] == "c.toml"
    assert row["ok"] is False
    assert row["problems"] == ["destinations.crm.handler: found no module"]
    assert isinstance(row["warnings"], list)


def test_a_missing_file_is_told(capsys: Capture) -> None:
    assert cli("status", "--config", "gone.toml") == 1
    assert "gone.toml: there is no such file" in capsys.readouterr().err
