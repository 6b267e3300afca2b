"""The archive in S3: what is written is there before it is forgotten, is found by its names, and is read by anybody."""

import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from aws_server import ACCESS_KEY, SECRET_KEY
from longstop.archives import s3 as archives_s3
from longstop.archives.lines import from_line
from longstop.archives.s3 import S3Archive
from longstop.aws_api import s3 as aws_s3
from longstop.model.delivery import Delivery
from longstop.model.errors import ArchiveError
from longstop.model.ids import format_uuid7
from longstop.model.retention import DAY_MS, RetentionSettings, WholeEvent
from longstop.model.s3_place import S3Place
from longstop.operating.retention import Retention
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, make_append, make_event
from longstop.testing.store_contract.steps import delivered, discard, lease, lease_one, parked
from s3_proxy import Fault, S3Proxy

HOUR_MS = 3_600_000
AN_HOUR = RetentionSettings(HOUR_MS, HOUR_MS, HOUR_MS, HOUR_MS)
BEFORE = (Fault.SLOW_DOWN, Fault.INTERNAL, Fault.DENIED, Fault.NO_BUCKET, Fault.CONFLICT, Fault.EXPIRED)
"""What happens to a call that is not done."""
ONE_EMULATOR = pytest.mark.parametrize("s3_server", ["ministack"], indirect=True)
"""Where it is the proxy that answers."""
AFTER = (Fault.LOST, Fault.LATE)
"""And to one that is."""


class SetClock:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.at_ms = AT_MS

    def now_ms(self) -> int:
        """Where it is set."""
        return self.at_ms

    async def sleep(self, _: float) -> None:
        """Nobody is waited for."""


@pytest.fixture
async def archive(s3_place: S3Place) -> AsyncIterator[S3Archive]:
    made = S3Archive(s3_place)
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def waiting_no_longer_than_this_fault_takes(fault: Fault, archive: S3Archive) -> AsyncIterator[S3Archive]:
    """The same archive; of an answer that does not come it is soon tired."""
    with pytest.MonkeyPatch.context() as patch:
        if fault is Fault.LATE:
            patch.setattr(archives_s3, "PATIENCE", replace(archives_s3.PATIENCE, read_s=0.3))
        made = S3Archive(archive._bucket.place)
    yield made
    await made.close()


async def a_whole_event(number: int = 1, **changes: object) -> WholeEvent:
    """One that has everything: attempts, decisions, a body."""
    store = MemoryStore()
    await store.append([make_append(number, dedup=b"\x00k", **changes)])
    claim = await lease_one(store, AT_MS + 9 * DAY_MS)
    await store.settle([parked(claim)])
    await store.act([discard(claim.delivery.id, why="a test, \u00fcberfl\u00fcssig")])
    (whole,) = await store.whole([claim.event.id])
    return whole


async def of_time(at_ms: int, number: int = 1, **changes: object) -> WholeEvent:
    """One that arrived then."""
    return await a_whole_event(number, id=format_uuid7(at_ms, number << 8), received_at_ms=at_ms, **changes)


async def names(archive: S3Archive) -> list[str]:
    """Of all objects that it has written."""
    return [each.name async for listing in archive._listings("", "") for each in listing.objects]


# -- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"a":"\\u00fc"}', '{"a":"\u00fc"}\n'.encode(), b"\xff\x00\n", b""])
async def test_what_is_archived_comes_back_as_it_was(body: bytes, archive: S3Archive) -> None:
    whole = await a_whole_event(1, body=body)
    await archive.write([whole, await a_whole_event(2)])
    (name,) = await names(archive)
    for id_ in (whole.kept.event.id, whole.kept.deliveries[0].id):
        found = await archive.find(id_)
        assert found is not None
        assert found.whole == whole
        assert found.place == f"{archive._bucket.place}/{name}"
    for nobodys in (
        make_event(3).id,
        "nonsense",
        "0" * 8 + make_event(3).id[8:],
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ):
        assert await archive.find(nobodys) is None


async def test_any_program_reads_it_a_line_an_event_an_object_a_day_source_and_hour(archive: S3Archive) -> None:
    wholes = [
        await of_time(AT_MS),
        await of_time(AT_MS + 5, 2, source="till"),
        await of_time(AT_MS + DAY_MS, 3),
        await of_time(AT_MS + 7, 4),
        await of_time(AT_MS + HOUR_MS, 5),
    ]
    await archive.write(wholes)
    ids = [each.kept.event.id for each in wholes]
    objects = {name: gzip.decompress(await archive._bucket.get(name) or b"") for name in await names(archive)}
    found = {
        name.rpartition("/")[0]: [json.loads(line)["id"] for line in lines.splitlines()]
        for name, lines in objects.items()
        if ids[4] not in name
    }
    assert found == {
        "day=2026-01-01/source=shop": [ids[0], ids[3]],
        "day=2026-01-01/source=till": [ids[1]],
        "day=2026-01-02/source=shop": [ids[2]],
    }
    assert len(objects) == 4
    assert [
        from_line(line) for lines in objects.values() for line in lines.splitlines() if ids[1].encode() in line
    ] == [wholes[1]]


