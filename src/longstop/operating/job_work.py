"""One job in a worker's hands: what the next step decides, and when the one after it is due."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from longstop.model.delivery import Delivery, Wait
from longstop.model.errors import NotFoundError
from longstop.model.job import (
    LEASE_MS,
    WRITES_MAX,
    WRITES_OF_A_NEW_EVENT,
    Job,
    JobAction,
    JobDecision,
    JobError,
    JobStep,
    Released,
)
from longstop.model.listing import Page
from longstop.operating.replay import Replay, ReplayError, read_again_as
from longstop.ports import Clock, Store

AHEAD_MS = 250
"""With a rate: a delivery is released this long before its time. So long what is released goes out after a pause."""
WAITING_MAX = 100
"""So many of a job's wait for a destination at a time; the next are released as it tries them."""
HELD_MAX = 300
"""So many wait there behind others of their key. With more than that, the destination gets none before some went."""
PAGE = 200
"""Deliveries listed at once."""
LISTING_MS = 2_000
"""A step spends about so long on listing; a search that takes longer goes on in the next one."""
REST_MIN_S, REST_MAX_S = 0.02, 0.5
"""How long to wait while destinations are full: longer and longer as long as nothing moves."""
FULL_AFTER_MS = 2_000
"""A destination that has been full for so long is told."""


@dataclass(slots=True)
class _Stream:
    """The job's deliveries of one destination, in the order of ids."""

    place: str
    """Behind what was decided on or passed over."""
    listed_to: str
    rows: deque[Delivery] = field(default_factory=deque)
    ends: bool = False
    """Nothing comes behind `rows`."""


class _Room:
    """How much more each destination gets now. `most` None: as much as there is."""

    def __init__(self, most: int | None, released: Sequence[Released], now_ms: int) -> None:
        waiting = [each for each in released if each.waits]
        self.waiting = tuple(each.delivery.id for each in waiting)
        self.overdue = sum(not each.held and each.delivery.due_at_ms <= now_ms for each in waiting)
        """Those that might have gone out by now."""
        self._most = most
        self._free = Counter(each.delivery.destination for each in waiting if not each.held)
        self._held = Counter(each.delivery.destination for each in waiting if each.held)

    def is_full(self, destination: str) -> bool:
        """Whether it gets nothing more. What has no destination yet may be for any."""
        if self._most is None:
            return False
        if not destination:
            return any(map(self.is_full, {*self._free, *self._held} - {""}))
        return self._free[destination] >= self._most or self._held[destination] >= HELD_MAX

    def take(self, destinations: Sequence[str]) -> None:
        """Something is released for these."""
        self._free.update(destinations)


