"""What millions of settlements leave of PostgreSQL's tables: what a claim costs at the end, beside the beginning.

    python bench/churn.py [--settlements 5000000] [--hours 2] [--held-minutes 10] [--after-minutes 5] [--processes 2]
        [--waiting 5000] [--keep 5] [--every 60] [--folder DIR]

A server of its own, durable, autovacuum as it comes. Each process appends (in batches as a group commit makes them),
claims and settles through the store's port; one of 20 deliveries fails and comes back. Retention runs beside it, as in
a gateway, and forgets what ended `--keep` minutes ago. It ends after so many settlements, or hours.

Then the same goes on with one transaction held open beside it, over one snapshot, for `--held-minutes`; then without.

Printed for each interval, from pg_stat_statements: pages that a claim touched (in shared buffers, and read from
outside) and its WAL for each delivery, milliseconds, dead rows, runs of autovacuum, sizes. Pages and bytes do not
depend on what else the machine does; milliseconds do.
"""

import argparse
import asyncio
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import servers

from longstop.clock import SystemClock
from longstop.model.append import Append
from longstop.model.delivery import Attempt, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.event import Event, Headers
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim, LeaseRequest, Settlement
from longstop.model.retention import RetentionSettings
from longstop.operating.retention import Retention
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.wiring.serve import run

DESTINATIONS = ("crm", "archive")
BATCH = 128
ROOM = 32
"""Of each destination, in one claim."""
DEDUP_MS = 60_000
FAILS = 0.05
COMES_BACK_MS = 2_000
BODY = b'{"text":"' + b"x" * 400 + b'"}'

STATEMENTS = {
    "claim": "%picked AS MATERIALIZED%",
    "look": "%AS untried%",
    "next": "%AS next_due_at_ms%",
    "settle": "%WITH ends AS MATERIALIZED%",
    "append": "%WITH arriving AS MATERIALIZED%",
}
_COSTS = """
    SELECT sum(calls)::bigint AS calls, sum(rows)::bigint AS rows, sum(shared_blks_hit)::bigint AS hit,
        sum(shared_blks_read)::bigint AS read, sum(wal_bytes)::bigint AS wal, sum(total_exec_time) AS ms
    FROM pg_stat_statements WHERE query LIKE $1
"""
_SIZES = """
    SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'longstop' AND c.relkind IN ('r', 'i') ORDER BY 2 DESC
"""
_TABLES = """
    SELECT relname, n_dead_tup, autovacuum_count FROM pg_stat_user_tables
    WHERE schemaname = 'longstop' AND relname IN ('queue', 'deliveries', 'counters', 'events', 'dedup', 'attempts')
"""
_WAITING = "SELECT sum(n)::bigint FROM longstop.counted WHERE subject = 'deliveries' AND state = 'scheduled'"


