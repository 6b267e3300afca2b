"""`kill -9` of Redis under load, again and again, by two processes' worth of stores; and the reckoning afterwards."""

import asyncio
import random
from dataclasses import dataclass, field

from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import LeaseRequest
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered
from redis_server import RedisServer

BATCH_MAX = 12
KEYS = 40
"""So few dedup keys that many events are duplicates."""
LEASE_MS = 10**9
"""Nobody's lease runs out: whatever is leased twice is a fault."""


@dataclass
class Ledger:
    """What was said to those who asked, and what was wrong with it."""

    acknowledged: set[str] = field(default_factory=set)
    """Events that a receipt named."""
    settled: set[str] = field(default_factory=set)
    refused: int = 0
    """Calls that ended with StoreUnavailableError."""
    again: int = 0
    """Calls that were made again, since their answer was lost."""
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    numbers: int = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers


class Counting(RedisStore):
    """A store that counts what it does again."""

    again = 0

    async def _pause(self) -> None:
        self.again += 1
        await super()._pause()


async def run(
    server: RedisServer, kills: int, seed: int, relaxed: bool = False, make: type[Counting] = Counting
) -> Ledger:
    """Kill the server so often; what came of it."""
    ledger, rng = Ledger(), random.Random(seed)
    stores = [make(server.url, relaxed=relaxed) for _ in range(2)]
    for store in stores:
        await store.open()
    over = asyncio.Event()
    tasks = [
        asyncio.create_task(_append(store, ledger, over, random.Random(seed + n))) for n, store in enumerate(stores)
    ]
    tasks += [asyncio.create_task(_work(store, ledger, over)) for store in stores]
    for _ in range(kills):
        before = len(ledger.acknowledged)
        await asyncio.sleep(rng.uniform(0.02, 0.25))
        # On a busy machine nothing may have come of it by then, and then nothing could be lost.
        while len(ledger.acknowledged) == before and not any(task.done() for task in tasks):
            await asyncio.sleep(0.005)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(rng.uniform(0, 0.05))
        await asyncio.to_thread(server.start)
    await asyncio.sleep(0.5)
    over.set()
    await asyncio.gather(*tasks)
    await _reckon(stores[0], ledger)
    ledger.again = sum(store.again for store in stores)
    for store in stores:
        await store.close()
    return ledger


async def _append(store: RedisStore, ledger: Ledger, over: asyncio.Event, rng: random.Random) -> None:
    while not over.is_set():
        keys = [b"%d" % rng.randrange(KEYS) if rng.random() < 0.3 else None for _ in range(rng.randint(1, BATCH_MAX))]
        batch = [make_append(ledger.number(), dedup=key, window_ms=10**9) for key in keys]
        try:
            receipts = await store.append(batch)
        except StoreUnavailableError:
            ledger.refused += 1
            await asyncio.sleep(0.005)
            continue
        ledger.acknowledged.update(each.event_id for each in receipts)


async def _work(store: RedisStore, ledger: Ledger, over: asyncio.Event) -> None:
    while not over.is_set():
        try:
            batch = await store.lease(LeaseRequest("worker", {"crm": 20}, AT_MS + 1, AT_MS + LEASE_MS))
            ends = [delivered(each) for each in batch.claims]
            results = await store.settle(ends)
        except StoreUnavailableError:
            ledger.refused += 1
            await asyncio.sleep(0.005)
            continue
        for claim, lost in zip(batch.claims, results, strict=True):
            if lost is not None or claim.delivery.token != 1 or claim.delivery.id in ledger.settled:
                ledger.wrong.append(f"{claim.delivery.id}: {lost}, token {claim.delivery.token}")
            ledger.settled.add(claim.delivery.id)
        await asyncio.sleep(0)


async def _reckon(store: RedisStore, ledger: Ledger) -> None:
    for event_id in sorted(ledger.acknowledged):
        kept = await store.event(event_id)
        ledger.lost += kept is None
        for delivery in kept.deliveries if kept else ():
            attempts = len((await store.history(delivery.id)).attempts)
            ended = delivery.ended_at_ms is not None
            if attempts != ended or (delivery.id in ledger.settled and not ended):
                ledger.wrong.append(f"{delivery.id}: {delivery.state} with {attempts} attempts, token {delivery.token}")
    after: str | None = None
    while True:
        step = await store.recount(after)
        ledger.wrong += map(str, step.drifts)
        if (after := step.next_after) is None:
            return
