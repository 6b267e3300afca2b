"""Strangers at the senders' port while one quiet sender posts, each time on a connection of his own and in two packets.

All of his are accepted, none waits long, and of the strangers nothing is left: no memory, no descriptors.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.harness import Process, Site, hex_signature, wait_until
from faults.strangers import ATTACKS

SECONDS = 3.0
WORST_S = 1.0
"""A quarter of what a sender is promised. Alone it is a few milliseconds; before there were turns it was 8 s."""
SLOWER_MAX = 60
"""By this factor the median may grow, on a machine whose cores the attack takes as well."""
GROWTH_MAX = {"unfinished": 320_000_000}
"""Of the peak of memory, in bytes: what is held of unfinished bodies is a limit of its own."""
GROWTH_BYTES_MAX = 60_000_000
STRANGERS = Path(__file__).parent / "strangers.py"


class Quiet:
    """One sender; each event is another."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._count = 0

    def post(self) -> float:
        """Seconds to the answer, which has to be 200 and new."""
        self._count += 1
        body = b'{"id": "quiet-%d"}' % self._count
        lines = "".join(f"{name}: {text}\r\n" for name, text in hex_signature(body).items()).encode()
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", self._site.port), 10) as wire:
            wire.sendall(
                b"POST /webhooks/shop HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n" % (lines, len(body))
            )
            time.sleep(0.001)
            wire.sendall(body)
            said = b""
            while b"}" not in said:
                piece = wire.recv(65_536)
                assert piece, said
                said += piece
        assert said.startswith(b"HTTP/1.1 200 "), said
        assert json.loads(said.partition(b"\r\n\r\n")[2])["status"] == "accepted"
        return time.monotonic() - began


def proc(process: Process, file: str) -> str:
    return Path(f"/proc/{process.popen.pid}/{file}").read_text()


def peak_bytes(process: Process) -> int:
    return int(proc(process, "status").split("VmHWM:")[1].split()[0]) * 1024


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.popen.pid}/fd"))


@pytest.fixture
def gateway(site: Site) -> Iterator[Process]:
    process = site.start("ingest").ready()
    yield process
    assert "Traceback" not in process.err


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and uses all of 127.0.0.0/8")
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_quiet_sender_is_served_and_nothing_is_left(site: Site, gateway: Process, attack: str) -> None:
    quiet = Quiet(site)
    alone = [quiet.post() for _ in range(30)]
    peak, open_before = peak_bytes(gateway), descriptors(gateway)
    command = [sys.executable, str(STRANGERS), attack, str(site.port), str(SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as strangers:
        assert strangers.stdout is not None
        assert strangers.stdout.readline() == "attacking\n"
        beside = []
        while strangers.poll() is None:
            beside.append(quiet.post())
            time.sleep(0.01)
    print(
        f"{attack}: {len(beside)} posts, p50 {statistics.median(beside) * 1e3:.1f} ms, worst {max(beside) * 1e3:.0f} ms"
        f" (alone {statistics.median(alone) * 1e3:.1f}), grew {(peak_bytes(gateway) - peak) / 1e6:.0f} MB"
    )
    assert len(beside) > 5
    assert max(beside) < WORST_S
    assert statistics.median(beside) < SLOWER_MAX * statistics.median(alone)
    assert peak_bytes(gateway) - peak < GROWTH_MAX.get(attack, GROWTH_BYTES_MAX)
    wait_until(lambda: descriptors(gateway) <= open_before + 2, "the strangers' connections to be closed")
