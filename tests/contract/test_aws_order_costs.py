"""What order costs: calls and units of ordered deliveries beside those that are not, as docs/stores/aws.md has them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from longstop.model.append import Append
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, in_lane, lease

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory

PAGE = Path(__file__).parents[2] / "docs" / "stores" / "aws.md"
COUNT = 20
SHARDS = 8
"""As a new table has by itself."""


Used = tuple[int, float, int]


def event(number: int) -> Append:
    return make_append(number, dedup=b"%d" % number, body=b"x" * 300)


KINDS: dict[str, Callable[[int], Append]] = {
    "not ordered": event,
    "ordered, each of a key of its own": lambda number: in_lane(event(number), f"key-{number}"),
    "ordered, all of one key": lambda number: in_lane(event(number), "key"),
}


class Meter:
    """What was used of a table since the last time: calls, read units, write units."""

    def __init__(self, table: TableInMemory) -> None:
        self._table = table
        self._begin()

    def _begin(self) -> Counter[str]:
        self._table.units = Counter()
        return self._table.units

    def used(self) -> Used:
        counted = self._table.units or Counter()
        self._begin()
        return counted["get"] + counted["query"] + counted["transact"], counted["read"], counted["write"]


async def used(make: Callable[[int], Append]) -> list[Used]:
    """What twenty events that come together take: appended; leased, one after the other where they have to; settled."""
    store = StoreInMemory()
    store.keys.shards = SHARDS
    await store.open()
    # No id is further from its arrival than those of these two, so that marks need not be written again.
    await store.append([make_append(2_000), make_append(1_999)])
    await store.settle([delivered(each) for each in (await lease(store, crm=10)).claims])
    meter = Meter(store.table)
    await store.append([make(number) for number in range(1, COUNT + 1)])
    appended, leased, settled = meter.used(), (0, 0, 0), (0, 0, 0)
    for _ in range(COUNT):
        claims = (await lease(store, AT_MS + 100, crm=COUNT)).claims
        if not claims:
            break
        leased = _sum(leased, meter.used())
        await store.settle([delivered(each, AT_MS + 200) for each in claims])
        settled = _sum(settled, meter.used())
    assert (await store.counted())[1] == {"crm": {"delivered": COUNT + 2}}
    return [appended, leased, settled]


def _sum(one: Used, other: Used) -> Used:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_an_event_takes_is_what_the_page_says(kind: str) -> None:
    steps = await used(KINDS[kind])
    each = [f"{calls / COUNT:.2f} / {reads / COUNT:.1f} / {writes / COUNT:.1f}" for calls, reads, writes in steps]
    assert f"| {' | '.join([kind, *each])} |" in PAGE.read_text()


async def test_many_of_keys_of_their_own_take_hardly_more_calls_than_many_of_none() -> None:
    without, within = [await used(KINDS[kind]) for kind in ("not ordered", "ordered, each of a key of its own")]
    assert [more[0] - fewer[0] for fewer, more in zip(without, within, strict=True)] == [2, 1, 1]
