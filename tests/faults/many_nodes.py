"""Many nodes on one store: senders with keys, nodes to which things are done, and the reckoning afterwards.

A node is a process of its own with a configuration of its own: other ports, and where it is behind a wire, other
addresses for the store and the destination.
"""

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import aiohttp

from acceptance.destination import Arrival, Reply
from acceptance.harness import LIMIT_S, PROOFS, Process, Site, environment, free_port
from faults.killing import CLOUD_LEASE, CLOUD_SENDERS, Backend, Figures, Ledger, reckon, waiting
from longstop.config import load_for_store
from longstop.model.delivery import OutcomeKind, State
from longstop.model.listing import DeliveryFilter, Page
from longstop.ports import Store
from longstop.wiring.stores import make_store
from stores_at_hand import in_cloud

T = TypeVar("T")

SENDERS = 10
"""Each with a key of its own, whose events it sends one after the other."""
LEASE = "1s"


@dataclass
class Senders:
    """Who sends, to whom, and what they were told."""

    ports: list[int]
    count: int
    ledger: Ledger = field(default_factory=Ledger)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, seed: int) -> None:
        """Send until it is over."""
        timeout = aiohttp.ClientTimeout(total=1)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._one(session, n, random.Random(seed + n)) for n in range(self.count)))

    async def more(self, count: int = 40) -> None:
        """Returns when so many more have been acknowledged."""
        enough, end_s = len(self.ledger.acknowledged) + count, time.monotonic() + LIMIT_S
        while len(self.ledger.acknowledged) < enough:
            assert time.monotonic() < end_s, "nobody takes events any more"
            await asyncio.sleep(0.01)

    async def _one(self, session: aiohttp.ClientSession, key: int, rng: random.Random) -> None:
        number = 0
        while not self.over.is_set():
            number += 1
            body = json.dumps({"id": f"{key}-{number}", "customer": f"c-{key}", "number": number}).encode()
            asked = rng.randrange(len(self.ports))
            # The same again until somebody has it, of one after the other.
            while not self.over.is_set() and not await self._post(session, self.ports[asked], body):
                asked = (asked + 1) % len(self.ports)
                await asyncio.sleep(rng.uniform(0.02, 0.1))
            await asyncio.sleep(rng.uniform(0.05, 0.15))

    async def _post(self, session: aiohttp.ClientSession, port: int, body: bytes) -> bool:
        self.ledger.sent += 1
        url = f"http://127.0.0.1:{port}/webhooks/shop"
        try:
            async with session.post(url, data=body, headers=PROOFS["shop"](body)) as response:
                answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.ledger.unanswered += 1
            return False
        assert response.status in (200, 503), (response.status, answer)
        if response.status == 200:
            self.ledger.acknowledged.add(json.loads(answer)["id"])
        return response.status == 200


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a delivery."""

    delivery_id: str
    event_id: str
    number: int

    def again(self) -> "Try":
        """The one after it."""
        return replace(self, number=self.number + 1)


class Nodes:
    """The nodes of a site on one store. They deliver in order, and their leases are short."""

    def __init__(self, site: Site, url: str, seed: int) -> None:
        self.site = site
        self.url = url
        self.kind = url.partition(":")[0]
        self.backend = Holding(seed)
        self.lost: frozenset[Try] = frozenset()
        """The attempts under way in workers while these lost their leases."""
        site.destination.script = self.backend
        self.senders, lease = (CLOUD_SENDERS, CLOUD_LEASE) if in_cloud(url) else (SENDERS, LEASE)
        site.configure(lease=lease, attempts=1000, first="10ms", cap="100ms", stop_timeout="5s")
        text = site.config.read_text().replace("sqlite:///longstop.db", url)
        site.config.write_text(text.replace("allow_private", "ordered = true\nallow_private"))

    def start(self, role: str, within: Sequence[str] = (), prelude: str = "", **instead: str) -> tuple[Process, int]:
        """Start a node; itself and its senders' port. instead: what stands for what in its configuration."""
        port, text = free_port(), self.site.config.read_text()
        ports = {f"port = {self.site.port}\n": f"port = {port}\n", str(self.site.admin_port): str(free_port())}
        for old, new in {**ports, **instead}.items():
            assert old in text, old
            text = text.replace(old, new)
        config = self.site.folder / f"node-{port}.toml"
        config.write_text(text)
        return self.site.start(role, within=within, prelude=prelude, config=config), port

    def goes_on(self) -> None:
        """The destination answers again, also what it has held."""
        self.backend.holds = False
        self.site.destination.release_held()

    def leased_by(self, worker: Process) -> frozenset[Try]:
        """What a worker has leased, whether or not it has come to the destination."""
        name = f"{socket.gethostname()}:{worker.popen.pid}"

        async def leased(store: Store) -> frozenset[Try]:
            found = await store.find_deliveries(DeliveryFilter(state=State.LEASED), Page(1000))
            mine = (each for each in found.rows if each.worker == name)
            return frozenset(Try(each.id, each.event_id, each.attempts + 1) for each in mine)

        return self._ask(leased)

    def settled_late(self) -> dict[Try, list[OutcomeKind]]:
        """Of the attempts whose leases were lost: what is on record of them, where that is more than that they were."""

        async def otherwise(store: Store) -> dict[Try, list[OutcomeKind]]:
            records = {each: (await store.history(each.delivery_id)).attempts for each in self.lost}
            kinds = {each: [it.outcome for it in found if it.number == each.number] for each, found in records.items()}
            return {each: found for each, found in kinds.items() if found != [OutcomeKind.LOST]}

        return self._ask(otherwise) if self.lost else {}

    def _ask(self, question: Callable[[Store], Awaitable[T]]) -> T:
        async def asked() -> T:
            store = make_store(load_for_store(self.site.config, environ=environment()).store)
            await store.open()
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(asked())

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Returns when it holds. It is asked in a thread: those who send go on."""
        end_s = time.monotonic() + (4 if in_cloud(self.url) else 2) * LIMIT_S
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < end_s, f"waited in vain for: {what}"
            await asyncio.sleep(0.05)


class Holding(Backend):
    """A destination that for a while answers nothing, so that whoever delivers has something under way."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.holds = False
        self._held: set[tuple[str, int]] = set()

    def has_held(self, one: Try) -> bool:
        """Whether it came while nothing was answered."""
        return (one.event_id, one.number) in self._held

    def __call__(self, arrival: Arrival) -> Reply:
        if self.holds:
            self.taken.add(arrival.webhook_id)
            self._held.add((arrival.webhook_id, arrival.attempt))
            return Reply(hold=True)
        return super().__call__(arrival)


