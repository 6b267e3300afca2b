"""A small world over the AWS store, in which any call to the services may fail: before it is done, after, or in part.

Messages are lost, late, twice and out of order; global indexes lag by minutes; for a while the table takes nothing.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError, ReadTimeoutError

from aws_fakes import S3InMemory, SqsInMemory
from aws_table import LateIndexes, StoreInMemory, TableInMemory
from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import Attempt, DeadReason, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Event
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim, LeaseRef, LeaseRequest, Settlement
from longstop.model.listing import DeliveryFilter, Page
from longstop.stores.aws import AwsStore
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.dead_queue import DeadQueue
from longstop.stores.aws.queue import Queue
from longstop.stores.aws.units import Units
from longstop.wiring.dead_messages import DeadMessages

LEASE_MS = 30_000
TRIES_MAX = 100
"""So often a settlement is told at most: longer than anything is away here."""
LAG_MS = 300_000
"""So late an index may be."""
OVER = 60
"""Bytes. Larger bodies lie in the bucket."""
BEGAN_MS = 1_767_225_600_000
PAGE = Page(1_000, newest_first=False)
CODES = ("ProvisionedThroughputExceededException", "InternalServerError", "RequestLimitExceeded", "ThrottlingException")


class Faults:
    """A client some of whose calls fail. share: of all calls. Which, the seed says."""

    def __init__(self, client: Any, rng: random.Random, share: float) -> None:
        self._client = client
        self._rng = rng
        self.share = share
        self.injected: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        async def call(**given: Any) -> Any:
            dice = self._rng.random()
            if dice >= self.share:
                return await real(**given)
            if dice < self.share * 0.4:
                self.injected[f"{name}: refused"] += 1
                code = self._rng.choice(CODES)
                raise ClientError({"Error": {"Code": code, "Message": "injected"}}, name)
            if dice < self.share * 0.5 and name == "batch_get_item":
                self.injected[f"{name}: partly"] += 1
                return await self._partly(real, given)
            answer = await real(**given)
            if dice < self.share * 0.8:
                self.injected[f"{name}: answer lost"] += 1
                raise ReadTimeoutError(endpoint_url="injected")
            if name == "transact_write_items":
                # The service carries out one of a token once; a client that lost the answer asks again.
                self.injected[f"{name}: twice"] += 1
                return await real(**given)
            return answer

        return call

    async def _partly(self, real: Callable[..., Any], given: dict[str, Any]) -> Any:
        ((table, asked),) = given["RequestItems"].items()
        keys = asked["Keys"]
        answer = await real(RequestItems={table: asked | {"Keys": keys[: max(1, len(keys) // 2)]}})
        if keys[max(1, len(keys) // 2) :]:
            answer["UnprocessedKeys"] = {table: asked | {"Keys": keys[max(1, len(keys) // 2) :]}}
        return answer


class FaultyTable:
    """A table some of whose calls fail, as one with such a client does; for one that has no client."""

    def __init__(self, table: Any, rng: random.Random, share: float) -> None:
        self._table = table
        self._rng = rng
        self.share = share
        self.throttled: Callable[[], bool] = lambda: False
        """Whether it takes nothing now."""
        self.injected: Counter[str] = Counter()
        self.name = table.name

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._table, name)

        async def call(*given: Any, **named: Any) -> Any:
            if self.throttled():
                self.injected[f"{name}: throttled"] += 1
                raise StoreUnavailableError("ThrottlingException")
            dice = self._rng.random()
            if dice < self.share / 2:
                self.injected[f"{name}: refused"] += 1
                raise StoreUnavailableError("injected")
            answer = await real(*given, **named)
            if dice < self.share:
                self.injected[f"{name}: answer lost"] += 1
                raise StoreUnavailableError("injected")
            return answer

        return call


@dataclass
class World:
    """Senders, workers and a person, on a part of a table of their own."""

    store: AwsStore
    faults: Faults | FaultyTable
    seed: int
    rng: random.Random
    now_ms: int = BEGAN_MS
    acknowledged: dict[bytes, str] = field(default_factory=dict)
    """Dedup key to the event that its sender was told of."""
    sent: Counter[str] = field(default_factory=Counter)
    """Delivery to how often its destination got it."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """Event to its body."""
    around: "Around | None" = None
    throttled_until_ms: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ids = IdFactory(self.rng)
        self.source, self.destination = f"s{self.seed}", f"d{self.seed}"
        self._claims: list[Claim] = []
        self._tried: list[bytes] = []
        self._rare: tuple[Callable[[], Awaitable[None]], ...] = (self.crash, self.rescue, self.replay, self.extend)
        if self.around is not None:
            self._rare += (self.work, self.work, self.sweep_bodies, self.dead_letters, self.rest)

    # -- steps --------------------------------------------------------------------------------

    async def step(self) -> None:
        """Some things happen at the same time."""
        self.now_ms += self.rng.randrange(2_000)
        await asyncio.gather(*(self._happens() for _ in range(self.rng.choice((1, 2, 3)))))

    async def _happens(self) -> None:
        steps = (self.post, self.post, self.post_again, self.lease, self.lease, self.settle, self.settle, self.settle)
        with contextlib.suppress(StoreUnavailableError):
            await self.rng.choice((*steps, *self._rare))()

    async def post(self) -> None:
        """Events come, some for a lane."""
        await self._post(
            [self._append(b"%d-%d" % (self.seed, len(self._tried) + n)) for n in range(self.rng.choice((1, 1, 3)))]
        )

    async def post_again(self) -> None:
        """A sender that was not answered, or was, tries again."""
        if self._tried:
            await self._post([self._append(self.rng.choice(self._tried))])

    def _append(self, dedup: bytes) -> Append:
        if dedup not in self._tried:
            self._tried.append(dedup)
        key = f"k{crc32(dedup) % 3}" if int(dedup.rpartition(b"-")[2]) % 2 else None
        id_ = self.ids.make(self.now_ms)
        body = self.bodies[id_] = b'{"of": "%s"}' % dedup + b" " * (OVER if crc32(dedup) % 4 == 0 else 0)
        event = Event(id_, self.source, self.now_ms, body, type="t", key=key, dedup=dedup)
        named = (self.ids.make(self.now_ms), id_, self.source, "t", key, self.now_ms, self.destination, State.SCHEDULED)
        delivery = Delivery(*named, due_at_ms=self.now_ms, lane=key, round_at_ms=self.now_ms)
        return Append(event, (delivery,), self.now_ms + 10**9)

    async def _post(self, appends: list[Append]) -> None:
        receipts = await self.store.append(appends)
        for append, receipt in zip(appends, receipts, strict=True):
            dedup = append.event.dedup or b""
            told = self.acknowledged.setdefault(dedup, receipt.event_id)
            if told != receipt.event_id:
                self.problems.append(f"two events of {dedup!r}: {told}, {receipt.event_id}")

    async def lease(self, room: int = 3) -> None:
        """A worker takes what is due, and delivers it."""
        request = LeaseRequest("w", {self.destination: room}, self.now_ms, self.now_ms + LEASE_MS)
        claims = (await self.store.lease(request)).claims
        for claim in claims:
            self.sent[claim.delivery.id] += 1
            if claim.event.body != self.bodies[claim.event.id]:
                self.problems.append(f"another body: {claim.event.id}")
        self._claims += claims

    async def settle(self) -> None:
        """A worker says what came of it."""
        if not self._claims:
            return
        claim = self._claims.pop(self.rng.randrange(len(self._claims)))
        dice = self.rng.random()
        if dice < 0.6:
            settlement = self.settlement(
                claim, Outcome(OutcomeKind.SUCCESS, 204), Transition(Trigger.SUCCEED, self.now_ms)
            )
        elif dice < 0.9:
            later = Transition(Trigger.RETRY, self.now_ms, due_at_ms=self.now_ms + self.rng.randrange(5_000))
            settlement = self.settlement(claim, Outcome(OutcomeKind.RETRY, 503, "busy"), later)
        else:
            park = Transition(Trigger.PARK, self.now_ms, reason=DeadReason.REJECTED)
            settlement = self.settlement(claim, Outcome(OutcomeKind.REJECT, 422, "no"), park)
        for _ in range(TRIES_MAX):
            # As a worker does: until it is known.
            try:
                await self.store.settle([settlement])
            except StoreUnavailableError:
                self.now_ms += 500
                continue
            return
        self.problems.append(f"never settled: {claim.delivery.id}")

    def settlement(self, claim: Claim, outcome: Outcome, transition: Transition) -> Settlement:
        """The end of a claim's lease."""
        tried = claim.delivery.tried(outcome)
        began_ms = claim.delivery.leased_at_ms or 0
        attempt = Attempt(tried.attempts, tried.round, began_ms, 5, outcome.kind, outcome.status, outcome.error)
        return Settlement(tried.after(transition), attempt)

    async def crash(self) -> None:
        """A worker is gone, with what it had; its leases run out."""
        self._claims.clear()
        self.now_ms += LEASE_MS

    async def extend(self) -> None:
        """A worker holds what it has."""
        if self._claims:
            refs = [LeaseRef(each.delivery.id, each.delivery.token) for each in self._claims]
            await self.store.extend(refs, self.now_ms + LEASE_MS)

    async def rescue(self) -> None:
        """What nobody reports comes back."""
        for delivery in await self.store.expired(self.now_ms, 500):
            if delivery.destination != self.destination:
                continue
            lost = Outcome(OutcomeKind.LOST, error="the lease ran out")
            again = Transition(Trigger.RETRY, self.now_ms, due_at_ms=self.now_ms)
            event = Event(delivery.event_id, self.source, self.now_ms, b"")
            await self.store.settle([self.settlement(Claim(delivery, event), lost, again)])

    async def replay(self) -> None:
        """A person sends the dead again."""
        dead = await self.store.find_deliveries(DeliveryFilter(state=State.DEAD, destination=self.destination), PAGE)
        again = Transition(Trigger.REPLAY, self.now_ms, due_at_ms=self.now_ms)
        await self.store.act([Action(each.id, again, "ada") for each in dead.rows])

    # -- beside the table: see Around ---------------------------------------------------------

    async def work(self) -> None:
        """A function gets messages: it looks at the table, delivers, puts off what still stands in line, and its
        messages are deleted, if it did not die before."""
        assert self.around is not None
        messages = await self.around.receive()
        await self.lease()
        await self.settle()
        self.store.tell_later(await self.store.standing_in_line([each for each, _ in messages]), 60)
        await self.store.told()
        if self.rng.random() < 0.7:
            await self.around.delete([handle for _, handle in messages])

    async def sweep_bodies(self) -> None:
        """What belongs to no event is deleted."""
        await self.store.give_back()

    async def dead_letters(self) -> None:
        """What the queue has given up is seen to."""
        assert self.around is not None
        clock: Any = SimpleNamespace(now_ms=lambda: self.now_ms)
        await DeadMessages(self.store, "eventbridge", clock, self.ids).see_to()

    async def rest(self) -> None:
        """Nobody does anything for an hour, or the table takes nothing for half a minute."""
        dice = self.rng.random()
        if dice < 0.2:
            self.now_ms += 3_600_000
        elif dice < 0.4:
            self.throttled_until_ms = self.now_ms + 20_000

    # -- the end ------------------------------------------------------------------------------

    async def end(self) -> None:
        """No fault any more: all that waits goes out, and everything is compared."""
        self.faults.share = 0.0
        self.throttled_until_ms = 0
        if self.around is not None:
            await self.around.mend(self.store)
        self._claims.clear()
        for _ in range(200):
            self.now_ms += LEASE_MS + 10_000
            await self.rescue()
            await self.replay()
            await self.lease(50)
            for claim in self._claims:
                done = Transition(Trigger.SUCCEED, self.now_ms)
                await self.store.settle([self.settlement(claim, Outcome(OutcomeKind.SUCCESS, 204), done)])
            if not self._claims:
                break
            self._claims.clear()
        await self._compare()
        if self.around is not None:
            self.now_ms += 2 * 3_600_000
            while await self.store.give_back():
                pass
            self.problems += await self.around.compare()

    async def _compare(self) -> None:
        rows = (await self.store.find_deliveries(DeliveryFilter(destination=self.destination), PAGE)).rows
        by_event = {each.event_id: each for each in rows}
        if len(by_event) != len(rows):
            self.problems.append("an event has two deliveries")
        for dedup, event_id in self.acknowledged.items():
            found = by_event.get(event_id)
            if found is None or found.state is not State.DELIVERED:
                self.problems.append(f"lost: {dedup!r}, {event_id}: {found and found.state}")
        histories = await self.store.histories([each.id for each in rows])
        for row, history in zip(rows, histories, strict=True):
            if len(history.attempts) != row.attempts:
                self.problems.append(f"{row.id}: {row.attempts} attempts, {len(history.attempts)} recorded")
            if self.sent[row.id] > row.attempts:
                self.problems.append(f"{row.id}: sent {self.sent[row.id]} times, {row.attempts} recorded")
        sources, deliveries, _ = await self.store.counted()
        states = Counter(each.state for each in rows)
        if deliveries.get(self.destination, {}) != dict(states):
            self.problems.append(f"counted {deliveries.get(self.destination)}, found {dict(states)}")
        if sources.get(self.source, 0) != len(by_event):
            self.problems.append(f"counted {sources.get(self.source)} events, found {len(by_event)}")


