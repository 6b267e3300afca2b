"""What the operators' side takes on a large store, and what it takes from the senders beside it.

    python bench/ledger.py --keep --folder DIR          # the store: 11,100,000 events, 9.6 GiB, once
    python bench/operators.py --folder DIR [--times 5] [--seconds 10] [--rounds 3] [--streams 10]
        [--only REGEX] [--role ingest]

The real gateway runs on that store (`longstop serve`), and is asked over HTTP, on loopback, whatever the API answers:
so each time is the server's with the way there and back. The store gets statistics of two days, 100,000 entries in
the audit log, and a conversation of 2,000 events; its old destinations are paused, so that nothing of it goes out.

For each question: the first, median and longest answer in milliseconds, its size, and the longest that the event loop
was held meanwhile: by the wall clock, and by the processor time of its thread, which other programs do not change.
Then 500 events a second are posted, in turn alone, and with ten questions a second and `--streams` live streams beside
them: p99 of both, their ratio, and the processor time of the gateway. Memory is the gateway's own (RssAnon).
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import apsw
from ingest import HERE, SECRET, free_port, wait_for
from load import Connection, requests
from operators_gateway import Gateway, gateway, prepare

RATE_PER_S = 500
QUESTIONS_PER_S = 10
CONNECTIONS = 32
CONVERSATION = 2_000
# -- the questions --------------------------------------------------------------------------------

Question = tuple[str, Callable[[Gateway], bytes]]


def get(path: str, **query: str | int) -> Callable[[Gateway], bytes]:
    """A GET."""
    asked = f"{path}?{urllib.parse.urlencode(query)}" if query else path
    return lambda gateway: gateway.ask("GET", asked)


def rfc3339(at_ms: int) -> str:
    """As the API takes a time."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_ms / 1000))


