"""Memory is what Redis has least of: what an event costs, so that nobody makes it dearer without knowing."""

import os
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from longstop.model.append import Append
from longstop.stores.redis import RedisStore
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.steps import delivered, lease, parked
from redis_server import RedisServer
from stores_at_hand import Place

EVENTS = 2_000
BODY = 1_000


@pytest.fixture
async def store(redis_place: Place) -> AsyncIterator[RedisStore]:
    made = redis_place()
    assert isinstance(made, RedisStore)
    await made.open()
    yield made
    await made.close()


async def test_bytes_per_event(
    store: RedisStore, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its body aside: 1.8 kB when it was accepted, 2.3 kB when it was delivered, 2.9 kB when it is dead (Redis 7.0)."""
    async with Redis.from_url(redis_server.url) as client:

        async def used() -> int:
            return int((await client.info("memory"))["used_memory_dataset"])

        empty = await used()
        for start in range(0, EVENTS, 200):
            await store.append([an_append(start + n) for n in range(200)])
        accepted = await used()
        claims = (await lease(store, AT_MS + EVENTS, crm=EVENTS)).claims
        await store.settle([delivered(claim) for claim in claims])
        done = await used()
        for start in range(0, EVENTS, 200):
            await store.append([an_append(EVENTS + start + n) for n in range(200)])
        before = await used()
        await store.settle([parked(claim) for claim in (await lease(store, AT_MS + EVENTS * 2, crm=EVENTS)).claims])
        dead = accepted - empty + await used() - before
    told = {"accepted": accepted - empty, "delivered": done - empty, "dead": dead}
    each = {name: n / EVENTS - BODY for name, n in told.items()}
    with capsys.disabled():
        print(f"\nRedis, bytes per event beside its body of {BODY}: {each}")
    assert each["accepted"] < 2_200
    assert each["delivered"] < 2_800
    assert each["dead"] < 3_500


def an_append(number: int) -> Append:
    body = os.urandom(BODY // 2).hex().encode()
    return make_append(number, body=body, dedup=b"%036d" % number, received_at_ms=AT_MS + number)
