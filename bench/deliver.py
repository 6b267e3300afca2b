"""From accepted to delivered, beside the same work done by task queues: same load, same sink, same run.

    pip install -r bench/requirements.txt
    python bench/deliver.py [--rounds 3] [--events 3000] [--rate 500] [--seconds 5] [--contenders ...] [--json FILE]

Two measurements of each contender in each round. Drain: so many events are posted as fast as 32 connections go;
throughput is their number by the time from the first post to the last arrival at the sink. Paced: `--rate` events a
second; latency is the time from an event's 2xx to its arrival. Everybody is durable before the 2xx: Longstop's SQLite
syncs, Redis has `appendfsync always`, PostgreSQL `synchronous_commit = on`. Longstop is one process, the others are two
(a handler and a worker) and a broker. "Ordered per key" is Longstop once more, with `ordered = true` and 10,000 keys.
All share the machine's cores with the load and the sink.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brokers import MissingError, postgres, redis
from ingest import HERE, SECRET, free_port, wait_for
from load import Connection, requests

CONNECTIONS = 32
DRAIN_WITHIN_S = 60
OURS = ("longstop", "ordered")
KEYS = 10_000
CONTENDERS = {
    "longstop": "Longstop on SQLite",
    "ordered": "Longstop, ordered per key",
    "saq": "SAQ on Redis",
    "dramatiq": "Dramatiq on Redis",
    "procrastinate": "Procrastinate on PostgreSQL",
}
CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "sqlite:///bench.db"
[sources.genesys]
kind = "genesys-open-messaging"
secrets = ["${{BENCH_SECRET}}"]
[destinations.sink]
url = "{sink}"
allow_private = true
concurrency = 32
ordered = {ordered}
[[routes]]
from = "genesys"
to = ["sink"]
"""
_ID = re.compile(rb'"id": ?"([0-9a-f]{32})"')


@contextlib.contextmanager
def program(command: list[str], folder: Path, **env: str) -> Iterator[None]:
    """A program that runs meanwhile; its messages are in the folder."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **env}, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def contender(name: str, sink: str) -> Iterator[int]:
    """A contender that accepts and delivers; the port to post to."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if name in OURS:
            ordered = str(name == "ordered").lower()
            text = CONFIG.format(port=port, admin_port=free_port(), sink=sink, ordered=ordered)
            (folder / "longstop.toml").write_text(text)
            command = [sys.executable, "-m", "longstop", "serve"]
            stack.enter_context(program(command, folder, BENCH_SECRET=SECRET))
        else:
            broker = stack.enter_context((postgres if name == "procrastinate" else redis)(folder))
            for role in ("accept", "work"):
                command = [sys.executable, str(HERE / "deliver_peers.py"), name, role, str(port)]
                stack.enter_context(program(command, folder, BROKER=broker, SINK=sink))
                wait_for(port)
        wait_for(port)
        yield port


def post(port: int, made: list[bytes], rate: float | None) -> tuple[float, dict[str, float]]:
    """Post them all, at this rate or as fast as it goes: when the first went out, and when each was answered 2xx."""
    poll = select.epoll()
    idle = deque(Connection("127.0.0.1", port) for _ in range(CONNECTIONS))
    by_fd = {each.socket.fileno(): each for each in idle}
    busy: dict[int, str] = {}
    answered: dict[str, float] = {}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    began, sent = time.perf_counter(), 0
    while len(answered) < len(made):
        while idle and sent < len(made) and (rate is None or time.perf_counter() >= began + sent / rate):
            connection = idle.popleft()
            busy[connection.socket.fileno()] = _id(made[sent])
            connection.send(made[sent])
            sent += 1
        wait_s = 1.0 if rate is None or sent == len(made) else max(0.0, began + sent / rate - time.perf_counter())
        for fd, _ in poll.poll(wait_s):
            status = by_fd[fd].status()
            if status is None:
                continue
            if status != 200:
                raise SystemExit(f"found status {status}; expected 200")
            answered[busy.pop(fd)] = time.perf_counter()
            idle.append(by_fd[fd])
    for connection in by_fd.values():
        connection.socket.close()
    return began, answered


def _id(request: bytes) -> str:
    found = _ID.search(request)
    assert found is not None
    return found[1].decode()


def arrivals(sink: str, count: int) -> dict[str, float]:
    """When each event came to the sink, as soon as so many have, or DRAIN_WITHIN_S later."""
    came: dict[str, float] = {}
    until = time.perf_counter() + DRAIN_WITHIN_S
    while len(came) < count and time.perf_counter() < until:
        time.sleep(0.2)
        with urllib.request.urlopen(sink) as answer:
            for id_, at in json.loads(answer.read()).items():
                came.setdefault(id_, at)
    return came


def measure(name: str, sink: str, events: int, rate: float, seconds: float) -> dict[str, Any]:
    """A contender's figures in one round."""
    warm, many, paced = (
        requests(count, "127.0.0.1", "/webhooks/genesys", SECRET, KEYS) for count in (100, events, int(rate * seconds))
    )
    with contender(name, sink) as port:
        post(port, warm, 100)
        arrivals(sink, len(warm))
        began, answered = post(port, many, None)
        came = arrivals(sink, events)
        drain_s = max(came.values()) - began
        accept_s = max(answered.values()) - began
        _, answered = post(port, paced, rate)
        later = arrivals(sink, len(paced))
    # One that arrives before its sender has read the 2xx took no time at all.
    took = sorted(max(0.0, later[id_] - at) * 1000 for id_, at in answered.items() if id_ in later)
    return {
        "events_per_s": round(len(came) / drain_s, 1),
        "accepted_per_s": round(events / accept_s, 1),
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[len(took) * 99 // 100], 2),
        "missing": sum(id_ not in came for id_ in map(_id, many)) + sum(id_ not in later for id_ in map(_id, paced)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=3_000)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, default=HERE / "results" / "deliver.json")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.contenders}
    port = free_port()
    sink = f"http://127.0.0.1:{port}/"
    with (
        tempfile.TemporaryDirectory() as folder,
        program([sys.executable, str(HERE / "sink.py"), str(port)], Path(folder)),
    ):
        wait_for(port)
        for _ in range(options.rounds):
            for name, figures in runs.items():
                try:
                    figures.append(measure(name, sink, options.events, options.rate, options.seconds))
                except MissingError as missing:
                    print(f"{CONTENDERS[name]}: left out: {missing}")
    report({name: figures for name, figures in runs.items() if figures}, options)


def report(runs: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print the medians and write everything down."""

    def median(name: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[name])

    peers = [median(name, "events_per_s") for name in runs if name not in OURS]
    fastest = max(peers, default=0)
    print(f"{'':30}{'events/s':>10}{'ratio':>8}{'accepted/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'missing':>9}")
    for name, figures in runs.items():
        ratio = f"{median(name, 'events_per_s') / fastest:.2f}" if fastest else "-"
        cells = [median(name, key) for key in ("accepted_per_s", "p50_ms", "p99_ms")]
        missing = sum(run["missing"] for run in figures)
        print(
            f"{CONTENDERS[name]:30}{median(name, 'events_per_s'):>10.0f}{ratio:>8}"
            f"{cells[0]:>12.0f}{cells[1]:>9.2f}{cells[2]:>9.2f}{missing:>9}"
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    about |= {"cores": str(os.cpu_count()), "events": str(options.events), "rate": str(options.rate)}
    options.json.write_text(json.dumps({"about": about, "runs": runs}, indent=1))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
