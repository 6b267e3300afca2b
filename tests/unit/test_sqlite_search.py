"""Searching in SQLite by its indexes finds what going through everything finds: the same story told to both stores.

Few rows count as many here, segments are short and patience is none, so that every way of finding something is gone.
"""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from search_story import a_delivery_filter, a_story, an_event_filter, every_page, group_of, recounted

from longstop.model.delivery import State
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest
from longstop.model.listing import DEAD_STEP_MS, DeliveryFilter, EventFilter, Page, TimeSteps
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import (
    SqliteStore,
    append_rows,
    counters,
    dead_groups,
    find_deliveries,
    find_events,
    key_places,
    recount,
    walk,
)
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import LEASE_MS, dead_of


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "FIRST_CHUNK", 3)
    for name, count in (("EVENTS_FIRST", 3), ("FEW", 20)):
        monkeypatch.setattr(find_deliveries, name, count)
    block = f"/ {key_places.SEGMENT_EVENTS}"
    assert key_places.END_OF_BATCH.count(block) == 2
    setup = append_rows.SETUP.replace(block, "/ 4")
    monkeypatch.setattr(append_rows, "SETUP", setup)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[list[Store]]:
    made: list[Store] = [MemoryStore(), SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


@pytest.mark.parametrize("seed", range(6))
async def test_every_search_finds_what_going_through_everything_finds(seed: int, stores: list[Store]) -> None:
    rng = random.Random(seed)
    await a_story(rng, stores)
    memory, sqlite = stores
    for _ in range(150):
        wanted = rng.choice((a_delivery_filter, a_delivery_filter, an_event_filter))(rng)
        page = Page(rng.choice((1, 3, 50)), None, rng.random() < 0.5, patience_ms=rng.choice((0, 5_000)))
        expected = await every_page(memory, wanted, Page(10**6, newest_first=page.newest_first))
        assert await every_page(sqlite, wanted, page) == expected, f"{wanted!r} by {page!r}"


async def test_a_key_is_listed_in_the_order_of_ids_whoever_came_late(stores: list[Store]) -> None:
    sqlite = stores[1]
    for batch in (range(10, 16), range(20, 26), (3, 12 + 5, 18), range(30, 36), (1, 28)):
        await sqlite.append([make_append(number, key="a") for number in batch])
    for newest_first in (True, False):
        page = Page(1, None, newest_first)
        ids = [row.event.id for row in await every_page(sqlite, EventFilter(key="a"), page)]
        assert ids == sorted(ids, reverse=newest_first)
        assert len(ids) == 23


async def test_a_search_by_key_goes_on_behind_each_segment(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a segment ends within a millisecond, and where there are more than are asked in one go."""
    monkeypatch.setattr(find_events, "SEGMENTS_FIRST", 1)
    sqlite, ids = stores[1], IdFactory(random.Random(3))
    made = [ids.make(AT_MS + number // 7) for number in range(60)]
    for id_ in made:
        await sqlite.append([make_append(id=id_, key="a")])
    for newest_first, limit in ((True, 1), (True, 50), (False, 1), (False, 50)):
        rows = await every_page(sqlite, EventFilter(key="a"), Page(limit, None, newest_first, patience_ms=0))
        assert [row.event.id for row in rows] == sorted(made, reverse=newest_first)


@pytest.mark.parametrize("seed", range(6))
async def test_counters_and_groups_are_what_counting_gives(seed: int, stores: list[Store]) -> None:
    await a_story(random.Random(seed), stores)
    memory, sqlite = [await store.counts() for store in stores]
    assert (memory.events, memory.unrouted, memory.sources) == (sqlite.events, sqlite.unrouted, sqlite.sources)
    assert memory.deliveries == sqlite.deliveries
    assert (memory.oldest_waiting, memory.next_due) == (sqlite.oldest_waiting, sqlite.next_due)
    over = TimeSteps.until(AT_MS + 3_600_000, DEAD_STEP_MS, 96)
    groups = [{(*group_of(each),) for each in await store.dead_groups(None, 100, over)} for store in stores]
    assert groups[0] == groups[1]
    assert groups[0]


async def test_an_error_too_many_joins_the_other_errors_and_is_found_there(
    stores: list[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_groups, "GROUPS_MAX", 3)
    sqlite = stores[1]
    await sqlite.append([make_append(n) for n in range(1, 7)])
    claims = (await sqlite.lease(LeaseRequest("w", {"crm": 9}, AT_MS, AT_MS + LEASE_MS))).claims
    words = ("one", "two", "three", "four", "five 5", "six")
    await sqlite.settle([dead_of(claim, word, None) for claim, word in zip(claims, words, strict=True)])
    groups = {each.error: each.count for each in await sqlite.dead_groups()}
    assert groups == {"one": 1, "two": 1, "three": 1, "(other errors)": 3}
    for word in words:
        found = (await sqlite.find_deliveries(DeliveryFilter(state=State.DEAD, error=word), Page())).rows
        assert [row.last_error for row in found] == [word]
    assert await recounted(sqlite) == []


@pytest.mark.parametrize("query", [counters._OLDEST, counters._NEXT_DUE, counters._ALL])
async def test_counting_looks_up_and_goes_through_nothing(query: str, stores: list[Store]) -> None:
    sqlite: Any = stores[1]
    values = ("crm",) if "?" in query else ()
    plan = await sqlite._reader.call(lambda each: each.execute(f"EXPLAIN QUERY PLAN {query}", values).fetchall())
    steps = [str(row[3]) for row in plan]
    # Each that reads deliveries does so by an index that begins with the destination, or by the id.
    of_deliveries = [step for step in steps if " deliveries" in step]
    assert all("(destination=?)" in step or "(id=?)" in step for step in of_deliveries), steps
    assert not any(step.startswith("SCAN deliveries") for step in steps), steps


# -- drift --------------------------------------------------------------------------------------------------


async def test_counters_that_drifted_are_put_right_and_told(stores: list[Store], tmp_path: Path) -> None:
    await a_story(random.Random(1), stores)
    sqlite = stores[1]
    over = TimeSteps.last_day(AT_MS)
    before, groups = await sqlite.counts(), await sqlite.dead_groups(None, 100, over)
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute("UPDATE counters SET n = n + 3 WHERE subject = 'deliveries' AND name = 'crm' AND state = 'dead'")
    other.execute("DELETE FROM counters WHERE subject = 'events' AND name = 'shop'")
    other.execute("UPDATE dead_groups SET n = n - 1, keys = keys + 1 WHERE id = 1")
    (id_, quarter), *_ = other.execute("SELECT dead_group, at_ms FROM dead_times").fetchall()
    other.execute("DELETE FROM dead_times WHERE dead_group = ? AND at_ms = ?", (id_, quarter))
    other.execute("INSERT INTO dead_times VALUES (?, 900000, 4)", (id_,))
    other.execute("INSERT INTO dead_groups (destination, reason, status, error) VALUES ('gone', 'rejected', -1, '')")
    gone = other.last_insert_rowid()
    other.execute("INSERT INTO dead_times VALUES (?, 900000, 4)", (gone,))
    told = {(each.counter, each.kept - each.found) for each in await recounted(sqlite)}
    shop = before.sources["shop"]
    assert told == {
        ("deliveries crm dead", 3), ("events shop", -shop), ("dead group 1 count", -1), ("dead group 1 keys", 1),
        (f"dead group {id_} quarters of an hour that were wrong", 2),
    }  # fmt: skip
    assert await sqlite.counts() == before
    assert await sqlite.dead_groups(None, 100, over) == groups
    assert other.execute("SELECT count(*) FROM dead_groups WHERE destination = 'gone'").get == 0
    assert other.execute("SELECT count(*) FROM dead_times WHERE dead_group = ?", (gone,)).get == 0
    assert await recounted(sqlite) == []
    other.close()


async def test_what_changed_since_it_was_counted_is_not_put_wrong(stores: list[Store], tmp_path: Path) -> None:
    """Two look, both see the drift, something is appended in between: it is put right once, by the difference."""
    sqlite = stores[1]
    await sqlite.append([make_append(1)])
    twin = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
    await twin.open()
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute("UPDATE counters SET n = 7 WHERE subject = 'events'")
    steps = [
        await store._searcher.view(find_drift)  # type: ignore[attr-defined]
        for store in (sqlite, twin)
    ]
    await sqlite.append([make_append(2)])
    for store, step in zip((sqlite, twin), steps, strict=True):
        await store._transact(lambda connection, step=step: recount.repair(connection, step))  # type: ignore[attr-defined]
    assert (await sqlite.counts()).events == 2
    other.close()
    await twin.close()


def find_drift(connection: apsw.Connection) -> Any:
    return recount.look(connection, None)
