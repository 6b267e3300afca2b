"""The quiet one: a source that posts one signed event at a time, and what it notices while others attack.

Every fifth event comes in two packets and every tenth on a connection of its own: so a place for an unfinished body
and one for a connection are asked for too.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acceptance.harness import LIMIT_S, Process, Site, environment, free_port, hex_signature, wait_until

GIVEN_UP_S = 15.0
"""An event that has no answer after so long is lost to its sender."""
PAUSE_S = 0.005
CALM_S = 0.8
AFTER_S = 0.3
"""It goes on for so long after the attack: what was queued by then counts too."""
TESTS = Path(__file__).parent.parent


@dataclass
class Waits:
    """How long the quiet one waited for each answer, in seconds."""

    each: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """Of the events that were acknowledged."""
    refused: Counter[int] = field(default_factory=Counter)
    """Answers that were no 200 by status; 0 where there was none."""

    def _at(self, share: float) -> float:
        ordered = sorted(self.each)
        return ordered[int(len(ordered) * share)] * 1000

    @property
    def p50_ms(self) -> float:
        return self._at(0.5)

    @property
    def p99_ms(self) -> float:
        """Of fewer than 200 it is the second longest: a single one is what `worst_ms` is for."""
        return self._at(min(0.99, max(0, len(self.each) - 2) / len(self.each)))

    @property
    def worst_ms(self) -> float:
        return max(self.each) * 1000


class Quiet:
    """Its sender's side, one event at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._number = 0
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def post(self, waits: Waits) -> None:
        """Post one event and wait for the answer."""
        self._number += 1
        body = json.dumps({"id": f"{os.getpid()}-{time.monotonic_ns()}", "padding": "x" * 950}).encode()
        proof = "".join(f"{name}: {value}\r\n" for name, value in hex_signature(body).items())
        request = (
            f"POST /webhooks/quiet HTTP/1.1\r\nHost: gateway\r\n{proof}Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        if self._number % 10 == 0:
            self.close()
        began = time.perf_counter()
        kept, in_two = self._socket is not None, self._number % 5 == 0
        status, said = self._exchange(request, in_two)
        if kept and status == 0:
            # A connection that was kept may have been closed in the meantime: every client tries anew.
            self.close()
            status, said = self._exchange(request, in_two)
        waits.each.append(time.perf_counter() - began)
        if status == 200:
            waits.ids.append(json.loads(said)["id"])
        else:
            waits.refused[status] += 1
            self.close()

    def _exchange(self, request: bytes, in_two: bool) -> tuple[int, bytes]:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), GIVEN_UP_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if in_two:
                self._socket.sendall(request[:-500])
                time.sleep(0.002)
                request = request[-500:]
            self._socket.sendall(request)
            return self._answer(self._socket)
        except (OSError, ValueError, IndexError):
            return 0, b""

    def _answer(self, connection: socket.socket) -> tuple[int, bytes]:
        said = b""
        while b"\r\n\r\n" not in said or len(said) < _length(said):
            piece = connection.recv(65_536)
            if not piece:
                raise OSError("closed")
            said += piece
        return int(said.split()[1]), said.partition(b"\r\n\r\n")[2]

    def post_while(self, holds: Callable[[], bool]) -> Waits:
        """Post, with pauses, as long as this holds."""
        waits = Waits()
        while not waits.each or holds():
            self.post(waits)
            time.sleep(PAUSE_S)
        return waits


def _length(said: bytes) -> int:
    """How long the answer is with its head."""
    told, _, _ = said.partition(b"\r\n\r\n")
    return len(told) + 4 + int(told.lower().split(b"content-length:")[1].split()[0])


# -- its neighbourhood --------------------------------------------------------------------------

