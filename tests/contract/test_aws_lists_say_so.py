"""What comes from an index that follows says so; what is read from the table itself does not."""

import pytest

from longstop.model.delivery import State
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.testing.builders import make_append

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory


@pytest.mark.parametrize(
    "wanted",
    [
        EventFilter(),
        EventFilter(source="shop"),
        EventFilter(unrouted=True),
        EventFilter(contains=b"paid"),
        DeliveryFilter(),
        DeliveryFilter(state=State.DEAD),
        DeliveryFilter(type="order.paid"),
        DeliveryFilter(since_ms=1),
    ],
    ids=str,
)
async def test_events_and_deliveries_are_listed_by_what_may_lag(wanted: EventFilter | DeliveryFilter) -> None:
    store = StoreInMemory()
    await store.open()
    await store.append([make_append(1)])
    page = Page(10)
    listed = await (
        store.find_events(wanted, page) if isinstance(wanted, EventFilter) else store.find_deliveries(wanted, page)
    )
    assert listed.may_lag


async def test_records_are_read_from_the_table_itself() -> None:
    store = StoreInMemory()
    await store.open()
    assert not (await store.users(Page(10))).may_lag
