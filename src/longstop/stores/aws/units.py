"""Many callers' changes, each whole or not at all, in few transactions.

A *unit* is what one caller wants: a function that reads items and writes items, and says what came of it. Units run one
after the other, and each sees what those before it wrote. What they wrote goes to the table in transactions, as many
units in one as it takes; units that have an item in common go in the same, in their order. Every item that was written
has to stand as it was read. Where one does not, somebody else was quicker: then the units of that transaction are run
again on what stands there now.

So the rules stay in the model, and there is no moment at which half of a unit has been done.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from longstop.model.delivery import Delivery
from longstop.model.errors import StoreUnavailableError
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of, size_of, to_wire, wire_key
from longstop.stores.aws.dynamodb import BYTES_MAX, ITEMS_MAX, ContentionError, Table
from longstop.stores.aws.table import Keys

T = TypeVar("T")

TURNS_MAX = 40
"""So often a unit is run again where others are quicker; of those who race one wins each time."""
FIRST_PAUSE_S, PAUSE_MAX_S = 0.005, 0.1
"""A unit that has met another's twice waits before the next turn, twice as long each time and at random up to that:
those who race would meet again at once."""
AT_ONCE = 8
"""So many transactions are under way together."""
COUNTERS_MAX = 12
"""Room that is kept for counters in each transaction: those of a few sources and destinations."""


UNGUARDED: Item = {}
"""In the place of what an item was when it was read: it is written whatever is there."""


class LaterError(Exception):
    """What was read is about to be changed by a unit of the same turn: this one has to wait for the next."""


@dataclass
class _Transaction:
    """Units that go together, and what they write."""

    base: dict[Key, Item | None] = field(default_factory=dict)
    """The items that are written, as they were read."""
    items: dict[Key, Item | None] = field(default_factory=dict)
    """As they are to be; None: gone."""
    checks: set[Key] = field(default_factory=set)
    """Have to be there."""
    counts: dict[Key, dict[str, int]] = field(default_factory=dict)
    """Counters, without their slot, to what is added to each attribute."""
    bumps: dict[Key, dict[str, int]] = field(default_factory=dict)
    """Items that have to be there, to what is added to each attribute."""
    places: list[int] = field(default_factory=list)
    """Which units."""
    lined_up: list[Delivery] = field(default_factory=list)
    """What stands in line by them."""
    bytes: int = 0

    def has_room(self, more: "View[Any]") -> bool:
        """Whether another unit fits in."""
        items = len(self.items.keys() | more.items.keys()) + len(self.checks | more.checks)
        items += len(self.bumps.keys() | more.bumps.keys())
        counters = len(self.counts.keys() | more.counts.keys())
        return items + max(counters, COUNTERS_MAX) <= ITEMS_MAX and self.bytes + more.bytes <= BYTES_MAX

    def take(self, place: int, more: "View[Any]") -> None:
        """Take a unit in."""
        for key, item in more.items.items():
            self.base.setdefault(key, more.base[key])
            self.items[key] = item
        self.checks |= more.checks
        self.bytes += more.bytes
        for mine, others in ((self.counts, more.counts), (self.bumps, more.bumps)):
            for key, amounts in others.items():
                _add(mine.setdefault(key, {}), amounts)
        self.places.append(place)
        self.lined_up += more.lined_up

    def operations(self, table: str, stamp: str, in_slot: Callable[[Key], Key]) -> list[dict[str, Any]]:
        """What the service is asked for. in_slot: where a counter is added to."""
        made = [_write(table, key, self.base[key], item, stamp) for key, item in self.items.items()]
        made += [_check(table, key) for key in self.checks - self.items.keys() - self.bumps.keys()]
        made += [_bump(table, key, amounts) for key, amounts in self.bumps.items()]
        for counter, amounts in self.counts.items():
            changed = {name: amount for name, amount in amounts.items() if amount}
            if changed:
                made.append(adding(table, in_slot(counter), changed))
        return [each for each in made if each]


def _write(table: str, key: Key, base: Item | None, item: Item | None, stamp: str) -> dict[str, Any]:
    if base is None and item is None:
        return {}
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
    if base is UNGUARDED:
        condition = {}
    elif base is not None:
        values = {":v": {"S": str(base.get("v", ""))}}
        condition = {"ConditionExpression": "v = :v", "ExpressionAttributeValues": values}
    if item is None:
        return {"Delete": {"TableName": table, "Key": wire_key(key), **condition}}
    return {"Put": {"TableName": table, "Item": to_wire(item | {"v": stamp}), **condition}}


def _check(table: str, key: Key) -> dict[str, Any]:
    exists = "attribute_exists(pk)"
    return {"ConditionCheck": {"TableName": table, "Key": wire_key(key), "ConditionExpression": exists}}


def _bump(table: str, key: Key, amounts: dict[str, int]) -> dict[str, Any]:
    made = adding(table, key, amounts)
    made["Update"]["ConditionExpression"] = "attribute_exists(pk)"
    return made


def _add(kept: dict[str, int], amounts: dict[str, int]) -> None:
    for name, amount in amounts.items():
        kept[name] = kept.get(name, 0) + amount


def adding(table: str, key: Key, amounts: dict[str, int]) -> dict[str, Any]:
    """The operation that adds to an item's numbers, which is made where there is none."""
    names = list(amounts)
    expression = "ADD " + ", ".join(f"#a{place} :a{place}" for place in range(len(names)))
    return {
        "Update": {
            "TableName": table,
            "Key": wire_key(key),
            "UpdateExpression": expression,
            "ExpressionAttributeNames": {f"#a{place}": name for place, name in enumerate(names)},
            "ExpressionAttributeValues": {f":a{place}": {"N": str(amounts[name])} for place, name in enumerate(names)},
        }
    }


