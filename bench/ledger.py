"""How long the ledger's questions take on a large store.

    python bench/ledger.py [--dead 1000000] [--delivered 10000000] [--scheduled 100000] [--folder DIR] [--keep]

Builds a store through its own schema, without syncs and with the indexes made at the end, and asks it what the command
line asks: every filter by itself, those that fit nothing too, combinations, counts, groups of the dead. Each question
is asked `--times` times; the table has the first, the median and the longest, in milliseconds. All sizes can be a
hundredth of it: the table should look the same. A million rows take about a gigabyte of disk.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from longstop.model.delivery import DeadReason, State
from longstop.model.ids import format_uuid7
from longstop.model.listing import DeliveryFilter, EventFilter, Page, TimeSteps
from longstop.stores.sqlite import SqliteStore, key_places, ledger_schema

BASE_MS = 1_767_225_600_000
EVERY_MS = 100
"""One event each: 10,000,000 are eleven days."""
CHUNK = 500_000
LAST_TAIL = (1 << 74) - 1
PER_KEY = 5
ERRORS = ("order {} is unknown", "connection refused", "timed out after {} s", "the destination answered {}")

_ID = "printf('%08x-%04x-7000-8000-%012x', ({0}) >> 16, ({0}) & 65535, {1})"
_AT = f"({BASE_MS} + i * {EVERY_MS})"
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)"
_SOURCE = "'source-' || (i % 7)"
_TYPE = "CASE WHEN i = 77 THEN 'rare' ELSE 'type-' || (i % 20) END"
_KEY = f"'conversation-' || (i * 2654435761 % (1 + ?3 / {PER_KEY}))"
_EVENTS = f"""
    INSERT INTO events (id, source, received_at_ms, type, key, origin, routed, headers, body, key_place)
    {_NUMBERS} SELECT {_ID.format(_AT, "2 * i")}, {_SOURCE}, {_AT}, {_TYPE}, {_KEY}, 'webhook', i % 1000 <> 999, x'90',
        CAST(printf('{{"number":%d,"text":"%s"}}', i, hex(zeroblob(100))) AS BLOB),
        ((i / {key_places.SEGMENT_EVENTS}) << 32) | crc32({_KEY})
    FROM n
"""
_STATE = "CASE WHEN i >= ?3 - ?4 THEN 'scheduled' WHEN i % ?5 = 0 THEN 'dead' ELSE 'delivered' END"
_DELIVERIES = f"""
    INSERT INTO deliveries (id, event_id, source, type, key, received_at_ms, destination, state, due_at_ms, round,
        round_at_ms, attempts, tries, lost, token, reason, last_status, last_error, ended_at_ms, dead_group)
    {_NUMBERS}, row(i, at, state) AS (SELECT i, {_AT}, {_STATE} FROM n WHERE i % 1000 <> 999)
    SELECT {_ID.format("at", "2 * i + 1")}, {_ID.format("at", "2 * i")}, {_SOURCE}, {_TYPE}, {_KEY}, at,
        'destination-' || (i % 3), state, at, 1, at, state <> 'scheduled', 0, 0, state <> 'scheduled',
        CASE WHEN state = 'dead' THEN CASE i % 2 WHEN 0 THEN 'rejected' ELSE 'exhausted' END END,
        CASE WHEN state = 'dead' THEN 400 + i % 5 WHEN state = 'delivered' THEN 204 END,
        CASE WHEN state = 'dead' THEN dead_error(i) END,
        CASE WHEN state <> 'scheduled' THEN at + i % 60000 END, NULL
    FROM row
"""
_GROUPS = """
    INSERT INTO dead_groups (destination, reason, status, error, n, keys)
        SELECT destination, reason, last_status, error_group(last_error) AS error, count(*), count(DISTINCT key)
        FROM deliveries WHERE state = 'dead' GROUP BY 1, 2, 3, 4;
    UPDATE deliveries SET dead_group = (SELECT id FROM dead_groups g WHERE g.destination = deliveries.destination
        AND g.reason = deliveries.reason AND g.status = last_status AND g.error = error_group(last_error))
        WHERE state = 'dead';
    INSERT INTO dead_times (dead_group, at_ms, n)
        SELECT dead_group, ended_at_ms - ended_at_ms % 900000, count(*)
        FROM deliveries WHERE state = 'dead' GROUP BY 1, 2;
"""
_COUNTERS = """
    DELETE FROM counters;
    INSERT INTO counters (subject, name, state, n) SELECT 'events', source, '', count(*) FROM events GROUP BY source;
    INSERT INTO counters (subject, name, state, n) SELECT 'unrouted', '', '', count(*) FROM events WHERE routed = 0;
    INSERT INTO counters (subject, name, state, n)
        SELECT 'deliveries', destination, state, count(*) FROM deliveries GROUP BY destination, state;
