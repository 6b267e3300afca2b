"""A primary is killed and its standby promoted below a gateway whose URL names both.

With a synchronous standby nothing that was acknowledged is lost. Without, what had not got there is: shown too.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

import postgres_server
from acceptance.harness import Site
from faults.killing import Figures, run_beside
from longstop.model.errors import StoreUnavailableError
from longstop.stores.postgres import PostgresStore, ServerSettings, append_rows
from longstop.testing.builders import event_id, make_append
from postgres_server import PostgresServer

SEED = 20261128
SOME = 60
"""So many are acknowledged before something is done, and after."""
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
END_WAITING = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
FILLS_THE_SOCKET = "SELECT count(pg_logical_emit_message(false, '', repeat('x', 1000000))) FROM generate_series(1, 8)"
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = 'standby'"


@contextlib.contextmanager
def _pair(synchronous: bool) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary, and a standby that streams from it."""
    postgres_server.needed()
    with postgres_server.running() as primary:
        primary.sql("CREATE DATABASE longstop")
        with postgres_server.running(follows=primary) as standby:
            asyncio.run(_until(lambda: primary.sql(STREAMING) == "1", "the standby to stream"))
            if synchronous:
                primary.sql(SYNCHRONOUS)
                primary.sql("SELECT pg_reload_conf()")
            yield primary, standby


@pytest.fixture
def synchronous() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with _pair(synchronous=True) as pair:
        yield pair


@pytest.fixture
def asynchronous() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with _pair(synchronous=False) as pair:
        yield pair


async def _until(holds: Callable[[], bool], what: str) -> None:
    end_s = asyncio.get_running_loop().time() + 30
    while not await asyncio.to_thread(holds):
        assert asyncio.get_running_loop().time() < end_s, f"waited in vain for {what}"
        await asyncio.sleep(0.02)


def _failed_over(site: Site, primary: PostgresServer, standby: PostgresServer, lagging: bool) -> Figures:
    """The primary is killed while the standby has not yet what was committed last, and the standby is promoted.

    lagging: that goes on until so many have been acknowledged meanwhile.
    """
    site.configure(lease="2s", attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
    both = f"postgresql://longstop@/longstop?host={primary.folder},{standby.folder}"
    site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", both))

    async def fail_over(acknowledged: set[str]) -> None:
        async def more(number: int) -> None:
            enough = len(acknowledged) + number
            await _until(lambda: len(acknowledged) >= enough, "senders to be answered")

        await more(SOME)
        standby.signal(signal.SIGSTOP)
        if lagging:
            # What stands in the socket is read by the standby when it goes on: so this does, and the events do not.
            await asyncio.to_thread(primary.sql, FILLS_THE_SOCKET)
            await more(SOME)
        else:
            await _until(lambda: int(primary.sql(WAITING)) > 0, "a commit that waits for the standby")
        primary.kill()
        standby.signal(signal.SIGCONT)
        await asyncio.to_thread(standby.sql, "SELECT pg_promote()")
        await more(SOME)

    return run_beside(site, fail_over, 1, SEED)


def _told(capsys: pytest.CaptureFixture[str], title: str, figures: Figures) -> None:
    with capsys.disabled():
        print(f"\n{title}: {figures}")


def test_a_synchronous_standby_has_all_that_was_acknowledged(
    site: Site, synchronous: tuple[PostgresServer, PostgresServer], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = _failed_over(site, *synchronous, lagging=False)
    _told(capsys, "failed over to a synchronous standby", figures)
    assert figures.acknowledged >= 2 * SOME
    assert (figures.lost, figures.undelivered) == (0, 0)
    assert not figures.unexplained


def test_an_asynchronous_standby_loses_what_had_not_got_there(
    site: Site, asynchronous: tuple[PostgresServer, PostgresServer], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = _failed_over(site, *asynchronous, lagging=True)
    _told(capsys, "failed over to an asynchronous standby that lagged behind", figures)
    assert 0 < figures.lost < figures.acknowledged


# -- an answer that is lost while the standby is waited for ----------------------------------------


@contextlib.asynccontextmanager
async def _asked_again(primary: PostgresServer, standby: PostgresServer) -> AsyncIterator["asyncio.Task[str]"]:
    """An append whose connection is ended while it waits for a standby that does not answer.

    It is committed by then, and seen by all who ask.
    """
    store = PostgresStore(ServerSettings(primary.url("longstop")))
    await store.open()

    async def append() -> str:
        (receipt,) = await store.append([make_append(1, dedup=None)])
        return receipt.event_id

    standby.signal(signal.SIGSTOP)
    task = asyncio.create_task(append())
    try:
        await _until(lambda: primary.sql(WAITING) == "1", "the append to wait")
        await asyncio.to_thread(primary.sql, END_WAITING)
        yield task
    finally:
        standby.signal(signal.SIGCONT)
        with contextlib.suppress(StoreUnavailableError):
            await task
        await store.close()


async def _is_kept(server: PostgresServer) -> None:
    await _until(lambda: server.sql("SELECT count(*) FROM longstop.events", "longstop") == "1", "the event")


async def test_what_is_asked_again_is_acknowledged_when_the_standby_has_it(
    synchronous: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = synchronous
    async with _asked_again(primary, standby) as task:
        await _is_kept(primary)
        await _until(lambda: primary.sql(WAITING) == "1", "the second try to wait as well")
        assert not task.done()
        standby.signal(signal.SIGCONT)
        assert await task == event_id(1)
    # It is acknowledged when the standby has it on its disk, and is seen there a moment later.
    await _is_kept(standby)


async def test_one_that_only_reads_again_would_acknowledge_it_before(
    synchronous: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_rows, "_WRITE_SOMETHING", "SELECT 1")
    primary, standby = synchronous
    async with _asked_again(primary, standby) as task:
        assert await task == event_id(1)
        assert standby.process.poll() is None
