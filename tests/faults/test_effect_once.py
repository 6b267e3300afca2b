"""A transactional handler's effect happens exactly once, though the gateway is killed between its write and the commit.

The real program. The handler itself ends the process with SIGKILL, at chosen points and at random ones.
"""

import json
import random
import sqlite3
from collections import Counter
from pathlib import Path

from acceptance.harness import Site, wait_until

EVENTS = 30
KILLS = 12
HANDLER = """
import os
import signal
import sqlite3

def book(event, transaction):
    transaction.execute("CREATE TABLE IF NOT EXISTS booked (event_id TEXT)")
    transaction.execute("INSERT INTO booked VALUES (?)", (event.id,))
    marker = os.path.join("kills", event.type or "")
    if os.path.exists(marker):
        # Once for each marker: between the handler's write and the commit.
        os.unlink(marker)
        os.kill(os.getpid(), signal.SIGKILL)

def book_apart(event, transaction):
    # The mistake that this is for: the effect is committed by itself.
    with sqlite3.connect("apart.db") as own:
        own.execute("CREATE TABLE IF NOT EXISTS booked (event_id TEXT)")
        own.execute("INSERT INTO booked VALUES (?)", (event.id,))
    own.close()
    marker = os.path.join("kills", event.type or "")
    if os.path.exists(marker):
        os.unlink(marker)
        os.kill(os.getpid(), signal.SIGKILL)
"""
DESTINATION = """
[destinations.booked]
handler = "handlers_of_this_site:{function}"
transaction = true
concurrency = 4
retry = {{ attempts = 50, first = "10ms", cap = "50ms", crashes = 50 }}
"""
ROUTES = '\n[[routes]]\nfrom = "shop"\nto = ["booked"]\n'


def prepare(site: Site, function: str = "book") -> None:
    (site.folder / "handlers_of_this_site.py").write_text(HANDLER)
    (site.folder / "kills").mkdir()
    site.configure(routes=ROUTES, more=DESTINATION.format(function=function), lease="1s")


def post(site: Site, number: int) -> str:
    """An event's id, when it has been accepted."""
    body = {"id": f"order-{number}", "type": f"type-{number}", "customer": "c"}
    return site.accept("shop", json.dumps(body).encode())


def survive(site: Site) -> None:
    """Start the gateway again each time it dies, until it has died so often and all is delivered."""
    running = site.start()
    for _ in range(KILLS):
        # It may die before it has said that it runs.
        assert running.wait() == -9
        running = site.start()
    running.ready()
    wait_until(lambda: delivered(site) == EVENTS, "all to be delivered")
    running.stop()


def delivered(site: Site) -> int:
    (row,) = [each for each in site.ask("status").row["destinations"] if each["destination"] == "booked"]
    return int(row["delivered"])


def booked(path: Path) -> Counter[str]:
    with sqlite3.connect(path) as connection:
        return Counter(id_ for (id_,) in connection.execute("SELECT event_id FROM booked"))


def run(site: Site, function: str) -> list[str]:
    """Post events while the gateway dies under some of them; their ids, when all are delivered."""
    prepare(site, function)
    # Everything is accepted first, by a process that delivers nothing: deaths are then the handler's alone.
    accepting = site.start("ingest").ready()
    ids = [post(site, number) for number in range(EVENTS)]
    accepting.stop()
    for number in random.Random(5).sample(range(EVENTS), KILLS):
        (site.folder / "kills" / f"type-{number}").touch()
    survive(site)
    return ids


def test_killed_between_its_write_and_the_commit_the_effect_is_there_once(site: Site) -> None:
    ids = run(site, "book")
    found = booked(next(site.folder.glob("*.db")))
    print(f"{KILLS} kills between write and commit, {EVENTS} events, each booked once: {found == Counter(ids)}")
    assert found == Counter(ids)


def test_the_reckoning_finds_an_effect_outside_of_the_transaction(site: Site) -> None:
    ids = run(site, "book_apart")
    found = booked(site.folder / "apart.db")
    assert set(found) == set(ids)
    assert sum(found.values()) >= EVENTS + KILLS


def test_it_is_checked_before_anything_is_started(site: Site) -> None:
    prepare(site)
    site.configure(routes=ROUTES, more=DESTINATION.format(function="book") + 'isolation = "process"\n')
    ran = site.cli("check")
    assert ran.exit == 1
    assert "destinations.booked.transaction: found it beside isolation" in ran.err
