"""What an append asks of the table: nothing before its transaction, unless something was just sent twice."""

from typing import Any

import pytest

from longstop.model.event import ReceiptStatus
from longstop.testing.builders import make_append

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory, TableInMemory


class CountedTable(TableInMemory):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def get(self, *given: Any, **more: Any) -> Any:
        """Noted."""
        self.asked.append("get")
        return await super().get(*given, **more)

    async def transact(self, *given: Any) -> None:
        """Noted."""
        self.asked.append("transact")
        await super().transact(*given)

    def since(self) -> list[str]:
        """What was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
async def table() -> CountedTable:
    return CountedTable()


@pytest.fixture
async def store(table: CountedTable) -> StoreInMemory:
    """Open, and with events whose ids are further ahead of their arrival than those of all that come."""
    store = StoreInMemory(table)
    await store.open()
    await store.append([make_append(100, dedup=b"zero")])
    await store.append([make_append(99, dedup=b"of no matter")])
    table.since()
    return store


def batch(*dedups: bytes, first: int = 1) -> list[Any]:
    return [make_append(first + number, dedup=dedup) for number, dedup in enumerate(dedups)]


async def test_new_events_are_one_transaction_and_nothing_is_read(store: StoreInMemory, table: CountedTable) -> None:
    await store.append(batch(b"one", b"two", b"three"))
    assert table.since() == ["transact"]


async def test_one_that_was_sent_before_costs_its_batch_a_second_turn_and_the_next_is_read_first(
    store: StoreInMemory, table: CountedTable
) -> None:
    receipts = await store.append(batch(b"zero", *(b"%d" % number for number in range(20))))
    assert [each.status for each in receipts] == [ReceiptStatus.DUPLICATE, *[ReceiptStatus.ACCEPTED] * 20]
    # The dedup keys together, the events together, and the first of those whose count goes up.
    assert table.since() == ["transact", "get", "get", "get", "transact"]
    await store.append(batch(b"zero", b"four", first=40))
    assert table.since()[0] == "get"
    await store.append(batch(b"five", first=50))
    assert table.since() == ["get", "transact"]
    await store.append(batch(b"six", first=60))
    assert table.since() == ["transact"]
