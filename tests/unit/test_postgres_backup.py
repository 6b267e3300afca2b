"""What docs/stores/postgresql.md says of a backup: a dump, taken while events come, restored elsewhere, is a store."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from full_store import fill
from longstop.archives.lines import to_line
from longstop.operating.move import Move
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing.builders import make_append
from longstop.testing.clock import VirtualClock
from longstop.testing.store_contract.steps import lease
from postgres_server import PostgresServer, program


@pytest.fixture
def dump() -> str:
    found = program("pg_dump")
    if found is None:
        missing = "no pg_dump here (Debian: apt install postgresql)"
        (pytest.fail if os.environ.get("LONGSTOP_CI") else pytest.skip)(missing)
    return str(found)


async def test_a_dump_that_is_taken_under_way_is_a_whole_store_elsewhere(
    postgresql: PostgresServer, dump: str, tmp_path: Path
) -> None:
    with postgresql.place() as here, postgresql.database("template0") as there:
        store = PostgresStore(ServerSettings(here, relaxed=True))
        await store.open()
        await fill(store)
        taken = asyncio.create_task(asyncio.to_thread(_dump, dump, here, tmp_path / "dump"))
        number = 1_000
        while not taken.done():
            await store.append([make_append(n, dedup=b"late%d" % n) for n in range(number, number + 20)])
            number += 20
        await taken
        restored = PostgresStore(ServerSettings(there, relaxed=True))
        await asyncio.to_thread(_restore, there, tmp_path / "dump")
        await restored.open()
        compared = await Move(restored, store, VirtualClock(), to_line).verify(lambda *_: None)
        assert [each.name for each in compared if not each.agrees and each.name == "events"] == []
        assert {each.name: each.rows for each in compared if not each.rows} == {}
        counted: str | None = ""
        while counted is not None:
            step = await restored.recount(counted or None)
            assert step.drifts == ()
            counted = step.next_after
        assert (await lease(restored, 10**15, crm=100)).claims
        await restored.close()
        await store.close()


def _dump(program_: str, url: str, to: Path) -> None:
    subprocess.run([program_, "--format=custom", f"--file={to}", url], check=True, capture_output=True)


def _restore(url: str, dumped: Path) -> None:
    restore = program("pg_restore")
    assert restore is not None
    subprocess.run([restore, "--no-owner", f"--dbname={url}", str(dumped)], check=True, capture_output=True)
