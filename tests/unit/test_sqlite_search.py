"""Searching in SQLite by its indexes finds what going through everything finds: the same story told to both stores.

Few rows count as many here, segments are short and patience is none, so that every way of finding something is gone.
"""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.ids import IdFactory
from longstop.model.lease import LeaseRequest
from longstop.model.listing import DEAD_STEP_MS, DeliveryFilter, Drift, EventFilter, Page, TimeSteps
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
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event, make_quarantined
from longstop.testing.store_contract.steps import LEASE_MS, dead_of, discard, replay, settlement

ERRORS = ("refused", "order 4711 is unknown", "order 12 is unknown", "timed out after 2.5 s")
STATUSES = (None, 404, 503)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "FIRST_CHUNK", 3)
    monkeypatch.setattr(find_deliveries, "FEW", 5)
    block = f"/ {key_places.SEGMENT_EVENTS}"
    assert key_places.END_OF_BATCH.count(block) == 2
    setup = append_rows.SETUP.replace(block, "/ 4")
    monkeypatch.setattr(append_rows, "SETUP", setup)


def an_append(rng: random.Random, number: int) -> Append:
    if rng.random() < 0.05:
        return make_quarantined(number, received_at_ms=AT_MS + number)
    event = make_event(
        number,
        source=rng.choice(("shop", "till")),
        type=rng.choice(("paid", "sent", None)),
        key=rng.choice(("a", "b", "c", "", None)),
        dedup=rng.choice((None, b"%d" % rng.randrange(40))),
        received_at_ms=AT_MS + number + rng.choice((0, 0, 0, -40, 25)),
        body=b"needle" if rng.random() < 0.1 else b"hay",
    )
    names = rng.sample(("crm", "lake", "log"), rng.randrange(4))
    made = (
        make_delivery(event, name, place, lane=event.key if name == "crm" else None)
        for place, name in enumerate(sorted(names))
    )
    return Append(event, tuple(made), event.received_at_ms + 10_000)


async def a_story(rng: random.Random, stores: list[Store]) -> None:
    """Events come, deliveries are tried, people decide; every store hears the same."""
    number = 0
    late: list[Append] = []
    for at in range(AT_MS, AT_MS + 1_500, 100):
        batch = [an_append(rng, number + n) for n in range(1, rng.randrange(2, 12))]
        number += len(batch)
        # Another process may have made its ids before, and come later.
        slow = [] if late else [item for item in batch if all(each.lane is None for each in item.deliveries)]
        batch, late = [*(item for item in batch if item not in slow), *late], slow
        for store in stores:
            await store.append(batch)
        request = LeaseRequest("w", {"crm": 4, "lake": 3, "log": 2}, at + 200, at + 200 + LEASE_MS)
        claims = (await stores[0].lease(request)).claims
        assert [list((await store.lease(request)).claims) for store in stores[1:]] == [list(claims)] * (len(stores) - 1)
        ends = [an_end(rng, claim, at + rng.choice((50, 50, -3_000))) for claim in claims if rng.random() < 0.9]
        for store in stores:
            assert await store.settle(ends) == [None] * len(ends)
        dead = [row.id for row in (await stores[0].find_deliveries(DeliveryFilter(state=State.DEAD), Page(9))).rows]
        chosen = rng.sample(dead, min(2, len(dead)))
        actions = [rng.choice((discard, replay))(id_, at + 60) for id_ in chosen]
        for store in stores:
            await store.act(actions)


def an_end(rng: random.Random, claim: Any, at_ms: int) -> Any:
    kind = rng.choice((OutcomeKind.SUCCESS, OutcomeKind.RETRY, OutcomeKind.REJECT, OutcomeKind.REJECT))
    if kind is OutcomeKind.SUCCESS:
        return settlement(claim, Outcome(kind, status=204), Transition(Trigger.SUCCEED, at_ms))
    outcome = Outcome(kind, status=rng.choice(STATUSES), error=rng.choice(ERRORS))
    if kind is OutcomeKind.RETRY:
        return settlement(claim, outcome, Transition(Trigger.RETRY, at_ms, due_at_ms=at_ms + 100))
    reason = rng.choice((DeadReason.REJECTED, DeadReason.EXHAUSTED))
    return settlement(claim, outcome, Transition(Trigger.PARK, at_ms, reason=reason))


def maybe(rng: random.Random, *values: Any) -> Any:
    return rng.choice((None, None, None, *values))


def a_delivery_filter(rng: random.Random) -> DeliveryFilter:
    at = lambda: AT_MS + rng.randrange(-2_000, 1_700)  # noqa: E731
    return DeliveryFilter(
        state=maybe(rng, *State, State.DEAD, State.DEAD),
        held=maybe(rng, True, False) if rng.random() < 0.3 else None,
        source=maybe(rng, "shop", "till", "nobody"),
        destination=maybe(rng, "crm", "lake", ""),
        type=maybe(rng, "paid", "sent"),
        key=maybe(rng, "a", "c", "", "z"),
        reason=maybe(rng, *DeadReason) if rng.random() < 0.5 else None,
        status=maybe(rng, 404, 503) if rng.random() < 0.5 else None,
        error=maybe(rng, "order", "4711", "order 47", "r 12 is unk", "after # s", "none")
        if rng.random() < 0.5
        else None,
        since_ms=at() if rng.random() < 0.2 else None,
        until_ms=at() if rng.random() < 0.2 else None,
        received_since_ms=at() if rng.random() < 0.2 else None,
        received_until_ms=at() if rng.random() < 0.2 else None,
        contains=b"needle" if rng.random() < 0.1 else None,
    )


def an_event_filter(rng: random.Random) -> EventFilter:
    wanted = a_delivery_filter(rng)
    return EventFilter(
        wanted.source, wanted.type, wanted.key, wanted.received_since_ms, wanted.received_until_ms, wanted.contains,
        unrouted=rng.random() < 0.2,
    )  # fmt: skip


async def every_page(store: Store, wanted: Any, page: Page) -> list[Any]:
    find: Any = store.find_events if isinstance(wanted, EventFilter) else store.find_deliveries
    found: list[Any] = []
    for _ in range(1_000):
        listing = await find(wanted, page)
        found += listing.rows
        assert len(listing.rows) <= page.limit
        if listing.next_after is None:
            return found
        assert listing.next_after != page.after
        page = replace(page, after=listing.next_after)
    raise AssertionError(f"{wanted!r} does not end")


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


def group_of(each: Any) -> tuple[Any, ...]:
    return (
        each.destination,
        each.reason,
        each.status,
        each.error,
        each.count,
        each.keys,
        each.first_at_ms,
        each.last_at_ms,
        each.over_time,
    )


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


async def recounted(store: Store) -> list[Drift]:
    drifts: list[Drift] = []
    after: str | None = None
    while True:
        step = await store.recount(after)
        drifts += step.drifts
        after = step.next_after
        if after is None:
            return drifts


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
