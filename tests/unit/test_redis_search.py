"""Searching on Redis finds what going through everything finds: the same story told to both stores.

Few rows count as many here and patience is none, so that every way of finding something is gone.
"""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from search_story import a_delivery_filter, a_story, an_event_filter, every_page, group_of, recounted

from longstop.model.delivery import Delivery, State
from longstop.model.errors import UnreadableRowError
from longstop.model.lease import Claim
from longstop.model.listing import DEAD_STEP_MS, DeliveryFilter, EventFilter, Page, TimeSteps
from longstop.model.retention import Cutoffs
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.redis import RedisStore, dead_groups, find_deliveries, find_events, walk
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import dead_of, discard, lease
from redis_server import RedisServer
from stores_at_hand import Place

ALL_GONE = Cutoffs(*[AT_MS + 10**9] * 4)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "FIRST_CHUNK", 3)
    for name, count in (("EVENTS_FIRST", 3), ("FEW", 20)):
        monkeypatch.setattr(find_deliveries, name, count)
    monkeypatch.setattr(find_events, "SEARCHED_AT_ONCE", 4)


@pytest.fixture
async def stores(redis_place: Place) -> AsyncIterator[list[Store]]:
    made = [MemoryStore(), redis_place()]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


@pytest.fixture
async def redis(stores: list[Store]) -> RedisStore:
    (found,) = (each for each in stores if isinstance(each, RedisStore))
    return found


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """Another program on the same server."""
    other = Redis.from_url(redis_server.url)
    yield other
    await other.aclose()


async def keys_of(store: RedisStore, client: Redis) -> list[str]:
    """What there is, without the prefix."""
    prefix = store._prefix
    return sorted([key.decode().removeprefix(prefix) async for key in client.scan_iter(f"{prefix}*", count=10_000)])


@pytest.mark.parametrize("seed", range(6))
async def test_every_search_finds_what_going_through_everything_finds(seed: int, stores: list[Store]) -> None:
    rng = random.Random(seed)
    await a_story(rng, stores)
    memory, redis = stores
    for _ in range(150):
        wanted = rng.choice((a_delivery_filter, a_delivery_filter, an_event_filter))(rng)
        page = Page(rng.choice((1, 3, 50)), None, rng.random() < 0.5, patience_ms=rng.choice((0, 5_000)))
        expected = await every_page(memory, wanted, Page(10**6, newest_first=page.newest_first))
        assert await every_page(redis, wanted, page) == expected, f"{wanted!r} by {page!r}"


@pytest.mark.parametrize("seed", range(3))
async def test_counters_and_groups_are_what_counting_gives(seed: int, stores: list[Store]) -> None:
    await a_story(random.Random(seed), stores)
    memory, redis = [await store.counts() for store in stores]
    assert memory == redis
    groups = [{group_of(each) for each in await store.dead_groups()} for store in stores]
    assert groups[0] == groups[1]
    assert groups[0]
    assert await recounted(stores[1]) == []


async def test_what_happened_lately_is_what_going_through_everything_finds(stores: list[Store]) -> None:
    await a_story(random.Random(7), stores)
    for since_ms in (0, AT_MS + 400, AT_MS + 1_200):
        memory, redis = [await store.recent(since_ms, 10_000) for store in stores]
        assert set(redis.events) == set(memory.events)
        assert by_place(redis.attempts) == by_place(memory.attempts)
        assert by_place(redis.actions) == by_place(memory.actions)


def by_place(happened: Any) -> list[Any]:
    return sorted((delivery.id, str(record)) for delivery, record in happened)


async def test_counters_that_drifted_are_put_right_and_told(
    stores: list[Store], redis: RedisStore, client: Redis
) -> None:
    await a_story(random.Random(1), stores)
    before = await redis.counts()
    counters = f"{redis._prefix}counters"
    await client.hincrby(counters, "deliveries:3:crmdead", 3)
    await client.hincrby(counters, "deliveries:3:crmscheduled", -1)
    await client.hincrby(counters, "events:shop", 2)
    told = {(each.counter, each.kept - each.found) for each in await recounted(redis)}
    assert told == {("deliveries:3:crmdead", 3), ("deliveries:3:crmscheduled", -1), ("events:shop", 2)}
    assert await redis.counts() == before
    assert await recounted(redis) == []


