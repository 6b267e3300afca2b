"""A table of DynamoDB in this process, as far as the store uses one: for tests that need neither a service nor time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from longstop.stores.aws.attributes import Item, Key, from_wire, key_of, size_of
from longstop.stores.aws.dynamodb import ITEMS_MAX, ContentionError, Table
from longstop.stores.aws.store import AwsStore
from longstop.stores.aws.units import Units

ITEM_BYTES_MAX = 409_600


class TableInMemory(Table):
    """Its indexes are never late. What was asked of `transact` is in `transactions`, as tokens."""

    def __init__(self) -> None:
        super().__init__(None, "in memory")
        self.items: dict[Key, Item] = {}
        self.transactions: list[str] = []
        self.after_transaction: Callable[[int], None] = lambda _number: None
        """Is called when one is done, with how many there were: what it raises its caller gets."""

    async def get(self, keys: Sequence[Key], without: str | None = None) -> dict[Key, Item]:
        await asyncio.sleep(0)
        found = {key: self.items[key] for key in keys if key in self.items}
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
        of, order = names
        found = [item for item in self.items.values() if item.get(of) == partition and order in item]
        found = [
            item for item in found if (low or "") <= str(item[order]) and (high is None or str(item[order]) <= high)
        ]
        found.sort(key=lambda item: (str(item[order]), key_of(item)), reverse=backward)
        return [dict(item) for item in found[:limit]]

    async def delete(self, keys: Sequence[Key]) -> None:
        await asyncio.sleep(0)
        for key in keys:
            self.items.pop(key, None)

    async def transact(self, operations: Sequence[dict[str, Any]], token: str) -> None:
        await asyncio.sleep(0)
        each_key = [_key(given) for each in operations for given in each.values()]
        assert len(set(each_key)) == len(each_key) <= ITEMS_MAX, "a transaction that the service refuses"
        if not all(self._holds(given) for each in operations for given in each.values()):
            raise ContentionError
        for each in operations:
            ((kind, given),) = each.items()
            self._carry_out(kind, given)
        self.transactions.append(token)
        self.after_transaction(len(self.transactions))

    def _holds(self, given: dict[str, Any]) -> bool:
        kept = self.items.get(_key(given))
        condition = given.get("ConditionExpression")
        if condition == "v = :v":
            return kept is not None and kept.get("v") == given["ExpressionAttributeValues"][":v"]["S"]
        return condition is None or (kept is not None) == (condition == "attribute_exists(pk)")

    def _carry_out(self, kind: str, given: dict[str, Any]) -> None:
        key = _key(given)
        if kind == "Put":
            item = from_wire(given["Item"])
            assert size_of(item) <= ITEM_BYTES_MAX, "an item that the service refuses"
            self.items[key] = item
        elif kind == "Delete":
            self.items.pop(key, None)
        elif kind == "Update":
            item = self.items.setdefault(key, {"pk": key[0], "sk": key[1]})
            more = from_wire(given["ExpressionAttributeValues"])
            for place, name in given["ExpressionAttributeNames"].items():
                item[name] = int(item.get(name, 0)) + int(more[place.replace("#", ":")])


def _key(given: dict[str, Any]) -> Key:
    return key_of(from_wire(given.get("Key") or given["Item"]))


class StoreInMemory(AwsStore):
    """The store over such a table; several of them may share one."""

    table: TableInMemory

    def __init__(self, table: TableInMemory | None = None) -> None:
        super().__init__("eu-central-1", "in memory", shards=2)
        self.table = table or TableInMemory()
        self.units = Units(self.table, self.lined_up)

    async def open(self) -> None:
        """It is."""

    async def close(self) -> None:
        """There is nothing to let go of."""
