"""A whole gateway in a seeded world: senders that repeat themselves, destinations that fail, stall and hang, workers
that die, a store that fails now and then. Hours of it pass in milliseconds, and at the end the promises are checked.

A failure prints the seed; `SIMULATE=seed` runs that one alone, and `SIMULATE=first-last` a range; `STORES=redis` on
that store alone. On a server a seed is not always the same world: who asks at the same time is answered as it comes.
"""

import asyncio
import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import structlog

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.ingest import Ingest
from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.dispatch import Dispatch
from longstop.delivering.rescue import Rescue
from longstop.group_commit import GroupCommit
from longstop.model.action import Action
from longstop.model.backpressure import Watermarks
from longstop.model.breaker import BreakerPolicy, Circuit
from longstop.model.delivery import (
    Attempt,
    DeadReason,
    Delivery,
    Outcome,
    OutcomeKind,
    State,
    Transition,
    Trigger,
)
from longstop.model.errors import UnavailableError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim, LeaseBatch, LeaseRequest
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.retry import RetryPolicy
from longstop.model.routing import Route, Router
from longstop.model.settings import SourceSettings
from longstop.ports import Store
from longstop.sources import build
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import VirtualClock, run
from longstop.testing.fakes import FaultyStore
from longstop.testing.tasks import end_tasks
from stores_at_hand import STORES, Place, chosen

SEEDS = {"memory": 800, "sqlite": 200, "postgresql": 8, "redis": 8, "aws": 4}
SHARE = {"memory": 200, "sqlite": 50}
"""So many seeds are one test; on the other stores it is one."""
LEASE_MS = 10_000
TIMEOUT_S = 5.0
POLICIES = {
    "ordered": RetryPolicy(attempts=6, first_ms=200, cap_ms=5_000, retry_after_cap_ms=20_000, crashes=4),
    "skipping": RetryPolicy(
        attempts=2, first_ms=200, cap_ms=5_000, retry_after_cap_ms=20_000, crashes=3, on_dead="skip"
    ),
    "loose": RetryPolicy(attempts=5, first_ms=200, cap_ms=5_000, retry_after_cap_ms=20_000, crashes=4),
}
ORDERED = ("ordered", "skipping")
BREAKER = BreakerPolicy(failures=3, rate=0.7, calls=8, window_ms=5_000, probe_ms=300, probe_cap_ms=3_000, probes=2)