async def test_what_is_forgotten_leaves_no_key(stores: list[Store], redis: RedisStore, client: Redis) -> None:
    """Whatever it went through: each set and hash it stood in is gone, or it would stay for ever."""
    await a_story(random.Random(3), stores)
    await settle_all(redis)
    rows = await every_page(redis, EventFilter(), Page(1_000))
    asked = [row.event.id for row in rows]
    # Of a lane the dead hold those behind them: each round lets some go.
    while await redis.forget(asked, ALL_GONE) or await settle_all(redis):
        pass
    assert (await redis.counts()).events == 0
    await redis.forget_dedup(AT_MS + 10**9)
    left = [key for key in await keys_of(redis, client) if not key.startswith("answer:")]
    assert [key for key in left if not key.startswith("recent:")] == ["format", "marks"]


async def settle_all(redis: RedisStore) -> int:
    """Let whatever waits or holds others be given up; how much there was."""
    waiting: list[Delivery] = []
    for state in (State.SCHEDULED, State.DEAD):
        waiting += await every_page(redis, DeliveryFilter(state=state), Page(1_000))
    leased = await every_page(redis, DeliveryFilter(state=State.LEASED), Page(1_000))
    rescued = [dead_of_leased(each) for each in leased]
    assert await redis.settle(rescued) == [None] * len(rescued)
    done = await redis.act([discard(each.id, AT_MS + 9_000) for each in waiting])
    return len(done) + len(rescued)


def dead_of_leased(delivery: Delivery) -> Any:
    return dead_of(Claim(delivery, None), "lost", None)  # type: ignore[arg-type]


async def test_an_error_too_many_joins_the_other_errors_and_is_found_there(redis: RedisStore) -> None:
    some = range(1, 1_003)
    await redis.append([make_append(n) for n in some])
    claims = (await lease(redis, crm=2_000)).claims
    words = [word_of(n) for n in some]
    await redis.settle([dead_of(claim, word, None) for claim, word in zip(claims, words, strict=True)])
    groups = {each.error: each.count for each in await redis.dead_groups(limit=5_000)}
    assert len(groups) == 1_001
    assert groups["(other errors)"] == 2
    for word in (words[0], words[-2], words[-1]):
        found = (await redis.find_deliveries(DeliveryFilter(state=State.DEAD, error=word), Page())).rows
        assert [row.last_error for row in found] == [word]
    await redis.act([discard(claim.delivery.id) for claim in claims])
    assert list(await redis.dead_groups()) == []


def word_of(number: int) -> str:
    """Letters only: what has digits in it is one group."""
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:05}")


async def test_what_cannot_be_read_is_left_out_of_lists(redis: RedisStore, client: Redis) -> None:
    """Another program has written there: one such row is in nobody's way."""
    await redis.append([make_append(n) for n in (1, 2, 3)])
    first, second, third = (make_append(n) for n in (1, 2, 3))
    await client.set(f"{redis._prefix}delivery:{second.deliveries[0].id}", b"\x91\xa3odd")
    await client.set(f"{redis._prefix}event:{third.event.id}", b"odd")
    rows = (await redis.find_deliveries(DeliveryFilter(), Page(newest_first=False))).rows
    assert [row.id for row in rows] == [first.deliveries[0].id, third.deliveries[0].id]
    with pytest.raises(UnreadableRowError):
        await redis.delivery(second.deliveries[0].id)
    with pytest.raises(UnreadableRowError):
        await redis.event(third.event.id)
    assert [each.delivery.id for each in await redis.released([row.deliveries[0].id for row in (first, second)])] == [
        first.deliveries[0].id
    ]
    assert await redis.forget([second.event.id, third.event.id], ALL_GONE) == 0
    assert [row.event.id for row in (await redis.find_events(EventFilter(), Page())).rows] == [first.event.id]


async def test_groups_are_asked_for_in_several_calls(redis: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call keeps the server busy for long; together they are the largest, each once."""
    monkeypatch.setattr(dead_groups, "NUMBERS_AT_ONCE", 33)
    await redis.append([make_append(n) for n in range(15)])
    for claim, kind in zip((await lease(redis, crm=20)).claims, "aaaaabbbbcccdde", strict=True):
        await redis.settle([dead_of(claim, kind, None)])
    for over in (None, TimeSteps(0, DEAD_STEP_MS, 1)):
        found = await redis.dead_groups(limit=4, over=over)
        assert [(each.error, each.count) for each in found] == [("a", 5), ("b", 4), ("c", 3), ("d", 2)]
