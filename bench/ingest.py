"""Durable ingest beside what people put in its place: same server, same load, same run.

    python bench/ingest.py [--store sqlite] [--rounds 3] [--seconds 5] [--connections 128] [--json FILE]

Each round runs every contender once, in turn, so that a slow minute of the machine falls on all of them; the
medians over the rounds are printed, and the median of the rounds' ratios to the one of BESIDE. Figures of
different machines or runs do not compare; ratios do, roughly. Longstop verifies a signature, reads the dedup key and
has the event on disk before each answer.

On SQLite it stands beside handlers that store nothing: they parse the body and forget it. On PostgreSQL beside
Procrastinate's enqueue, on Redis beside SAQ's, each in a plain ASGI handler on the same server with the same durable
settings; they neither verify nor deduplicate. For these two, see bench/requirements.txt. SAQ's handler is measured
twice: with all that makes it quick (uvloop, httptools, no access log, 256 at a time), beside which the ratios are, and
as `pip install uvicorn saq` has it (asyncio, h11, an access log, 20 at a time).

On AWS it is an emulator that is measured, the same for both: what calls take there is another matter. Beside it is
what tutorials end in: a FastAPI route that sends the body to SQS, a call for each. What the calls of each come to is
counted in a run of its own (aws_meter.py).
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
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aws_meter import metered
from places import Places

HERE = Path(__file__).parent
SECRET = "a-bench-secret-of-no-value"
REQUESTS_PER_SECOND_MADE = 16_000
CONTENDERS = {
    "sqlite": {
        "longstop": "Longstop: durable, verified, deduplicated",
        "fastapi": "FastAPI handler that stores nothing",
        "asgi": "plain ASGI handler that stores nothing",
        "embedded": "Longstop embedded in a FastAPI application",
    },
    "postgresql": {
        "longstop": "Longstop on PostgreSQL",
        "procrastinate": "plain ASGI handler, Procrastinate's enqueue",
    },
    "redis": {
        "longstop": "Longstop on Redis",
        "saq": "plain ASGI handler, SAQ's enqueue",
        "saq-as-it-comes": "the same, as pip installs it",
    },
    "aws": {
        "longstop": "Longstop on DynamoDB, SQS to wake",
        "sqs": "the tutorial's FastAPI handler, SQS by botocore",
    },
}
"""By store."""
BESIDE = {"sqlite": "fastapi", "postgresql": "procrastinate", "redis": "saq", "aws": "sqs"}
"""Whose rate is 1."""
OWN = HERE / ".peers" / "bin" / "python"
QUEUES = ("procrastinate", "saq", "saq-as-it-comes")
PEERS_PYTHON = str(OWN) if OWN.exists() else sys.executable
"""What runs the task queues: where bench/requirements.txt is installed."""
CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
[store]
url = "{store}"
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
def serving(name: str, port: int, folder: Path, store: str) -> Iterator[subprocess.Popen[bytes]]:
    """The contender as a process of its own, listening."""
    admin_port = free_port()
    (folder / "longstop.toml").write_text(CONFIG.format(port=port, admin_port=admin_port, store=store))
    if name == "longstop":
        command = [sys.executable, "-m", "longstop", "ingest"]
    elif name in QUEUES:
        command = [PEERS_PYTHON, str(HERE / "deliver_peers.py"), name, "accept", str(port)]
    else:
        command = [sys.executable, str(HERE / "peers.py"), name, str(port)]
    environ = {**os.environ, "BENCH_SECRET": SECRET, "BROKER": store}
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        if name == "longstop":
            wait_until_loaded(admin_port)
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


def wait_until_loaded(admin_port: int) -> None:
    """Return when the operators' side answers. It comes last, and what it loads takes longer than a short measurement
    can bear; its port is there before it."""
    wait_for(admin_port)
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/readyz"):
        pass


def measure(name: str, store: str, connections: int, seconds: float) -> dict[str, Any]:
    """The figures of one run of one contender, over an empty store."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, serving(name, port, Path(folder), store):
        count = int(seconds * REQUESTS_PER_SECOND_MADE)
        arguments = ["127.0.0.1", port, "/webhooks/genesys", SECRET, connections, seconds, count]
        command = [sys.executable, str(HERE / "load.py"), *map(str, arguments)]
        figures: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    if set(figures["statuses"]) != {"200"}:
        raise SystemExit(f"{name} answered {figures['statuses']}; expected 200 only")
    return figures


def costs(contenders: Iterable[str], places: Places, connections: int, seconds: float) -> dict[str, dict[str, Any]]:
    """What each one's calls come to, an event."""
    made = {}
    for name in contenders:
        with metered(places.empty("aws")) as (url, meter):
            made[name] = meter.row(measure(name, url, connections, seconds)["requests"])
    return made


def summary(runs: dict[str, list[dict[str, Any]]], beside: str) -> dict[str, dict[str, Any]]:
    """Medians over the rounds, and the ratios of the rate to that of the one beside, round by round."""
    result = {}
    for name, figures in runs.items():
        row = {key: statistics.median(run[key] for run in figures) for key in ("requests_per_s", "p50_ms", "p99_ms")}
        pairs = zip(figures, runs[beside], strict=True)
        ratios = [round(a["requests_per_s"] / b["requests_per_s"], 2) for a, b in pairs]
        result[name] = row | {"ratio": round(statistics.median(ratios), 2), "ratios": ratios}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=CONTENDERS, default="sqlite")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    contenders = CONTENDERS[options.store]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        places = Places(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        for _ in range(options.rounds):
            for name, figures in runs.items():
                figures.append(measure(name, places.empty(options.store), options.connections, options.seconds))
        spent = costs(contenders, places, options.connections, options.seconds) if options.store == "aws" else {}
    medians = summary(runs, BESIDE[options.store])
    print(f"{'':44}{'requests/s':>11}{'p50 ms':>9}{'p99 ms':>9}{'ratio':>7}  ratios")
    for name, row in medians.items():
        print(
            f"{contenders[name]:44}{row['requests_per_s']:>11.0f}{row['p50_ms']:>9.1f}"
            f"{row['p99_ms']:>9.1f}{row['ratio']:>7.2f}  {min(row['ratios'])} to {max(row['ratios'])}"
        )
    for name, row in spent.items():
        print(f"{contenders[name]}, an event: {', '.join(f'{text} {figure}' for text, figure in row.items())}")
    machine = {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "store": options.store,
        "connections": options.connections,
        "seconds": options.seconds,
        "medians": medians,
        "costs": spent,
        "runs": runs,
    }
    path = options.json or HERE / "results" / (
        "ingest.json" if options.store == "sqlite" else f"ingest-{options.store}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
