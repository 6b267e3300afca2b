"""Two workers on one store: stale leases change nothing, repeats have causes on record, rescue undoes no completion."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acceptance.destination import Arrival, Reply
from acceptance.harness import Site, wait_until
from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.dispatch import breaker_of
from longstop.delivering.rescue import Rescue
from longstop.group_commit import GroupCommit
from longstop.model.delivery import State
from longstop.model.errors import LeaseLostError
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.retry import RetryPolicy
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.redis import database
from longstop.stores.sqlite import SqliteStore, inbox
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.clock import VirtualClock, run
from longstop.testing.fakes import ScriptedSender
from longstop.testing.store_contract.steps import delivered
from redis_server import changed_library
from stores_at_hand import PERSISTING, Place, chosen

SEEDS = 200


# -- 11: two workers, one delivery ---------------------------------------------------------------------


async def two_on_one(place: Place) -> LeaseLostError | None:
    """What a worker is told that settles under a lease which another has had since."""
    one, two = place(), place()
    await one.open()
    await two.open()
    try:
        await one.append([make_append(1)])
        (first,) = (await one.lease(LeaseRequest("one", {"crm": 1}, AT_MS, AT_MS + 1_000))).claims
        assert not (await two.lease(LeaseRequest("two", {"crm": 1}, AT_MS, AT_MS + 1_000))).claims
        rescue = Rescue(two, {}, _At(AT_MS + 1_000), random.Random(1))
        assert await rescue.rescue() == 1
        (second,) = (await two.lease(LeaseRequest("two", {"crm": 1}, AT_MS + 1_000, AT_MS + 2_000))).claims
        assert second.delivery.token == first.delivery.token + 1
        (stale,) = await one.settle([replace(delivered(first), attempt=None)])
        if stale is not None:
            assert await two.settle([delivered(second)]) == [None]
            history = await one.history(first.delivery.id)
            assert [attempt.outcome.value for attempt in history.attempts] == ["lost", "success"]
        return stale
    finally:
        await one.close()
        await two.close()


def without_fencing(patch: pytest.MonkeyPatch) -> None:
    """The planted bug: a settlement need not show the latest token, nor a lease at all."""
    patch.setattr(inbox, "_HELD", "SELECT lane FROM deliveries WHERE id = ? AND ? IS NOT NULL")
    held = "row[D.state] == 'leased' and row[D.token] == token and row"
    patch.setattr(database, "library", lambda: changed_library(held, "row"))


@pytest.mark.parametrize("place", chosen(PERSISTING), indirect=True)
async def test_the_stale_token_is_refused_between_two_stores_on_one_place(place: Place) -> None:
    assert isinstance(await two_on_one(place), LeaseLostError)


async def test_that_a_stale_token_is_taken_would_be_seen(
    sqlite_place: Place, redis_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fencing(monkeypatch)
    assert await two_on_one(sqlite_place) is None
    assert await two_on_one(redis_place) is None


class _At:
    """A clock that stands."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps here, not {seconds} s")


# -- 12: a worker stopped past its lease ---------------------------------------------------------------


@pytest.mark.any_store
def test_a_worker_that_stood_still_past_its_lease_settles_nothing(site: Site) -> None:
    site.configure(lease="2s")
    held = Counter[str]()

    def hold_the_first(arrival: Arrival) -> Reply:
        held[arrival.webhook_id] += 1
        return Reply(hold=held[arrival.webhook_id] == 1)

    site.destination.script = hold_the_first
    site.start("ingest").ready()
    standing = site.start("work").ready()
    id_ = site.accept("shop", b'{"id": "order-1", "type": "order.paid", "customer": "c"}')
    site.destination.wait_for(id_)
    standing.popen.send_signal(signal.SIGSTOP)
    try:
        site.start("work").ready()
        first, second = site.destination.wait_for(id_, 2)
        site.wait_for_state(id_, "delivered")
        # Its own answer comes only now, when everything is over.
        site.destination.release()
    finally:
        standing.popen.send_signal(signal.SIGCONT)
    wait_until(lambda: "lease_lost" in standing.err, "the late settlement to be refused")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    (history,) = site.event(id_)["history"]
    assert [attempt["outcome"] for attempt in history["attempts"]] == ["lost", "success"]
    assert "did not report before its lease ran out" in history["attempts"][0]["error"]
    assert site.delivery(id_)["state"] == "delivered"


# -- 13: rescue races completion -----------------------------------------------------------------------


class _Dawdling:
    """A store whose callers are held up for a few turns of the loop before each call, as the dice have it."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self._store, self._rng = store, rng

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def late(*arguments: Any) -> Any:
            for _ in range(self._rng.randrange(4)):
                await asyncio.sleep(0)
            return await method(*arguments)

        return late


class _Heard(_Dawdling):
    """And who was told that its settlement holds."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        super().__init__(store, rng)
        self.held = 0

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[LeaseLostError | None]:
        results: Sequence[LeaseLostError | None] = await self.__getattr__("settle")(settlements)
        self.held += results.count(None)
        return results


async def raced(store: Store, seed: int) -> tuple[int, State, list[str]]:
    """A completion and a rescue of one lease at once: how many of them held, and what is on record then."""
    rng = random.Random(seed)
    await store.open()
    await store.append([make_append(1)])
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS))).claims
    heard, clock = _Heard(store, rng), VirtualClock()
    destination = Destination("crm", ScriptedSender(), RetryPolicy(), 1)
    deliver = AttemptRunner(GroupCommit(heard.settle), clock, rng)
    rescue = Rescue(heard, {}, clock, rng)  # type: ignore[arg-type]
    await asyncio.gather(deliver.run(claim, destination, breaker_of(destination, store, clock)), rescue.rescue())
    found = await store.delivery(claim.delivery.id)
    assert found is not None
    attempts = (await store.history(found.id)).attempts
    await store.close()
    return heard.held, found.state, [attempt.outcome.value for attempt in attempts]


COMPLETED, RESCUED = (1, State.DELIVERED, ["success"]), (1, State.SCHEDULED, ["lost"])
"""Whoever comes first: one of the two, whole, and nothing of the other."""


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_completed_stays_completed(kind: str, tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    for seed in range(SEEDS):
        store: Store = MemoryStore()
        if kind == "sqlite":
            store = SqliteStore(tmp_path / f"{seed}.db", watch_s=None, threaded=False)
        end = run(raced(store, seed))
        assert end in (COMPLETED, RESCUED), seed
        ends[end[2][0]] += 1
    assert min(ends["success"], ends["lost"]) > SEEDS // 20, f"the race was none: {ends}"


def test_that_both_hold_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_fencing(monkeypatch)
    monkeypatch.setattr(inbox, "insert_rows", lambda *_: None)
    stores = (SqliteStore(tmp_path / f"{seed}.db", watch_s=None, threaded=False) for seed in range(20))
    ends = [run(raced(store, seed)) for seed, store in enumerate(stores)]
    assert any(held > 1 for held, _, _ in ends)
