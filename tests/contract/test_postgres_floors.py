"""Claims begin where the last one ended: what that saves, and that nothing which is due lies below for long."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from longstop.model.lease import LeaseRequest
from longstop.ports import Store
from longstop.stores.postgres import PostgresStore, ServerSettings, leases, settlements
from longstop.stores.postgres.floors import MARGIN_MS, Floors
from longstop.stores.postgres.folding import FOLD, Folding
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.store_contract.steps import delivered, lease, replay

ENDED = 3_000
NOW_MS = AT_MS + 60_000
Stores = Sequence[PostgresStore]


@pytest.fixture
async def stores(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stores]:
    """Two processes on one database, which may look as long as they like, and fold nothing by themselves."""
    monkeypatch.setattr("longstop.stores.postgres.floors.SAVED_S", 1_000.0)
    monkeypatch.setattr(Folding, "begin", lambda _self: None)
    made = [PostgresStore(ServerSettings(url, relaxed=True)) for _ in range(2)]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


async def append(store: Store, *numbers: int) -> None:
    """Each due as many milliseconds after AT_MS as its number is."""
    await store.append([make_append(number, received_at_ms=AT_MS + number) for number in numbers])


async def claimed(store: Store, room: int = 100) -> list[int]:
    """The numbers of what one call claims."""
    claims = (await lease(store, NOW_MS, crm=room)).claims
    return [each.delivery.due_at_ms - AT_MS for each in claims]


async def pages(url: str, floors: Floors) -> int:
    """Of the queue, which a claim of 32 looks through for what is due."""
    request = LeaseRequest("w", {"crm": 32}, NOW_MS, NOW_MS + 30_000)
    connection = await asyncpg.connect(url, server_settings=ServerSettings(url).session())
    try:
        async with connection.transaction():
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {leases._CLAIM}"
            plan = json.loads(await connection.fetchval(explain, *leases._shares(request, floors)))[0]["Plan"]
        return sum(_looked_through(plan))
    finally:
        await connection.close()


def _looked_through(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Index Name") == "queue_due":
        yield node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    for each in node.get("Plans", ()):
        yield from _looked_through(each)


async def test_beside_a_snapshot_that_is_held_a_claim_passes_over_what_has_ended(stores: Stores, url: str) -> None:
    store = stores[0]
    holder = await asyncpg.connect(url)
    await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
    for start in range(1, ENDED, 100):
        await append(store, *(number * 10 for number in range(start, start + 100)))
        claims = (await lease(store, NOW_MS, crm=100)).claims
        await store.settle([delivered(claim, NOW_MS) for claim in claims])
    await append(store, *range(50_000, 50_040))
    with_floors, without = await pages(url, store.floors), await pages(url, Floors())
    assert with_floors * 4 < without, (with_floors, without)
    await holder.close()


async def test_what_this_process_puts_below_goes_first(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stores[0]
    await append(store, 10_000)
    assert await claimed(store) == [10_000]
    monkeypatch.setattr(store.floors, "may_look", lambda **_: False)
    await append(store, 20_000, 5_000)
    assert await claimed(store, 1) == [5_000]


async def test_what_another_process_puts_below_is_found_although_there_is_newer(stores: Stores) -> None:
    mine, other = stores
    await append(mine, 10_000)
    assert await claimed(mine) == [10_000]
    await append(other, 20_000, 5_000)
    assert sorted(await claimed(mine)) == [5_000, 20_000]


async def test_a_look_that_may_not_be_is_made_up_for(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = stores
    await append(mine, 10_000)
    await claimed(mine)
    await append(other, 20_000, 5_000)
    with monkeypatch.context() as patch:
        patch.setattr(mine.floors, "may_look", lambda **_: False)
        assert await claimed(mine) == []
    assert await claimed(mine) == [5_000, 20_000]


async def test_a_replay_is_found_without_a_look(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = stores
    await append(mine, 10_000)
    for _ in range(2):
        (claim,) = (await lease(mine, NOW_MS, crm=1)).claims
        await mine.settle([delivered(claim, NOW_MS)])
        await mine.act([replay(claim.delivery.id, at_ms=AT_MS + 1_000)])
        monkeypatch.setattr(mine.floors, "may_look", lambda **_: False)


async def test_what_came_below_while_a_claim_was_under_way_stays_known() -> None:
    floors, half = Floors(), ("crm", False)
    with floors.claiming() as meanwhile:
        floors.lower([make_delivery(make_event(1), due_at_ms=AT_MS)])
        floors.put(half, NOW_MS, meanwhile)
    assert floors.of(half) == AT_MS
    with floors.claiming() as meanwhile:
        floors.put(half, NOW_MS, meanwhile)
    assert floors.of(half) == NOW_MS - MARGIN_MS
    with floors.claiming() as meanwhile:
        floors.forget("crm")
        floors.put(half, NOW_MS, meanwhile)
    assert floors.of(half) < AT_MS - 10**12
    with floors.claiming() as meanwhile:
        floors.put(half, NOW_MS, meanwhile)
        floors.lower([make_delivery(make_event(1), lane="a lane")])
    assert floors.of(half) < AT_MS - 10**12, "one of a lane may have let any other go"


async def test_looks_get_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0], raising=False)
    floors = Floors()
    assert floors.may_look(found_enough=True)
    with floors.looking():
        now[0] += 2.0
    assert not floors.may_look(found_enough=False)
    now[0] += 18.0
    assert not floors.may_look(found_enough=False)
    now[0] += 3.0
    assert floors.may_look(found_enough=False)


async def test_folding_changes_no_number(stores: Stores) -> None:
    mine, other = stores
    await append(mine, *range(1, 6))
    await lease(mine, NOW_MS, crm=2)
    before = await other.counts()
    await mine.rows(FOLD)
    assert await other.counts() == before
    assert not await mine.rows("SELECT * FROM counter_changes")
    assert (await mine.recount()).drifts == ()


async def test_a_transaction_updates_no_counter(stores: Stores) -> None:
    """Each would go through all the versions that others have left of its row."""
    await append(stores[0], 1)
    await stores[0].rows(FOLD)
    before = await stores[0].rows("SELECT ctid::text FROM counters ORDER BY 1")
    await append(stores[0], 2)
    (claim,) = (await lease(stores[0], NOW_MS, crm=1)).claims
    await stores[0].settle([delivered(claim, NOW_MS)])
    assert await stores[0].rows("SELECT ctid::text FROM counters ORDER BY 1") == before


async def test_a_settlement_goes_by_ids_however_little_is_leased(stores: Stores, url: str) -> None:
    """The index of what is leased is short, and full of what was."""
    await append(stores[0], *range(1, 2_001))
    claims = (await lease(stores[0], NOW_MS, crm=2)).claims
    connection = await asyncpg.connect(url, server_settings=ServerSettings(url).session())
    await connection.execute("ANALYZE longstop.queue")
    given = settlements._arguments([delivered(claim, NOW_MS) for claim in claims])
    extended = (["a"], [1], NOW_MS)
    for statement, values in ((settlements._SETTLE, given), (leases._EXTEND, extended)):
        for mode in ("force_generic_plan", "force_custom_plan"):
            await connection.execute(f"SET plan_cache_mode = {mode}")
            async with connection.transaction():
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *values))
            assert "queue_pkey" in plan
            assert "queue_lease" not in plan
    await connection.close()
