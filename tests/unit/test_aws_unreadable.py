"""What another program has written over in the table, or taken away, is in nobody's way."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from longstop.model.breaker import Circuit
from longstop.model.clock_guard import ClockRepair
from longstop.model.delivery import DeadReason, State
from longstop.model.errors import StoreUnavailableError, UnreadableRowError
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.retention import Kind
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.retention import ALL_GONE
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
    to_retry,
)

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_table import StoreInMemory
from longstop.stores.aws import table as keys
from longstop.stores.aws.unreadable import tell


@pytest.fixture
def store() -> StoreInMemory:
    tell.cache_clear()
    return StoreInMemory()


def delivery_of(number: int) -> str:
    return make_append(number).deliveries[0].id


def overwrite(store: StoreInMemory, id_: str, **changes: Any) -> None:
    """Another program writes into a delivery's item; None: takes an attribute away."""
    places = store.deliveries.keys(id_)
    (item,) = (store.table.items[key] for key in places if key in store.table.items)
    for name, value in (changes or {"row": b"garbage"}).items():
        if value is None:
            del item[name]
        else:
            item[name] = value


EVENTS = {
    "an event written over": {"row": b"garbage"},
    "an event of another form": {"row": b"[1,2]"},
    "a body that is text": {"body": "text"},
    "headers that are none": {"row": b'["i","s",1,null,null,null,null,null,"received",[[1]],[]]'},
}


@pytest.mark.parametrize("name", [*EVENTS, "an event that is gone"])
async def test_a_delivery_without_its_event_is_parked_and_the_others_go_on(store: StoreInMemory, name: str) -> None:
    await store.append([make_append(number) for number in (1, 2, 3)])
    if name in EVENTS:
        store.table.items[keys.event(event_id(2))] |= EVENTS[name]
    else:
        store.table.write(keys.event(event_id(2)), None)
    with capture_logs() as logs:
        batch = await lease(store)
    assert [each.event.id for each in batch.claims] == [event_id(1), event_id(3)]
    assert [each["delivery_id"] for each in logs if each["event"] == "delivery_unreadable"] == [delivery_of(2)]
    found = await standing(store, delivery_of(2))
    assert (found.state, found.reason, found.ended_at_ms) == (State.DEAD, DeadReason.MALFORMED, AT_MS)
    assert (found.last_error or "").startswith("the store's row cannot be read")
    assert (found.attempts, (await store.history(found.id)).attempts) == (0, ()), "it was no try"
    for claim in batch.claims:
        await settled(store, delivered(claim))


async def test_one_whose_body_cannot_be_had_now_is_given_back_and_the_others_go_on(
    store: StoreInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    event_of = store.event_of

    async def away(item: Any) -> Any:
        if item["id"] == event_id(1):
            raise StoreUnavailableError("the bucket is away")
        return await event_of(item)

    monkeypatch.setattr(store, "event_of", away)
    assert (await lease_one(store)).event.id == event_id(2)
    monkeypatch.undo()
    found = await standing(store, delivery_of(1))
    assert (found.state, found.attempts, found.lost) == (State.SCHEDULED, 0, 0)
    assert (await lease_one(store, found.due_at_ms)).event.id == event_id(1)


WRITTEN: dict[str, dict[str, Any]] = {
    "garbage": {"row": b"garbage"},
    "text": {"row": "text"},
    "no row": {"row": None},
    "another form": {"row": b"[]"},
    "a state that is none": {"row": b'["i","e","s",null,null,1,"crm","odd",1]'},
    "no time": {"row": b"{}", "turn": "crm#u#soon"},
}


@pytest.mark.parametrize("name", WRITTEN)
async def test_a_row_that_is_none_is_parked_and_comes_back_when_it_is_replayed(store: StoreInMemory, name: str) -> None:
    appends = [make_append(number) for number in (1, 2, 3)]
    await store.append(appends)
    overwrite(store, delivery_of(2), **WRITTEN[name])
    assert [each.event.id for each in (await lease(store)).claims] == [event_id(1), event_id(3)]
    assert (await lease(store)).claims == ()
    (found,) = (await store.find_deliveries(DeliveryFilter(reason=DeadReason.MALFORMED), Page())).rows
    assert (found.id, found.event_id, found.state) == (delivery_of(2), event_id(2), State.DEAD)
    assert (found.source, found.key, found.received_at_ms) == ("shop", "order-2", AT_MS)
    assert (await store.counts()).deliveries["crm"] == {State.LEASED: 2, State.DEAD: 1}
    assert [each.count for each in await store.dead_groups()] == [1]
    await store.act([replay(delivery_of(2))])
    claim = await lease_one(store, AT_MS + 1_000)
    assert claim.event == appends[1].event
    await settled(store, delivered(claim))


async def test_a_row_that_was_tried_keeps_its_tries_apart_from_those_that_follow(store: StoreInMemory) -> None:
    await store.append([make_append(1)])
    await settled(store, to_retry(await lease_one(store), AT_MS))
    overwrite(store, delivery_of(1))
    assert (await lease(store)).claims == ()
    await store.act([replay(delivery_of(1))])
    await settled(store, delivered(await lease_one(store, AT_MS + 1_000)))
    assert [each.number for each in (await store.history(delivery_of(1))).attempts] == [1, 2]


async def test_of_leases_that_ran_out_only_what_can_be_read_comes_back(store: StoreInMemory) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    first, second = (await lease(store)).claims
    overwrite(store, first.delivery.id)
    (lost,) = await store.settle([delivered(first)])
    assert lost is not None, "nothing is known of whose lease it is"
    assert await store.expired(AT_MS + LEASE_MS, 10) == [second.delivery]
    assert (await standing(store, first.delivery.id)).reason is DeadReason.MALFORMED
    (lost,) = await store.settle([delivered(first)])
    assert lost is not None
    assert (await store.counts()).deliveries["crm"] == {State.LEASED: 1, State.DEAD: 1}


async def test_what_a_person_decides_of_a_row_that_is_none_is_decided_of_a_dead_one(store: StoreInMemory) -> None:
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    overwrite(store, dead.id)
    (again,) = await store.act([replay(dead.id)])
    assert again is not None
    assert (await lease_one(store, AT_MS + 1_000)).delivery.id == dead.id
    assert await store.dead_groups() == []


@pytest.mark.parametrize("dead", [False, True])
async def test_an_unreadable_one_holds_its_lane_as_any_that_is_dead_and_no_sender_hears_of_it(
    store: StoreInMemory, dead: bool
) -> None:
    await store.append([ordered_append(number, "k") for number in (1, 2)])
    if dead:
        await settled(store, parked(await lease_one(store)))
    overwrite(store, delivery_of(1))
    await store.append([ordered_append(3, "k")])
    assert (await lease(store)).claims == ()
    assert (await lease(store)).claims == ()
    ahead = await store.ahead(delivery_of(2))
    if not dead:
        assert ahead is not None
        assert (ahead.id, ahead.state) == (delivery_of(1), State.DEAD)
    await store.act([discard(delivery_of(1))])
    assert (await lease_one(store)).delivery.id == delivery_of(2)


async def test_one_that_is_held_and_cannot_be_read_is_parked_when_its_turn_comes(store: StoreInMemory) -> None:
    await store.append([ordered_append(number, "k") for number in (1, 2, 3)])
    overwrite(store, delivery_of(2))
    await settled(store, delivered(await lease_one(store)))
    assert (await lease(store)).claims == ()
    assert (await standing(store, delivery_of(2))).reason is DeadReason.MALFORMED
    await store.act([discard(delivery_of(2))])
    assert (await lease_one(store)).delivery.id == delivery_of(3)


async def test_a_probe_passes_over_a_row_that_is_none(store: StoreInMemory) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS, 1_000, "it is away"))
    overwrite(store, delivery_of(1))
    assert (await lease_one(store)).event.id == event_id(2)
    assert (await standing(store, delivery_of(1))).state is State.DEAD


