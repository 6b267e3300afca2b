"""The connection to an account's table, and what all parts of the store ask of it."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from longstop.aws_api.client import AwsClient, Patience
from longstop.aws_api.errors import CALL_ERRORS, what_is_wrong
from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery, State
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.id_times import IdTimes
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.dead_queue import DeadQueue
from longstop.stores.aws.deliveries import Deliveries
from longstop.stores.aws.dynamodb import Table
from longstop.stores.aws.packing import to_circuit, to_pause
from longstop.stores.aws.queue import WAIT_S, Queue
from longstop.stores.aws.table import Keys
from longstop.stores.aws.units import Units, View
from longstop.stores.aws.unreadable import readable

PATIENCE = Patience(read_s=1.5, attempts=3)
"""A sender is answered within four seconds."""
LONG_POLL = Patience(read_s=WAIT_S + 5, attempts=2)
CONNECTIONS = 64


class AwsDatabase:
    """One table.

    region, endpoint: of the services. queue: its name; None: nobody is woken. shards: of a table that is new.
    now_ms: the wall clock, by which a message is put off until its delivery is due.
    """

    def __init__(
        self,
        region: str,
        table: str,
        *,
        queue: str | None = None,
        endpoint: str | None = None,
        shards: int = 8,
        now_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._queue_name = queue
        self.queue: Queue | None = None
        self.dead_queue: DeadQueue | None = None
        self._reminds = False
        self._region = region
        self._endpoint = endpoint
        self._name = table
        self._stack: AsyncExitStack | None = None
        self._wakes: list[Callable[[], None]] = []
        self._marks = IdTimes(0, 0, 0)
        """As last seen; they only grow."""
        self.keys = Keys(shards)
        self.deliveries = Deliveries(self.keys)
        self.table: Table
        self.units: Units

    async def open(self) -> None:
        """See ports.Store. Raises SchemaError where the table is not there, or is another program's."""
        stack = AsyncExitStack()
        try:
            self.table = Table(await self._client("dynamodb", PATIENCE, stack), self._name)
            self.units = Units(self.table, self.lined_up, self.keys)
            self.keys.shards = await self._shards_of_table()
            if self._queue_name is not None:
                client = await self._client("sqs", LONG_POLL, stack)
                self.queue = Queue(client, self._queue_name, self._now_ms)
                self.queue.reminds = self._reminds
                await self.queue.open()
                self.dead_queue = DeadQueue(client, self._queue_name)
        except BaseException:
            await stack.aclose()
            raise
        self._stack = stack

    async def _client(self, service: str, patience: Patience, stack: AsyncExitStack) -> Any:
        client = AwsClient(service, self._region, self._endpoint, patience, CONNECTIONS, validated=False)
        stack.push_async_callback(client.close)
        try:
            return await client.get()
        except CALL_ERRORS as error:
            raise StoreUnavailableError(what_is_wrong(error, service, "the store's permissions")) from error

    async def _shards_of_table(self) -> int:
        """What the table was made with; of one that is new, what is asked for."""

        async def unit(view: View[Item]) -> Item:
            kept = await view.get(keys.STORE)
            if kept is not None:
                return kept
            new: Item = {"pk": keys.STORE[0], "sk": keys.STORE[1], "format": keys.FORMAT, "shards": self.keys.shards}
            await view.put(new)
            return new

        (kept,) = await self.units.run([unit])
        if kept.get("format") != keys.FORMAT:
            found = f"the table {self._name} has format {int(kept.get('format', 0))}"
            raise SchemaError(f"{found}; this version of Longstop reads format {keys.FORMAT}: use the newer one")
        return int(kept["shards"])

    async def close(self) -> None:
        """See ports.Store."""
        stack, self._stack = self._stack, None
        queue, self.queue = self.queue, None
        if queue is not None:
            await queue.close()
        if stack is not None:
            await stack.aclose()

    def ready(self) -> bool:
        """See ports.Store."""
        return self._stack is not None

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)
        if self.queue is not None:
            self.queue.listen(self.wake)

    def lined_up(self, deliveries: Sequence[Delivery]) -> None:
        """These stand in line from now on."""
        self.wake()
        if self.queue is not None:
            self.queue.tell(deliveries)

    def tell_later(self, deliveries: Sequence[Delivery], least_s: int) -> None:
        """Have these looked at again, when they are due and no sooner than so."""
        if self.queue is not None:
            self.queue.tell(deliveries, least_s)

    def remind_later(self) -> None:
        """From now on what is due later is told, too: nobody looks by himself."""
        self._reminds = True
        if self.queue is not None:
            self.queue.reminds = True

    async def told(self) -> None:
        """When all that is told has been sent, or could not be."""
        if self.queue is not None:
            await self.queue.sent()

    def wake(self) -> None:
        """There may be something to lease."""
        for wake in self._wakes:
            asyncio.get_running_loop().call_soon(wake)

    async def of_shards(self, index: str, low: str, high: str, limit: int | None, backward: bool = False) -> list[Item]:
        """The rows of every shard that a local index has from low to high, in its order; at most so many."""
        parts = await self.each_shard(index, low, high, limit, backward)
        rows = [row for rows in parts for row in rows]
        rows.sort(key=lambda row: str(row[index]), reverse=backward)
        return rows if limit is None else rows[:limit]

    async def each_shard(
        self, index: str, low: str, high: str, limit: int | None, backward: bool = False
    ) -> list[list[Item]]:
        """The same of every shard by itself, at most so many of each."""
        asked = (
            self.table.query(f"D#{shard}", low, high, index=index, names=("pk", index), limit=limit, backward=backward)
            for shard in self.keys.all_shards()
        )
        return list(await asyncio.gather(*asked))

    async def marks(self) -> IdTimes:
        """As they are kept."""
        found = await self.table.get([keys.MARKS])
        return _marks(found.get(keys.MARKS))

    async def note_marks(self, view: View[Any], with_it: Callable[[IdTimes], IdTimes]) -> None:
        """Write the marks where something goes beyond them, which is rare: what was seen of them is enough to know."""
        if with_it(self._marks) == self._marks:
            return
        kept = await view.get(keys.MARKS)
        self._marks = _marks(kept)
        wider = with_it(self._marks)
        if wider != self._marks:
            await view.put((kept or {"pk": keys.MARKS[0], "sk": keys.MARKS[1]}) | asdict(wider))

    async def counted(self) -> tuple[dict[str, int], dict[str, dict[State, int]], int]:
        """How many events of each source, deliveries of each destination and state, and unrouted events there are."""
        sources: dict[str, int] = {}
        deliveries: dict[str, dict[State, int]] = {}
        unrouted = 0
        found = await asyncio.gather(*map(self.table.query, self.keys.counters()))
        for row in (row for rows in found for row in rows):
            kind, *named, _ = str(row["sk"]).split("#")
            name = "".join(named)
            if kind == "e":
                sources[name] = sources.get(name, 0) + int(row["n"])
            elif kind == "u":
                unrouted += int(row["n"])
            else:
                states = deliveries.setdefault(name, {})
                for state in State:
                    if state.value in row:
                        states[state] = states.get(state, 0) + int(row[state.value])
        there = {name: {state: n for state, n in states.items() if n} for name, states in deliveries.items()}
        return (
            {name: n for name, n in sources.items() if n},
            {name: states for name, states in there.items() if states},
            unrouted,
        )

    async def destinations(self) -> list[str]:
        """Those of which anything is kept."""
        _, deliveries, _ = await self.counted()
        return sorted(deliveries)

    async def standing(self) -> tuple[dict[str, Circuit], dict[str, Pause]]:
        """The circuits that are open and the destinations that are paused, by name."""
        circuits: dict[str, Circuit] = {}
        pauses: dict[str, Pause] = {}
        for item in await self.table.query(keys.STANDING):
            # One that cannot be read is closed, or none.
            if str(item["sk"]).startswith("c#"):
                circuits |= {each.destination: each for each in readable([item], to_circuit)}
            elif str(item["sk"]).startswith("p#"):
                pauses |= {each.destination: each for each in readable([item], to_pause)}
        return circuits, pauses


def _marks(item: Item | None) -> IdTimes:
    kept = item or {}
    return IdTimes(*(int(kept.get(name, 0)) for name in ("ahead_ms", "behind_ms", "early_ms")))


def missing(what: Sequence[str]) -> StoreUnavailableError:
    """Something that the store needs is not there."""
    return StoreUnavailableError(f"not there: {', '.join(what)}")