def questions(path: Path) -> list[Question]:
    """What is asked, and how."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    dead_count = int(connection.execute("SELECT count(*) FROM deliveries WHERE state = 'dead'").get)
    query = "SELECT id FROM deliveries WHERE state = 'dead' ORDER BY id DESC LIMIT 1 OFFSET ?"
    half = str(connection.execute(query, (dead_count // 2 - 1,)).get)
    half_ms = int(half.replace("-", "")[:12], 16)
    some = str(connection.execute("SELECT event_id FROM deliveries WHERE id = ?", (half,)).get)
    connection.close()
    cursor = base64.urlsafe_b64encode(half.encode()).decode().rstrip("=")
    hour = {"since": rfc3339(half_ms), "until": rfc3339(half_ms + 3_600_000)}
    dead = {"state": "dead"}
    listings: list[tuple[str, dict[str, Any]]] = [
        ("all", {}),
        ("500 rows", {"limit": 500}),
        ("by type", {"type": "type-9"}),
        ("by key", {"key": "conversation-7"}),
        ("by time (an hour)", hour),
        ("by destination", {"destination": "destination-1"}),
        ("by source", {"source": "source-3"}),
        ("by reason", {"reason": "exhausted"}),
        ("by status", {"status": 403}),
        ("by error", {"error": "refused"}),
        ("by destination and time", {"destination": "destination-1", **hour}),
        ("by destination and type", {"destination": "destination-1", "type": "type-4"}),
        ("by source, type and time", {"source": "source-3", "type": "type-4", **hour}),
        ("by destination, status and type", {"destination": "destination-1", "status": 402, "type": "type-4"}),
        ("page 10,000", {"cursor": cursor}),
        ("page 10,000, by destination", {"cursor": cursor, "destination": "destination-1"}),
        ("oldest first", {"order": "oldest"}),
    ]
    return [
        *((f"dead letters: {said}", get("deliveries", **dead, **given)) for said, given in listings),
        ("delivered: 500 rows", get("deliveries", state="delivered", limit=500)),
        ("waiting: 500 rows", get("deliveries", state="scheduled", limit=500)),
        ("events: 500 rows", get("events", limit=500)),
        ("events: by key", get("events", key="conversation-7")),
        ("events: by type and source", get("events", type="type-9", source="source-3")),
        ("event", get(f"events/{some}")),
        ("groups of the dead", get("dead-letters/groups")),
        ("groups of the dead, over 31 days", get("dead-letters/groups", step=86_400, steps=31)),
        ("groups of the dead, of a destination", get("dead-letters/groups", destination="destination-1")),
        ("a conversation of 2,000: 50 events", get("keys/conversation-0")),
        ("a conversation of 2,000: 500 events", get("keys/conversation-0", limit=500)),
        ("status: all counts", get("status")),
        ("sources", get("sources")),
        ("destinations", get("destinations")),
        ("a destination", get("destinations/destination-1")),
        *_statistics(),
        ("job, dry run: 1,000,000 dead", _survey({})),
        ("job, dry run: a destination's", _survey({"destination": "destination-1"})),
        ("job, dry run: a type", _survey({"type": "type-4"})),
        ("jobs", get("jobs")),
        ("audit log: 500 entries", get("audit", limit=500)),
        ("audit log: of somebody", get("audit", by="user-3", action="login")),
    ]


def _statistics() -> Iterator[Question]:
    day, all_days = {"from": "24h", "step": 60}, {"from": "60d", "step": 3_600}
    yield "statistics: all series, an hour", get("statistics")
    yield "statistics: counts, 24 h by minute", get("statistics", series="accepted,delivered,dead", **day)
    yield "statistics: latency, 24 h by minute", get("statistics", series="latency", **day)
    by = {"series": "latency", "by": "destination"}
    yield "statistics: latency, 24 h by minute and destination", get("statistics", **by, **day)
    yield "statistics: latency, 24 h by 5 minutes and destination", get("statistics", **by, **day | {"step": 300})
    yield "statistics: latency, 60 d by hour and destination", get("statistics", **by, **all_days)
    yield (
        "statistics: all series, 24 h by 5 minutes and destination",
        get("statistics", by="destination", **day | {"step": 300}),
    )


def _survey(wanted: dict[str, Any]) -> Callable[[Gateway], bytes]:
    body = {"action": "replay", "filter": wanted, "dry_run": True, "why": "bench"}
    return lambda gateway: gateway.ask("POST", "jobs", body)


def measure_questions(gateway: Gateway, asked: list[Question], times: int) -> None:
    """Ask each, and print."""
    print("| question | kB | first ms | median ms | longest ms | loop held ms | of it processor ms |")
    print("|---|---|---|---|---|---|---|")
    for said, ask in asked:
        gateway.holds()
        took, size = [], 0
        for _ in range(times):
            began = time.perf_counter()
            size = len(ask(gateway))
            took.append((time.perf_counter() - began) * 1000)
        held, cpu = gateway.holds()
        print(
            f"| {said} | {size / 1000:.0f} | {took[0]:.1f} | {statistics.median(took):.1f} | {max(took):.1f} "
            f"| {held:.1f} | {cpu:.1f} |",
            flush=True,
        )


# -- memory ---------------------------------------------------------------------------------------


def measure_memory(gateway: Gateway) -> None:
    """What long answers and many pages leave behind."""

    def pages() -> int:
        query, count = "deliveries?state=dead&limit=500", 0
        cursor = ""
        for _ in range(200):
            told = json.loads(gateway.ask("GET", query + cursor))
            count += len(told["items"])
            if told["next"] is None:
                break
            cursor = f"&cursor={told['next']}"
        return count

    works: list[tuple[str, Callable[[], int]]] = [
        ("audit export", lambda: gateway.ask("GET", "audit/export").count(b"\n")),
        ("200 pages of 500 dead letters", pages),
    ]
    print("\n| memory (MB) | before | highest | after | rows | s |\n|---|---|---|---|---|---|")
    for said, work in works:
        work()
        before, began = gateway.memory_mb(), time.perf_counter()
        with _sampled(gateway) as highest:
            rows = work()
        took_s = time.perf_counter() - began
        after = gateway.memory_mb()
        cells = f"{before:.0f} | {max([before, *highest]):.0f} | {after:.0f} | {rows} | {took_s:.1f}"
        print(f"| {said} | {cells} |", flush=True)


@contextlib.contextmanager
def _sampled(gateway: Gateway) -> Iterator[list[float]]:
    samples: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            samples.append(gateway.memory_mb())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


# -- beside an ingest -----------------------------------------------------------------------------


def be_the_sender(port: int, seconds: float) -> None:
    """Post RATE_PER_S for so long; a latency is counted from when a request was due, so that none hides another."""
    made = requests(int(RATE_PER_S * seconds), "127.0.0.1", "/webhooks/genesys", SECRET, 1_000)
    # In turn: a server ends a connection that nobody uses.
    idle = deque(Connection("127.0.0.1", port) for _ in range(CONNECTIONS))
    by_fd, due = {each.socket.fileno(): each for each in idle}, {}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    took: list[float] = []
    began, sent = time.perf_counter(), 0
    while len(took) < len(made):
        while idle and sent < len(made) and time.perf_counter() >= (at := began + sent / RATE_PER_S):
            connection = idle.popleft()
            due[connection.socket.fileno()] = at
            connection.send(made[sent])
            sent += 1
        wait_s = 1.0 if sent == len(made) else max(0.0, began + sent / RATE_PER_S - time.perf_counter())
        for fd, _ in poll.poll(wait_s):
            status = by_fd[fd].status()
            if status is None:
                continue
            if status != 200:
                raise SystemExit(f"found status {status}; expected 200")
            took.append((time.perf_counter() - due[fd]) * 1000)
            idle.append(by_fd[fd])
    took.sort()
    print(json.dumps({"p50_ms": took[len(took) // 2], "p99_ms": took[len(took) * 99 // 100], "longest_ms": took[-1]}))


@dataclass
class Streams:
    """So many live streams, read by one thread."""

    gateway: Gateway
    count: int
    received: int = 0
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Streams":
        self._sockets = [socket.create_connection(("127.0.0.1", self.gateway.admin_port)) for _ in range(self.count)]
        for each in self._sockets:
            each.sendall(b"GET /api/v1/stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for each in self._sockets:
            each.close()

    def _read(self) -> None:
        while not self._done.is_set():
            for each in select.select(self._sockets, [], [], 0.1)[0] if self._sockets else []:
                self.received += len(each.recv(1 << 20))
            time.sleep(0.05)


def measure_beside(gateway: Gateway, asked: list[Question], streams: int, seconds: float) -> dict[str, float]:
    """One run of the ingest; with questions beside it where there are any."""
    command = [sys.executable, str(Path(__file__).resolve()), "--sender", str(gateway.port), "--seconds", str(seconds)]
    gateway.holds()
    cpu_s = gateway.cpu_s()
    sender = subprocess.Popen(command, stdout=subprocess.PIPE)
    turn = cycle(asked) if asked else None
    longest, number = 0.0, 0
    with Streams(gateway, streams) as listening:
        due = time.perf_counter()
        while sender.poll() is None:
            if turn is not None:
                began = time.perf_counter()
                next(turn)[1](gateway)
                longest, number = max(longest, (time.perf_counter() - began) * 1000), number + 1
            due = max(due + 1 / QUESTIONS_PER_S, time.perf_counter())
            time.sleep(due - time.perf_counter() if due > time.perf_counter() else 0)
    said = sender.communicate()[0]
    if sender.returncode:
        raise SystemExit("the sender failed")
    told: dict[str, float] = json.loads(said)
    held, held_cpu = gateway.holds()
    return {
        **told,
        "held_ms": held,
        "held_cpu_ms": held_cpu,
        "cpu": (gateway.cpu_s() - cpu_s) / seconds,
        "questions": number,
        "longest_question_ms": longest,
        "stream_kb": listening.received / 1000,
        "memory_mb": gateway.memory_mb(),
    }


def measure_ingest(gateway: Gateway, asked: list[Question], options: argparse.Namespace) -> None:
    """Alone, with streams, with questions and streams: in turn."""
    settings: dict[str, tuple[list[Question], int]] = {
        "alone": ([], 0),
        f"{options.streams} streams": ([], options.streams),
        f"questions and {options.streams} streams": (asked, options.streams),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
    for _ in range(options.rounds):
        for name, (some, streams) in settings.items():
            runs[name].append(measure_beside(gateway, some, streams, options.seconds))
    columns = [f"{RATE_PER_S} events/s", "p50 ms", "p99 ms", "ratio", "ratios of the rounds", "longest ms"]
    columns += ["loop held ms", "of it processor ms", "cores", "questions", "longest question ms", "MB"]
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name, figures in runs.items():
        ratios = [one["p99_ms"] / alone["p99_ms"] for one, alone in zip(figures, runs["alone"], strict=True)]
        middle = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        print(
            f"| {name} | {middle['p50_ms']:.2f} | {middle['p99_ms']:.1f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} | {middle['longest_ms']:.0f} | {middle['held_ms']:.0f} "
            f"| {middle['held_cpu_ms']:.0f} | {middle['cpu']:.2f} | {middle['questions']:.0f} "
            f"| {middle['longest_question_ms']:.0f} | {middle['memory_mb']:.0f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where bench/ledger.py left its store (--keep)")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument(
        "--only", default="", help="the questions whose name this regular expression finds, and nothing else"
    )
    parser.add_argument("--role", choices=["serve", "ingest"], default="serve", help="whether it delivers, too")
    parser.add_argument("--sender", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sender:
        be_the_sender(options.sender, options.seconds)
        return
    if options.folder is None or not (options.folder / "backlog.db").exists():
        raise SystemExit("--folder: expected a folder with a store of bench/ledger.py (--keep --folder DIR)")
    run(options)


def run(options: argparse.Namespace) -> None:
    """All of it."""
    path = (options.folder / "backlog.db").resolve()
    asyncio.run(prepare(path))
    sink_port = free_port()
    sink = subprocess.Popen([sys.executable, str(HERE / "sink.py"), str(sink_port)])
    try:
        wait_for(sink_port)
        asked = [each for each in questions(path) if re.search(options.only, each[0])]
        with gateway(path, f"http://127.0.0.1:{sink_port}/", options.role) as running:
            _converse(running)
            print(f"load average {os.getloadavg()[0]:.1f}; the gateway's memory {running.memory_mb():.0f} MB\n")
            measure_questions(running, asked, options.times)
            if not options.only:
                measure_memory(running)
            if options.rounds:
                measure_ingest(running, asked, options)
    finally:
        sink.terminate()
        sink.wait(10)


def _converse(running: Gateway) -> None:
    """A conversation of many events, delivered before anything is measured."""
    connection = Connection("127.0.0.1", running.port)
    for each in requests(CONVERSATION, "127.0.0.1", "/webhooks/genesys", SECRET):
        connection.send(each)
        while connection.status() is None:
            pass
    connection.socket.close()
    time.sleep(2)


if __name__ == "__main__":
    main()
