"""A table of DynamoDB in this process, as far as the store uses one: for tests that need neither a service nor time.

What it is asked for it counts in capacity units, as they are documented:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-mode.html#consumed-capacity
"""

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from longstop.stores.aws.attributes import Item, Key, from_wire, key_of, size_of
from longstop.stores.aws.dynamodb import ITEMS_MAX, ContentionError, Table
from longstop.stores.aws.store import AwsStore
from longstop.stores.aws.table import GLOBAL_INDEXES, LOCAL_INDEXES
from longstop.stores.aws.units import Units

ITEM_BYTES_MAX = 409_600
TRANSACTION_BYTES_MAX = 4 * 2**20
READ_BYTES, WRITE_BYTES = 4_096, 1_024


class LateIndexes:
    """What global indexes show of a table: each item as it was up to so long ago, each by itself.

    now_ms: the time by which they lag. lag_ms: at most.
    """

    def __init__(self, now_ms: Callable[[], int], lag_ms: int, rng: random.Random) -> None:
        self._now_ms = now_ms
        self.lag_ms = lag_ms
        self._rng = rng
        self._shown: dict[Key, Item] = {}
        self._coming: dict[Key, list[tuple[int, Item | None]]] = {}

    def note(self, key: Key, item: Item | None) -> None:
        """An item has changed."""
        coming = self._coming.setdefault(key, [])
        at_ms = self._now_ms() + self._rng.randrange(self.lag_ms + 1)
        coming.append((max([at_ms, *(at for at, _ in coming[-1:])]), item))

    def items(self) -> Iterable[Item]:
        """As they are shown now."""
        now_ms = self._now_ms()
        for key, coming in list(self._coming.items()):
            while coming and (coming[0][0] <= now_ms or self.lag_ms == 0):
                _, item = coming.pop(0)
                if item is None:
                    self._shown.pop(key, None)
                else:
                    self._shown[key] = item
            if not coming:
                del self._coming[key]
        return self._shown.values()


class TableInMemory(Table):
    """Its indexes are not late, but for `late`. What was asked of `transact` is in `transactions`, as tokens."""

    def __init__(self) -> None:
        super().__init__(None, "in memory")
        self.items: dict[Key, Item] = {}
        self._partitions: defaultdict[str, dict[Key, Item]] = defaultdict(dict)
        self.late: LateIndexes | None = None
        self.transactions: list[str] = []
        self.units: Counter[str] | None = None
        """Where they are to be counted: `read` and `write`, `index` for those of `write` that are for indexes; and
        calls, by operation."""
        self.after_transaction: Callable[[int], None] = lambda _number: None
        """Is called when one is done, with how many there were: what it raises its caller gets."""
        self.written: Callable[[Key, Item | None], object] = lambda _key, _item: None
        """Is called with what is being written; None: it is deleted."""

    async def get(self, keys: Sequence[Key], without: str | None = None) -> dict[Key, Item]:
        await asyncio.sleep(0)
        distinct = dict.fromkeys(keys)
        found = {key: self.items[key] for key in distinct if key in self.items}
        if self.units is not None and distinct:
            # What is left out is paid for, and so is what is not there.
            read = sum(_units(_size(self.items.get(key)), READ_BYTES) for key in distinct)
            self.units.update(get=1, read=read)
        return {key: {name: each for name, each in item.items() if name != without} for key, item in found.items()}

    async def query(
        self,
        partition: str,
        low: str | None = None,
        high: str | None = None,
        *,
        index: str | None = None,
        names: tuple[str, str] = ("pk", "sk"),
        limit: int | None = None,
        backward: bool = False,
        consistent: bool = True,
    ) -> list[Item]:
        await asyncio.sleep(0)
        assert "" not in (low, high), "a key that the service refuses"
        of, order = names
        found = [item for item in self._items_of(partition, of, consistent) if order in item]
        if low is not None or high is not None:
            found = [
                item for item in found if (low or "") <= str(item[order]) and (high is None or str(item[order]) <= high)
            ]
        found.sort(key=lambda item: (str(item[order]), str(item["pk"]), str(item["sk"])), reverse=backward)
        shown = [_projected(item, index) for item in found[:limit]]
        if self.units is not None:
            read = _units(sum(map(_size, shown)), READ_BYTES) / (1 if consistent else 2)
            self.units.update(query=1, read=read)  # type: ignore[call-overload]
        return shown

    def partition(self, name: str) -> Iterable[Key]:
        """The keys of what is in one."""
        return self._partitions.get(name, {})

    def _items_of(self, partition: str, of: str, consistent: bool) -> Iterable[Item]:
        if of == "pk":
            # Local indexes are part of a partition, and as consistent as that is.
            return self._partitions.get(partition, {}).values()
        assert not consistent, "not to be had of a global index"
        shown = self.items.values() if self.late is None else self.late.items()
        return [item for item in shown if item.get(of) == partition]

    async def delete(self, keys: Sequence[Key]) -> None:
        await asyncio.sleep(0)
        for key in keys:
            self.write(key, None, 1)

    async def transact(self, operations: Sequence[dict[str, Any]], token: str) -> None:
        await asyncio.sleep(0)
        each_key = [_key(given) for each in operations for given in each.values()]
        assert len(set(each_key)) == len(each_key) <= ITEMS_MAX, "a transaction that the service refuses"
        if not all(self._holds(given) for each in operations for given in each.values()):
            raise ContentionError
        if self.units is not None:
            self.units["transact"] += 1
        size = 0
        for each in operations:
            ((kind, given),) = each.items()
            size += self._carry_out(kind, given)
        assert size <= TRANSACTION_BYTES_MAX, "a transaction that the service refuses"
        self.transactions.append(token)
        self.after_transaction(len(self.transactions))

    def _holds(self, given: dict[str, Any]) -> bool:
        kept = self.items.get(_key(given))
        condition = given.get("ConditionExpression")
        if condition == "v = :v":
            return kept is not None and kept.get("v") == given["ExpressionAttributeValues"][":v"]["S"]
        return condition is None or (kept is not None) == (condition == "attribute_exists(pk)")

    def _carry_out(self, kind: str, given: dict[str, Any]) -> int:
        """How many bytes it puts."""
        key = _key(given)
        if kind == "Put":
            item = from_wire(given["Item"])
            size = size_of(item)
            assert size <= ITEM_BYTES_MAX, "an item that the service refuses"
            self.write(key, item)
            return size
        if kind == "Delete":
            self.write(key, None)
        elif kind == "Update":
            item = dict(self.items.get(key) or {"pk": key[0], "sk": key[1]})
            more = from_wire(given["ExpressionAttributeValues"])
            for place, name in given["ExpressionAttributeNames"].items():
                item[name] = int(item.get(name, 0)) + int(more[place.replace("#", ":")])
            self.write(key, item)
        elif self.units is not None:
            # A check costs what a write of the item would.
            self.units["write"] += 2 * _units(_size(self.items.get(key)), WRITE_BYTES)
        return 0

    def write(self, key: Key, item: Item | None, times: int = 2) -> None:
        """Put an item in its place; None: delete it. times: what a transaction writes costs twice, and what follows of
        it in indexes does not."""
        old = self.items.get(key)
        if self.units is not None:
            indexes = sum(_index_units(name, old, item) for name in (*LOCAL_INDEXES, *GLOBAL_INDEXES))
            write = times * _units(max(_size(old), _size(item)), WRITE_BYTES) + indexes
            self.units.update(write=write, index=indexes)
        if item is None:
            self.items.pop(key, None)
            self._partitions[key[0]].pop(key, None)
        else:
            self.items[key] = self._partitions[key[0]][key] = item
        if self.late is not None:
            self.late.note(key, item)
        self.written(key, item)


