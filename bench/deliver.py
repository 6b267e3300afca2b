"""From accepted to delivered, beside the same work done by task queues: same load, same sink, same run.

    python -m venv bench/.peers && bench/.peers/bin/pip install -r bench/requirements.txt
    python bench/deliver.py [--store all] [--rounds 3] [--events 3000] [--rate 500] [--seconds 5] [--json FILE]
        [--contenders ...]

Two measurements of each contender in each round. Drain: so many events are posted as fast as 32 connections go;
throughput is their number by the time from the first post to the last arrival at the sink. Paced: `--rate` events a
second; latency is the time from an event's 2xx to its arrival. Everybody is durable before the 2xx: Longstop's SQLite
syncs, Redis has `appendfsync always`, PostgreSQL `synchronous_commit = on`. Longstop is one process, the others are two
(a handler and a worker), and so is Longstop where it says "ingest and work"; whoever uses a server uses the same one,
emptied before. "Ordered per key" is Longstop once more, with `ordered = true` and 10,000 keys. All share the machine's
cores with the load and the sink.

`--store postgresql`: Longstop on PostgreSQL beside the task queues on PostgreSQL, and so on. `all`: everybody, and the
ratios are to the best of the task queues.
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
from typing import Any, NamedTuple

from ingest import HERE, PEERS_PYTHON, SECRET, free_port, wait_for, wait_until_loaded
from load import Connection, requests
from places import Places

CONNECTIONS = 32
DRAIN_WITHIN_S = 60
KEYS = 10_000


class Contender(NamedTuple):
    """Who is measured."""

    title: str
    store: str
    """What it keeps events in."""
    ours: bool = True
    ordered: bool = False
    roles: tuple[str, ...] = ("serve",)
    """The commands that ours is made of; the others are a handler and a worker."""


CONTENDERS = {
    "longstop": Contender("Longstop on SQLite", "sqlite"),
    "ordered": Contender("Longstop on SQLite, ordered per key", "sqlite", ordered=True),
    "longstop-postgresql": Contender("Longstop on PostgreSQL", "postgresql"),
    "ordered-postgresql": Contender("Longstop on PostgreSQL, ordered per key", "postgresql", ordered=True),
    "split-postgresql": Contender("Longstop on PostgreSQL, ingest and work", "postgresql", roles=("ingest", "work")),
    "procrastinate": Contender("Procrastinate on PostgreSQL", "postgresql", ours=False),
    "longstop-redis": Contender("Longstop on Redis", "redis"),
    "ordered-redis": Contender("Longstop on Redis, ordered per key", "redis", ordered=True),
    "split-redis": Contender("Longstop on Redis, ingest and work", "redis", roles=("ingest", "work")),
    "saq": Contender("SAQ on Redis", "redis", ours=False),
    "dramatiq": Contender("Dramatiq on Redis", "redis", ours=False),
}
STORES = {
    "sqlite": ["longstop", "ordered", "saq", "dramatiq", "procrastinate"],
    "postgresql": ["longstop-postgresql", "split-postgresql", "ordered-postgresql", "procrastinate"],
    "redis": ["longstop-redis", "split-redis", "ordered-redis", "saq", "dramatiq"],
    "all": list(CONTENDERS),
}
"""Who stands beside whom; SQLite has no task queue of its own."""
CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "{store}"
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
def longstop(role: str, folder: Path, port: int, store: str, sink: str, ordered: bool = False) -> Iterator[None]:
    """One of our processes, which has loaded all it needs."""
    folder.mkdir()
    admin_port = free_port()
    text = CONFIG.format(port=port, admin_port=admin_port, sink=sink, ordered=str(ordered).lower(), store=store)
    (folder / "longstop.toml").write_text(text)
    with program([sys.executable, "-m", "longstop", role], folder, BENCH_SECRET=SECRET):
        wait_until_loaded(admin_port)
        yield


@contextlib.contextmanager
def contender(name: str, store: str, sink: str) -> Iterator[int]:
    """A contender that accepts and delivers; the port to post to. store: the URL of an empty place."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if CONTENDERS[name].ours:
            for role in CONTENDERS[name].roles:
                stack.enter_context(longstop(role, folder / role, port, store, sink, CONTENDERS[name].ordered))
        else:
            for role in ("accept", "work"):
                command = [PEERS_PYTHON, str(HERE / "deliver_peers.py"), name, role, str(port)]
                stack.enter_context(program(command, folder, BROKER=store, SINK=sink))
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


def measure(name: str, store: str, sink: str, events: int, rate: float, seconds: float) -> dict[str, Any]:
    """A contender's figures in one round."""
    warm, many, paced = (
        requests(count, "127.0.0.1", "/webhooks/genesys", SECRET, KEYS) for count in (100, events, int(rate * seconds))
    )
    with contender(name, store, sink) as port:
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
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=3_000)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.contenders or STORES[options.store]}
    port = free_port()
    sink = f"http://127.0.0.1:{port}/"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = Places(stack, folder)
        stack.enter_context(program([sys.executable, str(HERE / "sink.py"), str(port)], folder))
        wait_for(port)
        for _ in range(options.rounds):
            for name, figures in runs.items():
                store = places.empty(CONTENDERS[name].store)
                figures.append(measure(name, store, sink, options.events, options.rate, options.seconds))
    report(runs, options)


def report(runs: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print the medians and write everything down. The ratio is that to the best of the task queues of its round."""

    def median(name: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[name])

    peers = [runs[name] for name in runs if not CONTENDERS[name].ours]
    best = [max(run["events_per_s"] for run in found) for found in zip(*peers, strict=True)]
    print(f"{'':40}{'events/s':>10}{'ratio':>8}{'accepted/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'missing':>9}  ratios")
    for name, figures in runs.items():
        ratios = [run["events_per_s"] / fastest for run, fastest in zip(figures, best, strict=False)]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        cells = [median(name, key) for key in ("accepted_per_s", "p50_ms", "p99_ms")]
        missing = sum(run["missing"] for run in figures)
        print(
            f"{CONTENDERS[name].title:40}{median(name, 'events_per_s'):>10.0f}{ratio:>8}"
            f"{cells[0]:>12.0f}{cells[1]:>9.2f}{cells[2]:>9.2f}{missing:>9}  {' '.join(map('{:.2f}'.format, ratios))}"
        )
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    about |= {"cores": str(os.cpu_count()), "events": str(options.events), "rate": str(options.rate)}
    path = options.json or HERE / "results" / f"deliver-{options.store}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "runs": runs}, indent=1))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
