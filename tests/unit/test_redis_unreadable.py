"""What another program has written over, or taken away, is in nobody's way."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, Page
from longstop.stores.redis import RedisStore
from longstop.stores.redis.reading import tell_unreadable
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    delivered,
    discard,
    lease,
    lease_one,
    ordered_append,
    parked,
    replay,
    settled,
    standing,
)
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
    found = await standing(store, appends[1].deliveries[0].id)
    assert (found.state, found.reason, found.ended_at_ms) == (State.DEAD, DeadReason.MALFORMED, AT_MS)
    assert found.last_error is not None
    assert found.last_error.startswith("the store's row cannot be read")
    for claim in batch.claims:
        await settled(store, delivered(claim))


WRITTEN = ["", "garbage", "\x01", None]


async def _write_over(store: RedisStore, delivery_id: str, written: str | None = "garbage") -> None:
    key = f"{store._prefix}delivery:{delivery_id}"
    await store.pipeline(("DEL", key) if written is None else ("SET", key, written))


@pytest.mark.parametrize("written", WRITTEN)
async def test_a_row_that_is_none_is_parked_and_comes_back_when_it_is_replayed(
    store: RedisStore, written: str | None
) -> None:
    appends = [make_append(number) for number in (1, 2, 3)]
    await store.append(appends)
    id_ = appends[1].deliveries[0].id
    await _write_over(store, id_, written)
    assert [each.event.id for each in (await lease(store)).claims] == [event_id(1), event_id(3)]
    assert (await lease(store)).claims == ()
    (found,) = (await store.find_deliveries(DeliveryFilter(reason=DeadReason.MALFORMED), Page())).rows
    assert (found.id, found.event_id, found.state, found.ended_at_ms) == (id_, event_id(2), State.DEAD, AT_MS)
    assert found.last_error is not None
    assert found.last_error.startswith("the store's row cannot be read")
    assert (await store.counts()).deliveries["crm"] == {State.LEASED: 2, State.DEAD: 1}
    assert [each.count for each in await store.dead_groups()] == [1]
    await store.act([replay(id_)])
    claim = await lease_one(store, AT_MS + 1_000)
    assert claim.event == appends[1].event
    await settled(store, delivered(claim))
    assert (await store.recount()).drifts == ()


async def test_of_leases_that_ran_out_only_what_can_be_read_comes_back(store: RedisStore) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    first, second = (await lease(store)).claims
    await _write_over(store, first.delivery.id)
    assert await store.expired(AT_MS + LEASE_MS, 10) == [second.delivery]
    assert (await standing(store, first.delivery.id)).reason is DeadReason.MALFORMED
    (lost,) = await store.settle([delivered(first)])
    assert lost is not None, "whoever held it has a token of before"
    assert (await store.recount()).drifts == ()


async def test_what_a_person_decides_of_a_row_that_is_none_is_decided_of_a_dead_one(store: RedisStore) -> None:
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    await _write_over(store, dead.id)
    (again,) = await store.act([replay(dead.id)])
    assert again is not None
    assert (await lease_one(store, AT_MS + 1_000)).delivery.id == dead.id
    assert (await store.dead_groups()) == []
    assert (await store.recount()).drifts == ()


async def test_an_unreadable_one_holds_its_lane_as_any_that_is_dead(store: RedisStore) -> None:
    await store.append([ordered_append(number, "k") for number in (1, 2)])
    first, second = (make_append(number).deliveries[0].id for number in (1, 2))
    await _write_over(store, first)
    assert (await lease(store)).claims == ()
    assert (await lease(store)).claims == ()
    assert (await standing(store, first)).state is State.DEAD
    ahead = await store.ahead(second)
    assert ahead is not None
    assert ahead.id == first
    await store.append([ordered_append(3, "k")])
    await store.act([discard(first)])
    assert (await lease_one(store)).delivery.id == second


async def test_a_probe_passes_over_a_row_that_is_none(store: RedisStore) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS, 1_000, "it is away"))
    await _write_over(store, make_append(1).deliveries[0].id)
    assert (await lease_one(store)).event.id == event_id(2)


async def test_a_row_without_an_event_comes_back_when_both_are_mended(store: RedisStore) -> None:
    append = make_append(1)
    await store.append([append])
    keys = [f"{store._prefix}delivery:{append.deliveries[0].id}", f"{store._prefix}event:{event_id(1)}"]
    (kept,) = await store.pipeline(("MGET", *keys))
    await store.pipeline(*(("SET", key, "garbage") for key in keys))
    tell_unreadable.cache_clear()
    with capture_logs() as logs:
        assert (await lease(store)).claims == ()
        await store.recount()
        await store.recount()
    told = [each["row"] for each in logs if each["event"] == "row_unreadable"]
    assert sorted(told) == sorted({event_id(1), f"delivery {append.deliveries[0].id}"}), "once by each process"
    assert (await lease(store)).claims == ()
    await store.pipeline(*(("SET", key, row) for key, row in zip(keys, kept, strict=True)))
    await store.recount()
    assert (await lease_one(store)).event == append.event


async def test_a_repair_of_the_clock_passes_over_a_row_that_is_none(store: RedisStore) -> None:
    await store.append([make_append(number, due_at_ms=AT_MS + 10**9) for number in (1, 2)])
    await _write_over(store, make_append(1).deliveries[0].id)
    repair = ClockRepair(AT_MS, {"crm": 1_000}, lease_ms=LEASE_MS, dedup_ms=10**9, thorough=True)
    assert await store.repair_clock(repair) == 1
