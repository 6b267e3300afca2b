"""The stream: what happens reaches everybody who listens, from one look at the store; what was missed comes after."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_store import TEXT
from cli_program import NOW_MS, StandingClock
from operators_api import asking, make_services

from longstop.edges.operators.api import live as live_module
from longstop.edges.operators.api.live import COUNTS_EVERY, LINGER, LISTENERS_MAX, PING_EVERY, Live
from longstop.model.action import Action
from longstop.model.delivery import Transition, Trigger
from longstop.model.errors import StoreUnavailableError
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, event_id, make_append

BEHIND_MAX = 1_000


class Steps(StandingClock):
    """Sleeps until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if not seconds:
            # A turn for others, as often as the machine is slow.
            await asyncio.sleep(0)
            return
        self.asleep.set()
        await self.wake.wait()
        self.wake.clear()

    async def step(self, times: int = 1) -> None:
        """Let the looking go on to its next sleep."""
        for _ in range(times):
            await self.asleep.wait()
            self.asleep.clear()
            self.wake.set()
        await self.asleep.wait()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Steps:
    return Steps()


@pytest.fixture
async def live(store: MemoryStore, clock: Steps) -> AsyncIterator[Live]:
    made = Live(make_services(store, TEXT, clock=clock), {})
    yield made
    await made.stop()


