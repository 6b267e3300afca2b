"""The store behind a PgBouncer in transaction mode: any statement may come to another connection of the server."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import postgres_server
from acceptance.harness import free_port, listens
from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres import PostgresStore, ServerSettings
from longstop.testing import store_contract

CONCERNS = {"append", "dedup", "lease", "settle", "order", "act", "circuit", "arrival", "counts", "search", "jobs"}
CHECKS = [check for check in store_contract.CHECKS if check.concern in CONCERNS]


@pytest.fixture(scope="module")
def bouncer(postgresql: postgres_server.PostgresServer) -> Iterator[int]:
    """The port of one that hands each transaction to one of two connections."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        message = "no pgbouncer here (Debian: apt install pgbouncer)"
        if "LONGSTOP_CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    port = free_port()
    folder = postgresql.folder / "bouncer"
    folder.mkdir()
    (folder / "users").write_text('"longstop" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={postgresql.folder}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\npool_mode = transaction\n"
        "default_pool_size = 4\nmax_client_conn = 200\nserver_round_robin = 1\n"
    )
    os.chmod(folder, 0o755)
    as_nobody = ["-u", "nobody"] if os.getuid() == 0 else []
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen([program, *as_nobody, str(folder / "ini")], stdout=out, stderr=out)
    try:
        end = time.monotonic() + 60
        while not listens(port):
            assert process.poll() is None, Path(folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def store(postgresql: postgres_server.PostgresServer, bouncer: int) -> AsyncIterator[PostgresStore]:
    with postgresql.place(pooled=True) as url:
        name = url.partition("@/")[2].partition("?")[0]
        through = f"postgresql://longstop@127.0.0.1:{bouncer}/{name}"
        made = PostgresStore(ServerSettings(through, relaxed=True, pooled=True))
        await made.open()
        yield made
        await made.close()


@pytest.mark.parametrize("check", CHECKS, ids=str)
async def test_what_the_contract_asks_for_holds_behind_a_pooler(
    check: store_contract.Check, store: PostgresStore
) -> None:
    await check.run(store)


async def test_who_did_not_say_that_there_is_a_pooler_is_told_how(
    postgresql: postgres_server.PostgresServer, bouncer: int
) -> None:
    with postgresql.place(pooled=True) as url:
        name = url.partition("@/")[2].partition("?")[0]
        store = PostgresStore(ServerSettings(f"postgresql://longstop@127.0.0.1:{bouncer}/{name}", relaxed=True))
        with pytest.raises(StoreUnavailableError, match=r"say \?pgbouncer=transaction in store\.url"):
            await store.open()
