"""The store with its spool in front: appends go to the store, or into the spool and from there to the store, in order.

*Direct*, until an append fails or takes too long. From then on *in use*: everything goes into the spool, behind what is
there, so that order is kept, and one task forwards, the oldest first. When nothing is left, and the store is quick
again, appends go to it directly.

An append that got no answer may have been kept. It is spooled under the same ids, and before it is forwarded the store
is asked whether it has them; so it is in doubt after every failure, and after a restart. What the store has by then, or
knows by its dedup key, is one event. Nothing leaves the spool before the store has it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import structlog

from longstop.model.append import Append
from longstop.model.errors import LeaseLostError, SchemaError, StoreUnavailableError
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.handler import Transaction
from longstop.model.lease import LeaseRef, Settlement
from longstop.model.spool import SpoolFacts, SpoolSettings
from longstop.ports import Clock, Store, Transactions
from longstop.stores.spool.file import SpoolFile

T = TypeVar("T")

log = structlog.get_logger("longstop.store.spool")

RETRY_S = 1.0
"""How often a store that is away is tried."""
QUIET_S = 60.0
"""Without an event for so long, a store that was slow with the last one is taken for quick again."""
AT_ONCE = 256
"""How many events are forwarded in one append."""
AT_ONCE_BYTES = 8_000_000
REFUSED_TRIES = 10
"""So often the first event is tried alone before it is asked whether the store takes others and not it."""
REFUSED_TIMES = 3
"""So many others have to be taken, and it refused after each, for it to be set aside."""
FORWARD_PATIENCE_S = 30.0
"""Forwarding waits for a slow store, where no sender does."""


def spooled(store: Store, file: SpoolFile, settings: SpoolSettings, clock: Clock) -> "SpooledStore":
    """The store with a spool in front. Where its transactions can hold a handler's writes, they still can."""
    made = _SpooledTransactions if isinstance(store, Transactions) else SpooledStore
    return made(store, file, settings, clock)


