"""A rolling upgrade: two versions of the functions on one server, each called by its own processes."""

import pytest
from redis.asyncio import Redis

from longstop.stores.redis import RedisStore, database
from longstop.testing.builders import event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease_one, parked, replay, settled, standing
from redis_server import RedisServer, changed_library


async def test_two_versions_work_side_by_side(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RedisStore(redis_server.url, prefix="versions", relaxed=True)
    monkeypatch.setattr(
        database, "library", lambda: changed_library("local RECENT_MAX = 20000", "local RECENT_MAX = 5")
    )
    after = RedisStore(redis_server.url, prefix="versions", relaxed=True)
    await before.open()
    await after.open()
    await before.append([make_append(1, dedup=b"k")])
    (duplicate,) = await after.append([make_append(2, dedup=b"k")])
    assert duplicate.event_id == event_id(1)
    claim = await lease_one(after)
    (lost,) = await before.settle([delivered(claim)])
    assert lost is None
    await after.append([make_append(3)])
    dead = await settled(after, parked(await lease_one(before)))
    await before.act([replay(dead.id)])
    assert (await standing(after, dead.id)).round == 2
    assert (await after.recount()).drifts == ()
    async with Redis.from_url(redis_server.url) as client:
        libraries = str(await client.function_list())
    assert {store._library in libraries for store in (before, after)} == {True}
    await before.close()
    await after.close()