BEARER = """
verify = { scheme = "bearer" }
secrets = ["${BEARER_TOKEN}"]
"""
SOURCES = f"""
[sources.quiet]
kind = "generic"
verify = {{ scheme = "hmac-sha256", header = "X-Signature", prefix = "sha256=" }}
secrets = ["${{HMAC_SECRET}}"]
dedup = "id"
[sources.loud]
kind = "generic"
dedup = "id"
{BEARER}
[sources.filtered]
kind = "generic"
{BEARER}
[sources.twilio]
kind = "twilio"
secrets = ["${{HMAC_SECRET}}"]
public_url = "https://hooks.example/webhooks/twilio"
[sources.slack]
kind = "slack"
secrets = ["${{HMAC_SECRET}}"]
[sources.byoc]
kind = "cxone-byoc"
client_id = "cxone"
secrets = ["${{HMAC_SECRET}}"]
[sources.standard]
kind = "standard-webhooks"
secrets = ["whsec_c2VjcmV0", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
[sources.stripe]
kind = "stripe"
secrets = ["${{HMAC_SECRET}}"]
"""
ROUTES = """
[[routes]]
from = "filtered"
when = "items[?a == `2`] | [0]"
to = ["crm"]
"""
HOSTILE = """
[alerts]
url = "http://127.0.0.1:{port}/alert"
allow_private = true
[destinations.closed]
url = "http://127.0.0.1:1/"
allow_private = true
breaker = {{ failures = 1 }}
[destinations.hostile]
url = "http://127.0.0.1:{port}/"
allow_private = true
breaker = {{ failures = 100 }}
[destinations.tokened]
url = "http://127.0.0.1:1/"
allow_private = true
breaker = {{ failures = 100 }}
[destinations.tokened.auth]
scheme = "oauth2-client-credentials"
token_url = "http://127.0.0.1:{port}/token"
client_id = "longstop"
client_secret = "${{BEARER_TOKEN}}"
"""
LEADS_TO = {"to-destination": "hostile", "to-token": "tokened", "to-alert": "closed"}
SOURCES += "".join(f'[sources.{name}]\nkind = "generic"\n{BEARER}' for name in LEADS_TO)
ROUTES += "".join(f'[[routes]]\nfrom = "{name}"\nto = ["{to}"]\n' for name, to in LEADS_TO.items())


# -- the program under attack -------------------------------------------------------------------


def cores() -> tuple[int, int] | None:
    """One core for the gateway and one for the load; None where there are not two, or nobody may choose."""
    if not hasattr(os, "sched_getaffinity") or shutil.which("taskset") is None:
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else None