class World:
    """What really happened, as the senders and the destinations saw it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.clock = VirtualClock()
        self.promised: set[str] = set()
        """Ids of events that were answered with a 2xx."""
        self.calls: Counter[str] = Counter()
        """Delivery id to how often its destination was called."""
        self.successes: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
        """(destination, key) to the events it took, in order."""
        self.busy: Counter[tuple[str, str | None]] = Counter()
        """(destination, key) to how many calls are under way."""
        self.replays: Counter[str] = Counter()
        """Delivery id to how often a person had it tried again."""
        self.overlaps: list[str] = []
        self.forced: list[str] = []
        """What was leased although the circuit was open, and was neither its probe nor of no use any more."""
        self.opened = 0
        """How often a circuit opened."""
        self.trouble = rng.random() * 0.6
        """How likely a destination is to do anything but succeed."""


class MoodyDestination:
    """A Sender whose destination succeeds, fails, rejects, is slow or hangs past the timeout, as the dice have it."""

    def __init__(self, name: str, world: World) -> None:
        self._name, self._world = name, world

    async def send(self, claim: Claim, attempt: int) -> Outcome:
        world, key = self._world, claim.delivery.key
        world.calls[claim.delivery.id] += 1
        self._begin(key, claim)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._answer(claim)
        except TimeoutError:
            return Outcome(OutcomeKind.RETRY, error="timeout")
        finally:
            world.busy[self._name, key] -= 1

    def _begin(self, key: str | None, claim: Claim) -> None:
        if self._name in ORDERED and self._world.busy[self._name, key]:
            self._world.overlaps.append(claim.delivery.id)
        self._world.busy[self._name, key] += 1

    async def _answer(self, claim: Claim) -> Outcome:
        rng = self._world.rng
        await self._world.clock.sleep(rng.random() * 0.2)
        if rng.random() < self._world.trouble:
            return await self._misbehave(rng.random(), claim)
        self._world.successes[self._name, claim.delivery.key].append(claim.event.id)
        return Outcome(OutcomeKind.SUCCESS, 200)

    async def _misbehave(self, dice: float, claim: Claim) -> Outcome:
        if dice < 0.1:
            return Outcome(OutcomeKind.REJECT, 422, "never")
        if dice < 0.2:
            await self._world.clock.sleep(10 * TIMEOUT_S)
        if dice < 0.3:
            # It did take the event; the answer came too late to be heard.
            self._world.successes[self._name, claim.delivery.key].append(claim.event.id)
            await self._world.clock.sleep(10 * TIMEOUT_S)
        if dice < 0.4:
            await self._world.clock.sleep(TIMEOUT_S * 0.8)
        after_s = self._world.rng.choice([None, None, 0.0, 2.0, 10.0**9])
        return Outcome(OutcomeKind.RETRY, 503, "busy", retry_after_s=after_s)

    async def close(self) -> None:
        """Nothing to let go."""


class WatchedStore:
    """A store that is looked at while it leases: what it gives out for a destination whose circuit is open."""

    def __init__(self, store: Store, world: World) -> None:
        self._store, self._world = store, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def lease(self, request: LeaseRequest) -> LeaseBatch:
        """As the store behind it."""
        before = {each.destination: each for each in await self._store.circuits()}
        batch = await self._store.lease(request)
        for name, circuit in before.items():
            given = [claim.delivery.id for claim in batch.claims if claim.delivery.destination == name]
            probes = 1 if circuit.probe_at_ms <= request.now_ms else 0
            self._world.forced += given[probes:]
        return batch

    async def change_circuit(self, destination: str, version: int, circuit: Circuit | None) -> bool:
        """As the store behind it."""
        self._world.opened += version == 0
        return await self._store.change_circuit(destination, version, circuit)


class Worker:
    """One delivering process, which can be killed."""

    def __init__(self, name: str, store: Store, world: World) -> None:
        self.store: Any = FaultyStore(cast(Store, WatchedStore(store, world)))
        rng, clock = world.rng, world.clock
        destinations = [
            Destination(
                name,
                MoodyDestination(name, world),
                POLICIES[name],
                4,
                adaptive=rng.random() < 0.5,
                timeout_ms=round(TIMEOUT_S * 1000),
                breaker=BREAKER,
            )
            for name in POLICIES
        ]
        deliver = AttemptRunner(GroupCommit(self.store.settle), clock, rng)
        self._dispatch = Dispatch(self.store, deliver, destinations, clock, name, LEASE_MS)
        rescue = Rescue(self.store, POLICIES, clock, rng)
        loops = (self._dispatch.run(), self._dispatch.keep_leases(), rescue.run())
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def kill(self) -> None:
        """Nothing more of it reaches the store, and nobody is told."""
        for name in ("settle", "extend", "lease", "change_circuit"):
            self.store.fail(name, times=10**9)
        await end_tasks(self._tasks, self._dispatch._running.values())

    async def stop(self) -> None:
        """End as a process does that was asked to."""
        await self._dispatch.stop(TIMEOUT_S)
        await self.kill()


def gate(store: Store, world: World) -> Ingest:
    """The accepting side."""
    source = build(SourceSettings("shop", "generic", dedup="id", key="key"))
    routes = [
        Route("shop", ("ordered", "skipping"), lambda document: document["id"] % 4 != 3),
        Route("shop", ("loose",), lambda document: document["id"] % 4 != 0),
    ]
    ids = IdFactory(world.rng)
    router, appends = Router(routes, ORDERED), GroupCommit(store.append)
    pressure = Backpressure(world.clock, world.rng, store, Watermarks())
    ingest = Ingest({"shop": source}, lambda _: source, router, appends, world.clock, ids, pressure)
    ingest.accepting = True
    return ingest


async def send(ingest: Ingest, world: World, number: int) -> None:
    """One sender's event: sent until it is answered with a 2xx, and sometimes once more."""
    body = b'{"id": %d, "key": "k%d"}' % (number, number % 3)
    source = ingest.source("shop")
    again = world.rng.random() < 0.2
    while True:
        await world.clock.sleep(world.rng.random())
        try:
            answer = await ingest.receive(source, Request(Headers(), body))
        except UnavailableError:
            continue
        world.promised.add(answer.body.split(b'"id":"')[1][:36].decode())
        if not again:
            return
        again = False


