"""Large and intricate requests: elsewhere than on the event loop, one at a time, sources by turns, so many at once."""

import asyncio
import json
import random
import threading
from typing import Any

import pytest
from services import on_virtual_time, settle_down

from longstop.accepting.backpressure import Backpressure
from longstop.accepting.ingest import Ingest
from longstop.accepting.large_requests import (
    BODY_BYTES,
    COMMITTED_TOGETHER_BYTES,
    HELD_BYTES_MAX,
    HELD_BYTES_OF_ONE_MAX,
    Held,
    OneAtATime,
)
from longstop.group_commit import GroupCommit
from longstop.model.backpressure import Watermarks
from longstop.model.errors import MalformedError, QuarantinedError, UnavailableError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Answer, Reading, Request
from longstop.model.ids import IdFactory
from longstop.model.routing import Route, Router, Target
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.ports import Read
from longstop.sources import build, unknown_sources
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import VirtualClock

SHOP = SourceSettings(
    "shop",
    "generic",
    ("right",),
    VerifySettings("hmac-sha256", "X-Sig"),
    dedup="id",
)
SMALL = b'{"id": 1}'
INTRICATE = b'{"id": 2, "items": [' + b"1," * 3_000 + b"1]}"
LARGE = b'{"id": 3, "text": "' + b"x" * BODY_BYTES + b'"}'


