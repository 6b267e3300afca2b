"""`users`, `tokens` and `audit`: a password is never an argument, a token is shown once, everything is noted."""

import io
import json
import sys
from pathlib import Path

import pytest
from cli_program import TEXT, FakeProgram, make_dead

from longstop.edges.cli import users
from longstop.testing.builders import delivery_id, event_id

Capture = pytest.CaptureFixture[str]
PASSWORD = "correct horse battery"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeProgram:
    monkeypatch.setenv("LONGSTOP_USER", "ann")
    (tmp_path / "password").write_text(f"{PASSWORD}\nanother line\n")
    monkeypatch.chdir(tmp_path)
    return FakeProgram('[operators]\nauth = "users"\n' + TEXT)


def rows(program: FakeProgram, capsys: Capture, *argv: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert program.cli(*argv, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def add(program: FakeProgram, name: str = "ada", role: str = "replay") -> int:
    return program.cli("users", "add", name, "--role", role, "--password-file", "password")


def test_a_list_that_is_cut_says_so(program: FakeProgram, capsys: Capture) -> None:
    for name in ("ada", "bob"):
        assert add(program, name) == 0
        assert program.cli("tokens", "create", name, "--scope", "view") == 0
    for what in ("users", "tokens"):
        capsys.readouterr()
        assert program.cli(what, "list", "--limit", "1") == 0
        assert capsys.readouterr().err == "There are more; a higher --limit shows them.\n"
        assert program.cli(what, "list") == 0
        assert capsys.readouterr().err == ""


def test_a_user_from_first_to_last(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("users", "list") == 0
    assert "longstop users add NAME --role admin" in capsys.readouterr().err
    assert add(program) == 0
    assert capsys.readouterr().out == "ada may sign in, with the role replay\n"
    (row,) = rows(program, capsys, "users", "list")
    assert (row["name"], row["role"], row["disabled"], row["created_by"]) == ("ada", "replay", False, "ann")
    assert program.cli("users", "role", "ada", "admin") == 0
    assert program.cli("users", "passwd", "ada", "--password-file", "password") == 0
    assert program.cli("users", "disable", "ADA") == 0
    assert rows(program, capsys, "users", "list")[0]["disabled"] is True
    assert program.cli("users", "list") == 0
    assert "admin (disabled)" in capsys.readouterr().out
    assert program.cli("users", "enable", "ada") == 0
    assert program.cli("users", "remove", "ada") == 0
    assert rows(program, capsys, "users", "list") == []
    noted = {str(each["action"]) for each in rows(program, capsys, "audit")}
    assert noted == {
        "user.add", "user.role", "user.password", "user.disable", "user.enable", "user.remove",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("users", "role", "bob", "view"), 'found no user "bob"'),
        (("users", "remove", "bob"), 'found no user "bob"'),
        (("users", "add", "a b", "--role", "view", "--password-file", "password"), "expected 1 to 64"),
        (("users", "add", "ada", "--role", "view", "--password-file", "password"), "there is a user ada already"),
        (("users", "add", "eve", "--role", "view", "--password-file", "absent"), "cannot be read"),
        (("users", "add", "eve", "--role", "view", "--password-file", "short"), "a password of 5 characters"),
        (("users", "add", "eve", "--role", "view", "--password-file", "latin"), "not UTF-8"),
        (("tokens", "revoke", "00000000-0000-7000-8000-000000000000"), "no token has the id"),
        (("tokens", "revoke", ""), "no token has the id"),
    ],
)
def test_what_cannot_be_is_said(program: FakeProgram, capsys: Capture, argv: tuple[str, ...], said: str) -> None:
    Path("short").write_text("short")
    Path("latin").write_bytes(b"\xe9" * 20)
    add(program)
    capsys.readouterr()
    assert program.cli(*argv) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("argv", [("users", "add", "ada", PASSWORD, "--role", "view"), ("users", "add", "ada")])
def test_a_password_is_no_argument(program: FakeProgram, capsys: Capture, argv: tuple[str, ...]) -> None:
    assert program.cli(*argv) == 2


def test_where_nobody_can_be_asked_it_is_read_from_a_file(
    program: FakeProgram, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode())))
    assert program.cli("users", "add", "ada", "--role", "view") == 2
    assert "--password-file" in capsys.readouterr().err
    assert program.cli("users", "add", "ada", "--role", "view", "--password-file", "-") == 0


