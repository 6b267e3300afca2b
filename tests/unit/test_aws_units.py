"""Units that meet those of other processes: who goes on, and who has to come again."""

from collections.abc import Sequence
from typing import Any

import pytest

from longstop.testing.store_contract.steps import delivered, lease, ordered_append

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory

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