def run(nodes: Nodes, ports: list[int], disturb: Callable[[Senders], Awaitable[None]], seed: int) -> Figures:
    """Have senders send while something is done to the nodes, let these finish, and reckon."""
    began_s, senders = time.monotonic(), Senders(ports, nodes.senders)
    asyncio.run(_run(nodes, senders, disturb, seed))
    return reckon(nodes.site, 1, senders.ledger, nodes.backend.taken, began_s)


async def _run(nodes: Nodes, senders: Senders, disturb: Callable[[Senders], Awaitable[None]], seed: int) -> None:
    sending = asyncio.create_task(senders.run(seed))
    await senders.more()
    disturbing = asyncio.create_task(disturb(senders))
    await asyncio.wait([sending, disturbing], return_when=asyncio.FIRST_COMPLETED)
    senders.over.set()
    await disturbing
    await sending
    await nodes.until(lambda: not waiting(nodes.site), "everything to be delivered")


def out_of_order(arrivals: Sequence[Arrival]) -> list[str]:
    """The keys whose events came first in another order than they were sent in. Repeats may come late."""
    seen: Counter[str] = Counter()
    wrong = []
    for arrival in arrivals:
        event = json.loads(arrival.body)
        if event["number"] > seen[event["customer"]] + 1:
            wrong.append(f"{event['customer']}: {event['number']} came behind {seen[event['customer']]}")
        seen[event["customer"]] = max(seen[event["customer"]], event["number"])
    return wrong
