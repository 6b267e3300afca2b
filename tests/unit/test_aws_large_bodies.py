"""Bodies of the AWS store at the edges: of the bucket's threshold, of an item, of a transaction."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Headers
from longstop.model.listing import EventFilter, Page
from longstop.model.s3_place import S3Place
from longstop.stores.bodies import s3 as bodies_s3
from longstop.stores.bodies.s3 import S3Bodies
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append
from longstop.testing.store_contract.steps import in_lane, lease, lease_one, settled, to_retry

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from aws_fakes import S3InMemory
from aws_table import ITEM_BYTES_MAX, StoreInMemory
from longstop.stores.aws import AwsStore
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import size_of
from longstop.stores.aws.large_bodies import ITEM_BODY_MAX
from s3_proxy import S3Proxy
from stores_at_hand import Place

OVER = 64 * 2**10
ONE_EMULATOR = pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)


@pytest.fixture
async def store(aws_place: Place, s3_place: S3Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsStore]:
    """On the emulator, with a bucket behind the proxy."""
    monkeypatch.setattr(bodies_s3, "PATIENCE", replace(bodies_s3.PATIENCE, read_s=30))
    made: Any = aws_place()
    made.keep_apart(S3Bodies(s3_place), OVER)
    await made.open()
    yield made
    await made.close()
    assert made._bodies._bucket._client._made is None, "and so are the bucket's connections"


@ONE_EMULATOR
async def test_five_megabytes_come_back_byte_for_byte(store: AwsStore, s3_proxy: S3Proxy) -> None:
    body = os.urandom(5_000_000)
    await store.append([make_append(1, body=body)])
    sent = {name.lower(): value for name, value in s3_proxy.headers["PutObject"].items()}
    assert (sent["if-none-match"], len(sent["x-amz-checksum-sha256"])) == ("*", 44)
    # The bucket encrypts what comes, with the key that the account has chosen for it.
    assert not any(name.startswith("x-amz-server-side-encryption") for name in sent)
    assert (await lease_one(store)).event.body == body
    kept = await store.event(event_id(1))
    assert kept is not None
    assert kept.event.body == body
    (listed,) = (await store.find_events(EventFilter(), Page())).rows
    assert (listed.event.body, listed.listed_bytes) == (b"", len(body))
    (found,) = (await store.find_events(EventFilter(contains=body[4_999_900:]), Page())).rows
    assert found.event.id == event_id(1)


@ONE_EMULATOR
@pytest.mark.parametrize(("size", "apart"), [(OVER, False), (OVER + 1, True)])
async def test_a_body_over_the_threshold_lies_in_the_bucket(
    store: AwsStore, s3_proxy: S3Proxy, size: int, apart: bool
) -> None:
    s3_proxy.calls.clear()
    await store.append([make_append(1, body=b"x" * size)])
    assert (s3_proxy.calls["PutObject"] > 0) is apart
    assert len((await lease_one(store)).event.body) == size


@pytest.fixture
async def small() -> StoreInMemory:
    """Over a table that refuses what the service does, without a bucket."""
    return StoreInMemory()


def headers(text: str) -> Headers:
    """As many as there may be, of 32 KB together."""
    return Headers([(f"x-{n:03}", text * 320) for n in range(100)])


async def test_the_largest_body_with_all_headers_fits_into_an_item(small: StoreInMemory) -> None:
    append = make_append(1, body=b"x" * ITEM_BODY_MAX, headers=headers("h"), key="k" * 1_000, type="t" * 200)
    await small.append([append])
    assert size_of(small.table.items[keys.event(event_id(1))]) > ITEM_BYTES_MAX - 20_000
    assert (await lease_one(small)).event == append.event


async def test_headers_that_take_more_room_than_there_is_send_a_body_to_the_bucket(small: StoreInMemory) -> None:
    append = make_append(1, body=b"x" * (ITEM_BODY_MAX - 100_000), headers=headers("\xff"))
    with pytest.raises(StoreUnavailableError, match="with its headers is more than an item holds; set bucket="):
        await small.append([append])
    small.keep_apart(S3InMemory(Random(1), 0.0, lambda: AT_MS).bodies(), ITEM_BODY_MAX)
    await small.append([append])
    assert (await lease_one(small)).event == append.event


async def test_no_transaction_is_larger_than_the_service_takes(small: StoreInMemory) -> None:
    """What is sent is a third more, in base64; the service counts items."""
    await small.append([make_append(number, body=b"x" * ITEM_BODY_MAX) for number in range(40)])
    assert len(small.table.transactions) >= 4
    assert len((await lease(small)).claims) == 40


async def test_a_delivery_does_not_grow_by_its_attempts(small: StoreInMemory) -> None:
    await small.append([make_append(1)])
    key = small.keys.live(delivery_id(event_id(1), 0))
    for number in range(200):
        await settled(small, to_retry(await lease_one(small, AT_MS + number), AT_MS + number + 1))
    assert size_of(small.table.items[key]) < 1_024
    assert len((await small.history(key[1])).attempts) == 200


async def test_a_change_that_no_transaction_takes_says_so(small: StoreInMemory) -> None:
    append = make_append(1, to=tuple(f"d{n}" for n in range(50)))
    with pytest.raises(StoreUnavailableError, match="is more than a transaction takes; expected 100 items"):
        await small.append([append])
    await small.append([make_append(2, to=tuple(f"d{n}" for n in range(48)))])
    claims = (await lease(small, **{f"d{n}": 1 for n in range(50)})).claims
    assert len(claims) == 48
    ordered = in_lane(make_append(3, to=tuple(f"d{n}" for n in range(24)), dedup=b"of one key"))
    await small.append([ordered])
    assert (await small.event(event_id(3))) is not None
