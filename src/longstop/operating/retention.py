"""Forgetting: what has ended long enough ago goes, archived first where an archive is configured.

A task of the gateway's that looks once a minute and forgets in small transactions, with as long a pause behind each as
it took: whoever commits beside it waits for one of them at most. Where it has not come to the end when the next look
is due, more comes than can be forgotten so: then transactions are longer and pauses shorter, until it has caught up.
What is archived is on the disk before anything of it is forgotten, and nothing is forgotten whose archive failed.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from longstop.model.errors import ArchiveError, StoreUnavailableError
from longstop.model.job import KEPT_MS
from longstop.model.listing import EventFilter, Page
from longstop.model.retention import Cutoffs, Forgettable, Kind, RetentionSettings, Span, WholeEvent, cutoffs, lived
from longstop.operating.audit import forget_audit
from longstop.operating.event_streams import AT_ONCE_BYTES
from longstop.ports import Archive, Clock, Ledger

T = TypeVar("T")

log = structlog.get_logger("longstop.retention")

EVERY_S = 60.0
AT_ONCE = 512
"""How many are looked at, and archived, in one go; fewer are archived where bodies are large."""
READ_AT_ONCE = 32
"""How many are read with their bodies, which are known to be large only then."""
IN_ONE = 32
"""How many are forgotten in one transaction: a millisecond or two, and what it waits for others."""
IN_ONE_BEHIND = 64
PAUSE_HALVED_MAX = 2
"""Behind, pauses are half as long, then a quarter, and never less: another process gets at the file in them only."""
BEHIND_MS = 3_600_000
"""A clock that is ahead by more than this of what the store has lived through is told."""


class Retention:
    """Forgets by these settings. `archive` None: what is forgotten is gone.

    is_mine: whether this process does it now; another one on the same store would archive the same events once more.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: RetentionSettings,
        clock: Clock,
        archive: Archive | None,
        is_mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._archive = archive
        self._is_mine = is_mine
        self._after: dict[str, str | None] = {}
        self._archived_span: tuple[Span | None, list[str]] = (None, [])
        self._lived_ms: int | None = None
        self._looked_at_s = 0.0
        self._swept_since_s = 0.0

    async def run(self) -> None:
        """Forget for ever."""
        while True:
            try:
                if self._is_mine():
                    await self.sweep()
            except StoreUnavailableError as error:
                log.debug("retention_waits", error=str(error))
            except ArchiveError as error:
                log.error("retention_failed", error=str(error))
            await self._clock.sleep(EVERY_S)

    async def sweep(self) -> dict[Kind, int]:
        """Forget all that may be forgotten now; how many events, by what brought them up.

        Raises StoreUnavailableError, ArchiveError; what was not forgotten then is found again.
        """
        self._swept_since_s = asyncio.get_running_loop().time()
        now_ms = await self.now_ms()
        before = cutoffs(self._settings, now_ms)
        # By the time that was lived through: a clock that jumps ahead would make one span of all that is to come.
        await self._ledger.prepare_spans(now_ms)
        of_spans = await self._forget_spans(before)
        forgotten = {kind: await self._forget(kind, before) for kind in Kind}
        forgotten[Kind.DELIVERED] += of_spans
        if self._settings.attempts_ms is not None:
            await self._forget_attempts(now_ms - self._settings.attempts_ms)
        await self._ledger.forget_jobs(now_ms - KEPT_MS)
        await forget_audit(self._ledger, now_ms - self._settings.audit_ms)
        while await self._paced(self._ledger.give_back()):
            pass
        if any(forgotten.values()):
            log.info("forgotten", **{kind.value: number for kind, number in forgotten.items() if number})
        return forgotten

    async def count(self) -> dict[Kind, int]:
        """How many events a sweep would forget now, by what would bring them up."""
        before = cutoffs(self._settings, await self.now_ms())
        counted: dict[Kind, int] = {}
        seen: set[str] = set()
        for kind in Kind:
            new = {id_ async for step in self._steps(kind, before) for id_ in step.event_ids} - seen
            seen |= new
            counted[kind] = len(new)
        span = await self._ledger.due_span(before)
        if span is not None:
            async for step in self._span_steps(span):
                counted[Kind.DELIVERED] += len(set(step.event_ids) - seen)
        return counted

    # -- time -------------------------------------------------------------------------------------

    async def now_ms(self) -> int:
        """The time by which ages are counted: never beyond the clock, and never further on than what has passed."""
        wall_ms, loop_s = self._clock.now_ms(), asyncio.get_running_loop().time()
        known_ms = await self._ledger.lived_until()
        if known_ms is None:
            # A store of before this was kept has lived at least until its newest event.
            known_ms = await self._newest_ms()
        ran_ms = (loop_s - self._looked_at_s) * 1000
        self._lived_ms = lived(known_ms, self._lived_ms, ran_ms, wall_ms)
        self._looked_at_s = loop_s
        await self._ledger.live_until(self._lived_ms)
        if wall_ms - self._lived_ms > BEHIND_MS:
            log.warning("clock_ahead", by_s=(wall_ms - self._lived_ms) // 1000)
        return min(wall_ms, self._lived_ms)

    async def behind_ms(self) -> int:
        """How far the clock is ahead of what the store has lived through."""
        return self._clock.now_ms() - await self.now_ms()

    async def trust_clock(self) -> None:
        """A person has looked at the clock: it is right."""
        await self._ledger.live_until(self._clock.now_ms())
        self._lived_ms = self._clock.now_ms()

    async def _newest_ms(self) -> int | None:
        rows = (await self._ledger.find_events(EventFilter(), Page(1))).rows
        return rows[0].event.received_at_ms if rows else None

    # -- forgetting -------------------------------------------------------------------------------

    async def _steps(self, kind: Kind, before: Cutoffs, after: str | None = None) -> AsyncIterator[Forgettable]:
        more = True
        while more:
            step = await self._ledger.forgettable(kind, before, after, AT_ONCE)
            yield step
            after, more = step.after, step.more

    async def _forget_spans(self, before: Cutoffs) -> int:
        """Forget all spans that may go; how many events. What of a span is not forgotten now is due again."""
        forgotten = 0
        while (span := await self._ledger.due_span(before)) is not None:
            gone = await self._ledger.forget_span(span, before, await self._not_archived(span))
            if gone is None:
                break
            log.info("span_forgotten", span=span.name, events=gone, stayed=len(span.staying))
            forgotten += gone
        return forgotten

    async def _not_archived(self, span: Span) -> Sequence[str]:
        """Archive what goes with a span, where there is an archive; those that it could not be given."""
        if self._archive is None:
            return ()
        archived_span, left = self._archived_span
        if archived_span == span:
            return left
        left = []
        async for step in self._span_steps(span):
            archived = set(await self._archived(step.event_ids))
            left += [id_ for id_ in step.event_ids if id_ not in archived]
        # Where somebody is in the way of forgetting it, the same is not archived again.
        self._archived_span = span, left
        return left

    async def _span_steps(self, span: Span) -> AsyncIterator[Forgettable]:
        after: str | None = None
        more = True
        while more:
            step = await self._paced(self._ledger.span_events(span, after, AT_ONCE))
            yield step
            after, more = step.after, step.more

    async def _forget(self, kind: Kind, before: Cutoffs) -> int:
        forgotten = 0
        async for step in self._steps(kind, before, self._after.get(kind)):
            for ids in self._parts(await self._archived(step.event_ids)):
                forgotten += await self._paced(self._ledger.forget(ids, before))
            self._after[kind] = step.after
        return forgotten

    async def _forget_attempts(self, before_ms: int) -> None:
        more = True
        while more:
            step = await self._ledger.old_attempts(before_ms, self._after.get("attempts"), AT_ONCE)
            for ids in self._parts(await self._archived(step.event_ids)):
                await self._paced(self._ledger.forget_attempts(ids, before_ms))
            self._after["attempts"], more = step.after, step.more

    async def _archived(self, event_ids: Sequence[str]) -> Sequence[str]:
        """Those of these events that may go: where there is an archive, what it has."""
        if self._archive is None:
            return event_ids
        # What cannot be read cannot be archived, and stays.
        archived: list[str] = []
        async for some in self._wholes(event_ids):
            await self._archive.write(some)
            archived += [each.kept.event.id for each in some]
        return archived

    async def _wholes(self, event_ids: Sequence[str]) -> AsyncIterator[list[WholeEvent]]:
        """All there is of these events, as many at a time as may be in memory at once with their bodies."""
        some: list[WholeEvent] = []
        for start in range(0, len(event_ids), READ_AT_ONCE):
            some += await self._ledger.whole(event_ids[start : start + READ_AT_ONCE])
            if sum(len(each.kept.event.body) for each in some) > AT_ONCE_BYTES:
                yield some
                some = []
        if some:
            yield some

    async def _paced(self, step: Awaitable[T]) -> T:
        """Wait as long behind a transaction as it took, so that half of the writer's time is everybody else's.

        Behind, it waits less with every look that is due.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        result = await step
        await self._clock.sleep((loop.time() - began_s) / 2 ** min(self._looks_missed(), PAUSE_HALVED_MAX))
        return result

    def _parts(self, ids: Sequence[str]) -> list[Sequence[str]]:
        size = IN_ONE_BEHIND if self._looks_missed() else IN_ONE
        return [ids[start : start + size] for start in range(0, len(ids), size)]

    def _looks_missed(self) -> int:
        """How many looks have been due since this sweep began."""
        return int((asyncio.get_running_loop().time() - self._swept_since_s) / EVERY_S)
