"""Bodies that are too large for Redis lie in S3: seen as they were sent everywhere, gone with their events."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from longstop.aws_api import s3 as aws_s3
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.model.listing import EventFilter, Page
from longstop.model.retention import Cutoffs
from longstop.model.s3_place import S3Place
from longstop.ports import Store
from longstop.stores.bodies import s3 as bodies_s3
from longstop.stores.bodies.s3 import LOOK_EVERY_S, MARK, OLD_MS, S3Bodies
from longstop.stores.redis import RedisStore
from longstop.testing import store_contract
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import delivered, lease, lease_one, settled
from s3_proxy import Fault, S3Proxy
from stores_at_hand import Place

OVER = 1_000
LARGE = bytes(range(256)) * 40
SMALL = b"s" * OVER
ONE_EMULATOR = pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)
OLD = timedelta(milliseconds=OLD_MS + 5_000)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator on a busy machine is given time."""
    monkeypatch.setattr(bodies_s3, "PATIENCE", replace(bodies_s3.PATIENCE, read_s=30))


@pytest.fixture
async def bodies(s3_place: S3Place) -> AsyncIterator[S3Bodies]:
    made = S3Bodies(s3_place)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def store(redis_place: Place, s3_place: S3Place) -> AsyncIterator[RedisStore]:
    made = with_bodies(redis_place(), s3_place)
    await made.open()
    yield made
    await made.close()


def with_bodies(store: Store, place: S3Place) -> RedisStore:
    assert isinstance(store, RedisStore)
    store.keep_apart(S3Bodies(place), OVER)
    return store


