"""A quiet source beside a flooding one: its p99 under the flood and without, same run, as a ratio.

    python bench/flood.py [--rounds 3] [--seconds 5] [--connections 64] [--json FILE]

The quiet sender posts at a steady pace on one connection. In each round it is measured alone, then beside a flood
of another source as fast as its connections go, then beside the same flood with `rate` set for the flooding
source. Load generators and gateway share the machine's cores, which is part of every figure; what part, the last
setting tells: there the flood goes to another gateway, a process and a file of its own on the same machine.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ingest import HERE, SECRET, free_port, wait_for
from load import requests

PACE_PER_S = 100
FLOOD_PER_SECOND_MADE = 8_000
SETTINGS = {"alone": "", "flood": "", "flood with rate": 'rate = "100/s"', "flood elsewhere": ""}
CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "sqlite:///bench.db"
[sources.quiet]
kind = "genesys-open-messaging"
secrets = ["${{BENCH_SECRET}}"]
[sources.loud]
kind = "genesys-open-messaging"
secrets = ["${{BENCH_SECRET}}"]
{rate}
[destinations.none]
url = "http://127.0.0.1:9/"
allow_private = true
[[routes]]
from = "quiet"
to = ["none"]
[[routes]]
from = "loud"
to = ["none"]
"""


@contextmanager
def gateway(port: int, rate: str) -> Iterator[None]:
    """The accepting side as a process of its own, listening, in a folder of its own."""
    environ = {**os.environ, "BENCH_SECRET": SECRET}
    command = [sys.executable, "-m", "longstop", "ingest"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "longstop.toml").write_text(CONFIG.format(port=port, admin_port=free_port(), rate=rate))
        process = subprocess.Popen(command, cwd=folder, env=environ, **quiet)
        try:
            wait_for(port)
            yield
        finally:
            process.terminate()
            process.wait(30)


async def paced(port: int, made: list[bytes]) -> list[float]:
    """Seconds from each request to its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    due = time.perf_counter()
    for request in made:
        await asyncio.sleep(max(0, due - time.perf_counter()))
        due += 1 / PACE_PER_S
        began = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        took.append(time.perf_counter() - began)
        if b" 200 " not in head[:20]:
            raise SystemExit(f"the quiet source was answered {head[:20]!r}; expected 200")
    writer.close()
    return took


def measure(name: str, seconds: float, connections: int) -> dict[str, Any]:
    """The quiet source's figures under one setting."""
    port = free_port()
    made = requests(int(seconds * PACE_PER_S), "127.0.0.1", "/webhooks/quiet", SECRET)
    with ExitStack() as stack:
        stack.enter_context(gateway(port, SETTINGS[name]))
        flooded = port
        if name == "flood elsewhere":
            flooded = free_port()
            stack.enter_context(gateway(flooded, ""))
        flood = None
        if name != "alone":
            flood_s = seconds + 1.5
            count = int(flood_s * FLOOD_PER_SECOND_MADE)
            arguments = ["127.0.0.1", flooded, "/webhooks/loud", SECRET, connections, flood_s, count]
            command = [sys.executable, str(HERE / "load.py"), *map(str, arguments)]
            flood = subprocess.Popen(command, stdout=subprocess.PIPE)
            # The flood signs its requests first.
            time.sleep(2 + count * 3e-5)
        took = sorted(asyncio.run(paced(port, made)))
        told = json.loads(flood.communicate()[0]) if flood else {}
    return {
        "p50_ms": round(took[len(took) // 2] * 1000, 2),
        "p99_ms": round(took[len(took) * 99 // 100] * 1000, 2),
        "flood_per_s": told.get("requests_per_s", 0),
        "flood_statuses": told.get("statuses", {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "flood.json")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name in SETTINGS:
            runs[name].append(measure(name, options.seconds, options.connections))
    print(f"{'the quiet source':20}{'p50 ms':>9}{'p99 ms':>9}{'p99 ratio':>11}{'flood/s':>10}")
    for name, figures in runs.items():
        p50, p99, rate = (statistics.median(run[key] for run in figures) for key in ("p50_ms", "p99_ms", "flood_per_s"))
        pairs = zip(figures, runs["alone"], strict=True)
        ratio = statistics.median(run["p99_ms"] / alone["p99_ms"] for run, alone in pairs)
        print(f"{name:20}{p50:>9.2f}{p99:>9.2f}{ratio:>11.2f}{rate:>10.0f}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"connections": options.connections, "runs": runs}, indent=1))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
