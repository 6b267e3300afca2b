"""The command line as processes: a gateway that is started, sent to, looked into and stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import longstop
from acceptance.harness import free_port

pytestmark = pytest.mark.any_store

HEAVY = ("rich", "pydantic", "aiohttp", "uvicorn", "uvloop", "cyclopts", "asyncio", "apsw", "jmespath")
PROGRAM = [sys.executable, "-m", "longstop"]
# The processes run elsewhere, so a relative PYTHONPATH would not lead them to the same package.
SRC = str(Path(longstop.__file__).parents[1])
ENVIRONMENT = {"PYTHONPATH": SRC, "SHOP_SECRET": "0123456789abcdef", "LONGSTOP_USER": "ann"}

CONFIGURATION = """\
[server]
port = {port}
admin_port = {admin_port}

[store]
url = "{store_url}"

[sources.shop]
kind = "genesys-open-messaging"
secrets = ["${{SHOP_SECRET}}"]

[sources.hello]
kind = "generic"
verify = {{ scheme = "none" }}

[destinations.judge]
handler = "judge:judge"

[[routes]]
from = "shop"
to = ["judge"]
"""

JUDGE = """\
from longstop import Reject

def judge(event):
    if b"poison" in event.body:
        raise Reject("it is poison")
"""


@pytest.fixture
def folder(tmp_path: Path, new_store: Callable[[], str]) -> Path:
    (tmp_path / "longstop.toml").write_text(
        CONFIGURATION.format(port=free_port(), admin_port=free_port(), store_url=new_store())
    )
    (tmp_path / "judge.py").write_text(JUDGE)
    return tmp_path


def run(folder: Path, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*PROGRAM, *argv]
    return subprocess.run(
        command, check=False, cwd=folder, env=os.environ | ENVIRONMENT, input=stdin, capture_output=True, timeout=60
    )


def rows(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def gateway(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", list[str]]]:
    process = subprocess.Popen([*PROGRAM, "serve"], cwd=folder, env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    announced: list[str] = []
    # The last line comes when everything runs; a process that ends closes the pipe.
    for line in process.stdout:
        announced.append(line.decode().rstrip())
        if announced[-1] == "Ctrl-C stops.":
            break
    yield process, announced
    process.kill()
    process.wait()
    process.stdout.close()


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['longstop', '--help']\n"
        "from longstop.__main__ import main\n"
        f"assert main() == 0; print(sorted(set(sys.modules) & {set(HEAVY)}))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_day_in_the_life(folder: Path, gateway: tuple["subprocess.Popen[bytes]", list[str]]) -> None:
    process, announced = gateway
    assert any(line.startswith("shop (genesys-open-messaging): POST http://127.0.0.1:") for line in announced)
    assert any("curl" in line and "/webhooks/hello" in line for line in announced)

    sent = run(folder, "send", "shop", "genesys_open_messaging_text", "--count", "5", "--json")
    assert sent.returncode == 0, sent.stderr
    assert [row["status"] for row in rows(sent)] == ["accepted"] * 5
    again = run(folder, "send", "shop", "genesys_open_messaging_text")
    assert again.returncode == 0
    assert b"sent 1, accepted 0, duplicate 1, refused 0, failed 0" in again.stdout

    body = b'{"type":"Text","text":"poison \\u001b[31m"}'
    (row,) = rows(run(folder, "send", "shop", "-", "--json", stdin=body))
    shown = run(folder, "events", "show", str(row["id"]), "--raw")
    assert shown.stdout == body
    unread = run(folder, "send", "shop", "-", stdin=b"{not json")
    assert unread.returncode == 1
    assert b"refused 1" in unread.stdout

    # Asked again until it is so; each time takes a process's start.
    judged = any(rows(run(folder, "dead", "list", "--reason", "rejected", "--json")) for _ in range(50))
    assert judged, "the handler refused it and it is not dead"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    dead = {str(row["reason"]): row for row in rows(run(folder, "dead", "list", "--json"))}
    assert sorted(dead) == ["malformed", "rejected"]
    assert dead["rejected"]["last_error"] == "it is poison"

    preview = run(folder, "replay", "--reason", "rejected", "--dry-run", "--json")
    assert [row["count"] for row in rows(preview)] == [1]
    replayed = run(folder, "replay", "--reason", "rejected")
    assert (replayed.returncode, replayed.stdout) == (0, b"1 replayed\n")
    refused = run(folder, "discard", "--reason", "malformed")
    assert refused.returncode == 2
    discarded = run(folder, "discard", "--reason", "malformed", "--why", "a test")
    assert (discarded.returncode, discarded.stdout) == (0, b"1 discarded\n")

    (status,) = rows(run(folder, "status", "--json"))
    assert status["events"] == 7
    assert isinstance(status["destinations"], list)
    judge = next(each for each in status["destinations"] if each["destination"] == "judge")
    assert (judge["delivered"], judge["scheduled"], judge["dead"]) == (5, 1, 0)


@pytest.mark.sqlite_alone("a server of the tests' is a relaxed one, which is warned of")
def test_a_reader_that_has_seen_enough_ends_it_quietly(folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "status"],
        check=False,
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.any_store("what is written has nothing to do with the store")
@pytest.mark.parametrize("argv", [["--version"], ["status"], ["completion", "bash"]])
def test_a_full_disk_behind_the_output_is_said_in_a_line(folder: Path, argv: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PROGRAM, *argv],
            check=False,
            cwd=folder,
            env=os.environ | ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    said = done.stderr.decode().splitlines()
    assert (done.returncode, said[-1]) == (1, "longstop: the output cannot be written: No space left on device")
    assert not [line for line in said if "Traceback" in line or "Exception ignored" in line]


def test_ctrl_c_during_a_long_send(folder: Path) -> None:
    # Nothing listens, so every try is told at once; at this rate the second one is an hour away.
    command = [*PROGRAM, "send", "hello", "-", "--count", "2", "--rate", "1/h", "--json"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | ENVIRONMENT | {"PYTHONUNBUFFERED": "1"}, **pipes
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b'{"id":"1"}')
        process.stdin.close()
        assert json.loads(process.stdout.readline())["status"] == "failed"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.sqlite_alone("it is about the modes of SQLite's file")
def test_what_the_store_has_to_log_is_no_part_of_a_commands_output(folder: Path) -> None:
    assert run(folder, "events", "list", "--json").stdout == b""
    (folder / "longstop.db").chmod(0o644)
    ran = run(folder, "events", "list", "--json")
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert b"made_private" in ran.stderr
