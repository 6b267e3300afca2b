"""The gateway that bench/operators.py asks, and the store that it runs on.

Run by itself it is `longstop serve` (or `ingest`), with a task in its event loop that notes for how long it
had no turn.
"""

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from ingest import SECRET, free_port, wait_for

from longstop.model.action import Pause
from longstop.model.audit import AuditAction, AuditEntry, Target
from longstop.model.caller import CallerKind
from longstop.model.ids import format_uuid7
from longstop.model.statistics import BINS, HOURS, MINUTES, Bucket, Series
from longstop.stores.sqlite import SqliteStore

AUDIT_ENTRIES = 100_000
HOLD_MS = 3.0
"""What is shorter is not noted."""
OLD_SOURCES = [f"source-{number}" for number in range(7)]
OLD_DESTINATIONS = [f"destination-{number}" for number in range(3)]
CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "sqlite:///{path}"
[retention]
delivered = "3650d"
dead = "3650d"
unrouted = "3650d"
audit = "3650d"
[destinations.sink]
url = "{sink}"
allow_private = true
concurrency = 32
"""
SOURCE = """
[sources.{name}]
kind = "genesys-open-messaging"
secrets = ["${{BENCH_SECRET}}"]
[[routes]]
from = "{name}"
to = ["sink"]
"""
DESTINATION = """
[destinations.{name}]
url = "{sink}"
allow_private = true
"""


# -- the store ------------------------------------------------------------------------------------


async def prepare(path: Path) -> None:
    """Add to the store what it lacks, and statistics up to now. What was added before is taken as it is."""
    store = SqliteStore(path, watch_s=None)
    await store.open()
    now_ms = int(time.time() * 1000)
    for name in OLD_DESTINATIONS:
        await store.pause(Pause(name, now_ms, "bench", "nothing of the old store goes out"))
    await store.close()
    connection = apsw.Connection(str(path))
    if not connection.execute("SELECT count(*) FROM (SELECT 1 FROM audit LIMIT 1)").get:
        await _fill_audit(path, now_ms)
    connection.execute("DELETE FROM statistics")
    connection.close()
    await _fill_statistics(path, now_ms)


async def _fill_audit(path: Path, now_ms: int) -> None:
    store = SqliteStore(path, watch_s=None)
    await store.open()
    actions = (AuditAction.BODY_READ, AuditAction.DELIVERY_REPLAY, AuditAction.LOGIN)
    for start in range(0, AUDIT_ENTRIES, 1_000):
        entries = [
            AuditEntry(
                format_uuid7(at_ms := now_ms - (AUDIT_ENTRIES - number) * 1_000, number),
                *(at_ms, f"user-{number % 9}", CallerKind.USER, actions[number % 3], Target("event", str(number))),
                **{"why": "a customer called", "address": "192.0.2.1"},
            )
            for number in range(start, start + 1_000)
        ]
        await store.note(entries)
    await store.close()


async def _fill_statistics(path: Path, now_ms: int) -> None:
    """Of ten destinations and three sources, each minute of two days and each hour of ninety, all bins in use."""
    store = SqliteStore(path, watch_s=None)
    await store.open()
    names = [(source, f"target-{number}") for source in OLD_SOURCES[:3] for number in range(10)]
    bins = tuple(range(1, BINS + 1))
    for kept in (MINUTES, HOURS):
        start_ms = kept.start(now_ms)
        for at_ms in range(start_ms - kept.keep_ms + kept.step_ms, start_ms + 1, kept.step_ms):
            await store.add_statistics(
                [
                    *(Bucket(kept.step_ms, at_ms, Series.LATENCY.value, *each, sum(bins), bins) for each in names),
                    *(Bucket(kept.step_ms, at_ms, Series.DELIVERED.value, *each, 171) for each in names),
                    *(Bucket(kept.step_ms, at_ms, Series.ACCEPTED.value, each, "", 600) for each in OLD_SOURCES),
                ]
            )
    await store.close()


# -- the gateway ----------------------------------------------------------------------------------


def be_the_gateway() -> None:
    """`longstop serve` (or `ingest`), with a task in its event loop that notes for how long it had no turn."""
    from longstop import __main__ as program
    from longstop.wiring import serve

    real = serve.serve

    async def watched(*given: Any) -> int:
        with Path("holds").open("w", buffering=1) as out:  # noqa: ASYNC230
            beating = asyncio.create_task(_beat(out))
            try:
                return await real(*given)
            finally:
                beating.cancel()

    serve.serve = watched
    sys.argv = ["longstop", os.environ["BENCH_ROLE"]]
    sys.exit(program.main())


async def _beat(out: Any) -> None:
    while True:
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0.001)
        held_ms = (time.perf_counter() - wall_s) * 1000 - 1
        if held_ms > HOLD_MS:
            out.write(json.dumps([wall_s, held_ms, (time.thread_time() - cpu_s) * 1000]) + "\n")


@dataclass
class Gateway:
    """The running gateway, and its client: one connection that is kept."""

    process: subprocess.Popen[bytes]
    port: int
    admin_port: int
    folder: Path
    _connection: http.client.HTTPConnection | None = None
    _holds_read: int = 0

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        """The answer to one question; anything but 2xx ends the run."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        given = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        self._connection.request(method, f"/api/v1/{path}", given, headers)
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: found {answer.status} {told[:300]!r}; expected 2xx")
        return told

    def holds(self) -> tuple[float, float]:
        """The longest that the loop was held since this was asked last: by the wall clock, by processor time; ms."""
        time.sleep(0.005)
        lines = (self.folder / "holds").read_text().splitlines()
        new = [json.loads(line) for line in lines[self._holds_read :]]
        self._holds_read = len(lines)
        return max((each[1] for each in new), default=0.0), max((each[2] for each in new), default=0.0)

    def memory_mb(self) -> float:
        """What is the process's own."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Processor time of the process so far."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def gateway(path: Path, sink: str, role: str) -> Iterator[Gateway]:
    """The gateway on this store, ready. role: the command, `serve` or `ingest`."""
    with tempfile.TemporaryDirectory() as name:
        folder, port, admin_port = Path(name), free_port(), free_port()
        text = CONFIG.format(port=port, admin_port=admin_port, path=path, sink=sink)
        text += "".join(SOURCE.format(name=each) for each in ("genesys", *OLD_SOURCES))
        text += "".join(DESTINATION.format(name=each, sink=sink) for each in OLD_DESTINATIONS)
        (folder / "longstop.toml").write_text(text)
        with (folder / "log").open("wb") as log:
            command = [sys.executable, str(Path(__file__).resolve())]
            environ = {**os.environ, "BENCH_SECRET": SECRET, "BENCH_ROLE": role}
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
        try:
            wait_for(port)
            wait_for(admin_port)
            yield Gateway(process, port, admin_port, folder)
        finally:
            process.terminate()
            process.wait(60)
            told = (folder / "log").read_text()
            if "error" in told:
                print(f"the gateway said:\n{told[-2_000:]}", file=sys.stderr)


if __name__ == "__main__":
    be_the_gateway()
