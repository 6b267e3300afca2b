"""Group commit: callers that arrive while a commit is under way share the next one.

A disk syncs a few thousand times a second at best, whatever is in each sync. So one batch is in flight,
the next one gathers meanwhile, and under load a sync is shared by as many callers as arrived during the
one before. A lone caller waits for nothing.

Callers may belong to shares (a source, say). Where there are several, none gets more of a batch than takes about
as long as the commit itself: what floods waits for its own turn, and the quiet ones wait for one short batch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from longstop.model.errors import StoreUnavailableError

Op = TypeVar("Op")
Result = TypeVar("Result")
_Waiter = tuple[Op, asyncio.Future[Result], float]
"""An operation, its caller's future, and the loop's time when it came."""

BATCH_MAX = 512
WAITING_MAX = 10_000
"""Of one share."""
LOOK_EVERY_S = 0.25
CONTESTED_S = 5.0
"""So long after two shares met, each is held to its part."""
PART_MIN = 8
OPERATION_S = 150e-6
"""What one operation costs the event loop around the commit, roughly: a request read, verified and answered."""
SMOOTHING = 0.1
"""How much the last commit counts in what a commit takes; one slow sync must not let a flood in."""


class GroupCommit(Generic[Op, Result]):
    """Turns a batch operation of a store into one that is called for a single thing.

    `commit` takes the operations of one batch and returns one result for each, in order; a result that is
    an exception is raised to its own caller. Where `commit` itself raises, every caller of the batch gets it.
    No caller waits longer than `patience_s` (and LOOK_EVERY_S more); None: as long as it takes.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Op]], Awaitable[Sequence[Result | Exception]]],
        batch_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
        patience_s: float | None = None,
    ) -> None:
        self._commit = commit
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._patience_s = patience_s
        self._waiting: dict[str, deque[_Waiter[Op, Result]]] = {}
        """By share, and only shares where somebody waits."""
        self._under_way: list[_Waiter[Op, Result]] = []
        self._drain: asyncio.Task[None] | None = None
        self._looking = False
        self._latest_share = ""
        self._contested_until = 0.0
        self._commit_s = 0.0

    async def submit(self, op: Op, share: str = "") -> Result:
        """Returns when the batch with `op` is committed, with its result. `share`: with whom it shares its part.

        A caller that is cancelled meanwhile does not take its operation back: it may be committed.
        Raises StoreUnavailableError where too many are waiting already, TimeoutError where patience ends; then
        it may still be committed, too.
        """
        waiting = self._waiting.get(share)
        if waiting is None:
            waiting = self._waiting[share] = deque()
        if len(waiting) >= self._waiting_max:
            raise StoreUnavailableError(f"{self._waiting_max} operations are waiting for the store already")
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if share != self._latest_share:
            self._latest_share, self._contested_until = share, now_s + CONTESTED_S
        done: asyncio.Future[Result] = loop.create_future()
        waiting.append((op, done, now_s))
        if self._drain is None:
            self._drain = asyncio.create_task(self._run())
            if self._patience_s is not None and not self._looking:
                self._looking = True
                loop.call_later(LOOK_EVERY_S, self._look, loop)
        return await done

    async def idle(self) -> None:
        """Returns when nothing is waiting or under way."""
        while self._drain is not None:
            await asyncio.wait([self._drain])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                self._under_way = self._take_batch(loop.time())
                began_s = loop.time()
                await self._commit_batch(self._under_way)
                self._commit_s += SMOOTHING * (loop.time() - began_s - self._commit_s)
        finally:
            self._under_way = []
            self._drain = None

    def _take_batch(self, now_s: float) -> "list[_Waiter[Op, Result]]":
        """What goes into the next commit: from each share its part, oldest first; who was served goes to the end."""
        part = self._batch_max
        if now_s < self._contested_until:
            part = min(part, max(PART_MIN, round(self._commit_s / OPERATION_S)))
        batch: list[_Waiter[Op, Result]] = []
        for share in list(self._waiting):
            room = min(part, self._batch_max - len(batch))
            waiting = self._waiting.pop(share)
            batch.extend(waiting.popleft() for _ in range(min(room, len(waiting))))
            if waiting:
                self._waiting[share] = waiting
        return batch

    def _everybody(self) -> "Iterator[_Waiter[Op, Result]]":
        yield from self._under_way
        for waiting in self._waiting.values():
            yield from waiting

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send home who has waited too long. One timer for all: one for each would cost a tenth of an append."""
        assert self._patience_s is not None
        since = loop.time() - self._patience_s
        for _, done, came_at in self._everybody():
            if came_at <= since and not done.done():
                done.set_exception(TimeoutError())
        self._looking = self._drain is not None
        if self._looking:
            loop.call_later(LOOK_EVERY_S, self._look, loop)

    async def _commit_batch(self, batch: "list[_Waiter[Op, Result]]") -> None:
        try:
            results = await self._results([op for op, _, _ in batch])
        except asyncio.CancelledError:
            for _, done, _ in batch:
                done.cancel()
            raise
        for (_, done, _), result in zip(batch, results, strict=True):
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)

    async def _results(self, ops: Sequence[Op]) -> Sequence[Result | Exception]:
        try:
            return await self._commit(ops)
        except StoreUnavailableError as error:
            return [error] * len(ops)
        except Exception as error:
            if len(ops) == 1:
                return [error]
        # One of them cannot be stored at all. Each goes alone, so that it fails nobody but its own caller.
        return [result for op in ops for result in await self._results([op])]