@contextlib.contextmanager
def pinned(site: Site) -> Iterator[None]:
    """Programs of the site start on one core, and this process and its children are on another."""
    chosen, before = cores(), os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if chosen is None:
        yield
        return
    site.within = ("taskset", "-c", str(chosen[0]))
    os.sched_setaffinity(0, {chosen[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def status_bytes(process: Process, name: str) -> int:
    """A size in /proc/PID/status: VmHWM is the peak, VmRSS what is resident now."""
    text = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def forget_peak(process: Process) -> None:
    """From now on the peak is counted anew."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.popen.pid}/clear_refs").write_text("5")


def ran_and_waited(process: Process) -> tuple[int, int]:
    """For how long its main thread has run, and has waited for a core to run on; (0, 0) where the system does not say.

    In nanoseconds. What others take of the core is none of the program's doing.
    """
    try:
        ran, waited, _ = Path(f"/proc/{process.popen.pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(ran), int(waited)


def descriptors(process: Process) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{process.popen.pid}/fd"))


@dataclass(frozen=True)
class Seen:
    """What the quiet one and the program went through in an attack."""

    attack: str
    calm: Waits
    under: Waits
    after: Waits
    """Just after it: what was queued by then counts for the worst."""
    grown_mb: float
    """How far the peak of the memory rose above what was resident before the attack."""
    peak_mb: float
    descriptors: tuple[int, int]
    """Before, and after it."""
    crowded: float
    """How many times longer the program took over everything because its core was others', too: 1 where it was not."""
    came: dict[str, Any]
    """What the attack says it came to."""

    @property
    def worst_ms(self) -> float:
        return max(self.under.worst_ms, self.after.worst_ms)

    @property
    def taken_mb(self) -> float:
        """How much was taken of each connection of the attack; a few MB are in buffers on the way."""
        return float(self.came["sent"]) / max(1, self.came["connections"]) / 1e6

    @property
    def refused(self) -> Counter[int]:
        """Answers to the quiet one that were no 200."""
        return self.calm.refused + self.under.refused + self.after.refused

    def __str__(self) -> str:
        calm, under = self.calm, self.under
        return (
            f"{self.attack:34} p50/p99/worst: calm {calm.p50_ms:.1f}/{calm.p99_ms:.1f}/{calm.worst_ms:.0f} ms, "
            f"beside it {under.p50_ms:.1f}/{under.p99_ms:.1f}/{self.worst_ms:.0f} ms of {len(under.each)} events, "
            f"refused {dict(self.refused)}, +{self.grown_mb:.0f} MB (peak {self.peak_mb:.0f}), "
            f"descriptors {self.descriptors[0]} -> {self.descriptors[1]}, core shared {self.crowded:.1f}, {self.came}"
        )


def attacked(site: Site, name: str, seconds: float, plant: str = "") -> Seen:
    """Start a gateway, attack it and end it. plant: Python that runs in it first."""
    hostile_port = free_port()
    site.configure(routes=ROUTES, more=SOURCES + HOSTILE.format(port=hostile_port))
    with pinned(site):
        process = site.start(prelude=plant).ready()
        try:
            return beside(site, process, name, seconds, hostile_port)
        finally:
            process.kill()


def beside(site: Site, process: Process, name: str, seconds: float, hostile_port: int) -> Seen:
    """Attack the gateway of a site while the quiet one posts: alone first, then beside it.

    The events that were acknowledged are looked for in the store; an AssertionError where one is missing.
    """
    quiet = Quiet(site.port)
    calm = _for(quiet, CALM_S)
    before = descriptors(process)
    with _attacker(site, name, seconds, hostile_port) as attacker:
        forget_peak(process)
        resident, began = status_bytes(process, "VmRSS"), ran_and_waited(process)
        attacker.stdin.write(b"\n")
        attacker.stdin.flush()
        under = quiet.post_while(lambda: attacker.poll() is None)
        came = json.loads(attacker.stdout.read())
    after = _for(quiet, AFTER_S)
    ran, waited = (now - then for now, then in zip(ran_and_waited(process), began, strict=True))
    peak = status_bytes(process, "VmHWM")
    quiet.close()
    left = _settled(process, before)
    _kept(site, calm.ids + under.ids + after.ids)
    return Seen(
        name,
        calm,
        under,
        after,
        (peak - resident) / 1e6,
        peak / 1e6,
        (before, left),
        (ran + waited) / ran if ran else 1.0,
        came,
    )


def _for(quiet: Quiet, seconds: float) -> Waits:
    end = time.monotonic() + seconds
    return quiet.post_while(lambda: time.monotonic() < end)


@contextlib.contextmanager
def _attacker(site: Site, name: str, seconds: float, hostile_port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "faults.strangers", name, *map(str, (site.port, seconds, hostile_port))]
    env = environment(PYTHONPATH=str(TESTS))
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        try:
            assert attacker.stdout.readline() == b"ready\n"
            yield attacker
        finally:
            attacker.kill()


def _settled(process: Process, before: int) -> int:
    """The descriptors once those of the attack are closed, or after a while."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: descriptors(process) <= before + 1, "the attack's descriptors to be closed", LIMIT_S / 3)
    return descriptors(process)


def _kept(site: Site, ids: list[str]) -> None:
    rows = site.ask("events", "list", "--source", "quiet", "--limit", "1000000").rows
    missing = set(ids) - {row["id"] for row in rows}
    assert not missing, f"{len(missing)} events of {len(ids)} were acknowledged and are not in the store"
