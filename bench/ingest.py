"""Durable ingest beside handlers that store nothing: same server, same load, same run.

    python bench/ingest.py [--rounds 3] [--seconds 5] [--connections 128] [--json FILE]

Each round runs every contender once, in turn, so that a slow minute of the machine falls on all of them; the
medians over the rounds are printed, and the ratio of each to the FastAPI handler. Figures of different machines or
runs do not compare; ratios do, roughly. Longstop verifies a signature, reads the dedup key and syncs to disk
before each answer; the others parse the body and forget it.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECRET = "a-bench-secret-of-no-value"
REQUESTS_PER_SECOND_MADE = 16_000
CONTENDERS = {
    "longstop": "Longstop: durable, verified, deduplicated",
    "fastapi": "FastAPI handler that stores nothing",
    "asgi": "plain ASGI handler that stores nothing",
    "embedded": "Longstop embedded in a FastAPI application",
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
[destinations.none]
url = "http://127.0.0.1:9/"
allow_private = true
[[routes]]
from = "genesys"
to = ["none"]
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(name: str, port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The contender as a process of its own, listening."""
    admin_port = free_port()
    (folder / "longstop.toml").write_text(CONFIG.format(port=port, admin_port=admin_port))
    if name == "longstop":
        command = [sys.executable, "-m", "longstop", "ingest"]
    else:
        command = [sys.executable, str(HERE / "peers.py"), name, str(port)]
    environ = {**os.environ, "BENCH_SECRET": SECRET}
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        if name == "longstop":
            # The operators' side comes last, and what it loads takes longer than a short measurement can bear.
            wait_for(admin_port)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int) -> None:
    """Return when somebody listens; give up after 20 s."""
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port}")


def measure(name: str, connections: int, seconds: float) -> dict[str, Any]:
    """The figures of one run of one contender."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, serving(name, port, Path(folder)):
        count = int(seconds * REQUESTS_PER_SECOND_MADE)
        arguments = ["127.0.0.1", port, "/webhooks/genesys", SECRET, connections, seconds, count]
        command = [sys.executable, str(HERE / "load.py"), *map(str, arguments)]
        figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if set(figures["statuses"]) != {"200"}:
        raise SystemExit(f"{name} answered {figures['statuses']}; expected 200 only")
    return figures


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds, and the ratio of the rate to FastAPI's, round by round."""
    result = {}
    for name, figures in runs.items():
        row = {key: statistics.median(run[key] for run in figures) for key in ("requests_per_s", "p50_ms", "p99_ms")}
        pairs = zip(figures, runs["fastapi"], strict=True)
        row["ratio"] = round(statistics.median(a["requests_per_s"] / b["requests_per_s"] for a, b in pairs), 2)
        result[name] = row
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "ingest.json")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name in CONTENDERS:
            runs[name].append(measure(name, options.connections, options.seconds))
    medians = summary(runs)
    print(f"{'':44}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>7}")
    for name, row in medians.items():
        print(
            f"{CONTENDERS[name]:44}{row['requests_per_s']:>11.0f}{row['p50_ms']:>9.1f}"
            f"{row['p99_ms']:>9.1f}{row['ratio']:>7.2f}"
        )
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "connections": options.connections,
        "seconds": options.seconds,
        "medians": medians,
        "runs": runs,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
