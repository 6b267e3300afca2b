"""Units that meet those of other processes: who goes on, and who has to come again."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from longstop.testing.builders import make_append
from longstop.testing.clock import run
from longstop.testing.store_contract.steps import delivered, lease, ordered_append

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory
from longstop.stores.aws.dynamodb import ContentionError
from longstop.stores.aws.units import FIRST_PAUSE_S, PAUSE_MAX_S

KEYS = [f"key-{number}" for number in range(9)]


class BusyTable(TableInMemory):
    """Others change it all the time, so that whoever settles several deliveries at once meets one of them."""

    meetings = 0

    async def transact(self, operations: Sequence[dict[str, Any]], token: str) -> None:
        ended = [each for each in operations if each.get("Put", {}).get("Item", {}).get("sk") == {"S": "d"}]
        if len(ended) > 1:
            self.meetings += 1
            number = 100 + self.meetings
            await StoreInMemory(self).append([ordered_append(number, KEYS[number % len(KEYS)])])
        await super().transact(operations, token)


async def test_settlements_that_always_meet_somebody_together_go_alone() -> None:
    table = BusyTable()
    store = StoreInMemory(table)
    await store.append([ordered_append(number, key) for number, key in enumerate(KEYS)])
    claims = (await lease(store)).claims
    assert len(claims) == len(KEYS)
    assert await store.settle([delivered(each) for each in claims]) == [None] * len(KEYS)
    # Twice together; then none of them holds up the others.
    assert table.meetings == 2


class RacedTable(TableInMemory):
    """The first calls meet somebody, and when they are made is noted."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self.races = races
        self.at_s: list[float] = []

    async def transact(self, operations: Sequence[dict[str, Any]], token: str) -> None:
        self.at_s.append(asyncio.get_running_loop().time())
        if len(self.at_s) <= self.races:
            raise ContentionError
        await super().transact(operations, token)


def test_who_meets_somebody_again_and_again_waits_longer_and_longer_and_not_for_long() -> None:
    table = RacedTable(races=20)

    async def appending() -> None:
        store = StoreInMemory(table)
        await store.append([make_append(1)])

    run(appending)
    waits = [later - earlier for earlier, later in pairwise(table.at_s)]
    # Who met somebody once comes again at once: most have gone by then.
    assert waits[0] == 0
    assert 0 < max(waits[1:4]) < FIRST_PAUSE_S * 8
    assert PAUSE_MAX_S / 4 < max(waits) <= PAUSE_MAX_S
    # Each by itself, or they would meet again.
    assert len(set(waits[8:])) > 8
