"""asyncpg beside psycopg 3: the store's own three statements, the same values, the same server, in turn.

    pip install 'psycopg[binary]==3.3.9'
    python bench/drivers.py [--rounds 7] [--batches 60] [--folder DIR]

A round of a driver appends so many batches of 128, claims them 64 at a time, and settles them. One statement at a
time; then four at once, which is four connections of asyncpg, and one of psycopg in pipeline mode with a transaction
each. Both prepare their statements, and psycopg sends and takes binary values. Printed are medians over the rounds, and
the median of the rounds' ratios: above 1, asyncpg is quicker. Processor time is the client's alone.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import psycopg
import servers
from backlog import BATCH, DESTINATIONS, OK, Bench

from longstop.model.delivery import Attempt, Delivery, State, Transition, Trigger
from longstop.model.lease import LeaseRequest, Settlement
from longstop.stores.postgres import PostgresStore, ServerSettings, append_rows, leases, settlements, text
from longstop.stores.postgres.floors import Floors

ROOM = 32
AT_ONCE = 4


class Driver(Protocol):
    """A way to the server."""

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """The rows of one statement, which is a transaction."""

    async def fetch_all(self, sql: str, many: Sequence[Sequence[Any]]) -> None:
        """The same statement with each of these values, AT_ONCE of them at once."""

    async def close(self) -> None:
        """No more."""


class Asyncpg:
    """AT_ONCE connections."""

    def __init__(self, connections: list[asyncpg.Connection]) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, url: str) -> "Asyncpg":
        """Connect as the store does."""
        settings = ServerSettings(url).session()
        made = [await asyncpg.connect(url, server_settings=settings) for _ in range(AT_ONCE)]
        for each in made:
            await text.set_codecs(each)
        return cls(made)

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """See Driver."""
        rows: Sequence[Any] = await self._connections[0].fetch(sql, *args)
        return rows

    async def fetch_all(self, sql: str, many: Sequence[Sequence[Any]]) -> None:
        """See Driver."""

        async def some(number: int) -> None:
            for args in many[number::AT_ONCE]:
                await self._connections[number].fetch(sql, *args)

        await asyncio.gather(*map(some, range(AT_ONCE)))

    async def close(self) -> None:
        """See Driver."""
        for each in self._connections:
            await each.close()


class Psycopg:
    """One connection, its pipeline."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str) -> "Psycopg":
        """Connect; `$1` and binary values, prepared at once."""
        options = " ".join(f"-c {name}={value}" for name, value in ServerSettings(url).session().items())
        made = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=0, options=options, cursor_factory=psycopg.AsyncRawCursor
        )
        return cls(made)

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """See Driver."""
        cursor = await self._connection.execute(sql, list(map(_listed, args)), binary=True)
        return await cursor.fetchall()

    async def fetch_all(self, sql: str, many: Sequence[Sequence[Any]]) -> None:
        """See Driver."""
        for start in range(0, len(many), AT_ONCE):
            async with self._connection.pipeline() as pipeline:
                for args in many[start : start + AT_ONCE]:
                    await self._connection.execute(sql, list(map(_listed, args)), binary=True)
                    # Its own transaction, as the store's have to be.
                    await pipeline.sync()

    async def close(self) -> None:
        """See Driver."""
        await self._connection.close()


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _end(delivery: Delivery, now_ms: int) -> Settlement:
    """It is delivered, after one claim."""
    leased = replace(delivery, state=State.LEASED, token=1, leased_at_ms=now_ms, lease_until_ms=now_ms + 10**9)
    tried = leased.tried(OK)
    attempt = Attempt(tried.attempts, tried.round, now_ms, 12, OK.kind, OK.status)
    return Settlement(tried.after(Transition(Trigger.SUCCEED, now_ms)), attempt)


async def one_round(driver: Driver, bench: Bench, batches: int, *, at_once: bool) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of each step."""
    groups = [[bench._event() for _ in range(BATCH)] for _ in range(batches)]
    now_ms = bench.now_ms + 1
    request = LeaseRequest("w", dict.fromkeys(DESTINATIONS, ROOM), now_ms, now_ms + 10**9)
    arguments = {
        "append": (append_rows._APPEND, [list(append_rows._arguments(each)) for each in groups]),
        "claim": (leases._CLAIM, [list(leases._shares(request, Floors()))] * (batches * 2 + 4)),
        "settle": (
            settlements._SETTLE,
            [settlements._arguments([_end(item.deliveries[0], now_ms) for item in each]) for each in groups],
        ),
    }
    took = {}
    for name, (sql, many) in arguments.items():
        took[name] = await _timed(lambda sql=sql, many=many: _all(driver, sql, many, at_once=at_once))
    return took


async def _all(driver: Driver, sql: str, many: Sequence[Sequence[Any]], *, at_once: bool) -> None:
    if at_once:
        return await driver.fetch_all(sql, many)
    for args in many:
        await driver.fetch(sql, *args)
    return None


async def _timed(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await work()
    now = resource.getrusage(resource.RUSAGE_SELF)
    spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return time.perf_counter() - began, spent


async def measure(url: str, rounds: int, batches: int) -> None:
    """In turn, and print."""
    store = PostgresStore(ServerSettings(url))
    await store.open()
    drivers: dict[str, Driver] = {"asyncpg": await Asyncpg.open(url), "psycopg": await Psycopg.open(url)}
    found: dict[tuple[str, str], list[dict[str, tuple[float, float]]]] = {}
    bench = Bench(store)
    for number in range(rounds + 1):
        for way in ("one at a time", "four at once"):
            for name in list(drivers)[:: 1 if number % 2 else -1]:
                took = await one_round(drivers[name], bench, batches, at_once=way != "one at a time")
                left = (await store.counts()).deliveries
                assert not any(states.get(State.SCHEDULED, 0) for states in left.values()), left
                if number:
                    # The first of each warms up.
                    found.setdefault((way, name), []).append(took)
    print(
        "| | asyncpg ms | psycopg ms | ratio | asyncpg CPU ms | psycopg CPU ms | ratio |\n|---|---|---|---|---|---|---|"
    )
    for way in ("one at a time", "four at once"):
        ours, theirs = found[way, "asyncpg"], found[way, "psycopg"]
        for step in ("append", "claim", "settle"):
            cells = []
            for figure in (0, 1):
                a = [each[step][figure] * 1000 / batches for each in ours]
                b = [each[step][figure] * 1000 / batches for each in theirs]
                ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
                cells.append(f"{statistics.median(a):.2f} | {statistics.median(b):.2f} | {ratio:.2f}")
            print(f"| {step} {BATCH}, {way} | {' | '.join(cells)} |", flush=True)
    for each in drivers.values():
        await each.close()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="where the server is (default: a temporary folder)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="drivers-") as temporary,
        servers.postgresql(options.folder or Path(temporary) / "pg") as url,
    ):
        asyncio.run(measure(url, options.rounds, options.batches))


if __name__ == "__main__":
    main()
