"""What the tests of the services share: a delivering side over a store in memory, on the virtual clock."""

import asyncio
import functools
import inspect
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.dispatch import Dispatch, breaker_of
from longstop.group_commit import GroupCommit
from longstop.model.breaker import BreakerPolicy, CircuitChange
from longstop.model.delivery import Delivery, Outcome, OutcomeKind, State
from longstop.model.lease import Claim
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.retry import RetryPolicy
from longstop.ports import CircuitListener, Store
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import VirtualClock, run
from longstop.testing.fakes import FaultyStore, ScriptedSender
from longstop.testing.tasks import end_tasks

LEASE_MS = 30_000
PLAIN = RetryPolicy(attempts=3, first_ms=1_000, jitter="none")
FAILED = Outcome(OutcomeKind.RETRY, status=503, error="the destination answered 503")
REJECTED = Outcome(OutcomeKind.REJECT, status=422, error="the destination answered 422")


class Works:
    """A dispatcher at work. Destinations are given as senders, or as (sender, concurrency)."""

    def __init__(
        self,
        store: Store | None = None,
        policy: RetryPolicy = PLAIN,
        worker: str = "worker-1",
        breaker: BreakerPolicy | None = None,
        listeners: Sequence[CircuitListener] = (),
        **senders: ScriptedSender | tuple[ScriptedSender, int],
    ) -> None:
        self.store: Any = FaultyStore(store or MemoryStore())
        self.clock = VirtualClock()
        pairs = {name: each if isinstance(each, tuple) else (each, 32) for name, each in senders.items()}
        breaker = breaker or BreakerPolicy()
        destinations = [
            Destination(name, sender, policy, room, breaker=breaker) for name, (sender, room) in pairs.items()
        ]
        self.deliver = AttemptRunner(GroupCommit(self.store.settle), self.clock, random.Random(1))
        self.dispatch = Dispatch(self.store, self.deliver, destinations, self.clock, worker, LEASE_MS, listeners)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Works":
        self._tasks = [asyncio.create_task(self.dispatch.run()), asyncio.create_task(self.dispatch.keep_leases())]
        await settle_down()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()

    async def crash(self) -> None:
        """End as a killed process does: nothing more of it reaches the store, and nobody is told."""
        self.store.fail("settle", times=10**9)
        await end_tasks(self._tasks, self.dispatch._running.values())

    async def attempt(self, claim: Claim, destination: Destination) -> None:
        """One attempt, without the dispatcher."""
        await self.deliver.run(claim, destination, breaker_of(destination, self.store, self.clock))

    async def one(self) -> Delivery:
        """The only delivery there is."""
        found = await all_deliveries(self.store)
        assert len(found) == 1
        return found[0]


class Noted:
    """A watch that keeps what it is told; `error` is raised each time."""

    def __init__(self, error: Exception | None = None) -> None:
        self.changes: list[CircuitChange] = []
        self._error = error

    def circuit_changed(self, change: CircuitChange) -> None:
        self.changes.append(change)
        if self._error is not None:
            raise self._error


async def all_deliveries(store: Store) -> list[Delivery]:
    """Every delivery, oldest first."""
    return list((await store.find_deliveries(DeliveryFilter(), Page(10_000, newest_first=False))).rows)


async def states(store: Store) -> list[State]:
    """The state of every delivery, oldest first."""
    return [each.state for each in await all_deliveries(store)]


async def settle_down(turns: int = 50) -> None:
    """Let everything happen that can without time going by."""
    for _ in range(turns):
        await asyncio.sleep(0)


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on the virtual clock."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    # The runner for async tests looks through `__wrapped__` and would take the test for its own.
    signature = inspect.signature(test)
    del wrapper.__wrapped__  # type: ignore[attr-defined]
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper
