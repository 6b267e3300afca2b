"""A rolling upgrade: the version before the spans and this one side by side on one database, under load."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import postgres_server
from longstop.model.lease import LeaseRequest
from longstop.model.listing import EventFilter, Page
from longstop.stores.postgres import PostgresStore, ServerSettings, schema, spans
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered

OLD = Path(__file__).with_name("postgres_version_4.py")
EVENTS = 60
"""So many each process appends at least, before and after each step."""


class Old:
    """A process of the version before."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def started(url: str, first: int) -> "Old":
        command = (sys.executable, str(OLD), url, str(first))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**26)
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline()) == "open"
        return Old(process)

    async def ended(self) -> dict[str, Any]:
        """What it did."""
        out, _ = await self._process.communicate(b"")
        assert self._process.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


async def grown(store: PostgresStore) -> None:
    """Until the old one has appended so many more."""
    count = (await store.rows("SELECT count(*) AS n FROM events"))[0]["n"]
    while (await store.rows("SELECT count(*) AS n FROM events"))[0]["n"] < count + EVENTS:
        await asyncio.sleep(0.01)


def new(url: str) -> PostgresStore:
    return PostgresStore(ServerSettings(url, relaxed=True))


async def work_beside(store: PostgresStore, first: int) -> set[str]:
    """What the newer version does meanwhile: the ids of its events."""
    kept = set()
    for number in range(first, first + EVENTS):
        (receipt,) = await store.append([make_append(number)])
        kept.add(receipt.event_id)
        claims = (await store.lease(LeaseRequest("new", {"crm": 3}, AT_MS + 10**9, AT_MS + 2 * 10**9))).claims
        assert await store.settle([delivered(claim) for claim in claims]) == [None] * len(claims)
    return kept


async def kept_ids(store: PostgresStore) -> list[str]:
    ids: list[str] = []
    after: str | None = None
    while True:
        found = await store.find_events(EventFilter(), Page(500, after))
        ids += [row.event.id for row in found.rows]
        if found.next_after is None:
            return ids
        after = found.next_after


async def test_the_version_before_works_on_while_the_tables_are_divided(
    postgresql: postgres_server.PostgresServer,
) -> None:
    with postgresql.database("template0") as url:
        old = await Old.started(url, 0)
        stores = [new(url), new(url)]
        await asyncio.gather(*(store.open() for store in stores))
        one, two = stores
        await grown(one)
        mine = await work_beside(one, 10**7)
        # Cut while both write to what is cut: once with rows in it, then a span that is empty.
        await asyncio.gather(one.prepare_spans(AT_MS), two.prepare_spans(AT_MS))
        await grown(one)
        await one.prepare_spans(AT_MS + spans.FAR_MS)
        mine |= await work_beside(two, 2 * 10**7)
        await grown(one)
        late = await Old.started(url, 3 * 10**7)
        await grown(two)
        did = [await old.ended(), await late.ended()]
        assert [each["refused"] for each in did] == [[], []]
        acknowledged = {id_ for each in did for id_ in each["acknowledged"]} | mine
        assert set(await kept_ids(one)) == acknowledged
        assert len(await one.view(spans.read)) >= 3
        last: str | None = None
        while True:
            step = await two.recount(last)
            assert step.drifts == ()
            last = step.next_after
            if last is None:
                break
        for store in stores:
            await store.close()


async def test_many_who_open_an_empty_database_at_once_migrate_it_once(
    postgresql: postgres_server.PostgresServer,
) -> None:
    with postgresql.database("template0") as url:
        stores = [new(url) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        rows = await stores[0].rows("SELECT version FROM longstop_schema")
        assert [row["version"] for row in rows] == [len(schema.MIGRATIONS)]
        await asyncio.gather(*(store.prepare_spans(AT_MS) for store in stores))
        found = await stores[0].view(spans.read)
        assert len({row.name for row in found}) == len(found)
        assert [row.until_id for row in found] == [*(row.from_id for row in found[1:]), None]
        for store in stores:
            await store.close()


_INDEXES = """
    SELECT c.relname::varchar AS name, i.indisvalid AS valid, pg_get_expr(i.indpred, i.indrelid)::varchar AS predicate,
        i.indkey::varchar AS columns, pg_get_expr(i.indexprs, i.indrelid)::varchar AS expressions, i.indisunique
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1::varchar::regclass ORDER BY c.relname
"""
_COLUMNS = """
    SELECT attname::varchar, atttypid::regtype::varchar, attnotnull, attcollation::regcollation::varchar,
        pg_get_expr(adbin, adrelid)::varchar
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = $1::varchar::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


async def table_of(store: PostgresStore, table: str) -> tuple[list[Any], list[Any]]:
    return [tuple(row) for row in await store.rows(_INDEXES, table)], [
        tuple(row) for row in await store.rows(_COLUMNS, table)
    ]


async def files_of(store: PostgresStore, tables: list[str]) -> list[int]:
    return [(await store.rows("SELECT pg_relation_filenode($1::varchar) AS it", name))[0]["it"] for name in tables]


async def test_dividing_the_tables_reads_and_writes_no_row_and_loses_no_index(
    postgresql: postgres_server.PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgresql.database("template0") as url:
        before = new(url)
        with monkeypatch.context() as patched:
            patched.setattr(schema.prepare, "__defaults__", (schema.MIGRATIONS[:4],))
            patched.setattr(schema.refuse_newer, "__defaults__", (schema.MIGRATIONS[:4],))
            await before.open()
        await before.append([make_append(number) for number in range(20)])
        was = {table: await table_of(before, table) for table in spans.TABLES}
        files = await files_of(before, list(spans.TABLES))
        await before.close()
        after = new(url)
        await after.open()
        assert {table: await table_of(after, table) for table in spans.TABLES} == was
        assert await files_of(after, [f"{table}_first" for table in spans.TABLES]) == files
        assert (await after.counts()).events == 20
        await after.prepare_spans(AT_MS)
        assert await files_of(after, [f"{table}_first" for table in spans.TABLES]) == files
        last = (await after.view(spans.read))[-1]
        for table in spans.TABLES:
            (made, _), (first, _) = await table_of(after, last.of(table)), was[table]
            assert sorted(map(str, (row[1:] for row in made))) == sorted(map(str, (row[1:] for row in first)))
        await after.close()
