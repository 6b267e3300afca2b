"""No partition of the table is everybody's: how many events a second those of each kind carry, by their units.

A partition takes 1,000 write units a second, and as there are local indexes, all of one partition key lies in one.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html#LSI.ItemCollections
"""

import re
from collections import defaultdict

import pytest

from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_metered import MeteredTable
from aws_table import StoreInMemory

EVENTS = 320
SHARDS = 32
A_SECOND = 1_000
"""Write units, of one partition."""
OF_ONE_EVENT = ("A#", "E#")
"""What begins so is not shared."""


async def busiest(at_once: int) -> dict[str, float]:
    """Of each kind of partition, how many events a second those of it carry together, when they are even.

    at_once: so many are in each call, as a server's group commit has them; of functions each is alone.
    """
    table = MeteredTable()
    store = StoreInMemory(table)
    store.keys.shards = SHARDS
    await store.open()
    await store.append([make_append(2_000), make_append(1_999)])
    await store.settle([delivered(each) for each in (await lease(store, crm=10)).claims])
    table.written_in.clear()
    for first in range(1, EVENTS + 1, at_once):
        # Keys of one sender begin alike.
        numbers = range(first, first + at_once)
        await store.append([make_append(each, dedup=b"order-%d" % each, body=b"x" * 300) for each in numbers])
    while claims := (await lease(store, AT_MS + 10**6, crm=at_once)).claims:
        await store.settle([delivered(each, AT_MS + 10**6) for each in claims])
    return rates(table)


def rates(table: MeteredTable) -> dict[str, float]:
    """By kind, that is without the number of a shard, a bucket or a slot."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for partition, units in table.written_in.items():
        if not partition.startswith(OF_ONE_EVENT):
            kinds[re.sub(r"#\d+$", "", partition)].append(units)
    return {kind: A_SECOND * EVENTS * len(each) / sum(each) for kind, each in kinds.items()}


async def test_on_servers_three_thousand_events_a_second_meet_no_partition_that_is_too_busy() -> None:
    found = await busiest(at_once=20)
    assert {"D", "C", "K", "everything: E", "by_source: E#shop"} <= set(found)
    slow = {kind: rate for kind, rate in found.items() if rate < 3_000}
    assert slow == {}


async def test_of_functions_each_of_which_writes_an_event_alone_two_thousand_do() -> None:
    found = await busiest(at_once=1)
    slow = {kind: rate for kind, rate in found.items() if rate < 2_000}
    assert slow == {}