def soon_tired(place: S3Place) -> S3Bodies:
    """The same place; of an answer that does not come it is soon tired."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies_s3, "PATIENCE", replace(bodies_s3.PATIENCE, read_s=0.3))
        return S3Bodies(place)


async def names(place: S3Place) -> list[str]:
    """Of the bodies that are there."""
    other = S3Bodies(place)
    listing = await other._bucket.list()
    await other.close()
    return [each.name.rpartition("/")[2] for each in listing.objects if each.name != MARK]


# -- the place ------------------------------------------------------------------------------------


async def test_five_megabytes_come_back_byte_for_byte(bodies: S3Bodies, s3_proxy: S3Proxy) -> None:
    body = os.urandom(5_000_000)
    name = f"{event_id(1)}-{hashlib.sha256(body).hexdigest()[:32]}"
    await bodies.put({name: body})
    assert await bodies.get(name) == body
    sent = {name.lower(): value for name, value in s3_proxy.headers["PutObject"].items()}
    assert (sent["if-none-match"], "x-amz-checksum-sha256" in sent) == ("*", True)


async def test_of_several_who_open_it_at_once_all_know_it_by_the_same(s3_place: S3Place) -> None:
    several = [S3Bodies(s3_place) for _ in range(5)]
    assert len(set(await asyncio.gather(*(each.open() for each in several)))) == 1
    assert len({await each.open() for each in several}) == 1
    for each in several:
        await each.close()


async def test_one_that_is_there_stays_and_counts_as_put_now(bodies: S3Bodies, s3_proxy: S3Proxy) -> None:
    """What a broken-off call has left may be about to be swept when it is put again."""
    name = f"{event_id(1)}-{'0' * 32}"
    await bodies.put({name: b"first"})
    s3_proxy.calls.clear()
    await bodies.put({name: b"first"})
    assert s3_proxy.calls["PutObject"] == 1, "and is not written again while it is young"
    s3_proxy.ahead = OLD
    assert await bodies.old(None) == ([name], None)
    s3_proxy.calls.clear()
    await bodies.put({name: b"first"})
    assert s3_proxy.calls["PutObject"] == 2


async def test_what_is_old_is_told_by_the_services_clock_page_by_page_and_nothing_of_others(
    bodies: S3Bodies, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = [f"{event_id(number)}-{number:032x}" for number in range(7)]
    await bodies.put(dict.fromkeys(put, b"x"))
    for others in ("notes", "00/notes.txt", f"zz/{put[0]}"):
        await bodies._bucket.put(others, b"of somebody else")
    monkeypatch.setattr(aws_s3, "LISTED_AT_ONCE", 3)

    async def old() -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            some, after = await bodies.old(after)
            found += some
            if after is None:
                return sorted(found)

    assert await old() == []
    s3_proxy.ahead = timedelta(milliseconds=OLD_MS - 60_000)
    assert await old() == []
    s3_proxy.ahead = OLD
    assert await old() == put


@ONE_EMULATOR
async def test_where_no_time_is_told_nothing_is_old(bodies: S3Bodies, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = {"Key": f"some/where/00/{event_id(1)}-{0:032x}", "LastModified": datetime(2000, 1, 1, tzinfo=UTC)}

    async def untimed(_: object) -> object:
        return {"Contents": [long_ago], "ResponseMetadata": {"HTTPHeaders": {}}}

    monkeypatch.setattr(bodies._bucket, "_list", untimed)
    assert await bodies.old(None) == ([], None)


async def test_many_are_deleted_and_what_is_not_there_is_no_matter(
    bodies: S3Bodies, s3_place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_s3, "LISTED_AT_ONCE", 2)
    put = [f"{event_id(number)}-{number:032x}" for number in range(5)]
    await bodies.put(dict.fromkeys(put, b"x"))
    await bodies.delete([*put, f"{event_id(9)}-{0:032x}"])
    assert await names(s3_place) == []
    await bodies.delete([])


@ONE_EMULATOR
async def test_whether_it_is_there_is_asked_every_few_seconds_and_at_once_after_a_failure(
    bodies: S3Bodies, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)
    s3_proxy.calls.clear()
    for _ in range(20):
        await bodies.look()
    assert s3_proxy.calls["GetObject"] == 1
    now_s += LOOK_EVERY_S
    s3_proxy.fail("GetObject", Fault.DENIED, 2)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="GetObject was refused"):
            await bodies.look()
    await bodies.look()
    assert s3_proxy.calls["GetObject"] == 4


FAULTS = [Fault.SLOW_DOWN, Fault.NO_BUCKET, Fault.LATE]
CALLS = {
    "PutObject": lambda bodies: bodies.put({f"{event_id(1)}-{n:032x}": b"x" for n in range(3)}),
    "GetObject": lambda bodies: bodies.get(f"{event_id(1)}-{0:032x}"),
    "DeleteObjects": lambda bodies: bodies.delete([f"{event_id(1)}-{0:032x}"]),
    "ListObjectsV2": lambda bodies: bodies.old(None),
}


@ONE_EMULATOR
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.name)
@pytest.mark.parametrize("operation", CALLS)
async def test_what_it_fails_with_is_a_store_that_is_away(
    operation: str, fault: Fault, bodies: S3Bodies, s3_place: S3Place, s3_proxy: S3Proxy
) -> None:
    s3_proxy.fail(operation, fault, 99)
    tired = soon_tired(s3_place)
    with pytest.raises(StoreUnavailableError, match=operation):
        await CALLS[operation](tired)
    await tired.close()
    s3_proxy.mend()
    await CALLS[operation](bodies)


@ONE_EMULATOR
async def test_what_was_changed_on_the_way_is_no_body(bodies: S3Bodies, s3_proxy: S3Proxy) -> None:
    name = f"{event_id(1)}-{0:032x}"
    await bodies.put({name: LARGE})
    s3_proxy.fail("GetObject", Fault.CHANGED)
    with pytest.raises(StoreUnavailableError, match="FlexibleChecksumError"):
        await bodies.get(name)
    assert await bodies.get(name) == LARGE


@ONE_EMULATOR
async def test_what_may_not_be_deleted_is_told_though_the_answer_is_a_200(bodies: S3Bodies, s3_proxy: S3Proxy) -> None:
    s3_proxy.fail("DeleteObjects", Fault.ONE_DENIED)
    with pytest.raises(StoreUnavailableError, match=r"AccessDenied.*expected s3:DeleteObject on arn:aws:s3:::"):
        await bodies.delete([f"{event_id(1)}-{0:032x}"])


# -- beside Redis ---------------------------------------------------------------------------------


async def test_a_large_body_is_in_s3_and_seen_as_it_was_sent(store: RedisStore, s3_place: S3Place) -> None:
    append = make_append(1, body=LARGE)
    await store.append([append, make_append(2, body=SMALL)])
    assert await names(s3_place) == [f"{event_id(1)}-{hashlib.sha256(LARGE).hexdigest()[:32]}"]
    in_memory = [f"{store._prefix}body:{event_id(number)}" for number in (1, 2)]
    assert await store.pipeline(*(("EXISTS", key) for key in in_memory)) == [0, 1]
    assert (await lease(store)).claims[0].event == append.event
    (whole,) = await store.whole([event_id(1)])
    assert whole.kept.event == append.event
    assert len((await store.find_events(EventFilter(contains=LARGE[5_000:5_100]), Page())).rows) == 1


async def test_it_is_forgotten_with_its_event_and_a_duplicates_at_once(store: RedisStore, s3_place: S3Place) -> None:
    await store.append([make_append(number, body=LARGE) for number in (1, 2)])
    await store.append([make_append(3, body=LARGE, dedup=b"k"), make_append(4, body=LARGE, dedup=b"k")])
    assert [each[:36] for each in sorted(await names(s3_place))] == [event_id(number) for number in (1, 2, 3)]
    await settled(store, delivered((await lease(store)).claims[0], AT_MS + 5))
    before = Cutoffs(*(AT_MS + 1_000 for _ in Cutoffs.__dataclass_fields__))
    assert await store.forget([event_id(number) for number in (1, 2, 3)], before) == 1
    assert [each[:36] for each in sorted(await names(s3_place))] == [event_id(number) for number in (2, 3)]


async def strays(store: RedisStore, place: S3Place, s3_proxy: S3Proxy) -> list[str]:
    """What a call that was broken off before the commit has left, and was swept too early, or not at all."""
    kept = make_append(1, body=LARGE)
    await store.append([kept])
    apart = await store._put_bodies([make_append(2, body=LARGE)])
    s3_proxy.ahead = timedelta(milliseconds=OLD_MS - 60_000)
    while await store.give_back():
        pass
    young = await names(place)
    s3_proxy.ahead = OLD
    while await store.give_back():
        pass
    assert (await lease_one(store)).event == kept.event, "a body was swept that an event needs"
    left = await names(place)
    return [name for name in apart.values() if name not in young or name in left]


async def test_an_orphan_of_a_crash_is_swept_after_an_hour_and_no_younger_one(
    store: RedisStore, s3_place: S3Place, s3_proxy: S3Proxy
) -> None:
    assert await strays(store, s3_place, s3_proxy) == []


@ONE_EMULATOR
@pytest.mark.parametrize("old_ms", [OLD_MS - 120_000, 2 * OLD_MS])
async def test_the_check_finds_a_sweep_that_is_too_early_and_one_that_never_comes(
    old_ms: int, store: RedisStore, s3_place: S3Place, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: another age."""
    monkeypatch.setattr(bodies_s3, "OLD_MS", old_ms)
    assert await strays(store, s3_place, s3_proxy)