async def live(store: Store, seed: int) -> World:
    """Let a world happen: accept, deliver, crash and restart until everything has ended."""
    world = World(random.Random(seed))
    faulty: Any = FaultyStore(store)
    ingest = gate(faulty, world)
    senders = [asyncio.create_task(send(ingest, world, number)) for number in range(1, 25)]
    workers = [Worker(f"worker-{n}", store, world) for n in range(2)]
    for round_ in range(6):
        await world.clock.sleep(world.rng.random() * 5)
        faulty.fail("append", times=world.rng.randrange(4))
        workers[0].store.fail("settle", times=world.rng.randrange(4))
        workers[1].store.fail("lease", times=world.rng.randrange(3))
        workers[1].store.fail("extend", times=world.rng.randrange(2))
        workers[0].store.fail("change_circuit", times=world.rng.randrange(2))
        await stand_still(workers[1], world)
        await decide(store, world)
        victim = workers.pop(0)
        await (victim.kill() if world.rng.random() < 0.7 else victim.stop())
        workers.append(Worker(f"worker-{round_ + 2}", store, world))
    await asyncio.gather(*senders)
    world.trouble = min(world.trouble, 0.5)
    for _ in range(2):
        await ended(store, world)
        await decide(store, world)
    await ended(store, world)
    for worker in workers:
        await worker.stop()
    return world


async def decide(store: Store, world: World) -> None:
    """What a person does about dead letters: replays half of them, discards some, leaves the rest."""
    for each in await all_of(store):
        dice = world.rng.random()
        if each.state is not State.DEAD or dice > 0.6:
            continue
        now_ms = world.clock.now_ms()
        transition = Transition(Trigger.DISCARD, now_ms)
        if dice < 0.5:
            transition = Transition(Trigger.REPLAY, now_ms, due_at_ms=now_ms)
            world.replays[each.id] += 1
        await store.act([Action(each.id, transition, "ada", "a simulation")])


async def stand_still(worker: Worker, world: World) -> None:
    """Sometimes a worker hangs until after its leases: then its settlements come, too late."""
    if world.rng.random() < 0.5:
        gates = [worker.store.stall(name) for name in ("settle", "extend")]
        await world.clock.sleep(LEASE_MS / 1000 * (0.5 + 2 * world.rng.random()))
        for gate_ in gates:
            gate_.set()


async def ended(store: Store, world: World) -> None:
    """Returns when nothing can go on by itself any more: all has ended, or waits behind a dead one of its lane."""
    for _ in range(1_000):
        await world.clock.sleep(5)
        if all(each.state is not State.LEASED for each in await all_of(store)) and not stuck(await all_of(store)):
            return
    raise AssertionError(f"after hours these still wait for nothing: {stuck(await all_of(store))}")


def stuck(deliveries: list[Delivery]) -> list[Delivery]:
    """What is scheduled though no dead one of its lane stands before it."""
    dead: dict[tuple[str, str | None], str] = {}
    for each in deliveries:
        if each.state is State.DEAD and each.lane is not None:
            dead.setdefault((each.destination, each.lane), each.id)
    return [
        each
        for each in deliveries
        if each.state is State.SCHEDULED
        and (each.lane is None or dead.get((each.destination, each.lane), "z") > each.id)
    ]


async def all_of(store: Store) -> list[Delivery]:
    return list((await store.find_deliveries(DeliveryFilter(), Page(10_000, newest_first=False))).rows)


# -- the promises ---------------------------------------------------------------------------------------


async def check(store: Store, world: World) -> None:
    """Every promise, on all there is."""
    deliveries = await all_of(store)
    kept = (await store.find_events(EventFilter(), Page(10_000))).rows
    # An event whose append failed for its sender was sent again, under the same dedup key: 24 events in all.
    assert len(kept) == 24
    assert world.promised == {each.event.id for each in kept}, "a 2xx for what is not kept, or an event twice"
    assert len(deliveries) == 18 * 2 + 18, "routes and deliveries disagree"
    assert world.overlaps == [], "two of one key were under way at once"
    assert world.forced == [], "sent although the circuit was open"
    for delivery in deliveries:
        attempts = (await store.history(delivery.id)).attempts
        check_history(delivery, attempts, world)
    for destination in ORDERED:
        check_order(destination, deliveries, world)