class NotedReader:
    """Reads nothing, and notes what it was asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[bytes] = []
        self.at_once = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._error = error

    async def read(self, source: str, request: Request, patience_s: float) -> Read:
        self.asked.append(request.body)
        self.at_once += 1
        assert (source, self.at_once) == ("shop", 1)
        assert patience_s > 0
        try:
            await self.go_on.wait()
        finally:
            self.at_once -= 1
        if self._error is not None:
            raise self._error
        return Reading(type="read", dedup=b"read %d" % len(self.asked)), {"crm": Target()}

    async def close(self) -> None:
        raise AssertionError("nobody closes it here")


class Gate:
    """The accepting side with a reader."""

    def __init__(self, reader: NotedReader | None) -> None:
        self.store: Any = MemoryStore()
        self.source = build(SHOP)
        clock = VirtualClock()
        self.ingest = Ingest(
            {"shop": self.source},
            unknown_sources([build(SHOP)], b"random"),
            Router([Route("shop", ("bi",))]),
            GroupCommit(self.store.append),
            clock,
            IdFactory(random.Random(1)),
            Backpressure(clock, random.Random(1), self.store, Watermarks(max_backlog=100)),
            reader=reader,
        )
        self.ingest.accepting = True

    async def post(self, body: bytes, name: str = "shop", secret: str = "right") -> Answer:
        settings = SourceSettings("shop", "generic", (secret,), SHOP.verify)
        return await self.ingest.receive(self.ingest.source(name), Request(Headers(sign(settings, body)), body))

    async def kept(self, answer: Answer) -> Any:
        return await self.store.event(json.loads(answer.body)["id"])


@on_virtual_time
async def test_what_is_light_is_read_here_and_all_else_by_the_reader() -> None:
    reader = NotedReader()
    gate = Gate(reader)
    small, *others = [await gate.kept(await gate.post(body)) for body in (SMALL, INTRICATE, LARGE)]
    assert reader.asked == [INTRICATE, LARGE]
    assert [each.destination for each in small.deliveries] == ["bi"]
    for kept, body in zip(others, (INTRICATE, LARGE), strict=True):
        assert (kept.event.body, kept.event.type) == (body, "read")
        assert [each.destination for each in kept.deliveries] == ["crm"]


@on_virtual_time
async def test_without_a_reader_everything_is_read_here() -> None:
    gate = Gate(None)
    for body in (SMALL, INTRICATE, LARGE):
        kept = await gate.kept(await gate.post(body))
        assert [each.destination for each in kept.deliveries] == ["bi"]


@on_virtual_time
async def test_a_large_body_is_hashed_in_a_thread_and_a_small_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(NotedReader())
    threads: list[threading.Thread] = []
    verify = gate.source.verify
    monkeypatch.setattr(
        gate.source,
        "verify",
        lambda request, now_ms: threads.append(threading.current_thread()) or verify(request, now_ms),
    )
    await gate.post(SMALL)
    await gate.post(LARGE)
    assert threads[0] is threading.main_thread()
    assert threads[1] is not threading.main_thread()
    assert len(threads) == 2


@on_virtual_time
async def test_nothing_is_read_that_is_not_proven() -> None:
    reader = NotedReader()
    gate = Gate(reader)
    for body in (INTRICATE, LARGE):
        for name, secret in (("shop", "wrong"), ("nobody", "right")):
            with pytest.raises(VerificationError):
                await gate.post(body, name, secret)
    assert reader.asked == []


@on_virtual_time
async def test_what_cannot_be_read_is_kept_in_quarantine() -> None:
    gate = Gate(NotedReader(MalformedError("too much")))
    for body in (INTRICATE, LARGE):
        with pytest.raises(QuarantinedError, match="too much") as caught:
            await gate.post(body)
        assert (await gate.store.event(caught.value.event_id)).event.body == body


@on_virtual_time
async def test_published_events_are_read_by_the_reader_too() -> None:
    reader = NotedReader()
    await Gate(reader).ingest.publish("shop", Request(Headers(), INTRICATE))
    assert reader.asked == [INTRICATE]


@on_virtual_time
async def test_they_are_read_one_at_a_time_and_who_waits_too_long_is_told() -> None:
    reader = NotedReader()
    gate = Gate(reader)
    reader.go_on.clear()
    posts = [asyncio.create_task(gate.post(INTRICATE)) for _ in range(3)]
    await settle_down()
    assert len(reader.asked) == 1
    with pytest.raises(UnavailableError, match="too many requests"):
        await posts[1]
    reader.go_on.set()
    assert (await posts[0]).status == 200


@on_virtual_time
async def test_more_than_so_many_bytes_at_once_are_told_to_come_back() -> None:
    gate = Gate(NotedReader())
    name = gate.source.name
    others = HELD_BYTES_OF_ONE_MAX - len(LARGE) + 1
    assert gate.ingest._held.acquire_nowait(name, others)
    with pytest.raises(UnavailableError, match="too many requests") as caught:
        await gate.post(LARGE)
    assert caught.value.retry_after_s > 0
    # What is small is not refused for what is large.
    assert (await gate.post(SMALL)).status == 200
    gate.ingest._held.release(name, others)
    assert (await gate.post(LARGE)).status == 200
    assert gate.ingest._held._all == 0


@on_virtual_time
async def test_of_very_large_bodies_one_is_committed_at_a_time() -> None:
    gate = Gate(NotedReader())
    batches: list[list[int]] = []
    append = gate.store.append

    async def noted(items: Any) -> Any:
        batches.append([len(item.event.body) for item in items])
        await asyncio.sleep(0.1)
        return await append(items)

    gate.ingest._appends = GroupCommit(noted)
    huge = [b'{"id": "%d%s"}' % (number, b"x" * COMMITTED_TOGETHER_BYTES) for number in range(4)]
    small = [b'{"id": "s%d"}' % number for number in range(9)]
    await asyncio.gather(*(gate.post(body) for body in (*huge, *small)))
    over = [sum(size > COMMITTED_TOGETHER_BYTES for size in batch) for batch in batches]
    assert (max(over), sum(over)) == (1, 4)
    assert max(map(len, batches)) > 1


# -- the parts ----------------------------------------------------------------------------------


def test_one_source_cannot_hold_all_there_is() -> None:
    held = Held()
    assert held.acquire_nowait("a", HELD_BYTES_OF_ONE_MAX)
    assert not held.acquire_nowait("a", 1)
    assert held.acquire_nowait("b", HELD_BYTES_MAX - HELD_BYTES_OF_ONE_MAX)
    assert not held.acquire_nowait("b", 1)
    # The only one of its source always fits.
    assert held.acquire_nowait("c", 1)
    for name, size in (("a", HELD_BYTES_OF_ONE_MAX), ("b", HELD_BYTES_MAX - HELD_BYTES_OF_ONE_MAX), ("c", 1)):
        held.release(name, size)
    assert held.acquire_nowait("b", 2)
    held.release("b", 2)
    assert (held._all, held._by_source) == (0, {})


async def _turn(turns: OneAtATime, name: str, order: list[str], go_on: asyncio.Event) -> None:
    async with turns.turn(name, 60):
        order.append(name)
        await go_on.wait()


@on_virtual_time
async def test_sources_take_turns_however_many_requests_one_has() -> None:
    turns, go_on = OneAtATime(), asyncio.Event()
    order: list[str] = []
    names = ["a", "a", "a", "a", "b", "c", "b"]
    tasks = [asyncio.create_task(_turn(turns, name, order, go_on)) for name in names]
    await settle_down()
    assert order == ["a"]
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "a", "b", "c", "a", "b", "a"]


@on_virtual_time
async def test_a_turn_that_does_not_come_leaves_the_queue_as_it_was() -> None:
    turns = OneAtATime()
    async with turns.turn("a", 1):
        with pytest.raises(TimeoutError):
            async with turns.turn("b", 1):
                raise AssertionError("it is not its turn")
    async with turns.turn("c", 1):
        pass


@on_virtual_time
async def test_a_turn_that_is_given_up_in_the_moment_in_which_it_comes_is_the_next_ones() -> None:
    turns, go_on = OneAtATime(), asyncio.Event()
    order: list[str] = []
    go_on.set()
    async with turns.turn("a", 60):
        given_up = asyncio.create_task(_turn(turns, "b", order, go_on))
        waiting = asyncio.create_task(_turn(turns, "c", order, go_on))
        await settle_down()
    given_up.cancel()
    await asyncio.wait([given_up, waiting])
    assert (given_up.cancelled(), order) == (True, ["c"])
