"""What PostgreSQL is asked costs the same for a small store and for one four times as large: by the rows and the
entries of indexes that it looks at, which are the same on every machine. The questions are those of bench/ledger.py and
what workers and retention ask; each store is in as many spans as it has in time.
"""

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

import postgres_server
from longstop.model.delivery import State
from longstop.model.lease import Claim, LeaseRef, LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.retention import Cutoffs, Kind
from longstop.stores.postgres import PostgresStore, ServerSettings, find_deliveries, spans, walk
from longstop.testing.builders import make_append
from longstop.testing.store_contract.steps import delivered, parked, replay, to_retry

T = TypeVar("T")

BENCH = Path(__file__).parents[2] / "bench" / "ledger.py"
DEAD, SCHEDULED, TOTAL = 4, 800, 8_000
"""One in so many is dead; so many wait, of so many."""
TIMES = 4
SLACK = 400
"""A page that begins at another row may meet a few rows more that do not fit."""
BEGIN_MS, LATE_MS = 1_767_225_600_000, 2_000_000_000_000
SEARCHES = ("text that is not there", "number in an error", "destination, status, type")
"""What looks at much, until its patience is over: texts, and several conditions of which no index has all."""
AN_HOUR = "(an hour)"
"""An hour holds more of the larger store: the smaller one is not much longer."""

_HEX = "lpad(to_hex({}), {}, '0')"
_HEAD, _TAIL = f"{_HEX.format('{0} >> 16', 8)} || '-' || {_HEX.format('{0} & 65535', 4)}", _HEX.format("{1}", 12)
_ID = f"{_HEAD} || '-7000-8000-' || {_TAIL}"
_AT = f"({BEGIN_MS} + i * 100)"
_NAMES = """
    'source-' || i % 7, CASE WHEN i = 77 THEN 'rare' ELSE 'type-' || i / 4 % 20 END, 'conversation-' || i * 7919 % 1600
"""
_EVENTS = f"""
    INSERT INTO events (id, source, type, key, received_at_ms, origin, routed, headers, body)
    SELECT {_ID.format(_AT, "2 * i")}, {_NAMES}, {_AT}, 'webhook', i % 1000 <> 999, '\\x90',
        convert_to('{{"number":' || i || '}}', 'UTF8')
    FROM generate_series(0::bigint, $1::bigint - 1) AS i
"""
_STATE = f"""
    CASE WHEN i >= $1::bigint - {SCHEDULED} * $1 / {TOTAL} THEN 'scheduled' WHEN i % {DEAD} = 0 THEN 'dead'
        ELSE 'delivered' END
"""
_ERROR = """
    (ARRAY['order ' || i || ' is unknown', 'connection refused', 'timed out after ' || i || ' s'])[1 + i / 11 % 3]
"""
_DELIVERIES = f"""
    INSERT INTO deliveries (id, event_id, source, type, key, received_at_ms, destination, state, due_at_ms, round,
        round_at_ms, attempts, tries, lost, token, skipped, reason, last_status, last_error, ended_at_ms)
    SELECT {_ID.format(_AT, "2 * i + 1")}, {_ID.format(_AT, "2 * i")}, {_NAMES}, {_AT}, 'destination-' || i % 3, s,
        {_AT}, 1, {_AT}, 1, 0, 0, 1, false,
        CASE WHEN s = 'dead' THEN (ARRAY['rejected', 'exhausted'])[1 + i / 3 % 2] END,
        CASE s WHEN 'dead' THEN 402 + i / 7 % 2 WHEN 'delivered' THEN 204 END, CASE WHEN s = 'dead' THEN {_ERROR} END,
        CASE WHEN s <> 'scheduled' THEN {_AT} + i % 60000 END
    FROM generate_series(0::bigint, $1::bigint - 1) AS i, LATERAL (SELECT {_STATE} AS s) AS standing
    WHERE i % 1000 <> 999
"""
_REST = """
    INSERT INTO queue (id, destination, due_at_ms, tried, tries, held, token)
        SELECT id, destination, due_at_ms, false, 0, false, 0 FROM deliveries WHERE state = 'scheduled';
    INSERT INTO dead_groups (destination, reason, status, error, n, keys)
        SELECT destination, reason, last_status, error_group(last_error), count(*), count(DISTINCT key)
        FROM deliveries WHERE state = 'dead' GROUP BY 1, 2, 3, 4;
    UPDATE deliveries d SET dead_group = g.id FROM dead_groups g WHERE d.state = 'dead' AND g.reason = d.reason
        AND g.destination = d.destination AND g.status = d.last_status AND g.error = error_group(d.last_error);
    INSERT INTO counters SELECT 'events', source, '', 0, count(*) FROM events GROUP BY source;
    INSERT INTO counters SELECT 'unrouted', '', '', 0, count(*) FROM events WHERE NOT routed;
    INSERT INTO counters SELECT 'deliveries', destination, state, 0, count(*) FROM deliveries GROUP BY 2, 3;
    INSERT INTO attempts (delivery_id, number, round, started_at_ms, duration_ms, outcome, answer)
        SELECT id, 1, 1, received_at_ms, 5, 'success', '' FROM deliveries WHERE state <> 'scheduled';
"""
_LOOKED_AT = """
    SELECT sum(pg_stat_get_xact_tuples_returned(c.oid))::bigint FROM pg_class c
    WHERE c.relnamespace = current_schema::regnamespace AND c.relkind IN ('r', 'i')
"""
"""Entries of indexes, and rows of tables that were read as a whole, by this connection."""


