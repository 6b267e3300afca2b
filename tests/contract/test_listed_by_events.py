"""When a store goes by way of the events to list deliveries, and when it does not."""

import itertools
from collections.abc import Container, Iterable

import pytest

from longstop.model.delivery import State
from longstop.model.id_times import IdTimes
from longstop.model.listing import DeliveryFilter, Page
from longstop.ports import Store
from longstop.stores.postgres import find_deliveries as postgres_find
from longstop.stores.redis import find_deliveries as redis_find
from longstop.stores.sqlite import find_deliveries as sqlite_find
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import discard
from stores_at_hand import PERSISTING

SOME = range(100)
OF_A_TYPE = DeliveryFilter(state=State.SCHEDULED, type="order.paid")

pytestmark = pytest.mark.parametrize("place", PERSISTING, indirect=True)


@pytest.fixture
def store(opened: Store) -> Store:
    return opened


@pytest.fixture(autouse=True)
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the deliveries of some events: whether those behind have others before. Few are many here."""
    for find, (name, count) in itertools.product(
        (sqlite_find, postgres_find, redis_find), (("EVENTS_FIRST", 4), ("FEW", 60))
    ):
        monkeypatch.setattr(find, name, count)
    asked: list[str] = []
    before_others = IdTimes.before_others

    def noted(self: IdTimes, ids: list[str], looked_to: str, newest_first: bool) -> list[str]:
        asked.append(looked_to)
        return before_others(self, ids, looked_to, newest_first)

    monkeypatch.setattr(IdTimes, "before_others", noted)
    return asked


async def keep(store: Store, numbers: Iterable[int], type_: str = "order.paid", wait: Container[int] = SOME) -> None:
    """Events whose ids were made when they came; those that are not to wait are discarded."""
    made = [make_append(number, type=type_, received_at_ms=AT_MS + number) for number in numbers]
    await store.append(made)
    await store.act([discard(made[place].deliveries[0].id) for place in range(len(made)) if place not in wait])


async def waiting(store: Store, limit: int) -> list[str]:
    """The events of the first page."""
    return [row.event_id for row in (await store.find_deliveries(OF_A_TYPE, Page(limit, patience_ms=60_000))).rows]


async def test_a_page_ends_with_the_first_events_that_fill_it(store: Store, ways: list[str]) -> None:
    await keep(store, SOME)
    assert await waiting(store, 3) == [event_id(number) for number in (99, 98, 97)]
    assert len(ways) == 2, "four events, and then eight: of the first four the last may have another's before it"


async def test_of_few_that_stand_so_all_are_looked_at_and_not_all_events(store: Store, ways: list[str]) -> None:
    await keep(store, SOME, wait=(5, 50))
    assert await waiting(store, 3) == [event_id(50), event_id(5)]
    assert len(ways) == 1


async def test_of_many_that_stand_so_only_some_events_are_looked_at(store: Store, ways: list[str]) -> None:
    """All 100 of another type wait, and of this one's 100 events more are left than are fetched at once."""
    await keep(store, SOME, "order.sent")
    await keep(store, range(1_000, 1_100), wait=(70,))
    assert await waiting(store, 3) == [event_id(1_070)]
    assert len(ways) == 2, "4 and 8; then what waits is gone through"


async def test_of_many_that_stand_so_all_events_are_looked_at_where_few_are_left(store: Store, ways: list[str]) -> None:
    await keep(store, SOME, "order.sent")
    await keep(store, range(1_000, 1_050), wait=(7,))
    listing = await store.find_deliveries(OF_A_TYPE, Page(3, patience_ms=60_000))
    assert [row.event_id for row in listing.rows] == [event_id(1_007)]
    assert len(ways) == 2, "4 and 8, and then the 38 that are left, behind which there is none"


async def test_where_ids_lie_far_apart_no_deliveries_are_looked_up_by_many_events(
    store: Store, ways: list[str]
) -> None:
    """A clock was put back by an hour: what fits is found by going through what waits."""
    await keep(store, SOME)
    await store.append([make_append(1_000, received_at_ms=AT_MS - 3_600_000)])
    assert await waiting(store, 3) == [event_id(number) for number in (1_000, 99, 98)]
    assert ways == []


async def test_where_ids_lie_far_apart_few_events_are_all_looked_at(store: Store) -> None:
    """More than patience would have gone through of what waits."""
    await keep(store, range(30))
    await keep(store, range(1_000, 1_100), "order.sent")
    await store.append([make_append(40, received_at_ms=AT_MS - 3_600_000)])
    listing = await store.find_deliveries(OF_A_TYPE, Page(3, patience_ms=0))
    assert [row.event_id for row in listing.rows] == [event_id(number) for number in (40, 29, 28)]
    assert listing.searched_to_ms is None