@ONE_EMULATOR
@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.DENIED, Fault.LOST], ids=lambda each: each.name)
async def test_nothing_is_kept_whose_body_could_not_be(fault: Fault, store: RedisStore, s3_proxy: S3Proxy) -> None:
    s3_proxy.fail("PutObject", fault, 99)
    with pytest.raises(StoreUnavailableError, match="PutObject"):
        await store.append([make_append(1, body=LARGE)])
    s3_proxy.mend()
    assert await store.event(event_id(1)) is None
    await store.append([make_append(1, body=LARGE)])
    assert (await lease_one(store)).event.body == LARGE


@ONE_EMULATOR
async def test_nothing_is_leased_while_s3_is_away(
    store: RedisStore, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.append([make_append(1, body=LARGE)])
    monkeypatch.setattr(bodies_s3, "LOOK_EVERY_S", 0.0)
    s3_proxy.fail("GetObject", Fault.NO_BUCKET, 99)
    with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
        await lease(store)
    s3_proxy.mend()
    assert (await lease_one(store)).event.body == LARGE


@ONE_EMULATOR
async def test_another_place_or_none_is_refused(
    store: RedisStore, redis_place: Place, new_s3_place: Callable[[], S3Place]
) -> None:
    other = with_bodies(redis_place(), new_s3_place())
    other._prefix = store._prefix
    with pytest.raises(SchemaError, match="is not where this store's large bodies are"):
        await other.open()
    without = redis_place()
    assert isinstance(without, RedisStore)
    without._prefix = store._prefix
    with pytest.raises(SchemaError, match="without bodies="):
        await without.open()


@ONE_EMULATOR
@pytest.mark.parametrize("check", [each for each in store_contract.CHECKS if each.concern == "append"], ids=str)
async def test_the_store_keeps_its_contract_with_every_body_apart(
    check: store_contract.Check, redis_place: Place, s3_place: S3Place
) -> None:
    made = redis_place()
    assert isinstance(made, RedisStore)
    made.keep_apart(S3Bodies(s3_place), 0)
    await made.open()
    await check.run(made)
    await made.close()
