"""What another program has written over, or taken away, is in nobody's way."""

from collections.abc import AsyncIterator

import pytest

from longstop.model.delivery import DeadReason, State
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import LEASE_MS, delivered, lease, settled, standing
from stores_at_hand import Place


@pytest.fixture
async def store(redis_place: Place) -> AsyncIterator[RedisStore]:
    made = redis_place()
    assert isinstance(made, RedisStore)
    await made.open()
    yield made
    await made.close()


BROKEN = {
    "an event written over": ("SET", "event:{event}", "garbage"),
    "an event that is gone": ("DEL", "event:{event}"),
    "a body that is gone": ("DEL", "body:{event}"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_delivery_without_its_event_is_parked_and_the_others_go_on(store: RedisStore, name: str) -> None:
    appends = [make_append(number) for number in (1, 2, 3)]
    await store.append(appends)
    command, *rest = [part.format(event=event_id(2)) for part in BROKEN[name]]
    await store.pipeline((command, f"{store._prefix}{rest[0]}", *rest[1:]))
    batch = await lease(store)
    assert [each.event.id for each in batch.claims] == [event_id(1), event_id(3)]
    assert batch.next_due_at_ms == AT_MS, "there is room for more"
    parked = await standing(store, appends[1].deliveries[0].id)
    assert (parked.state, parked.reason, parked.ended_at_ms) == (State.DEAD, DeadReason.MALFORMED, AT_MS)
    assert parked.last_error is not None
    assert parked.last_error.startswith("the store's row cannot be read")
    for claim in batch.claims:
        await settled(store, delivered(claim))


@pytest.mark.parametrize("written", ["", "garbage", "\x01", None])
async def test_a_row_that_is_none_leaves_the_queue(store: RedisStore, written: str | None) -> None:
    appends = [make_append(number) for number in (1, 2, 3)]
    await store.append(appends)
    key = f"{store._prefix}delivery:{appends[1].deliveries[0].id}"
    await store.pipeline(("DEL", key) if written is None else ("SET", key, written))
    assert [each.event.id for each in (await lease(store)).claims] == [event_id(1), event_id(3)]
    assert (await lease(store)).claims == ()


async def test_of_leases_that_ran_out_only_what_can_be_read_comes_back(store: RedisStore) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    first, second = (await lease(store)).claims
    await store.pipeline(("SET", f"{store._prefix}delivery:{first.delivery.id}", "garbage"))
    assert await store.expired(AT_MS + LEASE_MS, 10) == [second.delivery]
