"""A transactional handler on PostgreSQL: its effect is there once, though gateway and server are killed below it.

The handler asks for it: the gateway ends between its write and the commit, and the server there, or about the commit,
where nobody knows afterwards whether it was made.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import postgres_server
from acceptance.harness import Site, wait_until
from faults.test_effect_once import DESTINATION, ROUTES, delivered, post
from postgres_server import PostgresServer

EVENTS = 40
GATEWAY_KILLS = 4
SERVER_KILLS = 16
HANDLER = """
import os
import signal
import sqlite3
import time

def book(event, transaction):
    transaction.execute("INSERT INTO booked VALUES ($1)", (event.id,))
    kill(event.type)

def book_apart(event, transaction):
    # The mistake that this is for: the effect is committed by itself.
    with sqlite3.connect("apart.db", timeout=30) as own:
        own.execute("INSERT INTO booked VALUES (?)", (event.id,))
    own.close()
    kill(event.type)

def kill(name):
    if wanted(f"kills/{name}.gateway", f"kills/{name}.done"):
        os.kill(os.getpid(), signal.SIGKILL)
    wanted(f"kills/{name}.soon", f"kills/{name}.server")
    if wanted(f"kills/{name}.now", f"kills/{name}.server"):
        while os.path.exists(f"kills/{name}.server"):
            time.sleep(0.005)

def wanted(marker, then):
    if not os.path.exists(marker):
        return False
    # Once for each marker.
    os.rename(marker, then)
    return True
"""


def _prepare(site: Site, server: PostgresServer, function: str, kills_of_gateway: int) -> None:
    (site.folder / "handlers_of_this_site.py").write_text(HANDLER)
    kills = site.folder / "kills"
    kills.mkdir()
    rng = random.Random(7)
    for number, at in enumerate(rng.sample(range(EVENTS), kills_of_gateway + SERVER_KILLS)):
        kind = "gateway" if number < kills_of_gateway else ("soon", "now")[number % 2]
        (kills / f"type-{at}.{kind}").touch()
    site.configure(routes=ROUTES, more=DESTINATION.format(function=function), lease="1s")
    site.config.write_text(site.config.read_text().replace("sqlite:///longstop.db", server.url("longstop")))
    server.sql("CREATE DATABASE longstop")
    server.sql("CREATE TABLE booked (event_id text)", "longstop")
    with sqlite3.connect(site.folder / "apart.db") as apart:
        apart.execute("CREATE TABLE booked (event_id TEXT)")
    apart.close()


@contextmanager
def _killing_when_asked(site: Site, server: PostgresServer) -> Iterator[list[str]]:
    """Kill the server and start it again, whenever a handler wants that; who did."""
    over = threading.Event()
    killed: list[str] = []

    def watch() -> None:
        rng = random.Random(8)
        while not over.wait(0.001):
            for asked in (site.folder / "kills").glob("*.server"):
                # A commit takes about as long.
                time.sleep(rng.uniform(0, 0.01))
                server.kill()
                killed.append(asked.name)
                asked.unlink()
                server.start()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def _run(
    site: Site, function: str, kills_of_gateway: int = GATEWAY_KILLS
) -> tuple[Counter[str], Counter[str], list[str]]:
    """The effects in the store's database, those apart, and the events."""
    postgres_server.needed()
    with postgres_server.running() as server:
        _prepare(site, server, function, kills_of_gateway)
        accepting = site.start("ingest").ready()
        ids = [post(site, number) for number in range(EVENTS)]
        accepting.stop()
        with _killing_when_asked(site, server) as killed:
            _until_delivered(site, killed)
        assert not list((site.folder / "kills").glob("*.gateway"))
        booked = Counter(server.sql("SELECT event_id FROM booked", "longstop").split())
    with sqlite3.connect(site.folder / "apart.db") as apart:
        found = Counter(id_ for (id_,) in apart.execute("SELECT event_id FROM booked"))
    apart.close()
    return booked, found, ids


def _until_delivered(site: Site, killed: list[str]) -> None:
    """A gateway, started again each time it ends, until all is delivered and the server is there for good."""
    running = site.start()

    def all_delivered() -> bool:
        nonlocal running
        if running.popen.poll() is not None:
            running = site.start()
        return _delivered(site) == EVENTS

    wait_until(all_delivered, "all to be delivered", 200)
    # Who wants it killed soon is delivered, maybe, before it is.
    wait_until(lambda: len(killed) == SERVER_KILLS, "the last kill")
    wait_until(all_delivered, "the server to be there again")
    running.stop()


def _delivered(site: Site) -> int:
    try:
        return delivered(site)
    except AssertionError:
        # The server is away just now.
        return 0


def test_the_effect_is_there_once_whatever_is_killed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    booked, _, ids = _run(site, "book")
    with capsys.disabled():
        print(f"\n{GATEWAY_KILLS} kills of the gateway, {SERVER_KILLS} of PostgreSQL below a handler: {EVENTS} events,"
              f" each with its effect once: {booked == Counter(ids)}")  # fmt: skip
    assert booked == Counter(ids)


def test_an_effect_outside_of_the_transaction_would_be_found(site: Site) -> None:
    _, apart, ids = _run(site, "book_apart", kills_of_gateway=1)
    assert set(apart) == set(ids)
    assert sum(apart.values()) > EVENTS