class Around:
    """What stands beside a table in this process: a queue and its dead letters, a bucket, and indexes that lag."""

    def __init__(self, table: TableInMemory, rng: random.Random, share: float, now_ms: Callable[[], int]) -> None:
        self.table = table
        self.queue = SqsInMemory(rng, share, now_ms)
        self.queue.dead = SqsInMemory(rng, share, now_ms)
        self.bucket = S3InMemory(rng, share, now_ms)
        self.late = table.late = LateIndexes(now_ms, LAG_MS, rng)
        self.out_of_order: list[str] = []
        self._leased: list[Key] = []
        table.written = self._note
        table.after_transaction = lambda _number: self._look()

    async def receive(self) -> list[tuple[str, str]]:
        """Which deliveries messages name, and their handles."""
        try:
            answer = await self.queue.receive_message(QueueUrl="q", MaxNumberOfMessages=10)
        except ClientError:
            return []
        return [(json.loads(each["Body"])["delivery"], each["ReceiptHandle"]) for each in answer["Messages"]]

    async def delete(self, handles: Sequence[str]) -> None:
        """They are done with."""
        if handles:
            entries = [{"Id": str(place), "ReceiptHandle": each} for place, each in enumerate(handles)]
            with contextlib.suppress(ClientError):
                await self.queue.delete_message_batch(QueueUrl="q", Entries=entries)

    async def mend(self, store: AwsStore) -> None:
        """Nothing happens to calls any more."""
        await store.told()
        for each in (self.queue, self.queue.dead, self.bucket):
            assert each is not None
            each.share = 0.0
        self.late.lag_ms = 0

    async def compare(self) -> list[str]:
        """What is wrong with what was put beside the table, and with the order of lanes."""
        known = {str(row["kept_in"]) for row in self.table.items.values() if "kept_in" in row}
        lie = {name.rpartition("/")[2] for name in self.bucket.objects}
        strays, lost = lie - known, known - lie
        wrong = [f"a body of nothing: {strays}"] * bool(strays) + [f"lost a body: {lost}"] * bool(lost)
        return self.out_of_order + wrong

    def _note(self, key: Key, item: Item | None) -> None:
        if key[0].startswith("N#") and item is not None and item.get("state") == State.LEASED:
            self._leased.append(key)

    def _look(self) -> None:
        """Whether what was leased was the first of its lane."""
        for lane, id_ in self._leased:
            others = [key[1] for key in self.table.partition(lane) if keys.LANE_HEAD < key[1] < id_]
            self.out_of_order += [f"out of order: {id_} before {others}"] * bool(others)
        self._leased.clear()