async def test_a_circuit_and_a_pause_that_cannot_be_read_are_none(store: StoreInMemory) -> None:
    await store.append([make_append(1)])
    await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 10**9, 1_000, "it is away"))
    store.table.items[keys.circuit("crm")]["row"] = b"[1]"
    store.table.write(keys.pause("crm"), {"pk": keys.STANDING, "sk": "p#crm", "row": b"[1,2]"})
    assert (await lease_one(store)).event.id == event_id(1)
    assert await store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 10**9, 1_000, "it is away again"))


async def test_listings_go_on_and_say_which_row(store: StoreInMemory) -> None:
    await store.append([make_append(number) for number in (1, 2, 3)])
    claims = (await lease(store)).claims
    for claim in claims:
        await settled(store, parked(claim))
    overwrite(store, delivery_of(1))
    store.table.items[keys.event(event_id(2))]["row"] = b"garbage"
    store.table.items[keys.attempt(delivery_of(3), 1)]["row"] = b"[]"
    with capture_logs() as logs:
        events = (await store.find_events(EventFilter(), Page())).rows
        assert [each.event.id for each in events] == [event_id(3), event_id(1)]
        dead = (await store.find_deliveries(DeliveryFilter(state=State.DEAD), Page())).rows
        assert [each.id for each in dead] == [delivery_of(3), delivery_of(2)]
        assert (await store.history(delivery_of(3))).attempts == ()
        assert [each.id for each in (await store.recent(0, 10)).events] == [event_id(1), event_id(3)]
        found = await store.find_deliveries(DeliveryFilter(contains=b"number"), Page())
        assert [each.id for each in found.rows] == [delivery_of(3)]
    told = {each["row"] for each in logs if each["event"] == "row_unreadable"}
    assert told >= {f"A#{delivery_of(1)}/d", f"E#{event_id(2)}/e"}
    with pytest.raises(UnreadableRowError):
        await store.event(event_id(2))


async def test_what_cannot_be_read_is_not_forgotten_and_the_others_are(store: StoreInMemory) -> None:
    await store.append([make_append(number) for number in (1, 2)])
    for claim in (await lease(store)).claims:
        await settled(store, delivered(claim))
    store.table.items[keys.event(event_id(1))]["row"] = b"garbage"
    found = await store.forgettable(Kind.DELIVERED, ALL_GONE, None, 10)
    assert found.event_ids == (event_id(2),)
    assert await store.forget(found.event_ids, ALL_GONE) == 1


async def test_a_repair_of_the_clock_passes_over_a_row_that_is_none(store: StoreInMemory) -> None:
    await store.append([make_append(number, due_at_ms=AT_MS + 10**9) for number in (1, 2)])
    overwrite(store, delivery_of(1))
    repair = ClockRepair(AT_MS, {"crm": 1_000}, lease_ms=LEASE_MS, dedup_ms=10**9, thorough=True)
    assert await store.repair_clock(repair) == 1
