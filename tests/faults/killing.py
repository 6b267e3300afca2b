"""Killing the gateway again and again while senders post, and the reckoning afterwards.

The senders keep a ledger of every id that was answered with a 2xx. What counts in the end is only this: each of
them is in the store, has come to the destination, and came more often than once only where an attempt on record
says why.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from acceptance.destination import Arrival, Reply
from acceptance.harness import LIMIT_S, PROOFS, READY, Process, Site
from stores_at_hand import in_cloud

SENDERS = 12
CLOUD_SENDERS, CLOUD_LEASE, CLOUD_DRAIN_S = 3, "3s", 180.0
"""What an emulator can take: each of its calls takes milliseconds of a processor, one after the other."""
PAUSE_S_MAX = 0.08
"""A sender waits up to so long between two events: load enough for shared commits, and the backlog stays short."""
WARM = "import longstop.wiring, longstop.edges.cli.serve, cyclopts, uvloop, sys; sys.stdin.readline()"
UNANSWERED = ("lost", "interrupted", "retry")
"""Outcomes after which a repeat is to be expected."""


@dataclass
class Ledger:
    """What the senders know."""

    sent: int = 0
    unanswered: int = 0
    acknowledged: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Figures:
    """What a run came to."""

    cycles: int
    sent: int
    unanswered: int
    acknowledged: int
    delivered: int
    """Acknowledged events that the destination took and whose record says so."""
    repeats: int
    """Arrivals beyond the first of an event."""
    lost: int
    """Acknowledged events that are not in the store."""
    undelivered: int
    """Acknowledged events that the destination never took, or whose record does not say so in the end."""
    unexplained: tuple[str, ...]
    """Repeats that no attempt on record accounts for."""
    took_s: float

    def __str__(self) -> str:
        bound = 3 / max(self.acknowledged, 1)
        return (
            f"{self.cycles} kills in {self.took_s:.0f} s: {self.sent} requests, {self.unanswered} of them unanswered; "
            f"{self.acknowledged} acknowledged, {self.delivered} delivered, {self.repeats} repeats "
            f"({len(self.unexplained)} unexplained), {self.undelivered} undelivered; "
            f"{self.lost} lost in {self.acknowledged} (where 0: below {bound:.1e} with 95 % confidence, "
            f"by cycle below {3 / max(self.cycles, 1):.1e})"
        )


def run(site: Site, cycles: int, seed: int, plant: str = "", drain_s: float | None = None) -> Figures:
    """Kill the gateway of a site so many times, let it finish what is left, and reckon.

    plant: Python that runs in each gateway before it starts, to prove that a bug would be found.
    drain_s: how long the last gateway may take to deliver the rest.
    """
    rng = random.Random(seed)
    backend = Backend(seed)
    if drain_s is None:
        drain_s = CLOUD_DRAIN_S if in_cloud(site.store_url) else 60.0
    site.configure(
        lease=CLOUD_LEASE if in_cloud(site.store_url) else "1s",
        attempts=1000,
        first="10ms",
        cap="100ms",
        stop_timeout="5s",
    )
    site.destination.script = backend
    began_s = time.monotonic()
    ledger = asyncio.run(_kill_and_drain(site, cycles, rng, plant, drain_s))
    return reckon(site, cycles, ledger, backend.taken, began_s)


def run_beside(
    site: Site, disturb: Callable[[set[str]], Awaitable[None]], cycles: int, seed: int, plant: str = ""
) -> Figures:
    """Let one gateway run while something else is done to its world, let it finish what is left, and reckon.

    disturb: does so, `cycles` times; it is given the ids that have been acknowledged so far. plant: as for `run`.
    """
    backend = Backend(seed)
    site.destination.script = backend
    began_s = time.monotonic()
    ledger = asyncio.run(_disturb_and_drain(site, disturb, random.Random(seed), plant))
    return reckon(site, cycles, ledger, backend.taken, began_s)


async def _disturb_and_drain(
    site: Site, disturb: Callable[[set[str]], Awaitable[None]], rng: random.Random, plant: str
) -> Ledger:
    ledger, stop = Ledger(), asyncio.Event()
    program = site.start("serve", "--log-level", "error", prelude=plant).ready()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        senders = [_send(site, session, ledger, n, random.Random(rng.random()), stop) for n in range(SENDERS)]
        sending = asyncio.gather(*senders)
        await disturb(ledger.acknowledged)
        stop.set()
        await sending
    assert program.popen.poll() is None, f"it ended by itself with {program.popen.returncode}:\n{program.err}"
    end_s = time.monotonic() + 60
    while await asyncio.to_thread(waiting, site) and time.monotonic() < end_s:
        await asyncio.sleep(0.2)
    program.stop()
    return ledger


class Backend:
    """Mostly quick, now and then slow or not willing, so that every kill meets attempts in all stages."""

    def __init__(self, seed: int) -> None:
        # Of its own: the destination's thread draws in an order that nobody can repeat.
        self._rng = random.Random(seed)
        self.taken: set[str] = set()
        """Events that were answered, or would have been, with a 2xx."""

    def __call__(self, arrival: Arrival) -> Reply:
        draw = self._rng.random()
        if draw < 0.03:
            return Reply(503)
        self.taken.add(arrival.webhook_id)
        return Reply(after_s=self._rng.uniform(0, 0.3) if draw < 0.3 else 0.0)


async def _kill_and_drain(site: Site, cycles: int, rng: random.Random, plant: str, drain_s: float) -> Ledger:
    ledger = Ledger()
    stop = asyncio.Event()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        seeds = [rng.random() for _ in range(CLOUD_SENDERS if in_cloud(site.store_url) else SENDERS)]
        senders = [_send(site, session, ledger, number, random.Random(each), stop) for number, each in enumerate(seeds)]
        sending = asyncio.gather(*senders)
        program = _warmed(site, plant)
        for _ in range(cycles):
            program = await _one_life(site, rng, program, plant)
        stop.set()
        await sending
    await _drain(site, plant, drain_s)
    return ledger


def _warmed(site: Site, plant: str) -> Process:
    """A gateway that has imported its code and waits for `go`: most of a start is imports, and most of a run starts."""
    return site.start("serve", "--log-level", "error", prelude=f"{WARM}\n{plant}")


async def _one_life(site: Site, rng: random.Random, program: Process, plant: str) -> Process:
    """One gateway, from its start to its sudden end; one in eight does not even live to work. Returns the next."""
    young = rng.random() < 1 / 8
    lives_s = rng.uniform(0, 0.1 if young else 2.0)
    program.go()
    if not young:
        await _at_work(program)
    following = _warmed(site, plant)
    await asyncio.sleep(lives_s)
    assert program.popen.poll() is None, f"it ended by itself with {program.popen.returncode}:\n{program.err}"
    program.kill()
    return following


async def _at_work(program: Process) -> None:
    end_s = time.monotonic() + LIMIT_S
    while READY not in program.out:
        assert program.popen.poll() is None, f"it ended with {program.popen.returncode}:\n{program.err}"
        assert time.monotonic() < end_s, "the gateway does not come to work"
        await asyncio.sleep(0.01)


async def _send(
    site: Site, session: aiohttp.ClientSession, ledger: Ledger, number: int, rng: random.Random, stop: asyncio.Event
) -> None:
    """A sender: it posts event after event, and one that got no answer again with the same id, as platforms do."""
    count = 0
    while not stop.is_set():
        count += 1
        padding = "x" * rng.randrange(2000)
        body = json.dumps({"id": f"sender-{number}-{count}", "type": "kill", "padding": padding}).encode()
        for _ in range(rng.randrange(1, 20)):
            if stop.is_set() or await _post(site, session, ledger, body):
                break
            await asyncio.sleep(rng.uniform(0.02, 0.2))
        await asyncio.sleep(rng.uniform(0, PAUSE_S_MAX))


async def _post(site: Site, session: aiohttp.ClientSession, ledger: Ledger, body: bytes) -> bool:
    url = f"http://127.0.0.1:{site.port}/webhooks/shop"
    try:
        async with session.post(url, data=body, headers=PROOFS["shop"](body)) as response:
            answer = await response.read()
    except aiohttp.ClientConnectorError:
        # Nobody listens: nothing was sent.
        return False
    except (aiohttp.ClientError, OSError, TimeoutError):
        ledger.sent += 1
        ledger.unanswered += 1
        return False
    ledger.sent += 1
    assert response.status in (200, 503), (response.status, answer)
    if response.status == 200:
        ledger.acknowledged.add(json.loads(answer)["id"])
    return response.status == 200


async def _drain(site: Site, plant: str, limit_s: float) -> None:
    """A last gateway that nobody kills, until nothing waits or the time is up."""
    program = site.start("serve", prelude=plant).ready()
    end_s = time.monotonic() + limit_s
    while await asyncio.to_thread(waiting, site) and time.monotonic() < end_s:
        await asyncio.sleep(0.2)
    program.stop()


def waiting(site: Site) -> int:
    row = site.ask("status").row
    return sum(each["scheduled"] + each["leased"] for each in row["destinations"])


# -- the reckoning ------------------------------------------------------------------------------


def reckon(site: Site, cycles: int, ledger: Ledger, taken: set[str], began_s: float) -> Figures:
    kept = {row["id"]: row["deliveries"] for row in site.ask("events", "list", "--limit", "10000000").rows}
    settled = {id_ for id_, deliveries in kept.items() if [each["state"] for each in deliveries] == ["delivered"]}
    delivered = ledger.acknowledged & taken & settled
    came = Counter(arrival.webhook_id for arrival in site.destination.arrivals)
    # What is lost has no record, and is told as that.
    repeated = [id_ for id_, times in came.items() if times > 1 and id_ in kept]
    return Figures(
        cycles=cycles,
        sent=ledger.sent,
        unanswered=ledger.unanswered,
        acknowledged=len(ledger.acknowledged),
        delivered=len(delivered),
        repeats=sum(came.values()) - len(came),
        lost=len(ledger.acknowledged - kept.keys()),
        undelivered=len(ledger.acknowledged - delivered),
        unexplained=tuple(why for id_ in repeated if (why := _unexplained(site, id_))),
        took_s=time.monotonic() - began_s,
    )


def _unexplained(site: Site, id_: str) -> str:
    """What is wrong with the record of an event that came more than once; empty where it explains every arrival."""
    (history,) = site.event(id_)["history"]
    attempts: list[dict[str, Any]] = history["attempts"]
    recorded = [attempt["number"] for attempt in attempts]
    arrived = [arrival.attempt for arrival in site.destination.of(id_)]
    if len(set(arrived)) < len(arrived) or not set(arrived) <= set(recorded):
        return f"{id_}: attempts {arrived} arrived, {recorded} are on record"
    before = [attempt["outcome"] for attempt in attempts[:-1]]
    if not set(before) <= set(UNANSWERED):
        return f"{id_}: tried again after {before}"
    return ""
