"""One, two, four `longstop work` processes on one store: how much faster many deliver what one does, and what holds
them up.

    python bench/workers.py [--store postgresql] [--workers 1 2 4] [--events 20000] [--rounds 3]

Each round runs every number of workers once, in turn, over an empty place on the same server. So many events wait for
a destination that is paused while the workers start; then it is resumed, and the clock runs until the last event has
come to the sink, which answers at once.

Printed are medians over the rounds: deliveries a second, the median of the rounds' ratios to one worker, what each kind
of process took of a core (100: a whole one), and on PostgreSQL what the connections that were at work waited for, as
shares of the samples of pg_stat_activity. Where the kinds together come to all of the machine's cores, these are what
holds them up, and not the store.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deliver import arrivals, longstop, program
from ingest import HERE, free_port, wait_for
from load import BODY_BYTES
from places import NEEDS_A_SERVER, Places

from longstop.config.store_urls import store as read_url
from longstop.config.values import Surroundings
from longstop.model.action import Pause
from longstop.model.append import Append
from longstop.ports import Store
from longstop.testing.builders import make_delivery, make_event
from longstop.wiring.stores import make_store

DESTINATION = "sink"
BATCH = 128
SAMPLE_S = 0.1
_WAITS = """
    SELECT coalesce(wait_event_type || ':' || wait_event, 'processor') FROM pg_stat_activity
    WHERE application_name = 'longstop' AND state = 'active'
"""


def made(number: int, now_ms: int) -> Append:
    """An event of about BODY_BYTES that waits for the sink, which knows it by the `id` in its body."""
    body = {"id": uuid.uuid4().hex, "text": ""}
    body["text"] = "x" * (BODY_BYTES - len(json.dumps(body)))
    event = make_event(number, source="genesys", received_at_ms=now_ms, body=json.dumps(body).encode())
    return Append(event, (make_delivery(event, DESTINATION),))


async def fill(url: str, events: int) -> None:
    """Let so many events wait for a destination that is paused."""
    async with opened(url) as store:
        now_ms = int(time.time() * 1000)
        await store.pause(Pause(DESTINATION, now_ms, "bench", "until the workers have started"))
        for start in range(0, events, BATCH):
            await store.append([made(number, now_ms) for number in range(start, min(start + BATCH, events))])


async def resume(url: str) -> None:
    """End the pause."""
    async with opened(url) as store:
        await store.resume(DESTINATION)


@contextlib.asynccontextmanager
async def opened(url: str) -> Any:
    """The store of a URL."""
    store: Store = make_store(read_url(url, Surroundings(Path.cwd(), os.environ)))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def kind_of(command: str) -> str:
    """What a process is, by its command line."""
    if "psql" in command:
        return "bench"
    for words, kind in (("longstop work", "workers"), ("sink.py", "sink"), ("postgres", "server"), ("redis", "server")):
        if words in command:
            return kind
    return "bench"


def processor_s() -> Counter[str]:
    """What this program's processes have taken, by their kind."""
    taken: Counter[str] = Counter()
    for pid in _below(os.getpid()):
        with contextlib.suppress(OSError):
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            taken[kind_of(command)] += (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return taken


def _below(pid: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                yield child
                yield from _below(child)


class Waits:
    """What the connections to PostgreSQL wait for, as samples."""

    def __init__(self, places: Places) -> None:
        self._ask = places.sql
        self.seen: Counter[str] = Counter()

    def look(self) -> None:
        """One sample."""
        self.seen.update(self._ask(_WAITS).split("\n"))

    def shares(self) -> dict[str, float]:
        """Of all samples, what is more than a fiftieth."""
        del self.seen[""]
        return {wait: round(n / self.seen.total(), 2) for wait, n in self.seen.most_common()}


def measure(workers: int, places: Places, store: str, sink: str, events: int) -> dict[str, Any]:
    """The figures of one run."""
    url = places.empty(store)
    asyncio.run(fill(url, events))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number in range(workers):
            stack.enter_context(longstop("work", folder / str(number), free_port(), url, sink))
        waits = Waits(places)
        before, began = processor_s(), time.perf_counter()
        asyncio.run(resume(url))
        came: dict[str, float] = {}
        while len(came) < events:
            more = arrivals(sink, 1)
            if not more:
                raise SystemExit(f"found {len(came)} deliveries and no more within a minute; expected {events}")
            came |= more
            if store == "postgresql":
                waits.look()
            time.sleep(SAMPLE_S)
        took_s = time.perf_counter() - began
        taken = processor_s() - before
    drained_s = max(came.values()) - began
    cores = {kind: round(100 * seconds / took_s) for kind, seconds in taken.items()}
    return {"deliveries_per_s": round(events / drained_s, 1), "processor": cores, "waits": waits.shares()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=NEEDS_A_SERVER, default="postgresql")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[int, list[dict[str, Any]]] = {workers: [] for workers in options.workers}
    port = free_port()
    sink = f"http://127.0.0.1:{port}/"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = Places(stack, folder)
        stack.enter_context(program([sys.executable, str(HERE / "sink.py"), str(port)], folder))
        wait_for(port)
        for _ in range(options.rounds):
            for workers, figures in runs.items():
                figures.append(measure(workers, places, options.store, sink, options.events))
    report(runs, options)


def report(runs: dict[int, list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """Print the medians and write everything down."""
    first = next(iter(runs.values()))
    print("| workers | deliveries/s | ratio | processor | waits |\n|---|---|---|---|---|")
    for workers, figures in runs.items():
        rate = statistics.median(run["deliveries_per_s"] for run in figures)
        pairs = zip(figures, first, strict=True)
        ratio = statistics.median(a["deliveries_per_s"] / b["deliveries_per_s"] for a, b in pairs)
        told = [", ".join(medians([run[key] for run in figures])) for key in ("processor", "waits")]
        print(f"| {workers} | {rate:.0f} | {ratio:.2f} | {told[0]} | {told[1]} |")
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    about |= {"cores": str(os.cpu_count()), "events": str(options.events), "store": options.store}
    path = options.json or HERE / "results" / f"workers-{options.store}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "runs": runs}, indent=1))
    print(f"written to {path}")


def medians(shares: list[dict[str, float]]) -> list[str]:
    """Each name with the median of its shares, the largest first; what is less than a fiftieth is left out."""
    names = {name for each in shares for name in each}
    found = {name: statistics.median(each.get(name, 0) for each in shares) for name in names}
    return [f"{name} {n:g}" for name, n in sorted(found.items(), key=lambda item: -item[1]) if n >= 0.02]


if __name__ == "__main__":
    main()
