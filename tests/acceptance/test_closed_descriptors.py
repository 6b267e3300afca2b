"""A gateway that is started without some of its standard streams, as some supervisors start theirs."""

import itertools
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import longstop
from acceptance.harness import LIMIT_S, free_port, listens, wait_until
from longstop.edges.cli.starter import STARTER

SRC = str(Path(longstop.__file__).parents[1])
COMBINATIONS = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]
START = """
import os, sys
for descriptor in map(int, sys.argv[1].split(",")):
    os.close(descriptor)
os.execv(sys.executable, [sys.executable, "-m", "longstop", *sys.argv[2:]])
"""


def start(folder: Path, closed: tuple[int, ...], *argv: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", START, ",".join(map(str, closed)), *argv]
    environ = {**os.environ, "PYTHONPATH": SRC}
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def streams_of(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{descriptor}") for descriptor in (0, 1, 2)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
@pytest.mark.parametrize("closed", COMBINATIONS, ids=str)
def test_it_serves_and_no_file_of_its_own_takes_their_place(closed: tuple[int, ...], tmp_path: Path) -> None:
    port, admin_port = free_port(), free_port()
    text = STARTER.replace("port = 8080", f"port = {port}").replace("admin_port = 8081", f"admin_port = {admin_port}")
    (tmp_path / "longstop.toml").write_text(text)
    process = start(tmp_path, closed, "serve")
    try:
        # The other port is open before anything is taken.
        wait_until(lambda: listens(admin_port) or process.poll() is not None, "a gateway")
        assert process.poll() is None, (tmp_path / "out").read_text()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/webhooks/hello", b'{"id": "1"}')
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            assert answer.status == 200
        found = streams_of(process.pid)
        assert [found[descriptor] for descriptor in closed] == ["/dev/null"] * len(closed)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "longstop.db").read_bytes()[:6] == b"SQLite", "a message was written over the database"


@pytest.mark.parametrize("closed", COMBINATIONS, ids=str)
def test_a_command_that_looks_works_too(closed: tuple[int, ...], tmp_path: Path) -> None:
    (tmp_path / "longstop.toml").write_text(STARTER)
    assert start(tmp_path, closed, "status").wait(LIMIT_S) == 0
    assert ("oldest waiting" in (tmp_path / "out").read_text()) == (1 not in closed)
