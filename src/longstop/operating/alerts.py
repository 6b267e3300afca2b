"""Alerts: looking for what is wrong, deciding what people are told, and putting that into the queue.

Decided is in the book (`model.alert_book`), which names what is to be told before it is in the queue; putting it there
once more after a crash changes nothing, since the queue knows each notice by its id. So no restart repeats or forgets
one, and of several nodes that look, each notice is told once: the book is changed by whoever knows its version.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import structlog

from longstop.model import alert_conditions
from longstop.model.alert import Notice, Status
from longstop.model.alert_book import AlertBook, Silence
from longstop.model.alert_channel import AlertsSettings
from longstop.model.alert_conditions import DEAD_GROUPS_LOOKED_AT, Condition, SilentSource
from longstop.model.alert_rules import after_circuit, tested, watch
from longstop.model.append import Append
from longstop.model.breaker import CircuitChange
from longstop.model.errors import StoreUnavailableError
from longstop.model.ids import IdFactory
from longstop.model.job import JobState
from longstop.model.listing import Page
from longstop.model.silence import is_silent
from longstop.operating.alert_events import deliveries_of, event_of, takes
from longstop.operating.silence import SilenceWatch
from longstop.ports import AlertListener, Clock, Store

log = structlog.get_logger("longstop.operating.alerts")

LOOK_EVERY_S = 15.0
OUTBOX_EVERY_S = 1.0
"""How soon what another process has decided is put into the queue: not every store wakes for a change of the book."""
TRIES = 5
JOBS_LOOKED_AT = 20
_TOLD_JOBS = (JobState.DONE, JobState.FAILED)
"""So often the book is changed again when another process was quicker."""
DEDUP_MS = 86_400_000
"""For so long a notice is known by its id: longer than any crash lies between a decision and the queue."""


@dataclass(slots=True)
class _Look:
    """What one look found."""

    seen: list[Condition] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    """What could be looked at."""

    def add(self, kinds: Collection[str], conditions: Sequence[Condition]) -> None:
        """These kinds were looked at, and this was found."""
        self.kinds |= set(kinds)
        self.seen += conditions


class Alerts:
    """What is wrong is told, by this process or by another on the same store.

    sources: the names of those that are configured. node: the name of the machine that looks at the disk. free_bytes:
    the room on the store's disk; None: it has none here.
    listeners: hear of every alert but those about circuits, of which they hear from whoever changes one.
    told: what may be told of why a circuit is open, which has the words of a destination in it.
    """

    def __init__(
        self,
        store: Store,
        settings: AlertsSettings,
        sources: Collection[str],
        clock: Clock,
        ids: IdFactory,
        node: str = "",
        free_bytes: Callable[[], int] | None = None,
        listeners: Sequence[AlertListener] = (),
        told: Callable[[str], str] = str,
    ) -> None:
        self._store = store
        self._channels = settings.channels
        self._policy = settings.policy
        self._sources = frozenset(sources)
        self._clock = clock
        self._ids = ids
        self._node = node
        self._free_bytes = free_bytes
        self._listeners = listeners
        self._told = told
        self._silences = SilenceWatch(store, clock)
        self._changes: list[CircuitChange] = []
        self._wake = asyncio.Event()

    # -- what goes on ------------------------------------------------------------------------------

    def circuit_changed(self, change: CircuitChange) -> None:
        """Hear of a circuit that this process has opened or closed, and tell of it soon."""
        self._changes.append(change)
        self._wake.set()

    async def run(self) -> None:
        """Look for ever, and put into the queue at once what this process or another has decided."""
        next_look_ms = self._clock.monotonic_ms()
        while True:
            self._wake.clear()
            try:
                await self._circuits()
                if self._clock.monotonic_ms() >= next_look_ms:
                    next_look_ms = self._clock.monotonic_ms() + round(LOOK_EVERY_S * 1000)
                    await self.look()
                await self.send()
            except StoreUnavailableError as error:
                log.debug("alerts_failed", error=str(error))
            await self._pause()

    async def _pause(self) -> None:
        """Until a circuit changes, or another process may have decided something."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTBOX_EVERY_S):
                await self._wake.wait()

    async def stop(self) -> None:
        """Put what is decided into the queue; the next start sends it."""
        with contextlib.suppress(StoreUnavailableError):
            await self._circuits()
            await self.send()

    async def _circuits(self) -> None:
        while self._changes:
            await self.changed(self._changes[0])
            del self._changes[0]

    # -- deciding ----------------------------------------------------------------------------------

    async def look(self) -> None:
        """Look once at everything, and decide what there is to tell. Raises StoreUnavailableError."""
        now_ms = self._clock.now_ms()
        found = await self._look(now_ms)
        counts, rejections = await self._store.counts(), await self._store.rejection_counts()

        def decide(book: AlertBook) -> AlertBook:
            refused, baselines = alert_conditions.refused(book, rejections, counts, self._sources, self._policy, now_ms)
            # Of a spool each gateway tells itself; one that an older version has told of here is over.
            kinds, seen = {*found.kinds, "refused", "spool"}, [*found.seen, *refused]
            if self._free_bytes is not None:
                kinds.add("disk_low")
                standing = book.standing.get(f"disk_low:{self._node}")
                seen += alert_conditions.disk(self._free_bytes(), self._node, standing, self._policy)
            decided = watch(book, seen, kinds, self._policy, now_ms, self._make_id)
            return replace(decided, refused=baselines)

        await self._change(decide)

    async def changed(self, change: CircuitChange) -> None:
        """Decide what is told of a circuit that was opened or closed, by whoever knows why.

        Raises StoreUnavailableError.
        """
        now_ms, change = self._clock.now_ms(), replace(change, why=self._told(change.why))
        await self._change(lambda book: after_circuit(book, change, self._policy, now_ms, self._make_id))

    async def test(self, channel: str, by: str) -> Notice:
        """Have a channel told of nothing, for `by` who asked for it. Raises StoreUnavailableError."""
        notice = tested(channel, by, self._clock.now_ms(), self._make_id)
        await self._change(lambda book: replace(book, outbox=(*book.outbox, notice)))
        return notice

    async def silence(self, silence: Silence) -> None:
        """Let nothing be told of that until then. Raises StoreUnavailableError."""
        await self._change(lambda book: book.with_silence(silence))

    async def unsilence(self, kind: str, subject: str | None) -> bool:
        """End that silence; False where there is none. Raises StoreUnavailableError."""
        before = await self._store.alert_book()
        await self._change(lambda book: book.without_silence(kind, subject))
        return any((each.kind, each.subject) == (kind, subject) for each in before.silences)

    async def _look(self, now_ms: int) -> _Look:
        look, store = _Look(), self._store
        look.add(["dead_letters"], alert_conditions.dead_letters(await store.dead_groups(None, DEAD_GROUPS_LOOKED_AT)))
        circuits = [replace(each, why=self._told(each.why)) for each in await store.circuits()]
        look.add(["circuit"], alert_conditions.circuits(circuits))
        backlog = alert_conditions.backlog(await store.counts(), await store.pauses(), self._policy, now_ms)
        look.add(["backlog"], backlog)
        look.add(["node_lost"], alert_conditions.lost_nodes(await store.nodes(), now_ms))
        silent = await self._silent(now_ms)
        if silent is not None:
            look.add(["source_silent"], alert_conditions.silent(silent, now_ms))
        jobs = [job for state in _TOLD_JOBS for job in (await store.find_jobs(state, Page(JOBS_LOOKED_AT))).rows]
        look.add(["job_done"], alert_conditions.ended_jobs(jobs, now_ms))
        return look

    async def _silent(self, now_ms: int) -> list[SilentSource] | None:
        """The sources that are silent for longer than they ever are; None where nobody accepts, and so nobody knows."""
        begun_ms = [
            each.started_at_ms for each in await self._store.nodes() if each.runs(now_ms) and "ingest" in each.roles
        ]
        if not begun_ms:
            return None
        silent = []
        for name in sorted(self._sources):
            known = await self._silences.look(name)
            if known.silent and known.last_event_at_ms is not None and known.usual_gap_ms is not None:
                # While nobody accepted, it may have sent in vain.
                heard_ms = max(known.last_event_at_ms, min(begun_ms))
                if is_silent(heard_ms, known.usual_gap_ms, now_ms):
                    silent.append(SilentSource(name, known.last_event_at_ms, known.usual_gap_ms))
        return silent

    async def _change(self, decide: Callable[[AlertBook], AlertBook]) -> None:
        """Have the book as `decide` makes it of the kept one; it is asked again where somebody was quicker.

        Raises StoreUnavailableError, also where somebody is quicker each time.
        """
        for _ in range(TRIES):
            book = await self._store.alert_book()
            changed = decide(book)
            if changed == book or await self._store.keep_alert_book(changed):
                return
        raise StoreUnavailableError(f"the book of alerts was changed by others {TRIES} times in a row")

    # -- sending -----------------------------------------------------------------------------------

    async def send(self) -> None:
        """Put what is decided into the queue. Raises StoreUnavailableError."""
        while (book := await self._store.alert_book()).outbox:
            appends = [append for each in book.outbox if (append := self._append(each)) is not None]
            if appends:
                await self._store.append(appends)
            if await self._store.keep_alert_book(replace(book, outbox=())):
                # Who takes it out of the book is the one that says so.
                for notice in book.outbox:
                    self._report(notice)

    def _append(self, notice: Notice) -> Append | None:
        """The notice as an event with a delivery to each channel that takes it; None where none does."""
        channels = [each for each in self._channels if takes(each, notice)]
        if not channels:
            return None
        now_ms = self._clock.now_ms()
        event = event_of(notice, self._ids, now_ms)
        return Append(event, deliveries_of(event, notice, channels, self._ids), now_ms + DEDUP_MS)

    def _report(self, notice: Notice) -> None:
        for alert in notice.alerts:
            say = log.info if alert.status is Status.RESOLVED else log.warning
            say("alert", alert=alert.alert, status=str(alert.status), about=alert.name, severity=str(alert.severity))
            if notice.kind not in ("circuit", "test"):
                for listener in self._listeners:
                    listener.tell(alert)

    def _make_id(self) -> str:
        return self._ids.make(self._clock.now_ms())