Ending = Callable[[World], Awaitable[None]]


async def run_in_memory(
    store: StoreInMemory, seed: int, share: float = 0.1, steps: int = 60, ending: Ending = World.end
) -> World:
    """One run over a table in this process; its problems are in `problems`. ending: how it ends."""
    rng = random.Random(seed)
    faults = FaultyTable(store.table, rng, share)
    around = Around(store.table, rng, share, lambda: world.now_ms)
    store.now_ms = lambda: world.now_ms
    store.queue = Queue(around.queue, "q", store.now_ms)
    store.queue.reminds = True
    store.dead_queue = DeadQueue(around.queue.dead, "q")
    store.keep_apart(around.bucket.bodies(), OVER)
    store.table = faults  # type: ignore[assignment]
    store.units = Units(store.table, store.lined_up, store.keys)
    world = World(store, faults, seed, rng, around=around)
    faults.throttled = lambda: world.now_ms < world.throttled_until_ms
    for _ in range(steps):
        await world.step()
    await ending(world)
    return world


async def run_seed(store: AwsStore, seed: int, share: float = 0.1, steps: int = 40) -> World:
    """One run; its problems are in `problems`. store: open; its client is replaced for the time."""
    rng = random.Random(seed)
    real = store.table._client
    faults = Faults(real, rng, share)
    store.table._client = faults
    try:
        world = World(store, faults, seed, rng)
        for _ in range(steps):
            await world.step()
        await world.end()
    finally:
        store.table._client = real
    return world