async def test_the_same_batch_again_is_the_same_object(archive: S3Archive, s3_proxy: S3Proxy) -> None:
    batch = [await a_whole_event(1), await a_whole_event(2)]
    await archive.write(batch)
    before = await archive._bucket.list()
    await archive.write(batch)
    assert (await archive._bucket.list()).objects == before.objects
    assert s3_proxy.calls["PutObject"] == 2


async def test_the_same_batch_is_the_same_bytes_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [await a_whole_event(1), await a_whole_event(2)]
    packed = archives_s3._objects(batch)
    monkeypatch.setattr(gzip.time, "time", lambda: 9e9)  # type: ignore[attr-defined]
    assert archives_s3._objects(batch) == packed


async def test_it_is_written_once_with_its_checksum_and_encrypted_as_asked(
    s3_place: S3Place, s3_proxy: S3Proxy
) -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/1234"
    for asked in ({}, {"encryption": "AES256"}, {"encryption": "aws:kms", "kms_key": key}):
        archive = S3Archive(replace(s3_place, **asked))
        await archive.write([await a_whole_event()])
        sent = {name.lower(): value for name, value in s3_proxy.headers["PutObject"].items()}
        assert sent["if-none-match"] == "*"
        assert "x-amz-checksum-sha256" in sent
        assert sent.get("x-amz-server-side-encryption") == asked.get("encryption")
        assert sent.get("x-amz-server-side-encryption-aws-kms-key-id") == asked.get("kms_key")
        await archive.close()


# -- finding --------------------------------------------------------------------------------------


async def test_finding_reads_only_the_objects_that_may_hold_it(archive: S3Archive, s3_proxy: S3Proxy) -> None:
    wholes = [await of_time(AT_MS + n * 300_000, n, source=f"s{n % 3}") for n in range(60)]
    for start in range(0, 60, 6):
        await archive.write(wholes[start : start + 6])
    assert len(await names(archive)) == 30
    for wanted in (wholes[0], wholes[31], wholes[59]):
        s3_proxy.calls.clear()
        found = await archive.find(wanted.kept.event.id)
        assert found is not None
        assert found.whole == wanted
        assert s3_proxy.calls["GetObject"] <= 3, "one of each source"
        assert s3_proxy.calls["ListObjectsV2"] == 1 + 3, "the sources of its day, and the hour of each"


async def test_finding_goes_through_long_lists_page_by_page(
    archive: S3Archive, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    wholes = [await of_time(AT_MS + n, n, source=f"s{n % 5}") for n in range(25)]
    for each in wholes:
        await archive.write([each])
    monkeypatch.setattr(aws_s3, "LISTED_AT_ONCE", 2)
    assert len(await names(archive)) == 25
    for wanted in wholes[::6]:
        found = await archive.find(wanted.kept.event.id)
        assert found is not None
        assert found.whole == wanted
    # S3 may tell a folder again where the list goes on before the end of what is in it; neither emulator does.
    went_on = {each["start-after"] for each in s3_proxy.queries if "delimiter" in each}
    assert "some/where/day=2026-01-01/source=s1/\U0010ffff" in went_on
    assert not [each for each in went_on if each.endswith("/") and "source=" in each]


@pytest.mark.parametrize("later_ms", [2, 3 * HOUR_MS, 20 * HOUR_MS])
async def test_a_delivery_is_found_that_was_made_later_than_its_event(later_ms: int, archive: S3Archive) -> None:
    """Across the end of an hour and of a day: as far as the day after."""
    made_ms = AT_MS + DAY_MS - 1
    whole = await of_time(made_ms)
    (first,) = whole.kept.deliveries
    id_ = format_uuid7(made_ms + later_ms, 7)
    later: Delivery = replace(first, id=id_)
    await archive.write([replace(whole, kept=replace(whole.kept, deliveries=(later,)))])
    found = await archive.find(id_)
    assert found is not None
    assert found.whole.kept.deliveries == (later,)


async def test_an_event_that_was_archived_twice_is_found_once_with_the_attempts_of_both(archive: S3Archive) -> None:
    whole = await a_whole_event(1)
    bare = replace(whole, histories=tuple(type(each)((), each.actions) for each in whole.histories))
    await archive.write([whole])
    await archive.write([bare])
    found = await archive.find(whole.kept.event.id)
    assert found is not None
    assert found.whole == whole
    assert found.place.count("s3://") == 2


async def test_an_empty_page_is_not_taken_for_the_end(archive: S3Archive, s3_proxy: S3Proxy) -> None:
    await archive.write([await a_whole_event(1)])
    s3_proxy.fail("ListObjectsV2", Fault.EMPTY_PAGE, 3)
    assert await archive.find(make_event(1).id) is not None


async def test_a_source_may_have_any_name(archive: S3Archive) -> None:
    """One that was imported, say."""
    whole = await a_whole_event(1, source="a/b=c %2F \u00fc")
    await archive.write([whole])
    found = await archive.find(whole.kept.event.id)
    assert found is not None
    assert found.whole == whole
    assert "/source=a%2Fb%3Dc%20%252F%20%C3%BC/" in found.place


async def test_what_others_have_put_there_is_passed_over(archive: S3Archive) -> None:
    whole = await a_whole_event(1)
    await archive.write([whole])
    for name in (
        "day=2026-01-01/source=shop/notes.txt",
        "day=2026-01-01/notes.txt",
        "zz",
        "day=2026-01-01/source=shop/",
    ):
        await archive._bucket.put(name, whole.kept.event.id.encode())
    assert (await archive.find(whole.kept.event.id)) is not None


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"{}\n" * 99)[:-9], bytes(999)])
async def test_an_object_that_is_not_what_was_put_there_is_told(content: bytes, archive: S3Archive) -> None:
    await archive.write([await a_whole_event(1)])
    (name,) = await names(archive)
    await archive._bucket.put(name, content)
    if content:
        with pytest.raises(ArchiveError, match="not what was put there"):
            await archive.find(make_event(1).id)


