"""A store that cannot be had is told once, and once when it is back, however many ask it meanwhile."""

import asyncio
from typing import Any

import pytest
from services import on_virtual_time
from structlog.testing import capture_logs

from longstop.model.errors import StoreUnavailableError, UnreadableRowError
from longstop.model.lease import LeaseRequest
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.telemetry.store_outage import AGAIN_S, NEWS_S, QUIET_S, REASONS_MAX, SLOW_S, StoreOutage, watched
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock


class Faulty(MemoryStore):
    """Fails while there is a `trouble`; answers nothing to a lease until `answering` is set."""

    trouble: Exception | None = None
    answering: asyncio.Event | None = None

    async def append(self, appends: Any) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return await super().append(appends)

    async def lease(self, request: Any) -> Any:
        if self.answering is not None:
            await self.answering.wait()
        return await super().lease(request)


FULL = StoreUnavailableError("the disk is full")


async def _fails(store: Store) -> None:
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(1)])


def _made() -> tuple[Faulty, Store]:
    faulty = Faulty()
    return faulty, watched(faulty, StoreOutage(VirtualClock()))


@on_virtual_time
async def test_it_is_told_once_and_once_when_it_is_over() -> None:
    faulty, store = _made()
    faulty.trouble = FULL
    with capture_logs() as logged:
        for _ in range(50):
            await _fails(store)
            await asyncio.sleep(0.1)
        faulty.trouble = None
        await asyncio.sleep(QUIET_S)
        await store.append([make_append(1)])
        await store.append([make_append(2)])
    assert logged == [
        {"event": "store_away", "log_level": "error", "operation": "append", "error": "the disk is full"},
        {"event": "store_back", "log_level": "warning", "after_s": pytest.approx(4.9), "failures": 50},
    ]


@on_virtual_time
async def test_other_reasons_are_told_as_well_but_not_many() -> None:
    faulty, store = _made()
    with capture_logs() as logged:
        for number in range(20):
            faulty.trouble = StoreUnavailableError(f"reason {number // 2}")
            await _fails(store)
        await asyncio.sleep(NEWS_S)
        for _ in range(2):
            await _fails(store)
    assert [each["error"] for each in logged] == ["reason 0", "reason 1", "reason 2", "reason 9"]


@on_virtual_time
async def test_of_reasons_without_end_so_many_are_told() -> None:
    faulty, store = _made()
    with capture_logs() as logged:
        for number in range(REASONS_MAX + 5):
            faulty.trouble = StoreUnavailableError(f"reason {number}")
            await _fails(store)
            await asyncio.sleep(NEWS_S)
    # Besides, what there is once a minute.
    assert REASONS_MAX <= len(logged) <= REASONS_MAX + 1


@on_virtual_time
async def test_what_reads_still_does_not_say_that_it_is_back() -> None:
    faulty, store = _made()
    faulty.trouble = FULL
    with capture_logs() as logged:
        for _ in range(50):
            await _fails(store)
            await store.counts()
            await asyncio.sleep(QUIET_S / 2)
    assert {each["event"] for each in logged} == {"store_away"}


@on_virtual_time
async def test_one_that_stays_away_is_told_again_once_a_minute() -> None:
    faulty, store = _made()
    faulty.trouble = FULL
    with capture_logs() as logged:
        for _ in range(round(AGAIN_S * 2.5)):
            await _fails(store)
            await asyncio.sleep(1)
    assert [each.get("after_s") for each in logged] == [None, 60.0, 120.0]
    assert [each.get("failures") for each in logged] == [None, 61, 121]


@on_virtual_time
async def test_one_that_answers_nothing_is_told_while_it_does_not() -> None:
    faulty, store = _made()
    faulty.answering = asyncio.Event()
    asked = asyncio.create_task(store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 1)))
    with capture_logs() as logged:
        await asyncio.sleep(SLOW_S + 1)
        faulty.answering.set()
        await asked
        await asyncio.sleep(QUIET_S)
        await store.counts()
    assert [(each["event"], each.get("operation")) for each in logged] == [
        ("store_away", "lease"),
        ("store_back", None),
    ]


@on_virtual_time
async def test_a_row_that_cannot_be_read_says_nothing_of_the_store() -> None:
    faulty, store = _made()
    faulty.trouble = UnreadableRowError("events x", "torn")
    with capture_logs() as logged:
        await _fails(store)
    assert logged == []


@on_virtual_time
async def test_whoever_opens_it_tells_that_it_could_not_be_opened() -> None:
    class Closed(MemoryStore):
        async def open(self) -> None:
            raise FULL

    with capture_logs() as logged, pytest.raises(StoreUnavailableError):
        await watched(Closed(), StoreOutage(VirtualClock())).open()
    assert logged == []
