"""A rolling upgrade: the version before the spans and this one side by side on one database, under load.

The version before is what the repository's history has: without that, nothing here is run.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import postgres_server
from longstop.model.lease import LeaseRequest
from longstop.model.listing import EventFilter, Page
from longstop.stores.postgres import PostgresStore, ServerSettings, schema, spans
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered

WORK = Path(__file__).with_name("postgres_version_before.py")
ROOT = Path(__file__).parents[2]
BEFORE = "24cd9a1"
"""The last commit before tables were divided: three steps of the schema."""
EVENTS = 60
"""So many each process appends at least, before and after each step."""


class Old:
    """A process of the version before."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @staticmethod
    async def started(package: Path, url: str, first: int) -> "Old":
        command = (sys.executable, str(WORK), url, str(first))
        pipe, environ = asyncio.subprocess.PIPE, {**os.environ, "PYTHONPATH": str(package)}
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environ, limit=2**26)
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline()) == "open"
        return Old(process)

    async def ended(self) -> dict[str, Any]:
        """What it did."""
        out, _ = await self._process.communicate(b"")
        assert self._process.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package of the version before is in."""
    folder = tmp_path_factory.mktemp("before")
    packed = subprocess.run(["git", "-C", ROOT, "archive", BEFORE, "src"], capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip("the version before is not in this checkout: one with its whole history runs it")
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder / "src"


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
    postgresql: postgres_server.PostgresServer, before: Path
) -> None:
    with postgresql.database("template0") as url:
        old = await Old.started(before, url, 0)
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
        late = await Old.started(before, url, 3 * 10**7)
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


async def table_of(connection: asyncpg.Connection, table: str) -> tuple[list[Any], list[Any]]:
    indexes, described = await connection.fetch(_INDEXES, table), await connection.fetch(_COLUMNS, table)
    return [tuple(row) for row in indexes], [tuple(row) for row in described]


async def files_of(connection: asyncpg.Connection, tables: list[str]) -> list[int]:
    return [await connection.fetchval("SELECT pg_relation_filenode($1::varchar)", name) for name in tables]


async def test_dividing_the_tables_reads_and_writes_no_row_and_loses_no_index(
    postgresql: postgres_server.PostgresServer, before: Path
) -> None:
    with postgresql.database("template0") as url:
        old = await Old.started(before, url, 0)
        looking = await asyncpg.connect(url, server_settings={"search_path": "longstop"})
        while await looking.fetchval("SELECT count(*) FROM events") < EVENTS:
            await asyncio.sleep(0.01)
        did = await old.ended()
        was = {table: await table_of(looking, table) for table in spans.TABLES}
        files = await files_of(looking, list(spans.TABLES))
        after = new(url)
        await after.open()
        first = [f"{table}_first" for table in spans.TABLES]
        assert {table: await table_of(looking, table) for table in spans.TABLES} == was
        assert await files_of(looking, first) == files
        assert (await after.counts()).events == len(did["acknowledged"]) >= EVENTS
        await after.prepare_spans(AT_MS)
        assert await files_of(looking, first) == files
        last = (await after.view(spans.read))[-1]
        for table in spans.TABLES:
            (made, _), (indexes, _) = await table_of(looking, last.of(table)), was[table]
            assert sorted(map(str, (row[1:] for row in made))) == sorted(map(str, (row[1:] for row in indexes)))
        await after.close()
        await looking.close()
