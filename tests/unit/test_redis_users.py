"""Redis: what the user of the store's URL has to be allowed, and that another is refused before anything is written."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis import Redis

from longstop.model.errors import StoreUnavailableError
from longstop.stores.redis import RedisStore
from longstop.testing.builders import event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease_one, settled
from redis_server import RedisServer, binary

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server or valkey-server on the PATH")

DOCS = Path(__file__).parents[2] / "docs" / "stores" / "redis.md"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with TemporaryDirectory(prefix="longstop-redis-") as folder:
        made = RedisServer(Path(folder))
        made.start()
        yield made
        made.stop()


def _store_of(server: RedisServer, rules: str) -> RedisStore:
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.execute_command("ACL", "SETUSER", "longstop", "reset", "on", ">secret", *rules.split())
    return RedisStore(f"unix://longstop:secret@{server.socket}")


TOO_LITTLE = {
    "no channel": ("~{longstop}:* +@all", "refuses it PUBLISH with"),
    "other keys": ("~longstop:* &{longstop}:* +@all", "no permissions to access one of the keys"),
    "one command less": ("~{longstop}:* &{longstop}:* +@all -zrem", "refuses it ZREM with"),
}


@pytest.mark.parametrize("name", TOO_LITTLE)
async def test_a_user_who_may_do_too_little_is_refused_before_anything_is_written(
    server: RedisServer, name: str
) -> None:
    rules, said = TOO_LITTLE[name]
    with pytest.raises(StoreUnavailableError, match=said):
        await _store_of(server, rules).open()


async def test_a_user_who_may_publish_no_more_wakes_nobody_and_all_else_goes_on(server: RedisServer) -> None:
    store = _store_of(server, "~{longstop}:* &{longstop}:* +@all")
    await store.open()
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.execute_command("ACL", "SETUSER", "longstop", "resetchannels")
    assert [each.event_id for each in await store.append([make_append(1)])] == [event_id(1)]
    await settled(store, delivered(await lease_one(store)))
    await store.close()


async def test_the_user_of_the_docs_may_do_enough(server: RedisServer) -> None:
    found = re.search(r"ACL SETUSER longstop on >\S+ (.*)", DOCS.read_text("utf-8"))
    assert found is not None
    store = _store_of(server, found[1])
    await store.open()
    await store.append([make_append(1)])
    await settled(store, delivered(await lease_one(store)))
    assert (await store.recount()).drifts == ()
    await store.close()
