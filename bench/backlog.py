"""What a backlog costs: append, claim, settle, lists and counts with more and more that waits, on any of the stores.

    python bench/backlog.py [--store sqlite] [--waiting 1000 100000 1000000] [--times 40] [--folder DIR]

One store, durable, is filled up to each size in turn, by its own `append`. At each size batches of 128 are appended,
claims of 32 made for each of two destinations, and what was claimed is settled, so that as many wait as before; then
people's questions are asked. Printed is the time that one time in four stays below, in milliseconds, for each size, and
what the largest takes beside the smallest. Where another program is at work the time of one in four is nearest to the
store's own. Issue: claim within 1.3 times, lists within 2.
"""

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import servers

from longstop.model.append import Append
from longstop.model.delivery import Attempt, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.event import Event, Headers
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.ports import Store

BEGAN_MS = 1_767_225_600_000
DESTINATIONS = ("crm", "archive")
BATCH, ROOM, FILL = 128, 32, 250
BODY = b'{"text":"' + b"x" * 400 + b'"}'
OK = Outcome(OutcomeKind.SUCCESS, 204)
HEADERS = Headers([("content-type", "application/json")])


class Bench:
    """One store, its clock, and what it is given."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._rng = random.Random(1)
        self._ids = IdFactory(self._rng)
        self.now_ms = BEGAN_MS

    async def append(self, count: int) -> None:
        """Keep so many events, with a delivery each, due at once."""
        await self.store.append([self._event() for _ in range(count)])

    def _event(self) -> Append:
        self.now_ms += 1
        id_, key = self._ids.make(self.now_ms), f"conversation-{(self.now_ms - BEGAN_MS) // 20}"
        kind, to = f"type-{self._rng.randrange(20)}", self._rng.choice(DESTINATIONS)
        event = Event(id_, "shop", self.now_ms, BODY, HEADERS, kind, key, dedup=id_.encode())
        named = (self._ids.make(self.now_ms), id_, "shop", kind, key, self.now_ms, to, State.SCHEDULED)
        delivery = Delivery(*named, due_at_ms=self.now_ms, round_at_ms=self.now_ms)
        return Append(event, (delivery,), self.now_ms + 3_600_000)

    async def cycle(self, took: dict[str, list[float]]) -> None:
        """Append as many as are then claimed and settled."""
        with _timed(took, f"append {BATCH}"):
            await self.append(BATCH)
        settled = 0
        while settled < BATCH:
            request = LeaseRequest("w", dict.fromkeys(DESTINATIONS, ROOM), self.now_ms, self.now_ms + 30_000)
            with _timed(took, f"claim {ROOM * len(DESTINATIONS)}"):
                claims = (await self.store.lease(request)).claims
            assert len(claims) == ROOM * len(DESTINATIONS), len(claims)
            ends = [self._end(each.delivery.tried(OK)) for each in claims]
            with _timed(took, f"settle {ROOM * len(DESTINATIONS)}"):
                await self.store.settle(ends)
            settled += len(ends)

    def _end(self, tried: Delivery) -> Settlement:
        attempt = Attempt(tried.attempts, tried.round, self.now_ms, 12, OK.kind, OK.status)
        return Settlement(tried.after(Transition(Trigger.SUCCEED, self.now_ms)), attempt)

    def questions(self) -> Iterator[tuple[str, Callable[[], Awaitable[Any]]]]:
        """What people ask."""
        store, up = self.store, Page(newest_first=False)
        yield "counts", store.counts
        for said, wanted, page in (
            ("waiting, the newest", DeliveryFilter(state=State.SCHEDULED), Page()),
            ("waiting, the oldest", DeliveryFilter(state=State.SCHEDULED), up),
            ("waiting, of a destination", DeliveryFilter(state=State.SCHEDULED, destination="crm"), Page()),
            ("waiting, of a type", DeliveryFilter(state=State.SCHEDULED, type="type-7"), Page()),
            ("waiting, of a key", DeliveryFilter(state=State.SCHEDULED, key="conversation-7"), Page()),
        ):
            yield said, lambda wanted=wanted, page=page: store.find_deliveries(wanted, page)  # type: ignore[misc]
        for said, of in (
            ("events, the newest", EventFilter()),
            ("events of a type", EventFilter(type="type-7")),
            ("events of a key", EventFilter(key="conversation-7")),
            ("events of an hour", EventFilter(since_ms=BEGAN_MS, until_ms=BEGAN_MS + 500)),
        ):
            yield said, lambda of=of: store.find_events(of, Page())  # type: ignore[misc]


@contextlib.contextmanager
def _timed(took: dict[str, list[float]], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    took.setdefault(name, []).append((time.perf_counter() - began) * 1000)


async def measure(store: Store, sizes: list[int], times: int) -> None:
    """Fill, measure, print."""
    bench, found = Bench(store), {}
    waiting = 0
    for size in sizes:
        began = time.perf_counter()
        while waiting < size:
            await bench.append(min(FILL, size - waiting))
            waiting += min(FILL, size - waiting)
        print(f"{size} wait, filled in {time.perf_counter() - began:.0f} s", flush=True)
        took: dict[str, list[float]] = {}
        for _ in range(times):
            await bench.cycle(took)
        for _ in range(times):
            for said, ask in bench.questions():
                with _timed(took, said):
                    await ask()
        found[size] = {name: sorted(each)[len(each) // 4] for name, each in took.items()}
        print(", ".join(f"{name} {ms:.2f}" for name, ms in found[size].items()), flush=True)
    print(f"\n| ms | {' | '.join(f'{size:,}' for size in sizes)} | ratio |\n|---|{'---|' * len(sizes)}---|")
    for name in found[sizes[0]]:
        row = [found[size][name] for size in sizes]
        print(f"| {name} | {' | '.join(f'{ms:.2f}' for ms in row)} | {row[-1] / row[0]:.2f} |")


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    """A new store of this kind."""
    with contextlib.ExitStack() as stack:
        store = _made(kind, folder, stack)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def _made(kind: str, folder: Path, stack: contextlib.ExitStack) -> Store:
    if kind == "sqlite":
        from longstop.stores.sqlite import SqliteStore

        return SqliteStore(folder / "backlog.db", watch_s=None)
    if kind == "postgresql":
        from longstop.stores.postgres import PostgresStore, ServerSettings

        return PostgresStore(ServerSettings(stack.enter_context(servers.postgresql(folder / "pg"))))
    from longstop.stores.redis import RedisStore

    return RedisStore(stack.enter_context(servers.redis(folder / "redis")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "redis"), default="sqlite")
    parser.add_argument("--waiting", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where the store is (default: a temporary folder)")
    options = parser.parse_args()

    async def run(folder: Path) -> None:
        async with opened(options.store, folder) as store:
            await measure(store, options.waiting, options.times)

    with tempfile.TemporaryDirectory(prefix="backlog-") as temporary:
        asyncio.run(run(options.folder or Path(temporary)))


if __name__ == "__main__":
    main()
