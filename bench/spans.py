"""What forgetting a span of events costs PostgreSQL at once, and row by row.

    python bench/spans.py [--events 1000000] [--by-rows 100000] [--folder DIR]

A store gets a span of so many delivered events of 1.1 kB, each with an attempt; some are dead, and stay. They are
forgotten beside a sender that appends one event after the other: at once, and of another such span some row by row.
Printed for 1,000 events: seconds, and bytes of the server's log; the longest that the sender waited; what is left of
the tables. Sums and bytes are the same on every machine; times are not.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import servers

from longstop.model.retention import DAY_MS, Cutoffs, Kind
from longstop.operating.retention import IN_ONE
from longstop.stores.postgres import PostgresStore, ServerSettings, spans
from longstop.testing.builders import AT_MS, make_append

START_MS = AT_MS + 30 * DAY_MS
BEFORE = Cutoffs(START_MS + 5 * DAY_MS, 0, 0, 0)
ONE_DEAD_IN = 1_000

_HEX = "lpad(to_hex({}), {}, '0')"
_AT = f"({START_MS} + $2::bigint + i * 40000000 / $1::bigint)"
_ID = (
    f"{_HEX.format(f'{_AT} >> 16', 8)} || '-' || {_HEX.format(f'{_AT} & 65535', 4)} || '-7000-8000-' || "
    + _HEX.format("2 * i + {}", 12)
)
_EVENTS = f"""
    INSERT INTO events (id, source, type, key, received_at_ms, origin, routed, headers, body)
    SELECT {_ID.format(0)}, 'shop', 'type-' || i % 20, 'conversation-' || i / 4, {_AT}, 'webhook', true, '\\x90',
        convert_to(rpad(i || '', 1100, md5(i || '')), 'UTF8')
    FROM generate_series(0::bigint, $1::bigint - 1) AS i
"""
_DELIVERIES = f"""
    INSERT INTO deliveries (id, event_id, source, type, key, received_at_ms, destination, state, due_at_ms, round,
        round_at_ms, attempts, tries, lost, token, skipped, reason, last_status, ended_at_ms)
    SELECT {_ID.format(1)}, {_ID.format(0)}, 'shop', 'type-' || i % 20, 'conversation-' || i / 4, {_AT}, 'crm', s,
        {_AT},
        1, {_AT}, 1, 1, 0, 1, false, CASE s WHEN 'dead' THEN 'rejected' END, 204, {_AT} + 1000
    FROM generate_series(0::bigint, $1::bigint - 1) AS i,
        LATERAL (SELECT CASE WHEN i % {ONE_DEAD_IN} = 7 THEN 'dead' ELSE 'delivered' END AS s) AS standing
"""
_ATTEMPTS = f"""
    INSERT INTO attempts (delivery_id, number, round, started_at_ms, duration_ms, outcome, status, answer)
    SELECT {_ID.format(1)}, 1, 1, {_AT}, 5, 'success', 204, '' FROM generate_series(0::bigint, $1::bigint - 1) AS i
"""
_COUNTED = """
    DELETE FROM counters;
    INSERT INTO counters SELECT 'events', source, '', 0, count(*) FROM events GROUP BY source;
    INSERT INTO counters SELECT 'deliveries', destination, state, 0, count(*) FROM deliveries GROUP BY 2, 3;
"""
_LOG = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS it"
_SIZE = """
    SELECT sum(pg_total_relation_size(oid))::bigint AS it FROM pg_class
    WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'
"""


@dataclass
class Cost:
    """What it took."""

    events: int
    seconds: float
    log_bytes: int
    longest_append_ms: float
    left_bytes: int


async def fill(store: PostgresStore, events: int, day: int) -> None:
    """A span of this day's events."""
    for sql in (_EVENTS, _DELIVERIES, _ATTEMPTS):
        await store.transact(
            lambda connection, sql=sql: connection.execute(f"{sql}", events, day * DAY_MS, timeout=3_600)
        )
    await store.transact(lambda connection: connection.execute(_COUNTED, timeout=3_600))


@contextlib.asynccontextmanager
async def sender(store: PostgresStore, first: int) -> AsyncIterator[list[float]]:
    """One event after the other, and how long each took in ms."""
    took: list[float] = []

    async def send() -> None:
        number = first
        while True:
            number += 1
            began = time.perf_counter()
            await store.append([make_append(number, key=None)])
            took.append((time.perf_counter() - began) * 1000)

    task = asyncio.create_task(send())
    yield took
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def value(store: PostgresStore, sql: str) -> int:
    return int((await store.rows(sql))[0]["it"])


async def at_once(store: PostgresStore) -> int:
    span = await store.due_span(BEFORE)
    assert span is not None
    gone = await store.forget_span(span, BEFORE, ())
    assert gone is not None
    return gone


async def by_rows(store: PostgresStore, most: int) -> int:
    """What retention does, without its pauses."""
    gone = 0
    while gone < most:
        found = await store.forgettable(Kind.DELIVERED, BEFORE, None, 512)
        for start in range(0, len(found.event_ids), IN_ONE):
            gone += await store.forget(found.event_ids[start : start + IN_ONE], BEFORE)
        if not found.event_ids:
            break
    return gone


async def measure(url: str, events: int, rows: int | None) -> Cost:
    """Of a new schema. rows None: at once."""
    store = PostgresStore(ServerSettings(url, schema="rows" if rows else "span", statement_s=3_600))
    await store.open()
    try:
        await store.append([make_append(0)])
        await store.prepare_spans(START_MS - spans.FAR_MS)
        await store.prepare_spans(START_MS)
        await fill(store, events, 0)
        await store.prepare_spans(START_MS + DAY_MS)
        if rows:
            await store.rows("UPDATE spans SET by_rows = true")
        await store.rows("CHECKPOINT")
        before = await value(store, _LOG)
        began = time.perf_counter()
        async with sender(store, 5 * DAY_MS + START_MS - AT_MS) as took:
            gone = await (by_rows(store, rows) if rows else at_once(store))
            seconds = time.perf_counter() - began
        log_bytes = await value(store, _LOG) - before
        assert (await store.recount()).drifts == ()
        return Cost(gone, seconds, log_bytes, max(took, default=0), await value(store, _SIZE))
    finally:
        await store.close()


async def main(folder: Path, events: int, rows: int) -> None:
    with servers.postgresql_server(folder / "pg", {"max_wal_size": "8GB"}) as server:
        url = server.url(servers.DATABASE)
        costs = {"at once": await measure(url, events, None), "row by row": await measure(url, events, rows)}
    print("| | events | s | s per 1,000 | log per event, B | longest append, ms | left, MB |")
    print("|---|---|---|---|---|---|---|")
    for said, cost in costs.items():
        each = cost.seconds / cost.events
        cells = (cost.events, f"{cost.seconds:.2f}", f"{each * 1000:.4f}", f"{cost.log_bytes / cost.events:.1f}")
        print(
            f"| {said} | {' | '.join(map(str, cells))} | {cost.longest_append_ms:.0f} | {cost.left_bytes / 1e6:.1f} |"
        )
    one, other = costs["at once"], costs["row by row"]
    print(f"\nratio of seconds per event: {other.seconds / other.events / (one.seconds / one.events):.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--by-rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        asyncio.run(main(options.folder or Path(temporary), options.events, options.by_rows))