"""
_INDEXES = """
    SELECT name, sql FROM sqlite_schema
    WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('events', 'deliveries')
"""


async def build(path: Path, dead: int, delivered: int, scheduled: int) -> None:
    """A store of this size."""
    store = SqliteStore(path)
    await store.open()
    await store.close()
    connection = apsw.Connection(str(path))
    ledger_schema.define_functions(connection)
    connection.create_scalar_function("crc32", lambda *key: zlib.crc32(str(key[0]).encode()), 1, deterministic=True)
    connection.create_scalar_function("dead_error", lambda *i: ERRORS[int(str(i[0])) // 11 % 4].format(i[0]), 1)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000", "temp_store = FILE"):
        connection.execute(f"PRAGMA {pragma}")
    total = dead + delivered + scheduled
    indexes = list(connection.execute(_INDEXES))
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for query, values in ((_EVENTS, (total,)), (_DELIVERIES, (total, scheduled, max(1, (dead + delivered) // dead)))):
        for start in range(0, total, CHUNK):
            connection.execute(query, (start, min(start + CHUNK, total), *values))
    connection.execute(_GROUPS)
    connection.execute(_COUNTERS)
    segments = -(-total // key_places.SEGMENT_EVENTS)
    ends = (BASE_MS + n * key_places.SEGMENT_EVENTS * EVERY_MS - 1 for n in range(segments))
    starts = ((n, format_uuid7(end_ms, LAST_TAIL) if n else "", n) for n, end_ms in enumerate(ends))
    connection.execute("DELETE FROM key_segments")
    connection.executemany("INSERT INTO key_segments VALUES (?, ?, ?)", starts)
    for _, sql in indexes:
        connection.execute(str(sql))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


Question = tuple[str, Callable[[], Awaitable[Any]]]


def questions(store: SqliteStore, total: int) -> Iterator[Question]:
    """What is asked, and how."""
    half_ms = BASE_MS + total // 2 * EVERY_MS
    day_ms = 86_400_000
    yield "counts (status)", store.counts
    yield "groups of the dead", store.dead_groups
    over = TimeSteps.until(BASE_MS + total * EVERY_MS, 900_000, 4)
    yield "groups of the dead, over an hour", lambda: store.dead_groups(None, 100, over)
    listings: list[tuple[str, DeliveryFilter | EventFilter]] = [
        *(
            (f"dead: {said}", DeliveryFilter(state=State.DEAD, **given))
            for said, given in _dead_filters(half_ms, day_ms)
        ),
        *((f"events: {said}", EventFilter(**given)) for said, given in _event_filters(half_ms, day_ms)),
        *((f"deliveries: {said}", DeliveryFilter(**given)) for said, given in _delivery_filters(half_ms, day_ms)),
    ]
    for said, wanted in listings:
        yield said, lambda wanted=wanted: _list(store, wanted, Page())
    for said, wanted in listings[:8]:
        yield f"{said}, oldest first", lambda wanted=wanted: _list(store, wanted, Page(newest_first=False))
    yield from _from_the_middle_on(store, format_uuid7(half_ms, 0), total)


def _from_the_middle_on(store: SqliteStore, after: str, total: int) -> Iterator[Question]:
    """Pages far behind the first, of times that hold all of it: what is before and behind them costs nothing."""
    end_ms = BASE_MS + (total + 600_000) * EVERY_MS
    asked: list[tuple[str, DeliveryFilter | EventFilter]] = [
        ("dead:", DeliveryFilter(state=State.DEAD)),
        ("dead, ended since:", DeliveryFilter(state=State.DEAD, since_ms=BASE_MS)),
        ("dead, ended until:", DeliveryFilter(state=State.DEAD, until_ms=end_ms)),
        ("dead, received since:", DeliveryFilter(state=State.DEAD, received_since_ms=BASE_MS)),
        ("dead, received until:", DeliveryFilter(state=State.DEAD, received_until_ms=end_ms)),
        ("delivered, ended until:", DeliveryFilter(state=State.DELIVERED, until_ms=end_ms)),
        ("events, since:", EventFilter(since_ms=BASE_MS)),
        ("events, until:", EventFilter(until_ms=end_ms)),
        ("events of a type, until:", EventFilter(type="type-9", until_ms=end_ms)),
    ]
    for said, wanted in asked:
        for newest_first in (True, False):
            page = Page(50, after, newest_first)
            way = "down" if newest_first else "up"
            yield f"{said} from the middle {way}", lambda wanted=wanted, page=page: _list(store, wanted, page)


def _dead_filters(half_ms: int, day_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "all", {}
    for name, there in (("destination", "destination-1"), ("source", "source-3"), ("type", "type-9")):
        yield name, {name: there}
        yield f"{name} that is not there", {name: "nobody"}
    yield "key", {"key": "conversation-7"}
    yield "key that is not there", {"key": "nobody"}
    yield "reason", {"reason": DeadReason.EXHAUSTED}
    yield "reason that is not there", {"reason": DeadReason.CRASHED}
    yield "status", {"status": 403}
    yield "status that is not there", {"status": 599}
    yield "error", {"error": "refused"}
    yield "error group", {"error": "order # is unknown"}
    yield "error that is not there", {"error": "nothing like it"}
    yield "number in an error (a search: ends after a second)", {"error": "order 1034 is"}
    yield "since (an hour before the middle)", {"since_ms": half_ms - 3_600_000}
    yield "until (the second day)", {"until_ms": BASE_MS + day_ms}
    yield "since and until (an hour)", {"since_ms": half_ms, "until_ms": half_ms + 3_600_000}
    yield "destination, status, type", {"destination": "destination-1", "status": 402, "type": "type-4"}


def _event_filters(half_ms: int, day_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "all", {}
    yield "source", {"source": "source-3"}
    yield "source that is not there", {"source": "nobody"}
    yield "type", {"type": "type-9"}
    yield "type, one in all", {"type": "rare"}
    yield "key", {"key": "conversation-7"}
    yield "key that is not there", {"key": "nobody"}
    yield "unrouted", {"unrouted": True}
    yield "since and until (an hour)", {"since_ms": half_ms, "until_ms": half_ms + 3_600_000}
    yield "until (the first day)", {"until_ms": BASE_MS + day_ms}
    yield "source and type", {"source": "source-3", "type": "type-9"}
    yield "text that is not there (ends after a second)", {"contains": b"nothing like it"}


def _delivery_filters(half_ms: int, day_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "all", {}
    yield "scheduled", {"state": State.SCHEDULED}
    yield "scheduled, destination", {"state": State.SCHEDULED, "destination": "destination-1"}
    yield "scheduled, one type in all", {"state": State.SCHEDULED, "type": "rare"}
    yield "held (none)", {"state": State.SCHEDULED, "held": True}
    yield "delivered", {"state": State.DELIVERED}
    yield "delivered, destination", {"state": State.DELIVERED, "destination": "destination-1"}
    yield "delivered, key", {"state": State.DELIVERED, "key": "conversation-7"}
    yield "delivered, type", {"state": State.DELIVERED, "type": "type-9"}
    yield "delivered, received in an hour", {
        "state": State.DELIVERED, "received_since_ms": half_ms, "received_until_ms": half_ms + 3_600_000,
    }  # fmt: skip
    yield "delivered until the second day", {"state": State.DELIVERED, "until_ms": BASE_MS + day_ms}
    yield "key", {"key": "conversation-7"}


async def _list(store: SqliteStore, wanted: DeliveryFilter | EventFilter, page: Page) -> tuple[int, bool]:
    listing: Any
    if isinstance(wanted, EventFilter):
        listing = await store.find_events(wanted, page)
    else:
        listing = await store.find_deliveries(wanted, page)
    return len(listing.rows), listing.searched_to_ms is not None


async def measure(path: Path, times: int, total: int) -> None:
    """Ask and print."""
    store = SqliteStore(path, watch_s=None)
    await store.open()
    print("| question | rows | first ms | median ms | longest ms |\n|---|---|---|---|---|")
    for said, ask in questions(store, total):
        took, answer = [], None
        for _ in range(times):
            began = time.perf_counter()
            answer = await ask()
            took.append((time.perf_counter() - began) * 1000)
        rows = f"{answer[0]}{' (patience ended)' if answer[1] else ''}" if isinstance(answer, tuple) else ""
        print(f"| {said} | {rows} | {took[0]:.1f} | {statistics.median(took):.1f} | {max(took):.1f} |", flush=True)
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dead", type=int, default=1_000_000)
    parser.add_argument("--delivered", type=int, default=10_000_000)
    parser.add_argument("--scheduled", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to build it (default: a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the store, and take it as it is the next time")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="backlog-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "backlog.db"
    total = options.dead + options.delivered + options.scheduled
    try:
        began = time.perf_counter()
        if not path.exists():
            asyncio.run(build(path, options.dead, options.delivered, options.scheduled))
        size = path.stat().st_size / 2**30
        print(f"{total} events, {options.dead} dead; {size:.1f} GiB, built in {time.perf_counter() - began:.0f} s\n")
        asyncio.run(measure(path, options.times, total))
    finally:
        if not options.keep:
            path.unlink(missing_ok=True)
            if options.folder is None:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