# -- faults ---------------------------------------------------------------------------------------


async def with_delivered_events(count: int, sources: Sequence[str]) -> MemoryStore:
    """A store in which events have been delivered, for an hour in the past."""
    store = MemoryStore()
    await store.append([make_append(n, source=sources[n % len(sources)]) for n in range(count)])
    await store.settle([delivered(claim, AT_MS) for claim in (await lease(store, crm=count)).claims])
    return store


async def swept(store: MemoryStore, archive: S3Archive) -> ArchiveError | None:
    """Forget what is old, as far as it goes."""
    clock = SetClock()
    retention = Retention(store, AN_HOUR, clock, archive)
    clock.at_ms += 2 * HOUR_MS
    await retention.trust_clock()
    try:
        await retention.sweep()
    except ArchiveError as error:
        return error
    return None


async def lost(store: MemoryStore, archive: S3Archive, count: int) -> list[int]:
    """The events that are neither in the store nor in the archive."""
    gone = [n for n in range(count) if await store.event(make_event(n).id) is None]
    return [n for n in gone if await archive.find(make_event(n).id) is None]


@ONE_EMULATOR
@pytest.mark.parametrize("fault", [*BEFORE, *AFTER], ids=lambda each: each.name)
@pytest.mark.parametrize("times", [1, 99])
async def test_nothing_is_forgotten_that_is_not_archived_whatever_happens_to_a_call(
    fault: Fault, times: int, archive: S3Archive, s3_proxy: S3Proxy
) -> None:
    store = await with_delivered_events(6, ("shop", "till"))
    s3_proxy.fail("PutObject", fault, times)
    async with waiting_no_longer_than_this_fault_takes(fault, archive) as tired:
        error = await swept(store, tired)
    s3_proxy.mend()
    assert await lost(store, archive, 6) == []
    # Once, what may be tried again has been; what never comes, and what a person has to mend, is told.
    assert (error is not None) == (times > 1 or fault in (Fault.DENIED, Fault.NO_BUCKET, Fault.EXPIRED)) or (
        fault is Fault.LATE
    )
    assert await swept(store, archive) is None
    assert await lost(store, archive, 6) == []
    assert [n for n in range(6) if await store.event(make_event(n).id) is not None] == []