def _size(item: Item | None) -> int:
    return 0 if item is None else size_of(item)


def _units(size: int, of: int) -> int:
    return max(1, math.ceil(size / of))


def _projected(item: Item, index: str | None) -> Item:
    """What an index shows of an item: a local one all, a global one its keys."""
    if index is None or index not in GLOBAL_INDEXES:
        return dict(item)
    return {name: item[name] for name in ("pk", "sk", *GLOBAL_INDEXES[index]) if name in item}


def _index_units(name: str, old: Item | None, new: Item | None) -> int:
    """What an index writes: one deletion, one insertion, or one where its entry stays in its place and is another.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html#LSI.ThroughputConsiderations.Writes
    """
    entries = [_entry(name, item) for item in (old, new)]
    if entries[0] == entries[1]:
        return 0
    keys = (name,) if name in LOCAL_INDEXES else GLOBAL_INDEXES[name]
    moved = None in entries or any(entries[0][each] != entries[1][each] for each in keys)  # type: ignore[index]
    sizes = [_size(each) for each in entries if each is not None]
    return sum(_units(size, WRITE_BYTES) for size in (sizes if moved else [max(sizes)]))


def _entry(name: str, item: Item | None) -> Item | None:
    keys = (name,) if name in LOCAL_INDEXES else GLOBAL_INDEXES[name]
    if item is None or not all(each in item for each in keys):
        return None
    return dict(item) if name in LOCAL_INDEXES else _projected(item, name)


def _key(given: Mapping[str, Any]) -> Key:
    return key_of(from_wire(given.get("Key") or given["Item"]))


class StoreInMemory(AwsStore):
    """The store over such a table; several of them may share one."""

    table: TableInMemory

    def __init__(self, table: TableInMemory | None = None) -> None:
        self.now_ms: Callable[[], int] = lambda: 0
        super().__init__("eu-central-1", "in memory", shards=2, now_ms=lambda: self.now_ms())  # noqa: PLW0108
        self.table = table or TableInMemory()
        self.units = Units(self.table, self.lined_up, self.keys)

    async def open(self) -> None:
        """It is."""

    async def close(self) -> None:
        """There is nothing to let go of."""
