"""The command line in another shell than the gateway's: no secrets, pipes, short ids, and who is at work."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import longstop
from acceptance.harness import LIMIT_S, READY, free_port, wait_until

pytestmark = pytest.mark.any_store

PROGRAM = [sys.executable, "-m", "longstop"]
SRC = str(Path(longstop.__file__).parents[1])
SHELL = {"PYTHONPATH": SRC, "LONGSTOP_USER": "ann"}
TEXT = """\
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "{store_url}"
[sources.shop]
kind = "generic"
verify = {{ scheme = "none" }}
key = "conversation"
[sources.secretive]
kind = "github"
secrets = ["${{NOT_IN_THIS_SHELL}}"]
[destinations.judge]
handler = "judge:judge"
ordered = true
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
        TEXT.format(port=free_port(), admin_port=free_port(), store_url=new_store())
    )
    (tmp_path / "judge.py").write_text(JUDGE)
    return tmp_path


@pytest.fixture
def gateway(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environ = os.environ | SHELL | {"NOT_IN_THIS_SHELL": "a-secret-of-the-gateway-alone"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*PROGRAM, "serve"], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        # Its port is open before it takes anything, and before its node is in the store.
        wait_until(lambda: READY in (folder / "log").read_text() or process.poll() is not None, "a gateway")
        assert process.poll() is None, (folder / "log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def port(folder: Path) -> int:
    return int((folder / "longstop.toml").read_text().split("port = ")[1].split()[0])


def post(folder: Path, body: str) -> None:
    request = urllib.request.Request(f"http://127.0.0.1:{port(folder)}/webhooks/shop", body.encode())
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        assert answer.status == 200


def ran(folder: Path, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *argv], cwd=folder, env=os.environ | SHELL, capture_output=True, text=True, timeout=60, check=False
    )


def status(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(ran(folder, "status", "--json").stdout)
    return found


@pytest.mark.usefixtures("gateway")
def test_who_looks_for_a_conversation_finds_each_of_its_rows(folder: Path) -> None:
    for number in range(5):
        post(folder, json.dumps({"conversation": "conversation-4711", "text": "poison " + "x" * 60, "n": number}))
        post(folder, json.dumps({"conversation": f"another-{number}", "text": "poison"}))
    wait_until(lambda: len(ran(folder, "dead", "list").stdout.splitlines()) >= 6, "the dead")
    shell = f"{' '.join(PROGRAM)} dead list 2>/dev/null | grep conversation-4711 | cut -f1"
    found = subprocess.run(
        shell, shell=True, cwd=folder, env=os.environ | SHELL, capture_output=True, text=True, check=True
    )
    (first,) = found.stdout.split()
    # The others of its key are held behind it, and say so.
    held = [json.loads(line) for line in ran(folder, "events", "list", "--state", "held", "--json").stdout.splitlines()]
    assert {each["deliveries"][0]["held_by"] for each in held} == {first}
    assert len(held) == 4
    done = ran(folder, "discard", first[-8:], "--why", "poison")
    assert (done.returncode, done.stdout) == (0, "1 discarded\n")
    assert "NOT_IN_THIS_SHELL is not set" in done.stderr
    assert done.stderr.count("longstop: ") == 1


def test_status_knows_whether_anybody_is_at_work(folder: Path, gateway: "subprocess.Popen[bytes]") -> None:
    post(folder, "{}")
    running = status(folder)
    assert (running["accepting"], running["delivering"]) == (True, True)
    gateway.send_signal(signal.SIGTERM)
    gateway.wait(LIMIT_S)
    stopped = status(folder)
    assert (stopped["accepting"], stopped["delivering"], stopped["nodes"]) == (False, False, [])


def test_tail_tells_what_another_process_does(folder: Path, gateway: "subprocess.Popen[bytes]") -> None:
    assert gateway.poll() is None
    tail = subprocess.Popen(
        [*PROGRAM, "tail", "--json", "--since", "1m"],
        cwd=folder,
        env=os.environ | SHELL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        post(folder, '{"conversation": "a"}')
        post(folder, '{"conversation": "b", "text": "poison"}')
        assert tail.stdout is not None
        told = [json.loads(tail.stdout.readline()) for _ in range(4)]
        assert sorted(each["what"] for each in told) == ["accepted", "accepted", "dead", "delivered"]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(LIMIT_S) == 130
    finally:
        tail.kill()
        tail.wait()


@pytest.mark.parametrize("broken", ["[destinations.judge", 'ordered = "yes"', "typo"])
def test_a_file_that_is_wrong_elsewhere_is_no_hindrance(broken: str, folder: Path) -> None:
    path = folder / "longstop.toml"
    path.write_text(path.read_text().replace("ordered = true", broken))
    done = ran(folder, "dead", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("longstop: passes over longstop.toml:")
    strict = ran(folder, "serve")
    assert strict.returncode == 1
    assert "longstop.toml:" in strict.stderr
