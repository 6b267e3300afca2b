"""Dispatching: lease what is due, as much as each destination has room for, and have it delivered."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from longstop.delivering.attempt import AttemptRunner, Destination
from longstop.delivering.breaker import Breaker
from longstop.model.breaker import Circuit
from longstop.model.concurrency_limit import Limiter
from longstop.model.delivery import Delivery
from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import Claim, LeaseBatch, LeaseRef, LeaseRequest
from longstop.ports import CircuitListener, Clock, Inbox

log = structlog.get_logger("longstop.delivering.dispatch")

LOOK_AGAIN_S = 1.0
"""The longest it waits before it asks the store again, though nothing woke it: the wall clock may have jumped."""


class Dispatch:
    """The delivering side of a gateway: one loop that leases, a task for each attempt under way."""

    def __init__(
        self,
        inbox: Inbox,
        deliver: AttemptRunner,
        destinations: Iterable[Destination],
        clock: Clock,
        worker: str,
        lease_ms: int,
        listeners: Sequence[CircuitListener] = (),
    ) -> None:
        self._inbox = inbox
        self._deliver = deliver
        self._destinations = {each.name: each for each in destinations}
        self._breakers = {name: breaker_of(each, inbox, clock, listeners) for name, each in self._destinations.items()}
        self._clock = clock
        self._worker = worker
        self._lease_ms = lease_ms
        self._running: dict[LeaseRef, asyncio.Task[None]] = {}
        self._more: set[str] = set()
        """Destinations that may have something due left: they got as much as they had room for, or had none."""
        self._more_retries: set[str] = set()
        """The same of what was tried before, which has less room."""
        self._wake = asyncio.Event()
        self._leasing = asyncio.Lock()
        """Held while the store is asked: what it gives then is still to be started."""
        self._stopping = False

    def is_open(self, destination: str) -> bool:
        """Whether a destination's circuit was open when the store was last asked."""
        return self._breakers[destination].is_open

    @property
    def under_way(self) -> int:
        """How many attempts are under way."""
        return len(self._running)

    def share(self, workers: int) -> None:
        """So many workers deliver from this store: what destinations allow in a second is for all of them."""
        for breaker in self._breakers.values():
            breaker.share(workers)

    async def run(self) -> None:
        """Lease and deliver until `stop`."""
        self._inbox.on_arrival(self._wake.set)
        while not self._stopping:
            self._wake.clear()
            async with self._leasing:
                next_due_at_ms = await self._lease()
            await self._wait(next_due_at_ms)

    async def run_dry(self, limit_s: float) -> None:
        """Lease and deliver until nothing is due; for so long at most, and what is under way then is broken off.

        For a process that lives from one call to the next. In the place of `run`.
        """
        until_ms = self._clock.monotonic_ms() + int(limit_s * 1000)
        while (left_s := (until_ms - self._clock.monotonic_ms()) / 1000) > 0:
            async with self._leasing:
                await self._lease()
            if not self._running:
                return
            await asyncio.wait(self._running.values(), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        await self._break_off()

    async def _break_off(self) -> None:
        for task in self._running.values():
            task.cancel()
        if self._running:
            log.warning("interrupted", attempts=len(self._running), after_s=0.0)
            await asyncio.wait(self._running.values())

    async def keep_leases(self) -> None:
        """Extend the leases of what is under way, for ever. A third of a lease apart: one failure loses none."""
        while True:
            await self._clock.sleep(self._lease_ms / 3000)
            try:
                await self._extend()
            except StoreUnavailableError as error:
                log.debug("extend_failed", error=str(error))

    async def stop(self, limit_s: float) -> None:
        """Lease no more, wait for what is under way; what takes longer than the limit is broken off and rescheduled."""
        self._stopping = True
        self._wake.set()
        async with self._leasing:
            pass
        if not self._running:
            return
        _, late = await asyncio.wait(self._running.values(), timeout=limit_s)
        for task in late:
            task.cancel()
        if late:
            log.warning("interrupted", attempts=len(late), after_s=limit_s)
            await asyncio.wait(late, timeout=limit_s)

    async def _lease(self) -> int | None:
        now_ms = self._clock.now_ms()
        room = {name: breaker.room() for name, breaker in self._breakers.items()}
        self._more = {name for name, free in room.items() if free <= 0}
        open_ = {name: free for name, free in room.items() if free > 0}
        if not open_:
            return self._next_by_rate(now_ms)
        request = self._request(open_, now_ms)
        for name in open_:
            self._breakers[name].asking()
        try:
            batch = await self._inbox.lease(request)
        except StoreUnavailableError as error:
            log.debug("lease_failed", error=str(error))
            return None
        self._take(batch, request)
        if self._has_more_room():
            # Some have ended while the store was asked.
            self._wake.set()
        return _earlier(batch.next_due_at_ms, self._next_by_rate(now_ms))

    def _request(self, room: dict[str, int], now_ms: int) -> LeaseRequest:
        return LeaseRequest(
            self._worker,
            room,
            now_ms,
            now_ms + self._lease_ms,
            retries={name: self._breakers[name].retries() for name in room},
            retries_first={name for name in room if self._breakers[name].retry_next},
            expired_by_ms=self._deliver.clock_watch.expired_by_ms(),
        )

    def _take(self, batch: LeaseBatch, request: LeaseRequest) -> None:
        """Start what was leased, and note who may have something left."""
        given = Counter(claim.delivery.destination for claim in batch.claims)
        again = Counter(claim.delivery.destination for claim in batch.claims if claim.delivery.attempts)
        for name in request.room:
            self._breakers[name].seen(batch.circuits.get(name))
        for claim in batch.claims:
            self._start(claim, batch.circuits.get(claim.delivery.destination))
        self._more |= {name for name, free in request.room.items() if given[name] >= free}
        self._more_retries = {name for name, free in request.retries.items() if again[name] >= free}

    def _has_more_room(self) -> bool:
        return any(self._breakers[name].room() > 0 for name in self._more) or any(
            min(self._breakers[name].room(), self._breakers[name].retries()) > 0 for name in self._more_retries
        )

    def _next_by_rate(self, now_ms: int) -> int | None:
        """When the first destination that is held up by its rate may get one more."""
        waits = [wait_s for breaker in self._breakers.values() if (wait_s := breaker.wait_s())]
        return now_ms + math.ceil(min(waits) * 1000) if waits else None

    def _start(self, claim: Claim, circuit: Circuit | None) -> None:
        destination = self._destinations[claim.delivery.destination]
        breaker = self._breakers[destination.name]
        lease = LeaseRef(claim.delivery.id, claim.delivery.token)
        task = asyncio.create_task(self._deliver.run(claim, destination, breaker, circuit))
        self._running[lease] = task
        breaker.begun(claim.delivery)
        task.add_done_callback(lambda task: self._done(lease, claim.delivery, task))

    def _done(self, lease: LeaseRef, delivery: Delivery, task: asyncio.Task[None]) -> None:
        destination = delivery.destination
        del self._running[lease]
        self._breakers[destination].done(delivery)
        if destination in self._more or destination in self._more_retries:
            self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            log.error(
                "attempt_failed",
                delivery_id=delivery.id,
                event_id=delivery.event_id,
                destination=destination,
                exc_info=task.exception(),
            )

    async def _wait(self, next_due_at_ms: int | None) -> None:
        wait_s = LOOK_AGAIN_S
        if next_due_at_ms is not None:
            wait_s = min(wait_s, max(0.0, (next_due_at_ms - self._clock.now_ms()) / 1000))
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _extend(self) -> None:
        leases = list(self._running)
        if not leases:
            return
        results = await self._inbox.extend(leases, self._clock.now_ms() + self._lease_ms)
        for lease, lost in zip(leases, results, strict=True):
            task = self._running.get(lease)
            # Who is settling has freed it himself, or hears of the loss by that.
            if lost is not None and task is not None and not self._deliver.is_settling(lease):
                log.warning("lease_lost", delivery_id=lease.delivery_id)
                task.cancel()


def breaker_of(
    destination: Destination, inbox: Inbox, clock: Clock, listeners: Sequence[CircuitListener] = ()
) -> Breaker:
    """What a worker begins with to know of a destination."""
    return Breaker(
        destination.name,
        destination.breaker,
        Limiter(destination.concurrency, destination.adaptive),
        inbox,
        clock,
        timeout_ms=destination.timeout_ms,
        retry_after_cap_ms=destination.policy.retry_after_cap_ms,
        rate_per_s=destination.rate_per_s,
        listeners=listeners,
    )


def _earlier(one_ms: int | None, other_ms: int | None) -> int | None:
    return min((each for each in (one_ms, other_ms) if each is not None), default=None)