@ONE_EMULATOR
async def test_the_check_finds_an_archive_that_says_done_before_it_is(
    archive: S3Archive, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: what is to be forgotten is forgotten before the put, whatever comes of that."""
    write = archive.write

    async def hasty(events: Sequence[WholeEvent]) -> None:
        try:
            await write(events)
        except ArchiveError:
            return

    monkeypatch.setattr(archive, "write", hasty)
    store = await with_delivered_events(6, ("shop", "till"))
    s3_proxy.fail("PutObject", Fault.SLOW_DOWN, 99)
    await swept(store, archive)
    s3_proxy.mend()
    assert await lost(store, archive, 6)


@ONE_EMULATOR
@pytest.mark.parametrize("fault", [*BEFORE, Fault.LATE, Fault.CUT, Fault.NO_S3], ids=lambda each: each.name)
@pytest.mark.parametrize("operation", ["ListObjectsV2", "GetObject"])
async def test_what_cannot_be_looked_up_is_told_and_not_taken_for_missing(
    operation: str, fault: Fault, archive: S3Archive, s3_proxy: S3Proxy
) -> None:
    await archive.write([await a_whole_event(1)])
    s3_proxy.fail(operation, fault, 99)
    told = "not what was put there" if (operation, fault) == ("GetObject", Fault.NO_S3) else operation
    async with waiting_no_longer_than_this_fault_takes(fault, archive) as tired:
        with pytest.raises(ArchiveError, match=told):
            await tired.find(make_event(1).id)


TOLD = {
    Fault.SLOW_DOWN: "PutObject failed (SlowDown: Please reduce your request rate.); it is throttled, and tried again",
    Fault.DENIED: "PutObject was refused (AccessDenied: User: arn:aws:iam::111122223333:user/x is not authorized to "
    "perform it); expected s3:PutObject on arn:aws:s3:::{bucket}/some/where/* (with a key of KMS also "
    "kms:GenerateDataKey on that) to be allowed",
    Fault.NO_BUCKET: "PutObject failed (NoSuchBucket: The specified bucket does not exist); expected the bucket to be "
    "there; make it, or mend its name",
    Fault.EXPIRED: "PutObject was refused (ExpiredToken); expected credentials that have not run out; renew them",
}


@ONE_EMULATOR
async def test_of_an_event_that_was_archived_twice_the_last_word_holds(archive: S3Archive) -> None:
    """It was dead, was sent again after all, and was delivered: moto would take a second in between."""
    whole = await a_whole_event(1)
    (delivery,) = whole.kept.deliveries
    for last_error in ("zz first", "aa last"):
        told = replace(delivery, last_error=last_error)
        await archive.write([replace(whole, kept=replace(whole.kept, deliveries=(told,)))])
    found = await archive.find(whole.kept.event.id)
    assert found is not None
    assert found.whole.kept.deliveries == (told,)


@ONE_EMULATOR
@pytest.mark.parametrize("fault", TOLD, ids=lambda each: each.name)
async def test_an_error_says_what_was_asked_and_what_to_do(fault: Fault, archive: S3Archive, s3_proxy: S3Proxy) -> None:
    s3_proxy.fail("PutObject", fault, 99)
    with pytest.raises(ArchiveError) as caught:
        await archive.write([await a_whole_event(1)])
    bucket = archive._bucket.place.bucket
    assert str(caught.value) == f"s3://{bucket}/some/where: {TOLD[fault].format(bucket=bucket)}"


@ONE_EMULATOR
async def test_without_credentials_it_says_where_they_are_looked_for(
    s3_place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    archive = S3Archive(s3_place)
    with pytest.raises(ArchiveError, match=r"no credentials .*; expected credentials in the environment, a profile"):
        await archive.write([await a_whole_event(1)])
    await archive.close()


@ONE_EMULATOR
async def test_where_nobody_listens_it_says_so_and_shows_no_key(s3_place: S3Place) -> None:
    archive = S3Archive(replace(s3_place, endpoint="http://127.0.0.1:9"))
    with pytest.raises(ArchiveError, match="PutObject failed") as caught:
        await archive.write([await a_whole_event(1)])
    assert not any(secret in str(caught.value) for secret in (ACCESS_KEY, SECRET_KEY))
    await archive.close()


# -- the table for Athena -------------------------------------------------------------------------


async def test_the_table_in_the_docs_has_the_columns_and_the_places_of_what_is_written() -> None:
    page = (Path(__file__).parents[2] / "docs/s3.md").read_text()
    table = page.partition("<!-- athena: begin -->")[2].partition("<!-- athena: end -->")[0]
    ((name, packed),) = archives_s3._objects([await a_whole_event(1)]).items()
    line = json.loads(gzip.decompress(packed))
    partitions = re.findall(r"`(\w+)` string", table.partition("PARTITIONED BY")[2].partition("\n")[0])
    columns = re.findall(r"^  `(\w+)`", table, re.MULTILINE)
    (struct,) = re.findall(r"`deliveries` array<struct<(.*?)>>", table, re.DOTALL)
    fields = re.findall(r"(\w+):", struct)
    assert len(columns) > 9
    assert len(fields) > 6
    assert set(columns) <= set(line)
    assert not set(partitions) & set(columns)
    assert set(fields) <= set(line["deliveries"][0])
    (template,) = re.findall(r"'storage.location.template' = 's3://my-archive/longstop/(.*)'", table)
    values = {"day": "2026-01-01", "source": "shop"}
    assert set(partitions) == set(values)
    assert name.rpartition("/")[0] + "/" == template.replace("$", "").format(**values)