class Watched(PostgresStore):
    """Counts what its transactions look at."""

    looked_at = 0

    async def view(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return await super().view(lambda connection: self._watched(connection, work))

    async def transact(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return await super().transact(lambda connection: self._watched(connection, work))

    async def rows(self, sql: str, *args: object) -> Sequence[asyncpg.Record]:
        return await self.transact(lambda connection: connection.fetch(sql, *args))

    async def _watched(self, connection: asyncpg.Connection, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        before = await connection.fetchval(_LOOKED_AT)
        result = await work(connection)
        self.looked_at += await connection.fetchval(_LOOKED_AT) - before
        return result


def bench() -> Any:
    spec = importlib.util.spec_from_file_location("bench_backlog", BENCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def fill(connection: asyncpg.Connection, total: int, analyzed: bool) -> None:
    await connection.execute(_EVENTS, total)
    await connection.execute(_DELIVERIES, total)
    await connection.execute(_REST)
    if analyzed:
        await connection.execute("ANALYZE")


async def _divide(connection: asyncpg.Connection, until_id: str) -> None:
    await spans.divide(connection, (await spans.read(connection))[-1], until_id)


async def costs(url: str, total: int, analyzed: bool) -> dict[str, int]:
    """What each question looks at, in a store of so many events."""
    store = Watched(ServerSettings(url, relaxed=True))
    await store.open()
    found: dict[str, int] = {}
    try:
        for number in range(1, spans.SPANS):
            until_id = spans.lowest_id(BEGIN_MS + total * 100 * number // spans.SPANS)
            await store.transact(lambda connection, until_id=until_id: _divide(connection, until_id))
        await store.transact(lambda connection: fill(connection, total, analyzed))
        everything = Cutoffs(*[LATE_MS] * 4)
        questions = [
            *bench().questions(store, total),
            *(
                (f"forgettable: {kind}", lambda kind=kind: store.forgettable(kind, everything, None, 50))
                for kind in Kind
            ),
            ("forget", lambda: _forget(store, everything)),
            ("forget attempts", lambda: _forget_attempts(store)),
            ("what happened lately", lambda: store.recent(BEGIN_MS + total * 100 - 1_000, 50)),
            ("the way of an event", lambda: _deliver(store)),
            ("act", lambda: _act(store)),
            ("all of some events", lambda: _whole(store)),
        ]
        for said, ask in questions:
            before = store.looked_at
            await ask()
            found[said] = store.looked_at - before
    finally:
        await store.close()
    return found


async def _forget(store: PostgresStore, before: Cutoffs) -> None:
    found = await store.forgettable(Kind.DEAD, before, None, 50)
    assert await store.forget(found.event_ids, before) == 50


async def _forget_attempts(store: PostgresStore) -> None:
    found = await store.old_attempts(LATE_MS, None, 50)
    assert await store.forget_attempts(found.event_ids, LATE_MS) >= 50


async def _deliver(store: PostgresStore) -> None:
    await store.append([make_append(number, dedup=b"%d" % number) for number in range(20)])
    room = {f"destination-{number}": 10 for number in range(3)}
    claims = (await store.lease(LeaseRequest("w", room, LATE_MS, LATE_MS + 1_000))).claims
    assert len(claims) == 30
    refs = [LeaseRef(claim.delivery.id, claim.delivery.token) for claim in claims]
    assert await store.extend(refs, LATE_MS + 2_000) == [None] * 30
    assert len(await store.expired(LATE_MS + 2_000, 100)) == 30
    ends = (delivered, to_retry_late, parked)
    settled = [ends[number % 3](claim, LATE_MS) for number, claim in enumerate(claims)]
    assert await store.settle(settled) == [None] * 30


def to_retry_late(claim: Claim, at_ms: int) -> Settlement:
    return to_retry(claim, at_ms + 1_000)


async def _act(store: PostgresStore) -> None:
    dead = (await store.find_deliveries(DeliveryFilter(state=State.DEAD), Page(20))).rows
    assert None not in await store.act([replay(each.id, LATE_MS) for each in dead])


async def _whole(store: PostgresStore) -> None:
    found = (await store.find_events(EventFilter(), Page(20))).rows
    assert len(await store.whole([row.event.id for row in found])) == 20


@pytest.fixture(params=(True, False), ids=("analyzed", "before the first ANALYZE"))
async def both(
    request: pytest.FixtureRequest, postgresql: postgres_server.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, int], dict[str, int]]:
    # What is so few in the smaller store is fetched and sorted.
    monkeypatch.setattr(find_deliveries, "FEW", 100)
    # How much is looked at in one go is not to depend on how quick this machine is.
    monkeypatch.setattr(walk, "QUICK_S", float("inf"))
    with postgresql.database("template0") as one, postgresql.database("template0") as other:
        return await costs(one, TOTAL, request.param), await costs(other, TOTAL * TIMES, request.param)


async def test_no_question_costs_more_for_a_larger_store(both: tuple[dict[str, int], dict[str, int]]) -> None:
    small, large = both
    assert len(small) > 50
    assert sum(looked_at > 0 for looked_at in small.values()) > 40, "what is looked at is counted"
    grown = {
        said: (small[said], looked_at)
        for said, looked_at in large.items()
        if looked_at > 1.5 * small[said] + SLACK and AN_HOUR not in said and not any(each in said for each in SEARCHES)
    }
    assert grown == {}
    # The count can tell: a search for what is not there looks at all.
    said = next(each for each in small if "text that is not there" in each)
    assert large[said] > 2 * small[said]
