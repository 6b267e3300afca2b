"""A store is moved into another whole: every kind of row, nothing twice, from wherever it was broken off."""

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from full_store import NUMBER, fill, fill_numbers
from longstop.archives.lines import to_line
from longstop.model.action import Pause
from longstop.model.errors import StoreUnavailableError
from longstop.model.node import Node
from longstop.model.rejection import HeldRequest, HoldSettings, RejectionCount, RejectionReason
from longstop.model.retention import WholeEvent
from longstop.model.statistics import BINS, Bucket, Series
from longstop.operating import event_streams
from longstop.operating.move import Compared, InUseError, Move
from longstop.operating.move_kinds import KINDS
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.steps import (
    delivered,
    lease,
    lease_one,
    ordered_append,
    settled,
)
from stores_at_hand import Place

STEPS_UP = (("sqlite", "postgresql"), ("sqlite", "redis"), ("redis", "postgresql"), ("postgresql", "sqlite"))


def quiet(_done: int, _total: int, _what: str) -> None:
    """Nobody looks on."""


class Stopped:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return AT_MS

    def monotonic_ms(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def a_move(source: Store, target: Store) -> Move:
    return Move(source, target, Stopped(), to_line)


@pytest.fixture(params=[*itertools.permutations(("memory", "sqlite"), 2), *STEPS_UP], ids=" to ".join)
def places(request: pytest.FixtureRequest) -> list[Place]:
    return [request.getfixturevalue(f"{name}_place") for name in request.param]


@pytest.fixture
async def pair(places: list[Place]) -> AsyncIterator[list[Store]]:
    made = [place() for place in places]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


def all_agree(compared: Sequence[Compared]) -> bool:
    return all(each.agrees and not each.besides for each in compared)


async def test_everything_is_moved_and_a_second_time_nothing(pair: list[Store]) -> None:
    source, target = pair
    await fill(source)
    moved = await a_move(source, target).copy(quiet)
    compared = await a_move(source, target).verify(quiet)
    assert all_agree(compared), [each for each in compared if not each.agrees]
    # A kind of which there is none here would be proven by nothing.
    assert {each.name: each.rows for each in compared if not each.rows} == {}
    assert moved["events"] == NUMBER + 4
    assert not any((await a_move(source, target).copy(quiet)).values())
    # Of forgotten events, too.
    assert await target.dedup_keys(None, 99) == await source.dedup_keys(None, 99)
    counts = await source.counts()
    assert (await target.counts()).deliveries == counts.deliveries
    assert (await target.recount()).drifts == ()
    assert (await target.nodes()) == []


async def test_what_was_moved_goes_on_where_it_was(pair: list[Store]) -> None:
    source, target = pair
    await source.append([ordered_append(1, "a"), ordered_append(2, "a")])
    claim = await lease_one(source)
    await a_move(source, target).copy(quiet)
    assert not (await lease(target)).claims
    await settled(target, delivered(claim))
    assert (await lease_one(target)).event.id == event_id(2)


class Breaking:
    """A store that becomes unreachable at its so-and-so-many-th change."""

    def __init__(self, store: Store, after: int) -> None:
        self._store = store
        self.left = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not name.startswith(("add_", "keep_", "restore", "record_", "note", "hold", "pause", "change_", "live_u")):
            return found

        async def changed(*values: Any) -> Any:
            if self.left == 0:
                raise StoreUnavailableError("the server is away")
            self.left -= 1
            return await found(*values)

        return changed


async def test_a_move_that_was_broken_off_anywhere_goes_on_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "AT_ONCE", 3)
    source, target = MemoryStore(), MemoryStore()
    await fill(source)
    breaks = 0
    while True:
        # Each time it comes a little further than before.
        breaking: Any = Breaking(target, 1 + breaks // 4)
        try:
            await a_move(source, breaking).copy(quiet)
        except StoreUnavailableError:
            breaks += 1
        else:
            break
        assert breaks < 100
    assert breaks > len(KINDS) / 2
    assert all_agree(await a_move(source, target).verify(quiet))


async def test_what_is_lost_or_different_is_named(pair: list[Store]) -> None:
    source, target = pair
    await fill(source)
    await a_move(source, target).copy(quiet)
    await target.pause(Pause("lake", AT_MS, "bo", "something else"))
    await target.append([make_append(90)])
    await source.append([make_append(91)])
    (events, pauses) = [each for each in await a_move(source, target).verify(quiet) if not each.agrees]
    assert (events.name, events.named, events.rows - events.found, events.besides) == ("events", (event_id(91),), 1, 1)
    assert (pauses.name, pauses.named) == ("pauses", ("lake",))
    assert events.checksum != events.found_checksum


async def test_of_numbers_only_what_is_missing_is_added(pair: list[Store]) -> None:
    source, target = pair
    await fill_numbers(source)
    await target.record_rejections([RejectionCount("shop", RejectionReason.NO_PROOF, 3, AT_MS, AT_MS + 1)], [])
    bins = (0,) * (BINS - 1) + (1,)
    await target.add_statistics([
        Bucket(60_000, AT_MS, Series.ACCEPTED.value, "shop", "", 2),
        Bucket(60_000, AT_MS + 60_000, Series.LATENCY.value, "shop", "crm", 1, bins),
    ])  # fmt: skip
    await a_move(source, target).copy(quiet)
    assert all_agree(await a_move(source, target).verify(quiet))


async def test_a_held_request_that_the_new_store_does_not_take_is_not_left_behind_unsaid() -> None:
    class NoRoom(MemoryStore):
        async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
            return [False] * len(requests)

    source = MemoryStore()
    await fill_numbers(source)
    with pytest.raises(StoreUnavailableError, match=rf"the held request {event_id(81)} of shop has \d+ bytes, which"):
        await a_move(source, NoRoom()).copy(quiet)


async def test_an_event_that_cannot_be_read_is_not_taken_for_moved() -> None:
    class OneUnreadable(MemoryStore):
        async def whole(self, event_ids: Sequence[str]) -> Sequence[WholeEvent]:
            return [each for each in await super().whole(event_ids) if each.kept.event.id != event_id(2)]

    source, target = OneUnreadable(), MemoryStore()
    await source.append([make_append(n) for n in (1, 2, 3)])
    await a_move(source, target).copy(quiet)
    (events, *_) = await a_move(source, target).verify(quiet)
    assert (events.agrees, events.rows, events.found) == (False, 3, 2)


@pytest.mark.parametrize("which", [0, 1])
async def test_a_store_where_a_gateway_is_at_work_is_not_moved(which: int) -> None:
    stores = [MemoryStore(), MemoryStore()]
    await stores[which].beat(Node("host:1", ("work",), "1.0", AT_MS, AT_MS - 1_000))
    with pytest.raises(InUseError, match=r"host:1; stop it and try again"):
        await a_move(*stores).refuse_in_use()
    await stores[which].beat(Node("host:1", ("work",), "1.0", AT_MS, AT_MS - 20_000))
    await a_move(*stores).refuse_in_use()


async def test_large_bodies_are_moved_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "AT_ONCE_BYTES", 1_000)
    sizes: list[int] = []

    class Watched(MemoryStore):
        async def restore(self, events: Sequence[WholeEvent]) -> Sequence[bool]:
            sizes.append(sum(len(each.kept.event.body) for each in events))
            return await super().restore(events)

    source, target = MemoryStore(), Watched()
    await source.append([make_append(n, body=b"x" * 400) for n in range(1, 6)])
    await source.append([make_append(9, body=b"x" * 5_000)])
    await a_move(source, target).copy(quiet)
    assert sizes == [800, 800, 400, 5_000]
