"""Every store that persists answers as the memory store does, whose answers walk all there is: the same life, made up
by a seed, is led on both, and then both are asked the same."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Outcome, OutcomeKind, State
from longstop.model.ids import format_uuid7
from longstop.model.listing import Counts, DeliveryFilter, EventFilter, Listing, Page
from longstop.model.retention import Cutoffs, Forgettable, Kind
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.postgres import find_deliveries as postgres_find
from longstop.stores.postgres import walk as postgres_walk
from longstop.stores.redis import find_deliveries as redis_find
from longstop.stores.redis import walk as redis_walk
from longstop.stores.sqlite import find_deliveries as sqlite_find
from longstop.stores.sqlite import walk as sqlite_walk
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.steps import (
    dead_of,
    delivered,
    discard,
    in_lane,
    lease,
    replay,
    to_retry,
)
from stores_at_hand import PERSISTING, chosen

T = TypeVar("T")
Maybe = Callable[..., Any]

STEPS = 60
QUESTIONS = 60
PAGES_MAX = 2_000
ERRORS = ("order 4711 is unknown", "order 7 is unknown", "refused", "timed out after 0.5 s", "a\x00b")
TIMES = tuple(AT_MS + at for at in (0, 50, 100, 200, 300, 10_000, 10_100, 10_300, 20_000, 20_001))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows count as many, so that every way of finding something is gone."""
    for walk in (sqlite_walk, postgres_walk, redis_walk):
        monkeypatch.setattr(walk, "FIRST_CHUNK", 3)
    for find in (sqlite_find, postgres_find, redis_find):
        for name, count in (("EVENTS_FIRST", 2), ("FEW", 9)):
            monkeypatch.setattr(find, name, count)


@pytest.fixture
def store(opened: Store) -> Store:
    return opened


def _id(number: int) -> str:
    """Of an event that arrives when it should: as far from the next as their arrivals are."""
    return event_id(10 * number)