def check_history(delivery: Delivery, attempts: tuple[Attempt, ...], world: World) -> None:
    """Every call is on record, and every one but the last says why there was another."""
    policy = POLICIES[delivery.destination]
    kinds = [each.outcome for each in attempts]
    assert [each.number for each in attempts] == list(range(1, len(attempts) + 1))
    # A worker that died between lease and call has an attempt on record that the destination never saw.
    assert world.calls[delivery.id] <= len(attempts) == delivery.attempts
    rounds = [each.round for each in attempts]
    assert rounds == sorted(rounds)
    assert delivery.round == 1 + world.replays[delivery.id]
    for earlier, later in itertools.pairwise(attempts):
        # After a success there is nothing more, and after a never only what a person asked for.
        assert earlier.outcome is not OutcomeKind.SUCCESS
        assert earlier.outcome is not OutcomeKind.REJECT or later.round > earlier.round
    # Probes are at nobody's expense: there may be more attempts than the budget has.
    assert delivery.tries <= policy.attempts
    if delivery.reason is DeadReason.EXHAUSTED:
        assert delivery.tries == policy.attempts
    if delivery.state is State.SCHEDULED:
        assert delivery.lane is not None
        return
    assert delivery.state in (State.DELIVERED, State.DEAD, State.DISCARDED)
    if delivery.state is State.DISCARDED:
        assert kinds[-1] is not OutcomeKind.SUCCESS
        return
    expected = {
        None: OutcomeKind.SUCCESS,
        DeadReason.REJECTED: OutcomeKind.REJECT,
        DeadReason.EXHAUSTED: OutcomeKind.RETRY,
        DeadReason.CRASHED: OutcomeKind.LOST,
    }
    assert kinds[-1] is expected[delivery.reason]
    if delivery.state is State.DELIVERED:
        taken = world.successes[delivery.destination, delivery.key]
        assert delivery.event_id in taken, "recorded as delivered, and the destination never took it"


def check_order(destination: str, deliveries: list[Delivery], world: World) -> None:
    """The first time that a destination took each event of a key is in the order of acceptance, but for the skipped."""
    for (name, key), taken in world.successes.items():
        if name != destination:
            continue
        done = {
            each.event_id
            for each in deliveries
            if each.destination == name and each.state is State.DELIVERED and not each.skipped
        }
        first = [event_id for event_id in dict.fromkeys(taken) if event_id in done]
        assert first == sorted(first), f"{destination}, key {key}: out of order"


# -- running --------------------------------------------------------------------------------------------


def shares() -> list[tuple[str, range]]:
    """Which worlds are to be lived through: the store, and the seeds of a test."""
    found = []
    for kind in chosen(STORES):
        first, _, last = os.environ.get("SIMULATE", f"0-{SEEDS[kind] - 1}").partition("-")
        seeds, size = range(int(first), int(last or first) + 1), SHARE.get(kind, 1)
        found += [(kind, seeds[at : at + size]) for at in range(0, len(seeds), size)]
    return found


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Worlds full of trouble write a lot of log."""

    def drop(*_: object) -> str:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("virtual_places", "seeds"),
    shares(),
    indirect=["virtual_places"],
    ids=lambda part: part if isinstance(part, str) else f"{part[0]}-{part[-1]}",
)
def test_the_promises_hold_in_every_world(virtual_places: Callable[[], Place], seeds: range) -> None:
    async def world(store: Store, seed: int) -> None:
        await store.open()
        try:
            await check(store, await live(store, seed))
        finally:
            await store.close()

    for seed in seeds:
        try:
            run(world(virtual_places()(), seed))
        except BaseException:
            print(f"SIMULATE={seed} runs it alone")
            raise


def test_a_seed_is_one_world_and_always_the_same() -> None:
    async def tale() -> tuple[Counter[str], list[Delivery]]:
        store = MemoryStore()
        world = await live(store, 7)
        return world.calls, await all_of(store)

    assert run(tale()) == run(tale())