# -- the load ---------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """One process of it."""

    store: PostgresStore
    number: int
    waiting: int
    settled: "Synchronized[int]"

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.rng = random.Random(self.number)
        self.ids = IdFactory(self.rng)

    async def produce(self) -> None:
        """Append for ever, so that about so many wait."""
        while True:
            counts = (await self.store.counts()).deliveries
            lacking = self.waiting - sum(states.get(State.SCHEDULED, 0) for states in counts.values())
            if lacking <= 0:
                await asyncio.sleep(0.05)
            for _ in range(max(0, lacking // BATCH)):
                await self.store.append([self._event() for _ in range(BATCH)])

    def _event(self) -> Append:
        now_ms = self.clock.now_ms()
        key = f"conversation-{self.rng.randrange(100_000)}"
        headers = Headers([("content-type", "application/json")])
        id_ = self.ids.make(now_ms)
        event = Event(id_, "shop", now_ms, BODY, headers, "message", key, dedup=id_.encode())
        to = self.rng.choice(DESTINATIONS)
        named = (self.ids.make(now_ms), id_, "shop", "message", key, now_ms, to)
        return Append(
            event, (Delivery(*named, State.SCHEDULED, due_at_ms=now_ms, round_at_ms=now_ms),), now_ms + DEDUP_MS
        )

    async def work(self) -> None:
        """Claim and settle for ever."""
        while True:
            now_ms = self.clock.now_ms()
            room = dict.fromkeys(DESTINATIONS, ROOM)
            claims = (await self.store.lease(LeaseRequest(f"w{self.number}", room, now_ms, now_ms + 30_000))).claims
            if not claims:
                await asyncio.sleep(0.02)
                continue
            lost = await self.store.settle([self._end(claim) for claim in claims])
            with self.settled.get_lock():
                self.settled.value += sum(each is None for each in lost)

    def _end(self, claim: Claim) -> Settlement:
        now_ms = self.clock.now_ms()
        failed = self.rng.random() < FAILS
        outcome = Outcome(OutcomeKind.RETRY, 503, "the destination answered 503") if failed else OK
        tried = claim.delivery.tried(outcome)
        back = Transition(Trigger.RETRY, now_ms, due_at_ms=now_ms + COMES_BACK_MS)
        after = tried.after(back if failed else Transition(Trigger.SUCCEED, now_ms))
        said = (outcome.kind, outcome.status, outcome.error)
        return Settlement(after, Attempt(tried.attempts, tried.round, now_ms, 12, *said))

    async def forget_keys(self) -> None:
        """As the rescue does."""
        while True:
            await asyncio.sleep(60)
            await self.store.forget_dedup(self.clock.now_ms())


OK = Outcome(OutcomeKind.SUCCESS, 204)


def load(url: str, number: int, waiting: int, keep_minutes: float, settled: "Synchronized[int]") -> None:
    """The inside of a process; until it is terminated."""

    async def work() -> int:
        store = PostgresStore(ServerSettings(url))
        await store.open()
        mine = Load(store, number, waiting, settled)
        jobs = [mine.produce(), mine.work(), mine.work()]
        if number == 0:
            keep = RetentionSettings(delivered_ms=round(keep_minutes * 60_000))
            jobs += [Retention(store, keep, SystemClock(), None).run(), mine.forget_keys()]
        await asyncio.gather(*jobs)
        return 0

    with suppress(KeyboardInterrupt):
        run(work())


# -- what is seen of it ----------------------------------------------------------------------------------------------


class Cost(NamedTuple):
    """What a statement has cost so far, or within an interval."""

    calls: int
    rows: int
    hit: int
    read: int
    wal: int
    ms: float

    def since(self, before: "Cost") -> "Cost":
        """The difference."""
        return Cost(*(now - then for now, then in zip(self, before, strict=True)))

    def each(self, total: float) -> float:
        """Of a total, the share of one row."""
        return total / self.rows if self.rows else float("nan")

    @property
    def pages(self) -> float:
        """For one row."""
        return self.each(self.hit + self.read)


@dataclass(frozen=True)
class Seen:
    """How it stands at a moment."""

    at_s: float
    settled: int
    waiting: int
    wal: int
    costs: Mapping[str, Cost]
    sizes: Mapping[str, int]
    dead: Mapping[str, int]
    vacuums: Mapping[str, int]


async def look(connection: asyncpg.Connection, settled: int) -> Seen:
    """As it stands now."""
    costs = {
        name: Cost(*(value or 0 for value in await connection.fetchrow(_COSTS, like)))
        for name, like in STATEMENTS.items()
    }
    tables = await connection.fetch(_TABLES)
    return Seen(
        time.monotonic(),
        settled,
        await connection.fetchval(_WAITING) or 0,
        await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"),
        costs,
        dict(await connection.fetch(_SIZES)),
        {row["relname"]: row["n_dead_tup"] for row in tables},
        {row["relname"]: row["autovacuum_count"] for row in tables},
    )


HEAD = (
    "phase", "min", "settled", "per s", "waiting", "claim: pages", "of them read", "WAL B", "ms a call",
    "looks: pages", "next: pages a call", "settle: pages", "append: pages", "WAL B a settlement", "queue MB",
    "its indexes MB", "all MB", "dead in queue", "deliveries", "vacuums of queue", "deliveries", "counters",
)  # fmt: skip


def row(phase: str, began_s: float, before: Seen, now: Seen) -> list[str]:
    """An interval, as a row of the table."""
    cost = {name: now.costs[name].since(before.costs[name]) for name in STATEMENTS}
    claim, after, looks = cost["claim"], cost["next"], cost["look"]
    took_s, done = now.at_s - before.at_s, now.settled - before.settled
    mb = {name: size / 2**20 for name, size in now.sizes.items()}
    indexes = sum(size for name, size in mb.items() if name.startswith("queue_"))
    figures: list[Any] = [
        *(phase, f"{(now.at_s - began_s) / 60:.1f}", now.settled, round(done / took_s), now.waiting),
        *(f"{claim.pages:.1f}", f"{claim.each(claim.read):.2f}", round(claim.each(claim.wal) if claim.rows else 0)),
        *(
            f"{claim.ms / max(claim.calls, 1):.2f}",
            f"{(looks.hit + looks.read) / max(claim.rows, 1):.1f}",
            f"{(after.hit + after.read) / max(after.calls, 1):.1f}",
        ),
        *(f"{cost['settle'].pages:.1f}", f"{cost['append'].pages:.1f}", round((now.wal - before.wal) / max(done, 1))),
        *(f"{mb['queue']:.1f}", f"{indexes:.1f}", f"{sum(mb.values()):.0f}"),
        *(now.dead.get(name, 0) for name in ("queue", "deliveries")),
        *(now.vacuums.get(name, 0) for name in ("queue", "deliveries", "counters")),
    ]
    return list(map(str, figures))


def line(cells: list[str] | tuple[str, ...]) -> None:
    """A line of a table."""
    print(f"| {' | '.join(cells)} |", flush=True)


class Watch:
    """Looks every so often, and prints what it sees."""

    def __init__(self, url: str, every_s: float, settled: "Synchronized[int]") -> None:
        self._url = url
        self._every_s = every_s
        self._settled = settled
        self.began_s = time.monotonic()
        self.seen: list[tuple[str, Seen]] = []

    async def phase(self, name: str, minutes: float, settlements: int | None = None) -> None:
        """Until so many minutes are over, or there are so many settlements."""
        connection = await asyncpg.connect(self._url)
        until_s = time.monotonic() + minutes * 60
        try:
            if not self.seen:
                self.seen.append(("start", await look(connection, self._settled.value)))
            while time.monotonic() < until_s and (settlements is None or self._settled.value < settlements):
                await asyncio.sleep(min(self._every_s, max(0.0, until_s - time.monotonic()) + 0.1))
                now = await look(connection, self._settled.value)
                line(row(name, self.began_s, self.seen[-1][1], now))
                self.seen.append((name, now))
        finally:
            await connection.close()

    def claims(self, phase: str) -> list[float]:
        """Pages that a claim touched for each delivery, by interval."""
        pairs = zip(self.seen, self.seen[1:], strict=False)
        return [
            now.costs["claim"].since(then.costs["claim"]).pages for (_, then), (name, now) in pairs if name == phase
        ]


async def measure(url: str, options: argparse.Namespace, settled: "Synchronized[int]") -> None:
    """The phases, and what they come to."""
    watch = Watch(url, options.every, settled)
    line(HEAD)
    line(["---"] * len(HEAD))
    await watch.phase("churn", options.hours * 60, options.settlements)
    if options.held_minutes:
        holder = await asyncpg.connect(url, server_settings={"application_name": "somebody"})
        await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await holder.fetchval("SELECT count(*) FROM longstop.nodes")
        await watch.phase("held", options.held_minutes)
        await holder.close()
        await watch.phase("after", options.after_minutes)
    print("\n| table or index, MB | " + " | ".join(SHOWN) + " |\n|---|" + "---|" * len(SHOWN))
    moments = [_at(watch, name) for name in SHOWN]
    for name in sorted(moments[-1].sizes, key=lambda each: -moments[-1].sizes[each]):
        if any(each.sizes.get(name, 0) > 2**20 for each in moments):
            line([name, *(f"{each.sizes.get(name, 0) / 2**20:.1f}" for each in moments)])
    claims = watch.claims("churn")
    part = max(1, len(claims) // 10)
    first, last = statistics.median(claims[:part]), statistics.median(claims[-part:])
    print(
        f"\npages a claim touched for a delivery: {first:.1f} at the beginning, {last:.1f} at the end of the churn, ",
        end="",
    )
    print(f"{last / first:.2f} x; {settled.value} settlements")
    for phase in ("held", "after"):
        if found := watch.claims(phase):
            print(f"{phase}: {', '.join(f'{each:.1f}' for each in found)}")


SHOWN = ("a tenth of the churn", "its end", "held", "after")


def _at(watch: Watch, moment: str) -> Seen:
    churn = [seen for name, seen in watch.seen if name == "churn"]
    if moment == SHOWN[0]:
        return churn[len(churn) // 10]
    if moment == SHOWN[1]:
        return churn[-1]
    return next((seen for name, seen in reversed(watch.seen) if name == moment), churn[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settlements", type=int, default=5_000_000)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--held-minutes", type=float, default=10.0)
    parser.add_argument("--after-minutes", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--waiting", type=int, default=5_000, help="so many wait all the time")
    parser.add_argument("--keep", type=float, default=5.0, help="minutes until what was delivered is forgotten")
    parser.add_argument("--every", type=float, default=60.0, help="seconds of an interval")
    parser.add_argument("--folder", type=Path, help="where the server keeps its data (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="churn-") as temporary:
        folder = options.folder or Path(temporary) / "pg"
        counting = {"shared_preload_libraries": "pg_stat_statements"}
        with servers.postgresql_server(folder, counting) as server:
            url = server.url(servers.DATABASE)
            server.sql("CREATE EXTENSION pg_stat_statements", servers.DATABASE)
            spawn = multiprocessing.get_context("spawn")
            settled = spawn.Value("q", 0)
            given = (url, options.waiting, options.keep, settled)
            loads = [spawn.Process(target=load, args=(url, n, *given[1:])) for n in range(options.processes)]
            try:
                run(_opened(url))
                for each in loads:
                    each.start()
                run(measured(url, options, settled))
            finally:
                for each in loads:
                    each.terminate()
                    each.join(20)


async def _opened(url: str) -> int:
    """The tables are there before anybody looks."""
    store = PostgresStore(ServerSettings(url))
    await store.open()
    await store.close()
    return 0


async def measured(url: str, options: argparse.Namespace, settled: "Synchronized[int]") -> int:
    """`measure`, as `run` takes it."""
    await measure(url, options, settled)
    return 0


if __name__ == "__main__":
    main()