class Life:
    """What happens to both stores."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.memory, self.store = MemoryStore(), store
        self.rng = rng
        self.events = 0

    async def both(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        """The same on both, which is to come to the same."""
        expected, found = await ask(self.memory), await ask(self.store)
        # That an index which follows answered is said by who has such.
        assert (replace(found, may_lag=False) if isinstance(found, Listing) else found) == expected
        return found

    async def step(self, number: int) -> None:
        """Something arrives, is tried, or is decided."""
        kind = self.rng.random()
        if kind < 0.5:
            self.events += 1
            new = self._new()
            await self.both(lambda store: store.append([new]))  # type: ignore[misc]
        elif kind < 0.8:
            await self._try_some(AT_MS + 10_000 + number * 10)
        else:
            rows = (await self.both(lambda store: store.find_deliveries(DeliveryFilter(), Page(500)))).rows
            ended = [each.id for each in rows if each.state in (State.DEAD, State.DELIVERED)]
            if ended:
                decide = self.rng.choice((discard, replay))
                action = decide(self.rng.choice(ended), AT_MS + 20_000)
                await self.both(lambda store: store.act([action]))

    def _new(self) -> Append:
        number, choice = self.events, self.rng.choice
        if self.rng.random() < 0.1:
            return make_quarantined(number, id=_id(number), received_at_ms=AT_MS + number * 10)
        made = make_append(
            number,
            id=_id(number),
            source=choice(("shop", "till")),
            type=choice(("paid", "sent", None, "a\x00b")),
            key=choice(("a", "b", "ж", None)),
            to=choice((("crm",), ("crm", "lake"), ("lake",), ())),
            received_at_ms=AT_MS + number * 10 + choice((0, 0, 0, -50, 30)),
        )
        return in_lane(made) if self.rng.random() < 0.3 else self._skewed(made)

    def _skewed(self, made: Append) -> Append:
        """With deliveries whose ids others made, in another order than those of their events."""
        number = 4 * self.events
        ids = [format_uuid7(made.event.received_at_ms + self.rng.choice((-40, 0, 0, 60)), number + n) for n in (1, 2)]
        return replace(
            made, deliveries=tuple(replace(each, id=id_) for each, id_ in zip(made.deliveries, ids, strict=False))
        )

    async def _try_some(self, at_ms: int) -> None:
        room = {"crm": self.rng.randint(0, 2), "lake": 1}
        ours, theirs = [await lease(store, AT_MS + 100_000, **room) for store in (self.memory, self.store)]
        claims = {claim.delivery.id: claim for claim in ours.claims}
        assert {claim.delivery.id: claim for claim in theirs.claims} == claims
        ends = []
        for id_ in sorted(claims):
            claim, kind = claims[id_], self.rng.random()
            if kind < 0.3:
                ends.append(delivered(claim, at_ms))
            elif kind < 0.7:
                ends.append(dead_of(claim, self.rng.choice(ERRORS), self.rng.choice((404, None, 500)), at_ms))
            elif kind < 0.9:
                busy = Outcome(OutcomeKind.RETRY, status=503, error=self.rng.choice(ERRORS))
                ends.append(to_retry(claim, at_ms + 5, busy))
        await self.both(lambda store: store.settle(ends))

    # -- questions ----------------------------------------------------------------------------

    async def ask(self) -> None:
        """A question of each kind that there is."""
        maybe: Maybe = lambda *some: self.rng.choice((*[None] * 3 * len(some), *some))  # noqa: E731
        page = Page(self.rng.choice((1, 3, 50)), None, self.rng.random() < 0.5, self.rng.choice((0, 1_000)))
        deliveries, events = _delivery_filter(maybe), _event_filter(maybe)
        await self._same_rows(lambda store, page: store.find_deliveries(deliveries, page), page)
        await self._same_rows(lambda store, page: store.find_events(events, page), page)
        before = Cutoffs(*(self.rng.choice((*TIMES, AT_MS + 10**9)) for _ in range(4)))
        for kind in (Kind.DELIVERED, Kind.DEAD, Kind.DISCARDED):
            steps = self.rng.choice((1, 7, 100))
            await self.both(lambda store, kind=kind, steps=steps: _forgettable(store, kind, before, steps))  # type: ignore[misc]
        await self.both(lambda store: _old_attempts(store, before.dead_ms))

    async def _same_rows(self, find: Callable[[Store, Page], Awaitable[Listing[Any]]], page: Page) -> None:
        found = await _rows(lambda page: find(self.store, page), page)
        assert found == await _rows(lambda page: find(self.memory, page), replace(page, patience_ms=10_000))

    async def look_at_all(self) -> None:
        """Each delivery and event by itself, and what is said of all of them."""
        rows = await _rows(lambda page: self.memory.find_deliveries(DeliveryFilter(), page), Page(500))
        for id_ in (each.id for each in rows):
            await self.both(lambda store, id_=id_: store.delivery(id_))  # type: ignore[misc]
            await self.both(lambda store, id_=id_: store.history(id_))  # type: ignore[misc]
            await self.both(lambda store, id_=id_: store.ahead(id_))  # type: ignore[misc]
            await self.both(lambda store, id_=id_: store.find_ids(id_[-8:], 500))  # type: ignore[misc]
        for id_ in map(_id, range(self.events + 1)):
            await self.both(lambda store, id_=id_: store.event(id_))  # type: ignore[misc]
        await self.both(_counts)
        await self.both(_groups)
        after: str | None = None
        for _ in range(PAGES_MAX):
            step = await self.store.recount(after)
            assert step.drifts == ()
            after = step.next_after
            if after is None:
                return
        raise AssertionError("a recount of a few names does not end")


def _delivery_filter(maybe: Maybe) -> DeliveryFilter:
    return DeliveryFilter(
        state=maybe(*State),
        source=maybe("shop", "till"),
        destination=maybe("crm", "lake", ""),
        type=maybe("paid", "a\x00b"),
        key=maybe("a", "ж"),
        reason=maybe(DeadReason.REJECTED, DeadReason.MALFORMED),
        since_ms=maybe(*TIMES),
        until_ms=maybe(*TIMES),
        contains=maybe(b'"number":1', b"5"),
        held=maybe(True, False),
        status=maybe(404, 503, 10**12),
        error=maybe("order #", "order", "0.5", "order 7 is unknown", "\x00"),
        received_since_ms=maybe(*TIMES),
        received_until_ms=maybe(*TIMES),
    )


def _event_filter(maybe: Maybe) -> EventFilter:
    return EventFilter(
        source=maybe("shop", "till"),
        type=maybe("paid", "a\x00b"),
        key=maybe("a", "ж"),
        since_ms=maybe(*TIMES),
        until_ms=maybe(*TIMES),
        contains=maybe(b'"number":1', b"5"),
        unrouted=bool(maybe(True)),
    )


async def _rows(find: Callable[[Page], Awaitable[Listing[T]]], page: Page) -> list[T]:
    """The rows of all pages."""
    rows: list[T] = []
    for _ in range(PAGES_MAX):
        listing = await find(page)
        rows += listing.rows
        if listing.next_after is None:
            return rows
        page = replace(page, after=listing.next_after)
    raise AssertionError("a listing of a few rows does not end")


async def _steps(step: Callable[[str | None], Awaitable[Forgettable]]) -> set[str]:
    found: set[str] = set()
    after: str | None = None
    for _ in range(PAGES_MAX):
        one = await step(after)
        found.update(one.event_ids)
        after = one.after
        if not one.more:
            return found
    raise AssertionError("a search for what may be forgotten does not end")


async def _forgettable(store: Store, kind: Kind, before: Cutoffs, limit: int) -> set[str]:
    return await _steps(lambda after: store.forgettable(kind, before, after, limit))


async def _old_attempts(store: Store, before_ms: int) -> set[str]:
    return await _steps(lambda after: store.old_attempts(before_ms, after, 7))


async def _counts(store: Store) -> Counts:
    """Without zeros, which may be said or left out."""
    found = await store.counts()
    said = {name: {state: n for state, n in states.items() if n} for name, states in found.deliveries.items()}
    sources = {name: n for name, n in found.sources.items() if n}
    return replace(found, deliveries={name: states for name, states in said.items() if states}, sources=sources)


async def _groups(store: Store) -> list[str]:
    """In one order: those of one size may come in any."""
    return sorted(map(str, await store.dead_groups()))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("place", chosen(PERSISTING), indirect=True)
async def test_a_store_answers_as_memory_does(seed: int, store: Store) -> None:
    life = Life(store, random.Random(seed))
    for number in range(STEPS):
        await life.step(number)
    for _ in range(QUESTIONS):
        await life.ask()
    await life.look_at_all()
    everything = [_id(number) for number in range(life.events + 1)]
    before = Cutoffs(*(life.rng.choice(TIMES) for _ in range(4)))
    assert len(await life.both(lambda store: store.whole(everything))) == life.events
    await life.both(lambda store: store.forget_attempts(everything[::2], AT_MS + 10_300))
    await life.both(lambda store: store.forget(everything, before))
    await life.look_at_all()