async def begun(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    assert await anext(stream) == b": listening\n\n"
    return one_by_one(stream)


async def one_by_one(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Messages that may come several in a piece."""
    async with contextlib.aclosing(stream):  # type: ignore[type-var]
        async for piece in stream:
            assert piece.endswith(b"\n\n")
            for each in piece[:-2].split(b"\n\n"):
                yield each


async def heard(stream: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next message; its fields, with its data read."""
    lines = (await anext(stream)).decode().split("\n")
    fields: dict[str, Any] = dict(line.split(": ", 1) for line in lines)
    return {**fields, "data": json.loads(fields["data"])}


async def test_the_numbers_come_first_and_then_what_happens(live: Live, store: MemoryStore, clock: Steps) -> None:
    stream = await begun(live.listen())
    first = await heard(stream)
    assert (first["event"], first["data"]["backlog"]) == ("counts", 0)
    assert "id" not in first
    await store.append([make_append(1, received_at_ms=NOW_MS)])
    await clock.step()
    told = await heard(stream)
    assert (told["event"], told["data"]["what"], told["data"]["event_id"]) == ("activity", "accepted", event_id(1))
    await clock.step(COUNTS_EVERY)
    assert (await heard(stream))["data"]["backlog"] == 1


async def test_numbers_that_stay_the_same_are_told_once(live: Live, clock: Steps) -> None:
    stream = await begun(live.listen())
    await heard(stream)
    await clock.step(PING_EVERY)
    assert (await heard(stream))["event"] == "ping"


async def test_one_look_is_for_all(
    live: Live, store: MemoryStore, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    recent = store.recent

    async def counted(since_ms: int, limit: int) -> Any:
        looks.append(since_ms)
        return await recent(since_ms, limit)

    monkeypatch.setattr(store, "recent", counted)
    streams = [await begun(live.listen()) for _ in range(20)]
    for stream in streams:
        await heard(stream)
    await store.append([make_append(1, received_at_ms=NOW_MS)])
    await clock.step()
    assert [(await heard(stream))["event"] for stream in streams] == ["activity"] * 20
    assert len(looks) == 2


async def test_a_listener_hears_what_he_asked_for(live: Live, store: MemoryStore, clock: Steps) -> None:
    crm = await begun(live.listen(destination="crm"))
    shop = await begun(live.listen(source="shop"))
    other = await begun(live.listen(source="other"))
    for stream in (crm, shop, other):
        await heard(stream)
    await store.append([make_append(1, received_at_ms=NOW_MS)])
    (delivery,) = (await store.event(event_id(1))).deliveries  # type: ignore[union-attr]
    await store.act([Action(delivery.id, Transition(Trigger.DISCARD, NOW_MS), "ann", "old")])
    await clock.step()
    assert [(await heard(shop))["data"]["what"] for _ in range(2)] == ["accepted", "discarded"]
    assert (await heard(crm))["data"]["what"] == "discarded"
    await clock.step(PING_EVERY)
    kinds = []
    while (told := await heard(other))["event"] != "ping":
        kinds.append(told["event"])
    assert set(kinds) <= {"counts"}


async def test_who_comes_back_hears_what_he_missed(live: Live, store: MemoryStore, clock: Steps) -> None:
    stream = await begun(live.listen())
    await heard(stream)
    await store.append([make_append(1, received_at_ms=NOW_MS)])
    await clock.step()
    last = (await heard(stream))["id"]
    await stream.aclose()  # type: ignore[attr-defined]
    await store.append([make_append(number, received_at_ms=NOW_MS) for number in (2, 3)])
    await clock.step()
    again = await begun(live.listen(heard=last))
    assert [(await heard(again))["data"]["event_id"] for _ in range(2)] == [event_id(2), event_id(3)]


@pytest.mark.parametrize("last", ["nonsense", "19b7-1", f"{NOW_MS:x}-99", f"{NOW_MS:x}-x", "-1", ""])
async def test_who_missed_more_than_is_kept_is_told_so(live: Live, last: str) -> None:
    stream = await begun(live.listen(heard=last))
    assert (await heard(stream))["event"] == "missed"


async def test_what_is_no_longer_kept_is_missed(
    store: MemoryStore, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "KEPT", 2)
    live = Live(make_services(store, TEXT, clock=clock), {})
    stream = await begun(live.listen())
    await store.append([make_append(number, received_at_ms=NOW_MS) for number in range(1, 5)])
    await clock.step()
    kinds = [(await heard(await begun(live.listen(heard=f"{NOW_MS:x}-{number}"))))["event"] for number in range(1, 5)]
    assert kinds == ["missed", "activity", "activity", "counts"]
    await stream.aclose()  # type: ignore[attr-defined]
    await live.stop()


async def test_rows_that_changed_are_told_to_all(store: MemoryStore, clock: Steps) -> None:
    jobs = [{"id": "1", "done": 0}]

    async def rows() -> list[dict[str, Any]]:
        return [dict(each) for each in jobs]

    live = Live(make_services(store, TEXT, clock=clock), {"job": rows})
    stream = await begun(live.listen())
    assert [(await heard(stream))["event"] for _ in range(2)] == ["job", "counts"]
    await clock.step()
    jobs[0]["done"] = 7
    await clock.step()
    told = await heard(stream)
    assert (told["event"], told["data"]) == ("job", {"id": "1", "done": 7})
    later = await begun(live.listen())
    assert {(await heard(later))["event"] for _ in range(2)} == {"job", "counts"}
    await live.stop()


async def test_a_store_that_cannot_be_looked_at_ends_nothing(
    live: Live, store: MemoryStore, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_asked: int) -> None:
        raise StoreUnavailableError("the disk is gone")

    stream = await begun(live.listen())
    await heard(stream)
    with monkeypatch.context() as broken:
        broken.setattr(store, "recent", unavailable)
        await clock.step(PING_EVERY)
        assert (await heard(stream))["event"] == "ping"
    await store.append([make_append(1, received_at_ms=NOW_MS)])
    await clock.step()
    assert (await heard(stream))["event"] == "activity"


async def test_who_is_too_slow_is_let_go(
    live: Live, store: MemoryStore, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "BEHIND_MAX", BEHIND_MAX)
    slow, quick = await begun(live.listen()), await begun(live.listen())
    for start in range(0, BEHIND_MAX + 200, 600):
        await store.append([make_append(start + number, received_at_ms=NOW_MS) for number in range(1, 601)])
        await clock.step()
        for _ in range(600):
            while (await heard(quick))["event"] != "activity":
                pass
    told = [message async for message in slow]
    assert len(told) == BEHIND_MAX
    await store.append([make_append(5_000, received_at_ms=NOW_MS)])
    await clock.step()
    while (line := await heard(quick))["event"] != "activity":
        pass
    assert line["data"]["event_id"] == event_id(5_000)


async def test_nobody_listens_and_nothing_is_looked_at(live: Live, clock: Steps) -> None:
    stream = await begun(live.listen())
    await heard(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    for _ in range(LINGER + 1):
        await clock.asleep.wait()
        clock.asleep.clear()
        clock.wake.set()
        await asyncio.sleep(0)
    (looking,) = [task for task in asyncio.all_tasks() if task.get_name() == "live"] or [None]
    if looking is not None:
        await looking
    again = await begun(live.listen())
    assert (await heard(again))["event"] == "counts"


async def test_what_one_look_finds_is_sent_in_one_piece_and_made_once(
    live: Live, store: MemoryStore, clock: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    dumps = json.dumps

    def counted(row: Any) -> str:
        made.append(row)
        return dumps(row)

    monkeypatch.setattr(json, "dumps", counted)
    streams = [live.listen() for _ in range(10)]
    for stream in streams:
        assert await anext(stream) == b": listening\n\n"
        assert b"event: counts" in await anext(stream)
    made.clear()
    await store.append([make_append(number, received_at_ms=NOW_MS) for number in range(1, 41)])
    await clock.step()
    pieces = [await anext(stream) for stream in streams]
    assert len(set(pieces)) == 1
    assert pieces[0].count(b"event: activity") == 40
    assert len(made) == 40


async def test_a_stop_ends_every_stream(live: Live) -> None:
    streams = [await begun(live.listen()) for _ in range(3)]
    await live.stop()
    assert [[message async for message in stream] for stream in streams] == [[], [], []]
    assert live.is_full


async def test_only_so_many_are_listened_to(store: MemoryStore) -> None:
    services = make_services(store, TEXT, clock=Steps())
    async with asking(services) as api:
        live: Live = api._transport.app._app._app.state.live  # type: ignore[attr-defined]
        streams = [live.listen() for _ in range(LISTENERS_MAX)]
        for stream in streams:
            await anext(stream)
        response = await api.get("/api/v1/stream")
        assert (response.status_code, response.headers["retry-after"]) == (429, "10")
        await streams[0].aclose()  # type: ignore[attr-defined]
        assert not live.is_full
        assert (await api.get("/api/v1/stream", params={"source": "nobody"})).status_code == 422
        await live.stop()


async def test_a_line_of_the_past_is_no_news(live: Live, store: MemoryStore, clock: Steps) -> None:
    await store.append([make_append(1, received_at_ms=AT_MS)])
    stream = await begun(live.listen())
    assert (await heard(stream))["event"] == "counts"
    await clock.step(PING_EVERY)
    assert (await heard(stream))["event"] == "ping"