class View(Generic[T]):
    """What a unit reads and writes by."""

    def __init__(self, turn: "_Turn") -> None:
        self._turn = turn
        self.again = turn.number > 0
        """It has been run before: what it wrote met another's, or was done and the answer was lost."""
        self.items: dict[Key, Item | None] = {}
        self.base: dict[Key, Item | None] = {}
        self.checks: set[Key] = set()
        self.counts: dict[Key, dict[str, int]] = {}
        self.bumps: dict[Key, dict[str, int]] = {}
        self.read: set[Key] = set()
        self.lined_up: list[Delivery] = []
        """What stands in line by this unit: who delivers is told when it is done."""
        self.bytes = 0

    async def get(self, key: Key) -> Item | None:
        """An item as it stands, with what earlier units of this turn and this one have made of it."""
        if key in self.items:
            return self.items[key]
        self.read.add(key)
        if key in self._turn.written:
            return self._turn.written[key]
        return await self._turn.fetched(key)

    async def put(self, item: Item) -> None:
        """Write an item, in the place of the one that `get` shows, if any."""
        key = key_of(item)
        await self._keep_base(key)
        self.items[key] = item
        self.bytes += size_of(item)

    def put_new(self, item: Item) -> None:
        """Write an item that nobody has written yet: it is not read, and it is contention where it is there."""
        key = key_of(item)
        self.base.setdefault(key, None)
        self.items[key] = item
        self.bytes += size_of(item)

    def put_beside(self, item: Item) -> None:
        """Write an item that comes and goes with another, which this unit writes as a new one: that one is guarded."""
        self.base.setdefault(key_of(item), UNGUARDED)
        self.put_new(item)

    async def drop(self, key: Key) -> None:
        """Delete an item, where it is there."""
        await self._keep_base(key)
        self.items[key] = None

    def drop_unread(self, key: Key, like: Item) -> None:
        """Delete an item that was written together with this one, and neither ever since: it need not be read."""
        self.base.setdefault(key, like)
        self.items[key] = None

    async def _keep_base(self, key: Key) -> None:
        if key not in self.base:
            self.base[key] = await self.get(key)

    def require(self, key: Key) -> None:
        """This item has to be there still when all of it is done."""
        self.checks.add(key)

    def count(self, counter: Key, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        _add(self.counts.setdefault(counter, {}), {name: amount})

    async def bump(self, key: Key, name: str) -> None:
        """Add one to a number of an item that is not read for it; where the item is not there, nothing is done.

        Of what is as large as an event reading and writing costs by its size.
        """
        written = self.items.get(key) or self._turn.written.get(key)
        if written is not None:
            await self.put(written | {name: int(written.get(name, 0)) + 1})
        elif not self.again or await self.head(key) is not None:
            _add(self.bumps.setdefault(key, {}), {name: 1})

    async def head(self, key: Key) -> Item | None:
        """An event's item without its body, as it stands in the table."""
        return await self._turn.head(key)

    def has_room(self, items: int, size: int) -> bool:
        """Whether so many more items, counters among them, of so many bytes fit into one transaction with these."""
        return self.items_written + items <= ITEMS_MAX and self.bytes + size <= BYTES_MAX

    @property
    def items_written(self) -> int:
        """How many items a transaction has of it."""
        return len(self.items.keys() | self.checks) + len(self.counts)

    async def query(self, partition: str, low: str | None = None, limit: int | None = None) -> list[Item]:
        """Items of a partition in order, as this unit has made them.

        Raises LaterError where an earlier unit of this turn writes in it.
        """
        if any(key[0] == partition for key in self._turn.written):
            raise LaterError
        own = {key: item for key, item in self.items.items() if key[0] == partition and key[1] >= (low or "")}
        more = None if limit is None else limit + len(own)
        found = await self._turn.table.query(partition, low, limit=more)
        self._turn.know(found)
        standing = {key_of(row): row for row in found} | own
        return [row for _, row in sorted(standing.items()) if row is not None][:limit]


class _Turn:
    """One run over the units that are left. alone: those that go in a transaction of their own."""

    def __init__(self, table: Table, seen: dict[Key, Item | None], number: int, alone: Collection[int]) -> None:
        self.table = table
        self.number = number
        self._alone = alone
        self._fetched = seen
        self._heads: dict[Key, Item | None] = {}
        self.written: dict[Key, Item | None] = {}
        self.blocked: set[Key] = set()
        self.home: dict[Key, _Transaction] = {}
        self.transactions: list[_Transaction] = []
        self._filling: _Transaction | None = None
        """The one that the next unit may go with."""
        self.met: set[int] = set()
        """Units whose transaction met another process's."""

    async def prefetch(self, wanted: Iterable[Key]) -> None:
        missing = [key for key in wanted if key not in self._fetched]
        found = await self.table.get(missing) if missing else {}
        self._fetched.update((key, found.get(key)) for key in missing)

    async def prefetch_heads(self, wanted: Sequence[Key]) -> None:
        found = await self.table.get(wanted, without="body") if wanted else {}
        self._heads.update((key, found.get(key)) for key in wanted)

    async def head(self, key: Key) -> Item | None:
        if key not in self._heads:
            await self.prefetch_heads([key])
        return self._heads[key]

    def know(self, items: Iterable[Item]) -> None:
        """These were read: they need not be fetched."""
        for item in items:
            self._fetched.setdefault(key_of(item), item)

    async def fetched(self, key: Key) -> Item | None:
        await self.prefetch([key])
        return self._fetched[key]

    def accept(self, place: int, view: View[Any]) -> bool:
        """Give a unit its transaction; False: it has to wait for the next turn, and so has whatever meets it."""
        touched = view.read | view.items.keys() | view.checks | view.bumps.keys()
        homes = {id(home): home for key in touched if (home := self.home.get(key)) is not None}
        if touched & self.blocked or len(homes) > 1:
            return self._refuse(touched)
        if homes:
            (home,) = homes.values()
            # Of one item a transaction takes one operation.
            twice = home.bumps.keys() & view.items.keys() | home.items.keys() & view.bumps.keys()
            if twice or not home.has_room(view):
                return self._refuse(touched)
        else:
            home = self._with_room(place, view)
        home.take(place, view)
        self.written.update(view.items)
        self.home.update((key, home) for key in (*view.items, *view.bumps))
        return True

    def _with_room(self, place: int, view: View[Any]) -> _Transaction:
        if not view.has_room(len(view.bumps), 0):
            found = f"one change of {view.items_written} items and {view.bytes} bytes"
            limit = f"{ITEMS_MAX} items and {BYTES_MAX} bytes"
            raise StoreUnavailableError(f"{found} is more than a transaction takes; expected {limit} at most")
        together = place not in self._alone
        if together and self._filling is not None and self._filling.has_room(view):
            return self._filling
        made = _Transaction()
        self.transactions.append(made)
        if together:
            self._filling = made
        return made

    def _refuse(self, touched: Collection[Key]) -> bool:
        self.blocked.update(touched)
        return False

    def block(self, view: View[Any]) -> None:
        """This unit has to wait for the next turn."""
        self._refuse(view.read | view.items.keys() | view.checks | view.bumps.keys())


class Units:
    """Runs units on one table. lined_up: is called with what stands in line from then on."""

    def __init__(self, table: Table, lined_up: Callable[[Sequence[Delivery]], object], shards: Keys) -> None:
        self._table = table
        self._keys = shards
        self._lined_up = lined_up
        self._slot = secrets.randbelow(keys.SLOTS)
        self._slots_taken = asyncio.Semaphore(AT_ONCE)

    async def run(
        self,
        units: Sequence[Callable[[View[T]], Awaitable[T]]],
        needs: Iterable[Key] = (),
        seen: Mapping[Key, Item | None] | None = None,
        heads: Sequence[Key] = (),
    ) -> list[T]:
        """Carry out units; what each came to, in order. All of it is durable on return.

        needs: items that they will ask for, which are read together. seen: items as they were read a moment ago, or
        as they are held to be: where one is not so, its unit is run again on what is there. heads: what they ask for
        without its body, once they are run again.
        Raises StoreUnavailableError: then some may have been carried out, and some not.
        """
        results: dict[int, T] = {}
        left = list(range(len(units)))
        known = dict(seen or {})
        # What met another's twice goes alone: of many together one or the other meets somebody each time. The first
        # time it may be that one of them was not what it was held to be.
        alone: set[int] = set()
        for number in range(TURNS_MAX):
            if alone and (pause_s := self._pause_s(number)):
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=pause_s)
            turn = _Turn(self._table, known, number, alone)
            await turn.prefetch(needs)
            if number:
                await turn.prefetch_heads(heads)
            again = await self._run_turn(turn, units, left, results)
            if not again:
                return [results[place] for place in range(len(units))]
            left, known = again, {}
            alone |= turn.met if number else set()
        raise StoreUnavailableError(f"DynamoDB: {len(left)} changes met others' {TURNS_MAX} times in a row")

    def _pause_s(self, number: int) -> float:
        longest_s: float = min(PAUSE_MAX_S, FIRST_PAUSE_S * 2 ** (number - 2))
        return longest_s * secrets.randbelow(1_000) / 1_000

    async def _run_turn(
        self,
        turn: _Turn,
        units: Sequence[Callable[[View[T]], Awaitable[T]]],
        left: Sequence[int],
        results: dict[int, T],
    ) -> list[int]:
        again = []
        for place in left:
            view: View[T] = View(turn)
            try:
                results[place] = await units[place](view)
            except LaterError:
                turn.block(view)
                again.append(place)
                continue
            if not turn.accept(place, view):
                again.append(place)
        outcomes = await asyncio.gather(*map(self._commit, turn.transactions), return_exceptions=True)
        for outcome, each in zip(outcomes, turn.transactions, strict=True):
            if isinstance(outcome, ContentionError):
                turn.met.update(each.places)
            elif isinstance(outcome, BaseException):
                raise outcome
        return sorted({*again, *turn.met})

    async def _commit(self, transaction: _Transaction) -> None:
        async with self._slots_taken:
            self._slot = (self._slot + 1) % keys.SLOTS
            stamp = secrets.token_hex(16)
            operations = transaction.operations(self._table.name, stamp, partial(self._keys.in_slot, slot=self._slot))
            if operations:
                await self._table.transact(operations, stamp)
        if transaction.lined_up:
            self._lined_up(transaction.lined_up)