class JobWork:
    """Goes through a job, a turn at a time. `delivers`: as of JobRunner."""

    def __init__(self, store: Store, clock: Clock, replay: Replay, job: Job, delivers: bool) -> None:
        self._store = store
        self._clock = clock
        self._replay = replay
        self._job = job
        self._counted = delivers and job.action is JobAction.REPLAY
        self._interval_ms = 1000 / job.rate_per_s if job.rate_per_s else 0.0
        self._streams = {name: _Stream(place, place) for name, place in job.places.items()}
        self._next_ms = job.next_at_ms
        self._overdue_at_full = 0
        self._full_since: dict[str, int] = {}
        self._written_ms = clock.monotonic_ms()
        self._moved = len(job.waiting)
        self.rest_s = 0.0
        """How long to leave the job alone after this turn."""

    async def turn(self) -> Job | None:
        """Take the next step, if it is time for one; the job as it stands, None where it is another's or was stopped.

        Raises StoreUnavailableError: the step has happened whole or not at all, and the store knows which.
        """
        began_ms = self._clock.monotonic_ms()
        room = _Room(self._most(), await self._store.released(self._job.waiting), self._clock.now_ms())
        await self._list()
        decisions, errors = await self._decide(room)
        step = self._step(room, decisions, errors)
        if self._is_worth_writing(step):
            now = await self._store.advance_job(step)
            if now is None:
                return None
            self._job = now
            self._written_ms = self._clock.monotonic_ms()
        self._rest(room, step, self._clock.monotonic_ms() - began_ms)
        return self._job

    def _most(self) -> int | None:
        """How many wait for a destination at a time."""
        if not self._counted:
            return None
        if not self._interval_ms:
            return WAITING_MAX
        # What waits goes out at once when a destination is there again: with a rate, no more than belongs to its time.
        return min(WAITING_MAX, math.ceil(AHEAD_MS / self._interval_ms) + 1)

    # -- listing --------------------------------------------------------------------------------------

    async def _list(self) -> None:
        """Have the next few of each destination at hand, as far as there is time for it."""
        end_ms = self._clock.monotonic_ms() + LISTING_MS
        for name, stream in self._streams.items():
            while not stream.rows and not stream.ends and self._clock.monotonic_ms() < end_ms:
                await self._list_more(name, stream)
        self._streams = {name: each for name, each in self._streams.items() if each.rows or not each.ends}

    async def _list_more(self, name: str, stream: _Stream) -> None:
        page = Page(PAGE, stream.listed_to or None, newest_first=False, patience_ms=LISTING_MS // 4)
        listing = await self._store.find_deliveries(self._job.of_destination(name), page)
        stream.rows.extend(each for each in listing.rows if self._job.takes(each))
        if listing.next_after is None or listing.next_after >= self._job.last_id:
            stream.ends = True
            return
        stream.listed_to = listing.next_after
        if not stream.rows:
            stream.place = stream.listed_to

    # -- deciding -------------------------------------------------------------------------------------

    async def _decide(self, room: _Room) -> tuple[list[JobDecision], list[JobError]]:
        """Decide on the oldest of those whose destination takes more, and whose time has nearly come."""
        now_ms = self._clock.now_ms()
        slot_ms = self._first_slot_ms(now_ms, room)
        decisions: list[JobDecision] = []
        errors: list[JobError] = []
        writes = 0
        while slot_ms <= now_ms + AHEAD_MS and (name := self._oldest(room)) is not None:
            stream = self._streams[name]
            writes += WRITES_OF_A_NEW_EVENT if self._is_read_anew(stream.rows[0]) else 1
            if writes > WRITES_MAX:
                break
            delivery = stream.rows.popleft()
            stream.place = delivery.id if stream.rows or stream.ends else stream.listed_to
            decision = await self._decision(delivery, math.ceil(slot_ms))
            if isinstance(decision, JobError):
                errors.append(decision)
                continue
            decisions.append(decision)
            room.take([each.destination for each in decision.instead.deliveries] if decision.instead else [name])
            slot_ms += self._interval_ms
            self._next_ms = slot_ms
        return decisions, errors

    def _first_slot_ms(self, now_ms: int, room: _Room) -> float:
        """When the next one may go out.

        What is overdue goes first, and takes up its part of the rate: so nothing comes in a heap after a kill, or when
        a destination is there again. What was overdue at a full one and is gone went out just now.
        """
        if not self._interval_ms:
            return now_ms
        if self._next_ms > now_ms + AHEAD_MS + self._interval_ms:
            # Nobody has decided so far ahead: the clock was put back since.
            self._next_ms = now_ms + self._interval_ms
        self._next_ms = max(self._next_ms, now_ms + max(room.overdue, self._overdue_at_full) * self._interval_ms)
        return self._next_ms

    def _oldest(self, room: _Room) -> str | None:
        """The destination that has the oldest of those that may be decided on now; None where there is none."""
        heads = [
            (each.rows[0].id, name) for name, each in self._streams.items() if each.rows and not room.is_full(name)
        ]
        return min(heads)[1] if heads else None

    def _is_read_anew(self, delivery: Delivery) -> bool:
        return self._job.action is JobAction.REPLAY and not delivery.destination

    async def _decision(self, delivery: Delivery, due_at_ms: int) -> JobDecision | JobError:
        why = self._job.why
        if self._job.action is JobAction.DISCARD:
            return JobDecision(self._replay.give_up(delivery, why), delivery)
        if not self._is_read_anew(delivery):
            return JobDecision(self._replay.again(delivery, due_at_ms, why), delivery)
        try:
            plan = await self._replay.plan_again(delivery.event_id)
        except (ReplayError, NotFoundError) as error:
            return JobError(delivery.id, str(error))
        wait = Wait.REPLAY if due_at_ms > self._clock.now_ms() else None
        new = tuple(replace(each, due_at_ms=due_at_ms, wait=wait) for each in plan.append.deliveries)
        done_with = self._replay.give_up(delivery, read_again_as(plan.append.event))
        instead = replace(plan.append, deliveries=new)
        return JobDecision(done_with, delivery, instead, self._replay.record(plan, why))

    # -- the step -------------------------------------------------------------------------------------

    def _step(self, room: _Room, decisions: Sequence[JobDecision], errors: Sequence[JobError]) -> JobStep:
        now_ms = self._clock.now_ms()
        left = {name: each.place for name, each in self._streams.items() if each.rows or not each.ends}
        return JobStep(
            self._job.id,
            self._job.token,
            now_ms,
            now_ms + LEASE_MS,
            left,
            tuple(decisions),
            tuple(errors),
            room.waiting,
            self._counted,
            self._told_full(room),
            self._next_ms,
        )

    def _told_full(self, room: _Room) -> tuple[str, ...]:
        now_ms = self._clock.monotonic_ms()
        full = [name for name in self._streams if room.is_full(name)]
        self._overdue_at_full = room.overdue if full else 0
        self._full_since = {name: self._full_since.get(name, now_ms) for name in full}
        return tuple(name for name in full if now_ms - self._full_since[name] >= FULL_AFTER_MS)

    def _is_worth_writing(self, step: JobStep) -> bool:
        changed = step.decisions or step.errors or step.places != self._job.places or step.full != self._job.full
        return bool(changed) or self._clock.monotonic_ms() - self._written_ms >= LEASE_MS // 3

    def _rest(self, room: _Room, step: JobStep, took_ms: int) -> None:
        """Choose when the next turn is."""
        moved, self._moved = len(room.waiting) != self._moved, len(self._job.waiting)
        if self._oldest(room) is None and step.places and not self._is_unlisted():
            self.rest_s = REST_MIN_S if step.decisions or moved else min(REST_MAX_S, max(self.rest_s, REST_MIN_S) * 2)
        elif self._interval_ms:
            ahead_s = (self._next_ms - AHEAD_MS / 2 - self._clock.now_ms()) / 1000
            self.rest_s = min(max(ahead_s, 0.0), LEASE_MS / 3000)
        else:
            # As long as it took: half of the writer's time is everybody else's.
            self.rest_s = took_ms / 1000

    def _is_unlisted(self) -> bool:
        return any(not each.rows and not each.ends for each in self._streams.values())