class SpooledStore:
    """Implements `ports.Store`: what is not named here goes to the store itself.

    `open` does not need the store to be there; `run` keeps trying, and forwards.
    """

    def __init__(self, store: Store, file: SpoolFile, settings: SpoolSettings, clock: Clock) -> None:
        self._store = store
        self._file = file
        self._after_s = settings.after_ms / 1000
        self._clock = clock
        self._store_open = False
        self._opening: asyncio.Future[None] | None = None
        self._wakes: list[Callable[[], None]] = []
        self._in_use = False
        self._since_ms: int | None = None
        self._used_until_ms: int | None = None
        self._why = ""
        self._writing = 0
        """How many are putting something into the spool."""
        self._doubtful: set[str] = set()
        """Ids of events in the spool that the store was asked to keep: it may have them."""
        self._failures = 0
        """How often in a row nothing could be forwarded."""
        self._wanted = asyncio.Event()
        self._unanswered: set[asyncio.Future[Any]] = set()
        """What the store has not answered yet, and nobody waits for."""
        self._spooled = self._forwarded = self._duplicates = 0
        self.newest_id: str | None = None
        """The highest id of an event in the spool when it was opened."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return found if self._store_open else self._away

    async def _away(self, *_: object, **__: object) -> Any:
        raise StoreUnavailableError(f"the store has not been reached yet: {self._why}")

    # -- its life ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the spool, and the store if it is there. Raises SchemaError, and StoreUnavailableError for the spool."""
        self.newest_id = await self._file.open()
        waiting = self._file.stands.waiting
        if waiting:
            self._begin(f"{waiting} events were in the spool at the start")
        try:
            await self._open_store()
        except SchemaError:
            await self._file.close()
            raise
        except (StoreUnavailableError, TimeoutError) as error:
            self._begin(_why(error))

    async def _open_store(self) -> None:
        """Raises TimeoutError where it takes long: it goes on, and whoever comes next waits for the same one."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._store.open())
        try:
            await self._within(self._opening, self._after_s)
        except TimeoutError:
            raise
        except BaseException:
            self._opening = None
            raise
        self._store_open = True
        for wake in self._wakes:
            self._store.on_arrival(wake)

    async def close(self) -> None:
        """Close both. What is in the spool stays there for the next start."""
        left = list(self._unanswered)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._file.close()
        await self._store.close()

    def ready(self) -> bool:
        """Whether events can be taken, by either."""
        return self._in_use or self._store.ready()

    @property
    def commits_at_once(self) -> int:
        """See ports.Inbox."""
        return self._store.commits_at_once

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """See ports.Inbox."""
        self._wakes.append(wake)
        if self._store_open:
            self._store.on_arrival(wake)

    # -- accepting ---------------------------------------------------------------------------------

    async def append(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        """Keep events: in the store, or where it cannot be had in the spool."""
        if self._in_use:
            return await self._put(appends)
        try:
            return await self._within(asyncio.ensure_future(self._store.append(appends)), self._after_s)
        except (StoreUnavailableError, TimeoutError) as error:
            self._doubtful.update(each.event.id for each in appends)
            self._begin(_why(error))
        return await self._put(appends)

    async def _put(self, appends: Sequence[Append]) -> Sequence[Receipt]:
        self._writing += 1
        try:
            receipts = await self._file.put(appends)
        finally:
            self._writing -= 1
            self._wanted.set()
        self._spooled += sum(each.status is ReceiptStatus.ACCEPTED for each in receipts)
        return receipts

    async def _within(self, work: "asyncio.Future[T]", patience_s: float) -> T:
        """The result of work that nobody breaks off; raises TimeoutError where it takes longer, and it goes on."""
        self._unanswered.add(work)
        work.add_done_callback(self._answered)
        done, _ = await asyncio.wait([work], timeout=patience_s)
        if not done:
            raise TimeoutError(f"the store did not answer within {patience_s:g} s")
        return work.result()

    def _answered(self, work: "asyncio.Future[Any]") -> None:
        self._unanswered.discard(work)
        if not work.cancelled():
            # Looked at, so that nobody is told of an error that the next try meets again.
            work.exception()

    # -- forwarding --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Bring what is in the spool to the store, for ever. Raises SchemaError where the store is none of ours."""
        while True:
            if not self._in_use:
                self._wanted.clear()
                await self._wanted.wait()
            try:
                if not self._store_open:
                    await self._open_store()
                await self._drain()
            except (StoreUnavailableError, TimeoutError) as error:
                self._why = _why(error)
                await self._clock.sleep(RETRY_S)

    async def _drain(self) -> None:
        """Forward until nothing is left and the store is quick enough to be waited for."""
        quick = True
        while self._in_use:
            batch = await self._file.first(1 if self._failures else AT_ONCE, AT_ONCE_BYTES)
            if batch:
                began_ms = self._clock.monotonic_ms()
                await self._forward_or_pass(batch)
                quick = self._clock.monotonic_ms() - began_ms <= self._after_s * 1000
            elif self._file.stands.waiting:
                # It was put there since.
                continue
            elif self._writing:
                self._wanted.clear()
                await self._wanted.wait()
            elif quick:
                self._end()
            else:
                # The next event will tell whether it still is slow, and nobody waits for that.
                self._wanted.clear()
                try:
                    async with asyncio.timeout(QUIET_S):
                        await self._wanted.wait()
                except TimeoutError:
                    quick = True

    async def _forward_or_pass(self, batch: Sequence[Append]) -> None:
        """Forward; one that the store can do nothing with is not in the way of those behind it for ever."""
        try:
            await self._forward(batch)
        except (StoreUnavailableError, TimeoutError) as error:
            self._failures += 1
            if self._failures <= REFUSED_TRIES or not await self._passes(batch[0]):
                raise
            await self._file.set_aside(batch[0].event.id, _why(error))
        self._failures = 0

    async def _passes(self, first: Append) -> bool:
        """Whether the store takes others again and again, and this one not. Of other keys, so that order is kept.

        Raises StoreUnavailableError where the store is away, as it mostly is.
        """
        await self._there([first])
        batch = await self._file.first(AT_ONCE, AT_ONCE_BYTES)
        others = [each for each in batch if each.event.key is None or each.event.key != first.event.key]
        others = [each for each in others if each.event.id != first.event.id][:REFUSED_TIMES]
        for other in (None, *others):
            # The first once more before any other: the store may have come back just now.
            await self._forward([] if other is None else [other])
            with contextlib.suppress(StoreUnavailableError, TimeoutError):
                await self._forward([first])
                return False
        return len(others) == REFUSED_TIMES

    async def _forward(self, batch: Sequence[Append]) -> None:
        """Have the store keep these, and only then let go of them."""
        there = await self._there([each for each in batch if self._is_doubtful(each.event.id)])
        left = [each for each in batch if each.event.id not in there]
        self._doubtful.update(each.event.id for each in batch)
        done = [*there, *(await self._keep(left) if left else [])]
        await self._file.remove(done)
        self._doubtful.difference_update(done)
        self._forwarded += len(done)

    def _is_doubtful(self, event_id: str) -> bool:
        """Whether the store may have it: what was there at the start may have been forwarded by the process before."""
        return event_id in self._doubtful or (self.newest_id is not None and event_id <= self.newest_id)

    async def _there(self, doubtful: Sequence[Append]) -> set[str]:
        """Which of these the store has already: it was asked to keep them, and its answer was lost."""
        if not doubtful:
            return set()
        asked = asyncio.ensure_future(self._store.whole([each.event.id for each in doubtful]))
        return {each.kept.event.id for each in await self._within(asked, FORWARD_PATIENCE_S)}

    async def _keep(self, appends: Sequence[Append]) -> list[str]:
        """The ids of those that the store keeps now, or knows as duplicates."""
        try:
            receipts = await self._within(asyncio.ensure_future(self._store.append(appends)), FORWARD_PATIENCE_S)
        except (StoreUnavailableError, TimeoutError):
            raise
        except Exception as error:
            if len(appends) > 1:
                # One of them cannot be kept at all, or came in by another way meanwhile. Each goes alone.
                return [id_ for each in appends for id_ in await self._keep([each])]
            return await self._refused(appends[0], error)
        self._duplicates += sum(each.status is ReceiptStatus.DUPLICATE for each in receipts)
        return [each.event.id for each in appends]

    async def _refused(self, append: Append, error: Exception) -> list[str]:
        """The store raised something else: it has the event by now, or will never have it."""
        if append.event.id in await self._there([append]):
            return [append.event.id]
        await self._file.set_aside(append.event.id, f"{type(error).__name__}: {error}")
        return []

    # -- telling -----------------------------------------------------------------------------------

    def facts(self) -> SpoolFacts:
        """How the spool stands."""
        now = self._file.stands
        return SpoolFacts(
            *(self._in_use, now.events, now.bytes, now.oldest_at_ms, self._file.is_full(), now.stuck),
            *(self._since_ms, self._used_until_ms, self._why, self._spooled, self._forwarded, self._duplicates),
        )

    def _begin(self, why: str) -> None:
        if self._in_use:
            return
        self._in_use, self._why, self._since_ms, self._used_until_ms = True, why, self._clock.now_ms(), None
        self._wanted.set()
        log.error("spool_in_use", error=why)

    def _end(self) -> None:
        now_ms = self._clock.now_ms()
        seconds = (now_ms - (self._since_ms or now_ms)) / 1000
        self._in_use, self._since_ms, self._used_until_ms = False, None, now_ms
        log.info("spool_empty", after_s=seconds, forwarded=self._forwarded, duplicates=self._duplicates)


class _SpooledTransactions(SpooledStore):
    """The same in front of a store whose transactions can hold a handler's writes."""

    async def settle_with(
        self,
        lease: LeaseRef,
        work: Callable[[Transaction], None],
        done: Callable[[], Settlement],
        timeout_s: float,
    ) -> LeaseLostError | None:
        """See ports.Transactions."""
        if not self._store_open:
            await self._away()
        settled: Awaitable[LeaseLostError | None] = cast(Transactions, self._store).settle_with(
            lease, work, done, timeout_s
        )
        return await settled


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
