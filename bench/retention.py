"""What forgetting costs the senders beside it: accepting with retention at work, and without, in turn.

    python bench/retention.py [--rounds 3] [--seconds 5] [--events 200000] [--connections 64]

For each run a store is filled with events that are old enough to be forgotten (the same file, copied), and a gateway
accepts on it at full speed. In one of two runs retention is on: it forgets all the while. Printed are the rates, the
99th percentiles, their ratio, and how many events a second were forgotten.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import apsw
from ingest import CONFIG, HERE, REQUESTS_PER_SECOND_MADE, SECRET, free_port, wait_for

from longstop.model.append import Append
from longstop.model.delivery import State
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import make_delivery, make_event

LIVED_MS = 90 * 86_400_000
"""How long ago the events were delivered. Retention goes by what a store has lived through, so that is set, too."""


async def fill(path: Path, events: int) -> None:
    """A store of delivered events, all of them old."""
    store = SqliteStore(path)
    await store.open()
    at_ms = int(time.time() * 1000) - LIVED_MS
    for start in range(0, events, 512):
        appends = []
        for number in range(start, min(start + 512, events)):
            event = make_event(number, received_at_ms=at_ms, body=b"x" * 1_100, key=f"k-{number % 5_000}")
            done = make_delivery(event, "none", state=State.DELIVERED, ended_at_ms=at_ms, attempts=1)
            appends.append(Append(event, (done,)))
        await store.append(appends)
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE marks SET lived_ms = ?", (int(time.time() * 1000),))
    connection.close()


def measure(filled: Path, on: bool, connections: int, seconds: float) -> dict[str, Any]:
    """The load's figures, and how many events a second were forgotten."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        shutil.copy(filled, folder / "bench.db")
        keep = "1d" if on else "3650d"
        admin_port = free_port()
        text = CONFIG.format(port=port, admin_port=admin_port, store="sqlite:///bench.db")
        (folder / "longstop.toml").write_text(f'{text}[retention]\ndelivered = "{keep}"\nunrouted = "{keep}"\n')
        environ = {**os.environ, "BENCH_SECRET": SECRET}
        command = [sys.executable, "-m", "longstop", "serve"]
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(port)
            # The operators' side comes last, and what it loads takes longer than a short measurement can bear.
            wait_for(admin_port)
            before = old_events(folder / "bench.db")
            began = time.perf_counter()
            count = int(seconds * REQUESTS_PER_SECOND_MADE)
            load = ["127.0.0.1", port, "/webhooks/genesys", SECRET, connections, seconds, count]
            said = subprocess.run(
                [sys.executable, str(HERE / "load.py"), *map(str, load)], check=True, capture_output=True
            )
            took_s = time.perf_counter() - began
            forgotten = (before - old_events(folder / "bench.db")) / took_s
        finally:
            process.terminate()
            process.wait(60)
        return {**json.loads(said.stdout), "forgotten_per_s": forgotten}


def old_events(path: Path) -> int:
    """How many of the events that were there at the beginning are left."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT n FROM counters WHERE subject = 'events' AND name = 'shop'").get or 0)
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        filled = Path(name) / "filled.db"
        asyncio.run(fill(filled, options.events))
        print("| round | without: requests/s, p99 ms | with | forgotten per s | ratio of p99 |\n|---|---|---|---|---|")
        ratios = []
        for number in range(options.rounds):
            order = (False, True) if number % 2 == 0 else (True, False)
            runs = {on: measure(filled, on, options.connections, options.seconds) for on in order}
            ratios.append(runs[True]["p99_ms"] / runs[False]["p99_ms"])
            cells = [f"{runs[on]['requests_per_s']:.0f}, {runs[on]['p99_ms']:.1f}" for on in (False, True)]
            print(f"| {number + 1} | {' | '.join(cells)} | {runs[True]['forgotten_per_s']:.0f} | {ratios[-1]:.2f} |")
        print(f"\nmedian ratio of p99: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
