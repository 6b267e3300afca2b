"""Bodies that are too large for Redis lie in a folder: seen as they were sent everywhere, gone with their events."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longstop.model.action import Edit
from longstop.model.delivery import DeadReason, State
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.listing import EventFilter, Page
from longstop.model.retention import Cutoffs
from longstop.ports import Store
from longstop.stores.bodies import FolderBodies
from longstop.stores.bodies.folder import MARK, OLD_S
from longstop.stores.memory import MemoryStore
from longstop.stores.redis import RedisStore
from longstop.testing import store_contract
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease, lease_one, settled, standing
from stores_at_hand import Place

OVER = 1_000
LARGE = bytes(range(256)) * 40
SMALL = b"s" * OVER
CONCERNS = {"append", "edit", "jobs", "retention", "transfer"}
"""Those of the contract that see a body."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bodies"


def with_bodies(store: Store, folder: Path) -> RedisStore:
    assert isinstance(store, RedisStore)
    store.keep_apart(FolderBodies(folder), OVER)
    return store


@pytest.fixture
async def store(redis_place: Place, folder: Path) -> AsyncIterator[RedisStore]:
    made = with_bodies(redis_place(), folder)
    await made.open()
    yield made
    await made.close()


def files(folder: Path) -> list[Path]:
    return [each for each in sorted(folder.rglob("*")) if each.is_file() and each.name != MARK]


async def test_a_large_body_is_in_the_folder_and_a_small_one_in_memory(store: RedisStore, folder: Path) -> None:
    await store.append([make_append(1, body=LARGE), make_append(2, body=SMALL)])
    (file,) = files(folder)
    assert file.read_bytes() == LARGE
    assert file.name.startswith(event_id(1))
    in_memory = [f"{store._prefix}body:{event_id(number)}" for number in (1, 2)]
    assert await store.pipeline(*(("EXISTS", key) for key in in_memory)) == [0, 1]


async def test_it_is_seen_as_it_was_sent(store: RedisStore) -> None:
    append = make_append(1, body=LARGE)
    await store.append([append])
    assert (await lease_one(store)).event == append.event
    kept = await store.event(event_id(1))
    assert kept is not None
    assert kept.event == append.event
    (whole,) = await store.whole([event_id(1)])
    assert whole.kept.event == append.event
    (listed,) = (await store.find_events(EventFilter(), Page())).rows
    assert (listed.event.body, listed.body_bytes) == (b"", len(LARGE))
    for needle, found in ((LARGE[5_000:5_100], 1), (b"not there", 0)):
        assert len((await store.find_events(EventFilter(contains=needle), Page())).rows) == found


async def test_a_duplicate_leaves_none_behind(store: RedisStore, folder: Path) -> None:
    await store.append([make_append(1, body=LARGE, dedup=b"k"), make_append(2, body=LARGE, dedup=b"k")])
    await store.append([make_append(3, body=LARGE, dedup=b"k")])
    (file,) = files(folder)
    assert file.name.startswith(event_id(1))


async def test_it_is_forgotten_with_its_event(store: RedisStore, folder: Path) -> None:
    await store.append([make_append(number, body=LARGE) for number in (1, 2)])
    await settled(store, delivered((await lease(store)).claims[0], AT_MS + 5))
    before = Cutoffs(*(AT_MS + 1_000 for _ in Cutoffs.__dataclass_fields__))
    assert await store.forget([event_id(1), event_id(2)], before) == 1
    (file,) = files(folder)
    assert file.name.startswith(event_id(2))


async def test_what_is_sent_in_anothers_place_and_what_is_moved_here_goes_there_too(
    store: RedisStore, folder: Path
) -> None:
    await store.append([make_append(1)])
    await store.replace(make_append(2, body=LARGE), Edit(event_id(2), event_id(1), AT_MS, "ada", "a typo"), [])
    elsewhere = MemoryStore()
    await elsewhere.open()
    await elsewhere.append([make_append(3, body=LARGE)])
    assert await store.restore(await elsewhere.whole([event_id(3)])) == [True]
    assert await store.restore(await elsewhere.whole([event_id(3)])) == [False]
    assert [each.name[:36] for each in files(folder)] == [event_id(2), event_id(3)]
    for number in (2, 3):
        kept = await store.event(event_id(number))
        assert kept is not None
        assert kept.event.body == LARGE


async def test_what_a_broken_off_call_left_is_swept_after_an_hour(store: RedisStore, folder: Path) -> None:
    await store.append([make_append(number, body=LARGE) for number in (1, 2)])
    kept = files(folder)
    place = FolderBodies(folder)
    await place.open()
    await place.put({f"{event_id(number)}-0": b"never kept" for number in (1, 3, 4)})
    strays = [each for each in files(folder) if each not in kept]
    begun = kept[0].with_name(".begun")
    begun.write_bytes(b"half")
    for path in (*kept, *strays[1:], begun):
        os.utime(path, (path.stat().st_mtime - OLD_S - 5,) * 2)
    while await store.give_back():
        pass
    assert files(folder) == sorted([*kept, strays[0]]), "the one that is new may belong to a call under way"


async def test_a_body_that_is_gone_or_changed_is_parked(store: RedisStore, folder: Path) -> None:
    appends = [make_append(number, body=LARGE) for number in (1, 2, 3)]
    await store.append(appends)
    gone, changed, _ = files(folder)
    gone.unlink()
    changed.write_bytes(LARGE[:-1])
    assert [each.event.id for each in (await lease(store)).claims] == [event_id(3)]
    for append in appends[:2]:
        found = await standing(store, append.deliveries[0].id)
        assert (found.state, found.reason) == (State.DEAD, DeadReason.MALFORMED)


async def test_nothing_is_taken_or_parked_while_the_folder_is_not_mounted(store: RedisStore, folder: Path) -> None:
    await store.append([make_append(1, body=LARGE)])
    folder.rename(folder.with_name("away"))
    folder.mkdir()
    for refused in (store.append([make_append(2, body=LARGE)]), lease(store), store.event(event_id(1))):
        with pytest.raises(StoreUnavailableError, match="expected it to be mounted"):
            await refused
    assert files(folder) == []
    folder.rmdir()
    folder.with_name("away").rename(folder)
    assert (await lease_one(store)).event.body == LARGE


async def test_another_folder_or_none_is_refused(store: RedisStore, redis_place: Place, tmp_path: Path) -> None:
    other = with_bodies(redis_place(), tmp_path / "other")
    other._prefix = store._prefix
    with pytest.raises(SchemaError, match=r"other is not where this store's large bodies are"):
        await other.open()
    without = redis_place()
    assert isinstance(without, RedisStore)
    without._prefix = store._prefix
    with pytest.raises(SchemaError, match="without bodies="):
        await without.open()


async def test_a_full_disk_is_a_store_that_is_away(
    store: RedisStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        await store.append([make_append(1, body=LARGE)])
    monkeypatch.undo()
    assert files(folder) == []
    assert await store.event(event_id(1)) is None
    await store.append([make_append(1, body=LARGE)])


@pytest.mark.parametrize("check", [each for each in store_contract.CHECKS if each.concern in CONCERNS], ids=str)
async def test_the_store_keeps_its_contract_with_every_body_apart(
    check: store_contract.Check, redis_place: Place, folder: Path
) -> None:
    made = redis_place()
    assert isinstance(made, RedisStore)
    made.keep_apart(FolderBodies(folder), 0)
    await made.open()
    await check.run(made)
    await made.close()
