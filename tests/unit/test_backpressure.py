"""Backpressure towards senders: 429 over a source's rate, 503 at the watermarks, and when to come back."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from services import on_virtual_time, settle_down
from test_ingest import SHOP, Gate, read

from longstop.accepting.backpressure import HOLD_S, Backpressure
from longstop.accepting.ingest import Ingest
from longstop.group_commit import GroupCommit
from longstop.model.backpressure import Watermarks
from longstop.model.errors import RateError, StoreUnavailableError, UnavailableError, VerificationError
from longstop.model.ids import IdFactory
from longstop.model.routing import Route, Router
from longstop.model.settings import SourceSettings
from longstop.sources import build, unknown_sources
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock

LIMITED = replace(SHOP, rate_per_s=2.0, dedup=None)
OPEN = SourceSettings("open", "genesys-open-messaging", secrets=("right",))


class Limited(Gate):
    """A gate whose source may send two requests a second, over a disk whose room can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.free_bytes = 1_000
        marks = Watermarks(max_backlog=3, min_free_bytes=500)
        self.pressure = Backpressure(VirtualClock(), random.Random(1), self.store, marks, lambda: self.free_bytes)
        sources = {"shop": build(LIMITED), "open": build(OPEN)}
        self.ingest = Ingest(
            sources,
            unknown_sources(sources.values(), b"random"),
            Router([Route("shop", ("crm",))], ordered=[]),
            GroupCommit(self.store.append),
            VirtualClock(),
            IdFactory(random.Random(1)),
            self.pressure,
        )
        self.ingest.accepting = True

    def admitted(self, name: str = "shop") -> UnavailableError | None:
        try:
            self.ingest.admit(self.ingest.source(name))
        except UnavailableError as error:
            return error
        return None


@on_virtual_time
async def test_over_the_rate_is_429_held_back_a_moment_and_says_when() -> None:
    gate = Limited()
    for _ in range(2):
        assert read(await gate.post(b"{}"))[0] == "accepted"
    with pytest.raises(RateError) as caught:
        await gate.post(b"{}")
    assert (caught.value.status, caught.value.retry_after_s in (1, 2)) == (429, True)
    assert HOLD_S / 2 * 1000 <= VirtualClock().now_ms() - AT_MS <= HOLD_S * 1500
    await VirtualClock().sleep(caught.value.retry_after_s)
    assert read(await gate.post(b"{}"))[0] == "accepted"


@on_virtual_time
async def test_wrong_signatures_use_up_nothing_of_the_real_sender_s_rate_and_never_see_429() -> None:
    gate = Limited()
    for _ in range(50):
        with pytest.raises(VerificationError):
            await gate.post(b"{}", secret="wrong")
    for _ in range(2):
        assert read(await gate.post(b"{}"))[0] == "accepted"
    with pytest.raises(RateError):
        await gate.post(b"{}")
    with pytest.raises(VerificationError):
        await gate.post(b"{}", secret="wrong")


@on_virtual_time
async def test_the_backlog_s_mark_closes_the_door_and_opens_it_again() -> None:
    gate = Limited()
    for _ in range(4):
        await gate.post(b"{}")
        await VirtualClock().sleep(1)
    assert gate.admitted() is None
    await gate.pressure.look()
    refused = gate.admitted()
    assert refused is not None
    assert (refused.status, "too many deliveries are waiting" in str(refused)) == (503, True)
    assert 1 <= refused.retry_after_s <= 60
    gate.store._store._deliveries.clear()
    await gate.pressure.look()
    assert gate.admitted() is None


@on_virtual_time
async def test_a_disk_that_is_nearly_full_closes_the_door() -> None:
    gate = Limited()
    gate.free_bytes = 499
    await gate.pressure.look()
    refused = gate.admitted("open")
    assert refused is not None
    # Open Messaging tries again every 5 s and gives up after five tries.
    assert ("the disk is nearly full" in str(refused), refused.retry_after_s <= 5) == (True, True)
    unknown = gate.admitted("nobody")
    assert unknown is not None
    assert str(unknown) == str(refused)
    gate.free_bytes = 500
    await gate.pressure.look()
    assert gate.admitted() is None


@on_virtual_time
async def test_a_store_that_cannot_tell_leaves_the_last_answer_standing() -> None:
    gate = Limited()
    gate.free_bytes = 499
    await gate.pressure.look()
    gate.store.fail("counts")
    await gate.pressure.look()
    assert gate.admitted() is not None


@on_virtual_time
async def test_it_keeps_looking() -> None:
    gate = Limited()
    looking = asyncio.create_task(gate.pressure.run())
    await VirtualClock().sleep(5)
    assert gate.store.calls["counts"] >= 2
    looking.cancel()


@on_virtual_time
async def test_the_longer_the_store_is_down_the_later_a_sender_is_asked_back() -> None:
    gate = Limited()
    gate.store.fail("append", times=10**6)
    told = []
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            await gate.post(b"{}")
        told.append(caught.value.retry_after_s)
        await VirtualClock().sleep(20)
    assert told[0] == 1
    assert 20 <= told[1] <= 30
    gate.store.fail("append", times=0)
    assert read(await gate.post(b"{}"))[0] == "accepted"


@on_virtual_time
async def test_a_stop_is_told_before_a_body_is_read() -> None:
    gate = Limited()
    gate.ingest.accepting = False
    refused = [gate.admitted(name) for name in ("shop", "nobody")]
    assert [each is not None and "stopping" in str(each) for each in refused] == [True, True]


@on_virtual_time
async def test_of_several_sources_none_gets_more_than_its_part_of_a_batch() -> None:
    batches: list[list[Any]] = []

    async def commit(ops: Any) -> Any:
        batches.append(list(ops))
        return ops

    group: GroupCommit[Any, Any] = GroupCommit(commit, batch_max=16)
    flood = [asyncio.create_task(group.submit(("flood", number), "flood")) for number in range(100)]
    quiet = asyncio.create_task(group.submit("quiet", "quiet"))
    await asyncio.gather(*flood, quiet)
    assert "quiet" in batches[0]
    assert len(batches[0]) == 8 + 1, "each of two gets half of a batch, and no more"
    assert [op[1] for batch in batches for op in batch if op != "quiet"] == list(range(100))


@on_virtual_time
async def test_a_lone_source_is_held_to_no_part() -> None:
    batches: list[int] = []

    async def commit(ops: Any) -> Any:
        batches.append(len(ops))
        return ops

    group: GroupCommit[Any, Any] = GroupCommit(commit)
    await asyncio.gather(*(group.submit(number) for number in range(100)))
    assert max(batches) >= 99


@on_virtual_time
async def test_a_source_that_fills_its_queue_leaves_room_for_the_others() -> None:
    release = asyncio.Event()

    async def commit(ops: Any) -> Any:
        await release.wait()
        return ops

    group: GroupCommit[Any, Any] = GroupCommit(commit, waiting_max=3)
    flood = [asyncio.create_task(group.submit(number, "flood")) for number in range(20)]
    await settle_down()
    refused = [task for task in flood if task.done()]
    assert refused
    quiet = asyncio.create_task(group.submit("quiet", "quiet"))
    await settle_down()
    release.set()
    assert await quiet == "quiet"
    for task in refused:
        with pytest.raises(StoreUnavailableError):
            await task
    await asyncio.gather(*flood, return_exceptions=True)
