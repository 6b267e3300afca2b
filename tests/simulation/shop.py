"""A small world for the breaker's simulations: a delivering side, one destination, and a note of every request."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.clock_watch import ClockRepairs, ClockWatch, longest_wait_ms
from longstop.delivering.dispatch import Dispatch
from longstop.delivering.rescue import Rescue
from longstop.group_commit import GroupCommit
from longstop.model.append import Append
from longstop.model.breaker import BreakerPolicy
from longstop.model.delivery import Delivery, Outcome, OutcomeKind
from longstop.model.ids import IdFactory
from longstop.model.lease import Claim
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.retry import RetryPolicy
from longstop.ports import Store
from longstop.testing.builders import make_delivery, make_event
from longstop.testing.clock import StandingStill, VirtualClock, run
from longstop.testing.tasks import end_tasks

LEASE_MS = 30_000
DAY_MS = 86_400_000
ANSWERED = Outcome(OutcomeKind.RETRY, status=500, error="the destination answered 500")
SILENT = Outcome(OutcomeKind.RETRY, error="connection reset")
REFUSED = Outcome(OutcomeKind.RETRY, error="connection refused")
TAKEN = Outcome(OutcomeKind.SUCCESS, status=204)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the destination saw it."""

    event_id: str
    at_ms: int
    outcome: Outcome


class Shop:
    """One destination, behind a delivering side over a store. `answers` says what becomes of each request."""

    def __init__(
        self,
        store: Store,
        seed: int,
        concurrency: int = 32,
        ordered: bool = False,
    ) -> None:
        self.store, self.clock, self.rng = store, VirtualClock(), random.Random(seed)
        self.calls: list[Call] = []
        self.accepted: dict[str, int] = {}
        """Event id to when it came."""
        self.poison: set[str] = set()
        """Events that never succeed."""
        self.keys: dict[str, str] = {}
        """Event id to its key."""
        self.answers: Callable[[Claim, int], Outcome] = lambda _claim, _at_ms: TAKEN
        self.takes_s: Callable[[Claim], float] = lambda _claim: 0.05
        self._ordered = ordered
        self.fresh_s: float | None = None
        """For how long what is accepted is of use; None: for ever."""
        self.watched = False
        """Whether the clock is watched and what was lost is rescued, too, every second; days of that take long."""
        self._ids = IdFactory(self.rng)
        destination = Destination("crm", self, RetryPolicy(), concurrency, breaker=BreakerPolicy())
        watch = ClockWatch(self.clock)
        deliver = AttemptRunner(GroupCommit(store.settle), self.clock, self.rng, clock_watch=watch)
        self.dispatch = Dispatch(store, deliver, [destination], self.clock, "worker-1", LEASE_MS)
        self._rescue = Rescue(store, {"crm": destination.policy}, self.clock, self.rng, LEASE_MS, watch)
        waits = {"crm": longest_wait_ms(destination.policy, destination.breaker, destination.timeout_ms)}
        self._repairs = ClockRepairs(store, self.clock, watch, waits, LEASE_MS, dedup_ms=DAY_MS)

    async def send(self, claim: Claim, _attempt: int) -> Outcome:
        """As ports.Sender."""
        at_ms = self.clock.now_ms()
        await self.clock.sleep(self.takes_s(claim) * self.rng.uniform(0.5, 1.5))
        outcome = self.answers(claim, at_ms)
        self.calls.append(Call(claim.event.id, at_ms, outcome))
        return outcome

    async def close(self) -> None:
        """As ports.Sender."""

    async def post(self, count: int = 1, poison: float = 0.0, key: str | None = None) -> None:
        """Accept events now; this share of them is poison."""
        await self.store.append([self._event(self.rng.random() < poison, key) for _ in range(count)])

    def _event(self, poison: bool, key: str | None) -> Append:
        now_ms = self.clock.now_ms()
        id_ = self._ids.make(now_ms)
        event = replace(make_event(1), id=id_, received_at_ms=now_ms, key=key or f"k{self.rng.randrange(200)}")
        fresh_ms = None if self.fresh_s is None else now_ms + round(self.fresh_s * 1000)
        lane = event.key if self._ordered else None
        delivery = make_delivery(event, id=self._ids.make(now_ms), lane=lane, expires_at_ms=fresh_ms)
        self.accepted[id_], self.keys[id_] = now_ms, str(event.key)
        if poison:
            self.poison.add(id_)
        return Append(event, (delivery,))

    async def deliveries(self) -> list[Delivery]:
        """All that there is, oldest first."""
        return list((await self.store.find_deliveries(DeliveryFilter(), Page(10_000, newest_first=False))).rows)

    @property
    def healthy(self) -> set[str]:
        """The events that are worth delivering."""
        return self.accepted.keys() - self.poison

    def delays_s(self) -> dict[str, float]:
        """For each event that has arrived, how long it took."""
        return {
            call.event_id: (call.at_ms - self.accepted[call.event_id]) / 1000
            for call in self.calls
            if call.outcome is TAKEN
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Shop"]:
        """At work."""
        works = [self.dispatch.run(), self.dispatch.keep_leases()]
        if self.watched:
            works += [self._rescue.run(), self._repairs.run()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield self
        finally:
            await end_tasks(tasks, self.dispatch._running.values())


def some(store: Store, many: int, few: int) -> int:
    """How many of something are enough on a store: many, and few where each call of it goes to a server."""
    return few if isinstance(store, StandingStill) else many


def run_on(store: Store, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario in a loop of its own, in which the store that it is over is opened and closed, too."""

    async def whole() -> None:
        await store.open()
        try:
            await scenario()
        finally:
            await store.close()

    run(whole)


def poisonous(shop: "Shop", outcome: Outcome = ANSWERED) -> Callable[[Claim, int], Outcome]:
    """A destination that works, but for the poison."""
    return lambda claim, _: outcome if claim.event.id in shop.poison else TAKEN
