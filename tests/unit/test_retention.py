"""Forgetting: by whose clock, archived first, what is in the way, and a file that stays as large as it needs to be."""

import asyncio
import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from services import on_virtual_time
from structlog.testing import capture_logs

from archive_in_memory import ArchiveInMemory
from longstop.archives import file
from longstop.archives.file import FileArchive
from longstop.model.errors import ArchiveError, StoreUnavailableError
from longstop.model.event import Headers
from longstop.model.job import KEPT_MS, JobState
from longstop.model.lease import LeaseRequest
from longstop.model.listing import EventFilter, Page
from longstop.model.retention import CATCH_UP, Cutoffs, Forgettable, Kind, RetentionSettings, WholeEvent, lived
from longstop.operating import retention as service
from longstop.operating.recount import Recounter
from longstop.operating.retention import EVERY_S, Retention
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS, make_append, make_event
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore
from longstop.testing.store_contract.jobs import make_job
from longstop.testing.store_contract.steps import LEASE_MS, delivered, discard, lease, lease_one, parked
from longstop.testing.tasks import end_tasks

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
AN_HOUR = RetentionSettings(HOUR_MS, HOUR_MS, HOUR_MS, HOUR_MS)


class SetClock(VirtualClock):
    """A clock that a person can set wrong, beside the time that passes."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


async def ids(store: Store) -> list[str]:
    rows = (await store.find_events(EventFilter(), Page(10_000, newest_first=False))).rows
    return [row.event.id for row in rows]


async def some_delivered(store: Store, count: int = 3, at_ms: int = AT_MS) -> list[str]:
    appends = [make_append(n) for n in range(1, count + 1)]
    await store.append(appends)
    await store.settle([delivered(claim, at_ms) for claim in (await lease(store, crm=count)).claims])
    return [item.event.id for item in appends]


# -- by whose clock -----------------------------------------------------------------------------------------


def test_the_time_goes_on_by_what_has_passed_and_never_beyond_the_clock() -> None:
    assert lived(None, None, 0, 500) == 500, "a new store lives now"
    assert lived(500, None, 0, 10**9) == 500, "what passed while nothing ran is not believed at once"
    assert lived(500, 500, 1_000, 1_500) == 1_500
    assert lived(500, 500, 1_000, 10**9) == 500 + int(1_000 * CATCH_UP)
    assert lived(500, 500, 1_000, 100) == 500, "a clock that is put back takes nothing back"
    assert lived(9_000, 500, 1_000, 10**9) == 9_000, "another process knows more"


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(-(10**9), 10**9)), min_size=1, max_size=30))
def test_however_the_clock_jumps_no_more_is_believed_than_has_passed(steps: list[tuple[int, int]]) -> None:
    known = mine = lived(None, None, 0, 0)
    passed = 0
    for ran_ms, jump in steps:
        passed += ran_ms
        before = known
        known = mine = lived(known, mine, ran_ms, passed + jump)
        assert before <= known <= passed * CATCH_UP


@on_virtual_time
async def test_a_clock_that_is_a_year_ahead_makes_nothing_old_until_a_person_says_that_it_is_right() -> None:
    store, clock = MemoryStore(), SetClock()
    made = await some_delivered(store)
    retention = Retention(store, AN_HOUR, clock, None)
    assert sum((await retention.sweep()).values()) == 0
    clock.ahead_ms = 365 * DAY_MS
    with capture_logs() as logs:
        for _ in range(50):
            await clock.sleep(EVERY_S)
            await retention.sweep()
    assert await ids(store) == made, "events of an hour ago were forgotten by a clock that is wrong"
    assert "clock_ahead" in {each["event"] for each in logs}
    # Put right again, it goes on as if nothing had been.
    clock.ahead_ms = 0
    await clock.sleep(15 * 60)
    await retention.sweep()
    assert await ids(store) == []


@on_virtual_time
async def test_a_restart_believes_no_clock_either_and_catches_up_with_what_passed_while_nothing_ran() -> None:
    store, clock = MemoryStore(), SetClock()
    made = await some_delivered(store)
    await Retention(store, AN_HOUR, clock, None).sweep()
    await clock.sleep(10 * 3600)
    again = Retention(store, AN_HOUR, clock, None)
    await again.sweep()
    assert await ids(store) == made
    for _ in range(60):
        await clock.sleep(EVERY_S)
        await again.sweep()
    assert await ids(store) == []


@on_virtual_time
async def test_a_job_that_is_over_is_kept_for_its_time() -> None:
    store, clock = MemoryStore(), SetClock()
    await store.add_job(make_job(state=JobState.DONE, state_at_ms=clock.now_ms()))
    retention = Retention(store, AN_HOUR, clock, None)
    for passes_ms, left in ((KEPT_MS - HOUR_MS, 1), (2 * HOUR_MS, 0)):
        await clock.sleep(passes_ms / 1000)
        await retention.sweep()
        assert len((await store.find_jobs(None, Page())).rows) == left


@on_virtual_time
async def test_who_trusts_the_clock_has_its_word_taken() -> None:
    store, clock = MemoryStore(), SetClock()
    await some_delivered(store)
    await Retention(store, AN_HOUR, clock, None).sweep()
    await clock.sleep(10 * 3600)
    by_hand = Retention(store, AN_HOUR, clock, None)
    assert await by_hand.behind_ms() == 10 * HOUR_MS
    assert sum((await by_hand.count()).values()) == 0
    await by_hand.trust_clock()
    assert (await by_hand.count())[Kind.DELIVERED] == 3
    assert len(await ids(store)) == 3, "counting forgot"
    assert (await by_hand.sweep())[Kind.DELIVERED] == 3
    assert await ids(store) == []


@on_virtual_time
async def test_two_gateways_on_one_store_do_not_make_time_pass_twice() -> None:
    store, clock = MemoryStore(), SetClock()
    both = [Retention(store, AN_HOUR, clock, None) for _ in range(2)]
    clock_at = await both[0].now_ms()
    await both[1].now_ms()
    clock.ahead_ms = 365 * DAY_MS
    for _ in range(100):
        await clock.sleep(EVERY_S)
        for each in both:
            now_ms = await each.now_ms()
    assert now_ms - clock_at <= 100 * EVERY_S * 1000 * CATCH_UP + 1


# -- archived first -----------------------------------------------------------------------------------------


@on_virtual_time
async def test_what_is_forgotten_is_archived_first_and_what_cannot_be_archived_stays() -> None:
    store, clock, archive = MemoryStore(), SetClock(), ArchiveInMemory()
    made = await some_delivered(store)
    retention = Retention(store, AN_HOUR, clock, archive)
    await retention.sweep()
    await clock.sleep(2 * 3600)
    archive.fails = True
    for _ in range(2):
        with pytest.raises(ArchiveError):
            await retention.sweep()
        assert await ids(store) == made
    archive.fails = False
    assert (await retention.sweep())[Kind.DELIVERED] == 3
    assert archive.events == made
    assert await ids(store) == []


@on_virtual_time
async def test_large_events_are_read_and_archived_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longstop.operating.retention.READ_AT_ONCE", 2)
    monkeypatch.setattr("longstop.operating.retention.AT_ONCE_BYTES", 2_500)
    store, clock, archive = MemoryStore(), SetClock(), ArchiveInMemory()
    at_ms = clock.now_ms()
    await store.append([make_append(n, to=(), body=b"x" * 1_000, received_at_ms=at_ms) for n in range(1, 8)])
    retention = Retention(store, AN_HOUR, clock, archive)
    await retention.sweep()
    await clock.sleep(2 * 3600)
    await retention.sweep()
    assert archive.written == [4, 3]
    assert await ids(store) == []


@on_virtual_time
async def test_what_could_not_be_forgotten_is_archived_again_and_not_lost() -> None:
    """Archived, then the store fails (or the process is killed): it stands in the archive twice."""
    memory, clock, archive = MemoryStore(), SetClock(), ArchiveInMemory()
    made = await some_delivered(memory)
    store = FaultyStore(memory)
    retention = Retention(store, AN_HOUR, clock, archive)  # type: ignore[arg-type]
    await retention.sweep()
    await clock.sleep(2 * 3600)
    store.fail("forget")
    with pytest.raises(StoreUnavailableError):
        await retention.sweep()
    assert archive.events == made
    await retention.sweep()
    assert archive.events == made * 2
    assert await ids(memory) == []


@on_virtual_time
async def test_the_task_goes_on_after_a_failure_and_says_so() -> None:
    store, clock, archive = MemoryStore(), SetClock(), ArchiveInMemory()
    await some_delivered(store)
    archive.fails = True
    with capture_logs() as logs:
        task = asyncio.create_task(Retention(store, AN_HOUR, clock, archive).run())
        await clock.sleep(2 * 3600)
        archive.fails = False
        await clock.sleep(2 * EVERY_S)
    task.cancel()
    assert {"retention_failed", "forgotten"} <= {each["event"] for each in logs}
    assert await ids(store) == []


@on_virtual_time
async def test_attempts_go_by_an_age_of_their_own_and_are_archived_too() -> None:
    store, clock, archive = MemoryStore(), SetClock(), ArchiveInMemory()
    made = await some_delivered(store)
    settings = RetentionSettings(delivered_ms=10 * DAY_MS, attempts_ms=HOUR_MS)
    retention = Retention(store, settings, clock, archive)
    await retention.sweep()
    await clock.sleep(2 * 3600)
    await retention.sweep()
    assert await ids(store) == made
    assert archive.events == made
    kept = await store.event(made[0])
    assert kept is not None
    assert (await store.history(kept.deliveries[0].id)).attempts == ()


# -- the archive of files -----------------------------------------------------------------------------------


async def a_whole_event(number: int, **changes: object) -> WholeEvent:
    """One that has everything: attempts, decisions, a body that is no text."""
    store = MemoryStore()
    headers = Headers([("X-Name", "J\u00f6rg \x80"), ("x-name", "again")])
    await store.append([make_append(number, headers=headers, dedup=b"\x00k", **changes)])
    claim = await lease_one(store, AT_MS + 9 * DAY_MS)
    await store.settle([parked(claim)])
    await store.act([discard(claim.delivery.id, why="a test, \u00fcberfl\u00fcssig")])
    (whole,) = await store.whole([make_event(number).id])
    return whole


@pytest.mark.parametrize("body", [b'{"a":"\\u00fc"}', '{"a":"\u00fc"}\n'.encode(), b"\xff\x00\n", b""])
async def test_what_is_archived_comes_back_as_it_was(body: bytes, tmp_path: Path) -> None:
    whole = await a_whole_event(1, body=body)
    archive = FileArchive(tmp_path / "a" / "b")
    await archive.write([whole, await a_whole_event(2)])
    for id_ in (whole.kept.event.id, whole.kept.deliveries[0].id):
        found = await archive.find(id_)
        assert found is not None
        assert found.whole == whole
        assert found.place == str(tmp_path / "a" / "b" / "2026-01-01.0001.jsonl.gz")
    for nobodys in (
        make_event(3).id,
        "nonsense",
        "0" * 8 + make_event(3).id[8:],
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ):
        assert await archive.find(nobodys) is None


async def test_any_program_reads_it_a_line_an_event_a_file_a_day_for_the_owner_alone(tmp_path: Path) -> None:
    archive = FileArchive(tmp_path)
    for number, day in ((1, 0), (2, 1), (3, 0)):
        await archive.write([await a_whole_event(number, received_at_ms=AT_MS + day * DAY_MS)])
    files = sorted(tmp_path.iterdir())
    assert [each.name for each in files] == ["2026-01-01.0001.jsonl.gz", "2026-01-02.0001.jsonl.gz"]
    assert {each.stat().st_mode & 0o777 for each in files} == {0o600}
    rows = [json.loads(line) for line in gzip.decompress(files[0].read_bytes()).splitlines()]
    assert [row["id"] for row in rows] == [make_event(1).id, make_event(3).id]


@pytest.mark.parametrize("left", [gzip.compress(b'{"id":"half')[:-9], bytes(4_096), b"no gzip at all"])
async def test_what_a_crash_cut_off_harms_nothing_before_or_after_it(left: bytes, tmp_path: Path) -> None:
    first, second = await a_whole_event(1), await a_whole_event(2)
    await FileArchive(tmp_path).write([first])
    path = tmp_path / "2026-01-01.0001.jsonl.gz"
    path.write_bytes(path.read_bytes() + left)
    again = FileArchive(tmp_path)
    await again.write([second])
    assert [each.name for each in sorted(tmp_path.iterdir())] == [
        "2026-01-01.0001.jsonl.gz",
        "2026-01-01.0002.jsonl.gz",
    ]
    for whole in (first, second):
        found = await again.find(whole.kept.event.id)
        assert found is not None
        assert found.whole == whole


async def test_a_write_that_failed_leaves_no_half_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = FileArchive(tmp_path)
    await archive.write([await a_whole_event(1)])
    real = file.os.fsync

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file.os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left"):
        await archive.write([await a_whole_event(2)])
    monkeypatch.setattr(file.os, "fsync", real)
    await archive.write([await a_whole_event(3)])
    written = (tmp_path / "2026-01-01.0001.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(written).splitlines()]
    assert [row["id"] for row in rows] == [make_event(1).id, make_event(3).id]


async def test_an_event_that_was_archived_twice_is_found_once_with_the_attempts_of_both(tmp_path: Path) -> None:
    whole = await a_whole_event(1)
    bare = replace(whole, histories=tuple(type(each)((), each.actions) for each in whole.histories))
    archive = FileArchive(tmp_path)
    await archive.write([whole])
    await archive.write([bare])
    found = await archive.find(whole.kept.event.id)
    assert found is not None
    assert found.whole == whole


# -- a day of it --------------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_day_of_full_load_with_an_hour_kept_leaves_the_file_as_large_as_after_two_hours(tmp_path: Path) -> None:
    """Scaled down: 60 events a virtual minute for 24 hours, delivered at once, with bodies of all sizes."""
    rng = random.Random(7)
    clock = VirtualClock()
    path = tmp_path / "store.db"
    store = SqliteStore(path, watch_s=None, threaded=False)
    await store.open()
    task = asyncio.create_task(Retention(store, AN_HOUR, clock, None).run())
    sizes = []
    for minute in range(24 * 60):
        first = clock.now_ms() - AT_MS
        batch = [
            make_append(first + n, received_at_ms=clock.now_ms(), body=bytes(rng.randrange(3_000)), dedup=b"%d" % first)
            for n in range(60)
        ]
        for n, item in enumerate(batch):
            assert item.event.dedup is not None
            batch[n] = make_append(
                first + n, received_at_ms=clock.now_ms(), body=item.event.body, key=f"k{n % 7}", window_ms=HOUR_MS
            )
        await store.append(batch)
        request = LeaseRequest("w", {"crm": 100}, clock.now_ms(), clock.now_ms() + LEASE_MS)
        await store.settle([delivered(claim, clock.now_ms()) for claim in (await store.lease(request)).claims])
        await clock.sleep(60)
        if minute % 60 == 59:
            await store._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
            sizes.append(path.stat().st_size)
    task.cancel()
    steady = sizes[2]
    assert max(sizes[2:]) <= 1.2 * steady, sizes
    counts = await store.counts()
    assert 55 * 60 <= counts.events <= 65 * 60
    await store.close()


@on_virtual_time
async def test_room_that_is_not_needed_any_more_is_given_back(tmp_path: Path) -> None:
    clock = VirtualClock()
    path = tmp_path / "store.db"
    store = SqliteStore(path, watch_s=None, threaded=False)
    await store.open()
    await store.append([make_append(n, body=bytes(8_000)) for n in range(1, 3_000)])
    request = LeaseRequest("w", {"crm": 5_000}, AT_MS, AT_MS + LEASE_MS)
    await store.settle([delivered(claim) for claim in (await store.lease(request)).claims])
    retention = Retention(store, AN_HOUR, clock, None)
    await retention.sweep()
    await store._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
    before = path.stat().st_size
    await clock.sleep(2 * 3600)
    assert (await retention.sweep())[Kind.DELIVERED] == 2_999
    await store._writer.call(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get)
    assert path.stat().st_size < before / 2
    assert store.ready()
    await store.close()


@on_virtual_time
async def test_each_transaction_is_small_and_followed_by_as_long_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(MemoryStore):
        """Each transaction takes a tenth of a second."""

        def __init__(self) -> None:
            super().__init__()
            self.calls: list[tuple[int, int]] = []

        async def forget(self, event_ids, before):  # type: ignore[no-untyped-def]
            self.calls.append((clock.now_ms(), len(event_ids)))
            await clock.sleep(0.1)
            return await super().forget(event_ids, before)

    store, clock = Slow(), VirtualClock()
    await some_delivered(store, 100)
    monkeypatch.setattr(service, "IN_ONE", 30)
    retention = Retention(store, AN_HOUR, clock, None)
    await retention.sweep()
    await clock.sleep(2 * 3600)
    await retention.sweep()
    assert [number for _, number in store.calls] == [30, 30, 30, 10]
    times = [at_ms for at_ms, _ in store.calls]
    assert [later - earlier for earlier, later in pairwise(times)] == [200, 200, 200]


class Endless(MemoryStore):
    """So many events a second become old enough to go. A transaction takes 40 ms."""

    def __init__(self, clock: VirtualClock, per_s: int) -> None:
        super().__init__()
        self._clock, self._per_s, self._began_ms = clock, per_s, clock.monotonic_ms()
        self._gone = 0
        self.sizes: list[int] = []
        self.calls: list[int] = []

    @property
    def waiting(self) -> int:
        return (self._clock.monotonic_ms() - self._began_ms) * self._per_s // 1000 - self._gone

    async def forgettable(self, kind: Kind, before: Cutoffs, after: str | None, limit: int) -> Forgettable:
        if kind is not Kind.DELIVERED:
            return await super().forgettable(kind, before, after, limit)
        waiting = self.waiting
        ids = tuple(str(self._gone + number) for number in range(min(waiting, limit)))
        return Forgettable(ids, after, waiting > limit)

    async def forget(self, event_ids: Sequence[str], before: Cutoffs) -> int:
        self.sizes.append(len(event_ids))
        self.calls.append(self._clock.monotonic_ms())
        await self._clock.sleep(0.04)
        self._gone += len(event_ids)
        return len(event_ids)


async def hour_of(per_s: int) -> tuple[Endless, int]:
    """A store after an hour of retention at work, and the most that waited at the end of any minute."""
    clock = VirtualClock()
    store = Endless(clock, per_s)
    task = asyncio.create_task(Retention(store, AN_HOUR, clock, None).run())
    most = 0
    for _ in range(60):
        await clock.sleep(60)
        most = max(most, store.waiting)
    await end_tasks([task])
    return store, most


@on_virtual_time
async def test_what_comes_slower_than_can_be_forgotten_politely_is() -> None:
    store, most = await hour_of(per_s=190)
    assert max(store.sizes) == service.IN_ONE
    assert min(later - earlier for earlier, later in pairwise(store.calls)) == 80
    assert most <= 190 * 2 * EVERY_S


@on_virtual_time
@pytest.mark.parametrize("per_s", [600, 1_000])
async def test_what_comes_faster_is_kept_up_with_all_the_same(per_s: int) -> None:
    assert per_s > service.IN_ONE / 0.08
    store, most = await hour_of(per_s)
    assert most <= per_s * 3 * EVERY_S
    assert max(store.sizes) == service.IN_ONE_BEHIND
    # Whoever else writes gets at the file, however far behind it is.
    assert min(later - earlier for earlier, later in pairwise(store.calls)) == 50


# -- counters -----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_counters_that_drifted_are_put_right_in_the_background_and_logged(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
    await store.open()
    await some_delivered(store)
    await store._writer.call(lambda connection: connection.execute("UPDATE counters SET n = n + 2").get)
    with capture_logs() as logs:
        task = asyncio.create_task(Recounter(store, clock).run())
        await clock.sleep(120)
    task.cancel()
    told = {each["counter"]: each["kept"] - each["found"] for each in logs if each["event"] == "counts_drifted"}
    assert set(told.values()) == {2}
    assert "events shop" in told
    assert (await store.counts()).events == 3
    await store.close()


@on_virtual_time
async def test_of_many_workers_only_one_forgets_and_counts_after() -> None:
    store, clock, first = FaultyStore(MemoryStore()), VirtualClock(), False
    await store.open()
    tasks = [
        asyncio.create_task(Retention(store, AN_HOUR, clock, None, lambda: first).run()),  # type: ignore[arg-type]
        asyncio.create_task(Recounter(store, clock, lambda: first).run()),  # type: ignore[arg-type]
    ]
    await asyncio.sleep(200)
    assert not {"forgettable", "recount"} & set(store.calls)
    first = True
    await asyncio.sleep(200)
    assert set(store.calls) >= {"forgettable", "recount"}
    await end_tasks(tasks)
