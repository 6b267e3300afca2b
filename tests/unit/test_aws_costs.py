"""What an event costs on DynamoDB: the table of the docs is what is counted here, over a table in this process."""

import re
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease, ordered_append, parked, settled, to_retry

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory

PAGE = Path(__file__).parents[2] / "docs" / "stores" / "aws.md"
SHARDS = 8
ROOM = dict.fromkeys(("crm", "a", "b", "c", "d"), 100)
Row = tuple[int, int, int, int]


class Costs:
    """What things come to, by what they are called in the docs."""

    def __init__(self) -> None:
        self.store = StoreInMemory()
        self.store.keys.shards = SHARDS
        self.rows: dict[str, Row] = {}

    async def of(self, name: str, doing: Awaitable[Any]) -> Any:
        self.store.table.units = counted = Counter()
        made = await doing
        self.store.table.units = None
        calls = counted["get"] + counted["query"] + counted["transact"]
        self.rows[name] = (calls, round(counted["read"]), counted["write"], counted["index"])
        return made


async def counted() -> dict[str, Row]:
    """Of events of half a kilobyte."""
    costs = Costs()
    store, body = costs.store, b"x" * 500
    # Ids ahead of their arrival widen what is known of that, once.
    await store.append([make_append(100, dedup=b"first"), make_append(99, dedup=b"second")])
    for claim in (await lease(store)).claims:
        await settled(store, delivered(claim))
    await costs.of("a look at nothing, of five destinations", lease(store, **ROOM))
    await costs.of("a look for leases that ran out", store.expired(AT_MS, 100))
    await costs.of("a look at how much waits, where nothing does", store.counts())
    await costs.of("an event is kept", store.append([make_append(1, body=body, dedup=b"1")]))
    await costs.of("it comes again", store.append([make_append(2, body=body, dedup=b"1")]))
    (claim,) = (await costs.of("a lease", lease(store, **ROOM))).claims
    await costs.of("a settlement: to be tried again", store.settle([to_retry(claim, AT_MS + 1)]))
    (claim,) = (await lease(store, AT_MS + 1)).claims
    await costs.of("a settlement: delivered", store.settle([delivered(claim)]))
    ten = [make_append(10 + number, body=body, dedup=b"%d" % (10 + number)) for number in range(10)]
    store._duplicates_lately = False
    await costs.of("ten events are kept together", store.append(ten))
    claims = (await costs.of("ten leases", lease(store, **ROOM))).claims
    await costs.of("ten settlements", store.settle([delivered(each) for each in claims]))
    await costs.of("an event is kept that has an order", store.append([ordered_append(30, "k")]))
    (claim,) = (await costs.of("a lease of one in order", lease(store, **ROOM))).claims
    await costs.of("a settlement of one in order", store.settle([delivered(claim)]))
    await store.append([make_append(40, body=body)])
    (claim,) = (await lease(store)).claims
    await costs.of("a settlement: dead, the first of its group", store.settle([parked(claim)]))
    return costs.rows


async def test_the_table_of_the_docs_is_what_is_counted() -> None:
    section = PAGE.read_text().partition("## What it costs")[2].partition("\n## ")[0]
    told = re.findall(r"^\| ([a-z][^|]*) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", section, re.MULTILINE)
    in_docs = {name: tuple(map(int, numbers)) for name, *numbers in told}
    assert await counted() == in_docs


async def test_a_look_costs_as_much_for_many_destinations_as_for_one() -> None:
    costs = Costs()
    await costs.of("one", lease(costs.store, crm=10))
    await costs.of("many", lease(costs.store, **{f"d{number}": 10 for number in range(50)}))
    assert costs.rows["one"] == costs.rows["many"] == (SHARDS + 1, SHARDS + 1, 0, 0)


async def test_where_much_stands_in_line_it_is_not_read_for_every_destination_again() -> None:
    """And what is found is the same."""
    costs = Costs()
    store = costs.store
    await store.append([make_append(number, to=("crm", "a")) for number in range(400)])
    (first, *_) = (await costs.of("first", lease(store, crm=1))).claims
    (second, *_) = (await costs.of("second", lease(store, crm=1))).claims
    assert (first.delivery.id < second.delivery.id, store._long_looks > 0) == (True, True)
    assert costs.rows["first"][0] - costs.rows["second"][0] == SHARDS
    assert len((await lease(store, a=400)).claims) == 400
