"""A store that is taken away and given back, and `kill -9` with a full spool: every event that was answered is one.

The store is a file in a folder that is renamed: what is written just then goes into the file and is answered by an
error, as with a server whose answer is lost. And the proof of the proof: with bugs planted the reckoning finds them.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from acceptance.harness import LIMIT_S, PROOFS, Process, Site, listens

ROUNDS = int(os.environ.get("SPOOL_KILLS", "3"))
SEED = int(os.environ.get("SEED", "20261128"))
SENDERS = 8
PAUSE_S = 0.02

ANSWERED_BEFORE_IT_IS_THERE = """
import asyncio
from longstop.model.event import Receipt, ReceiptStatus
from longstop.stores.spool.store import SpooledStore

put, late = SpooledStore._put, set()

async def afterwards(self, appends):
    await asyncio.sleep(0.5)
    await put(self, appends)

async def at_once(self, appends):
    late.add(asyncio.ensure_future(afterwards(self, appends)))
    return [Receipt(ReceiptStatus.ACCEPTED, each.event.id) for each in appends]

SpooledStore._put = at_once
"""
REMOVED_BEFORE_THE_STORE_HAS_IT = """
import asyncio
from longstop.stores.spool.store import SpooledStore

forward = SpooledStore._forward

async def remove_first(self, batch):
    await self._there(batch)
    await self._file.remove([each.event.id for each in batch])
    await asyncio.sleep(1.5)
    await forward(self, batch)

SpooledStore._forward = remove_first
"""


@dataclass
class Ledger:
    """What the senders know: by what they called an event, the id that they were answered."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class Figures:
    """What a run came to."""

    acknowledged: int
    statuses: Counter[int]
    lost: int
    doubled: int
    undelivered: int
    spooled_at_most: int
    """How many were in the spool when a process was killed."""


class Switch:
    """The folder that the store is in."""

    def __init__(self, folder: Path) -> None:
        self._there, self._away = folder / "far", folder / "elsewhere"
        self._there.mkdir()

    def take(self) -> None:
        self._there.rename(self._away)

    def give(self) -> None:
        self._away.rename(self._there)


async def send(site: Site, session: aiohttp.ClientSession, ledger: Ledger, number: int, stop: asyncio.Event) -> None:
    """A sender: event after event, and one without an answer again."""
    count = 0
    while not stop.is_set():
        count += 1
        name = f"{number}-{count}"
        body = json.dumps({"id": name, "type": "spool", "customer": f"c-{count % 5}"}).encode()
        while not stop.is_set() and name not in ledger.acknowledged:
            await asyncio.sleep(PAUSE_S)
            await post(site, session, ledger, name, body)


async def post(site: Site, session: aiohttp.ClientSession, ledger: Ledger, name: str, body: bytes) -> None:
    try:
        url = f"http://127.0.0.1:{site.port}/webhooks/shop"
        async with session.post(url, data=body, headers=PROOFS["shop"](body)) as response:
            answer = await response.read()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return
    ledger.statuses[response.status] += 1
    if response.status == 200:
        ledger.acknowledged[name] = json.loads(answer)["id"]


@asynccontextmanager
async def senders(site: Site, ledger: Ledger) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        tasks = [asyncio.create_task(send(site, session, ledger, n, stop)) for n in range(SENDERS)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def started(site: Site, plant: str) -> Process:
    program = site.start("serve", "--log-level", "error", prelude=plant)
    end_s = time.monotonic() + LIMIT_S
    while not listens(site.port):
        assert program.popen.poll() is None, f"it ended with {program.popen.returncode}:\n{program.err}"
        assert time.monotonic() < end_s, "the gateway does not listen"
        await asyncio.sleep(0.02)
    return program


def in_spool(site: Site) -> int:
    from longstop.stores.spool import look

    facts = look(str(site.folder / "spool.db"))
    return 0 if facts is None else facts.events


async def outages(site: Site, switch: Switch, ledger: Ledger, rng: random.Random, plant: str) -> int:
    """Outage after outage, each with a kill in it and one while it is made up for."""
    most = 0
    async with senders(site, ledger):
        program = await started(site, plant)
        for _ in range(ROUNDS):
            await asyncio.sleep(rng.uniform(0.3, 0.8))
            switch.take()
            await asyncio.sleep(rng.uniform(0.5, 1.5))
            program.kill()
            most = max(most, in_spool(site))
            program = await started(site, plant)
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            switch.give()
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            program.kill()
            most = max(most, in_spool(site))
            program = await started(site, plant)
    program.kill()
    return most


async def drained(site: Site, plant: str) -> None:
    """A last gateway that nobody kills, until nothing is in the spool and nothing waits."""
    program = site.start("serve", prelude=plant).ready()
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        row = await asyncio.to_thread(lambda: site.ask("status").row)
        if not row["backlog"] and not row["spool"]["events"]:
            break
        await asyncio.sleep(0.2)
    program.stop()


def run(site: Site, plant: str = "") -> Figures:
    site.configure(lease="1s", attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
    url = 'url = "sqlite:///longstop.db"'
    text = site.config.read_text()
    assert url in text
    site.config.write_text(text.replace(url, 'url = "sqlite:///far/longstop.db"\nspool = "sqlite:///spool.db"'))
    ledger = Ledger()
    most = asyncio.run(outages(site, Switch(site.folder), ledger, random.Random(SEED), plant))
    asyncio.run(drained(site, plant))
    return reckon(site, ledger, most)


def reckon(site: Site, ledger: Ledger, most: int) -> Figures:
    rows = site.ask("events", "list", "--limit", "1000000").rows
    named = Counter(row["dedup"] for row in rows)
    arrived = {arrival.webhook_id for arrival in site.destination.arrivals}
    return Figures(
        len(ledger.acknowledged),
        ledger.statuses,
        sum(json.dumps(name) not in named and name not in named for name in ledger.acknowledged),
        sum(number > 1 for number in named.values()),
        sum(row["id"] not in arrived for row in rows),
        most,
    )


def told(capsys: pytest.CaptureFixture[str], title: str, figures: Figures) -> None:
    with capsys.disabled():
        print(f"\n{title}: {figures}")


@pytest.mark.timeout(60 + 30 * ROUNDS)
def test_every_answered_event_is_one_whatever_was_away_and_killed(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = run(site)
    told(capsys, f"seed {SEED}, {ROUNDS} outages, {2 * ROUNDS} kills", figures)
    assert set(figures.statuses) == {200}, "a sender was refused"
    assert figures.acknowledged > 50 * ROUNDS, "too little load to say anything"
    assert figures.spooled_at_most > 10, "no kill met a spool with something in it"
    assert (figures.lost, figures.doubled, figures.undelivered) == (0, 0, 0)


@pytest.mark.timeout(60 + 30 * ROUNDS)
@pytest.mark.parametrize(
    "plant", [ANSWERED_BEFORE_IT_IS_THERE, REMOVED_BEFORE_THE_STORE_HAS_IT], ids=["answered early", "removed early"]
)
def test_what_would_lose_events_would_be_found(site: Site, plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(site, plant)
    told(capsys, "planted", figures)
    assert figures.lost > 0
