"""Group commit: callers that arrive while a commit is under way share the next one.

A disk syncs a few thousand times a second at best, whatever is in each sync. So one batch is in flight,
the next one gathers meanwhile, and under load a sync is shared by as many callers as arrived during the
one before. A lone caller waits for nothing.

A store that is another process stands still between its answer and the next batch. It may have several in flight
(`at_once`), where enough have gathered: then it finds the next one before it when it has done the last. What is to be
kept in the order in which it came (`in_turn`) has one batch at a time in flight, as a single one has.

Callers may belong to shares (a source, say). Where several wait, each gets an equal part of the batch: what floods
waits for its own turn, and a quiet one is in the next batch, however long the flood's queue.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from longstop.model.errors import StoreUnavailableError

Op = TypeVar("Op")
Result = TypeVar("Result")
_Waiter = tuple[Op, asyncio.Future[Result], float, bool]
"""An operation, its caller's future, the loop's time until which the caller waits, and whether it is in turn."""

BATCH_MAX = 128
"""More in one sync gains little, and makes those wait who came just after it began."""
BESIDE_MIN = 16
"""So many have to wait before a batch goes out beside another: what a call costs is little to each of these."""
WAITING_MAX = 10_000
"""Of one share."""
LOOK_EVERY_S = 0.25


class GroupCommit(Generic[Op, Result]):
    """Turns a batch operation of a store into one that is called for a single thing.

    `commit` takes the operations of one batch and returns one result for each, in order; a result that is
    an exception is raised to its own caller. Where `commit` itself raises, every caller of the batch gets it.
    at_once: so many batches may be in flight.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Op]], Awaitable[Sequence[Result | Exception]]],
        batch_max: int = BATCH_MAX,
        waiting_max: int = WAITING_MAX,
        at_once: int = 1,
    ) -> None:
        self._commit = commit
        self._batch_max = batch_max
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, deque[_Waiter[Op, Result]]] = {}
        """By share, and only shares where somebody waits."""
        self._waiting_count = 0
        self._in_turn_count = 0
        """Of those that wait or are in flight, who is to be kept in turn."""
        self._in_flight: dict[asyncio.Task[None], list[_Waiter[Op, Result]]] = {}
        """The batch of each task that commits one after the other."""
        self._looking = False

    async def submit(self, op: Op, share: str = "", patience_s: float = math.inf, in_turn: bool = False) -> Result:
        """See `enqueue`; waits for it."""
        return await self.enqueue(op, share, patience_s, in_turn)

    def enqueue(
        self, op: Op, share: str = "", patience_s: float = math.inf, in_turn: bool = False
    ) -> "asyncio.Future[Result]":
        """Done when the batch with `op` is committed, with its result. `share`: with whom it shares its part.

        in_turn: it is committed before what comes after it and is in turn, too.
        patience_s: no longer than this, and LOOK_EVERY_S more, does the caller wait.
        A caller that is cancelled meanwhile does not take its operation back: it may be committed.
        Raises StoreUnavailableError where too many are waiting already. The future ends with TimeoutError where
        patience ends; then it may still be committed, too.
        """
        waiting = self._waiting.get(share)
        if waiting is None:
            waiting = self._waiting[share] = deque()
        if len(waiting) >= self._waiting_max:
            raise StoreUnavailableError(f"{self._waiting_max} operations are waiting for the store already")
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        waiting.append((op, done, loop.time() + patience_s, in_turn))
        self._waiting_count += 1
        self._in_turn_count += in_turn
        if not self._in_flight or (self._at_once > 1 and self._goes_on(len(self._in_flight))):
            self._in_flight[asyncio.create_task(self._run())] = []
        if not self._looking and patience_s < math.inf:
            self._looking = True
            loop.call_later(LOOK_EVERY_S, self._look, loop)
        return done

    async def idle(self) -> None:
        """Returns when nothing is waiting or under way."""
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def _goes_on(self, others: int) -> bool:
        """Whether one more batch may go out beside those of so many others."""
        if not others:
            return self._waiting_count > 0
        return others < self._at_once and self._waiting_count >= BESIDE_MIN and not self._in_turn_count

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while self._goes_on(len(self._in_flight) - 1):
                batch = self._in_flight[task] = self._take_batch()
                try:
                    await self._commit_batch(batch)
                finally:
                    if self._in_turn_count:
                        self._in_turn_count -= sum(each[3] for each in batch)
        finally:
            del self._in_flight[task]

    def _take_batch(self) -> "list[_Waiter[Op, Result]]":
        """What goes into the next commit: of each share that waits its part, oldest first; who was served goes last."""
        part = max(1, self._batch_max // len(self._waiting))
        batch: list[_Waiter[Op, Result]] = []
        for share in list(self._waiting)[: self._batch_max]:
            waiting = self._waiting.pop(share)
            batch.extend(waiting.popleft() for _ in range(min(part, len(waiting))))
            if waiting:
                self._waiting[share] = waiting
        self._waiting_count -= len(batch)
        return batch

    def _everybody(self) -> "Iterator[_Waiter[Op, Result]]":
        for batch in self._in_flight.values():
            yield from batch
        for waiting in self._waiting.values():
            yield from waiting

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send home who has waited too long. One timer for all: one for each would cost a tenth of an append."""
        now = loop.time()
        for _, done, until, _ in self._everybody():
            if until <= now and not done.done():
                done.set_exception(TimeoutError())
        self._looking = bool(self._in_flight)
        if self._looking:
            loop.call_later(LOOK_EVERY_S, self._look, loop)

    async def _commit_batch(self, batch: "list[_Waiter[Op, Result]]") -> None:
        try:
            results = await self._results([op for op, *_ in batch])
        except asyncio.CancelledError:
            for _, done, *_ in batch:
                done.cancel()
            raise
        for (_, done, *_), result in zip(batch, results, strict=True):
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