def test_a_person_types_it_twice(program: FakeProgram, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, "another one", PASSWORD, PASSWORD])
    monkeypatch.setattr(users.getpass, "getpass", lambda _prompt: next(typed))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert program.cli("users", "add", "ada", "--role", "view") == 1
    assert "differ" in capsys.readouterr().err
    assert program.cli("users", "add", "ada", "--role", "view") == 0


def test_who_adds_a_user_where_nobody_is_asked_is_told(
    monkeypatch: pytest.MonkeyPatch, program: FakeProgram, capsys: Capture
) -> None:
    assert add(FakeProgram()) == 0
    assert 'operators.auth = "users"' in capsys.readouterr().err


def test_a_token_is_shown_once(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("tokens", "create", "ci", "--scope", "view", "--scope", "replay", "--days", "30") == 0
    out, err = capsys.readouterr()
    assert out.startswith("longstop_")
    assert out.count("\n") == 1
    assert out.strip() not in err
    (row,) = rows(program, capsys, "tokens", "list")
    assert (row["name"], row["scopes"], row["created_by"]) == ("ci", ["replay", "view"], "ann")
    secret = out.strip()[-43:]
    assert program.cli("tokens", "list") == 0
    assert secret[:6] not in capsys.readouterr().out
    assert secret not in str(rows(program, capsys, "audit"))
    assert program.cli("tokens", "revoke", str(row["id"])[-8:]) == 0
    assert rows(program, capsys, "tokens", "list") == []


@pytest.mark.parametrize("argv", [(), ("--scope", "root"), ("--scope", "view", "--days", "0")])
def test_a_token_has_a_scope_and_an_end_to_come(program: FakeProgram, argv: tuple[str, ...]) -> None:
    assert program.cli("tokens", "create", "ci", *argv) == 2


def test_what_other_commands_do_is_noted(program: FakeProgram, capsys: Capture) -> None:
    program.keep(make_dead(1), make_dead(2))
    delivery = delivery_id(event_id(1), 0)
    for argv, actions in (
        (("events", "show", event_id(1)), ["body.read"]),
        (("events", "show", event_id(1), "--json"), ["body.read"]),
        (("replay", delivery, "--why", "a reason"), ["delivery.replay"]),
        (("expedite", delivery), ["delivery.expedite"]),
        (("discard", "--all", "--why", "given up"), ["job.create"]),
        (("discard", delivery, "--why", "given up"), ["delivery.discard"]),
        (("pause", "crm", "--why", "away"), ["destination.pause"]),
        (("resume", "crm"), ["destination.resume"]),
        (("purge",), ["purge"]),
        (("sources", "release", "shop"), ["source.release"]),
        (("dead", "list"), []),
        (("replay", "--all", "--dry-run"), []),
        (("purge", "--dry-run"), []),
        (("sources", "release", "shop", "--dry-run"), []),
        (("status",), []),
        (("audit",), []),
    ):
        before = {str(each["id"]) for each in rows(program, capsys, "audit", "--limit", "500")}
        assert program.cli(*argv) == 0, argv
        after = rows(program, capsys, "audit", "--limit", "500")
        new = [each for each in after if each["id"] not in before]
        assert [each["action"] for each in new] == actions, argv
        assert all((each["by"], each["by_kind"], each["from"]) == ("ann", "cli", None) for each in new)


def test_the_audit_log_for_a_person(program: FakeProgram, capsys: Capture) -> None:
    assert program.cli("audit") == 0
    assert "No entry matches." in capsys.readouterr().err
    add(program)
    capsys.readouterr()
    assert program.cli("audit", "--action", "user.add", "--since", "1h") == 0
    assert "user ada" in capsys.readouterr().out
    assert program.cli("audit", "--action", "nonsense") == 2
