"""What is done with many: ports.Jobs over DynamoDB."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from longstop.model.delivery import State
from longstop.model.errors import TransitionError, UnreadableRowError
from longstop.model.job import OVER, Job, JobChange, JobDecision, JobState, JobStep, Released
from longstop.model.job_record import job_of, job_record
from longstop.model.listing import Listing, Page
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.packing import to_delivery
from longstop.stores.aws.records import AwsRecords, Order, raw_of, record_item
from longstop.stores.aws.store.decisions import AwsDecisions
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import readable

RUNNING_MAX = 1_000
"""More jobs than that do not run at a time."""
DECISION_ITEMS = 14
"""At most: where the delivery lay and where it lies, the action and its number, its lane, that one's head and whom it
lets go first, of the dead its key and three counters, the counter of its state."""
NEW_EVENT_ITEMS = 6
"""On top, where an event is kept in its place: that, its edit, its parent, its counters, the marks."""
NEW_DELIVERY_ITEMS = 6
"""Of each of that one's deliveries: it, its lane and whom that lets go, its counter."""
_JOB_ITEMS = 1

_Names = Mapping[str, str]
_Advance = tuple[Job | None, int | None]
"""A job after some of a step's decisions, and how many; None: all. No job: the step was not taken."""


class AwsJobs(AwsRecords, AwsDecisions):
    """See ports.Jobs."""

    async def add_job(self, job: Job) -> None:
        """See ports.Jobs."""
        if not await self._add(_item(job)):
            raise ValueError(f"job {job.id} is already kept")

    async def job(self, job_id: str) -> Job | None:
        """See ports.Jobs."""
        found = await self.table.get([_key(job_id)])
        return _job(found[_key(job_id)]) if found else None

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        """See ports.Jobs."""
        order = Order(keys.JOBS) if state is None else Order(keys.JOBS, "turn", f"{state}#")
        return await self._page(order, page, _job)

    async def change_job(self, change: JobChange) -> Job | None:
        """See ports.Jobs."""
        return await self._change_job(change.job_id, lambda job: job.after(change))

    async def _change_job(self, job_id: str, changed: Callable[[Job], Job | None]) -> Job | None:
        """Put in place what `changed` makes of a job; None where it makes nothing of it, or there is none."""

        def make(kept: Item | None) -> Item | None:
            try:
                after = None if kept is None else changed(_job(kept))
            except TransitionError:
                return None
            return None if after is None else _item(after)

        item = await self._change(_key(job_id), make)
        return None if item is None else _job(item)

    async def lease_jobs(
        self, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None = None
    ) -> Sequence[Job]:
        """See ports.Jobs."""
        rows = await self._running() if job_id is None else (await self.table.get([_key(job_id)])).values()
        taken: list[Job] = []
        for free in [each for each in readable(rows, _job) if each.is_free(now_ms)]:
            if len(taken) >= limit:
                break
            job = await self._change_job(
                free.id, lambda job: job.leased(worker, now_ms, until_ms) if job.is_free(now_ms) else None
            )
            taken += [] if job is None else [job]
        return taken

    async def _running(self) -> list[Item]:
        order = Order(keys.JOBS, "turn", f"{JobState.RUNNING}#")
        return await self._rows(order, Page(RUNNING_MAX, newest_first=False))

    async def give_up_job(self, job_id: str, token: int) -> None:
        """See ports.Jobs."""
        await self._change_job(job_id, lambda job: job.given_up() if job.is_held_by(token) else None)

    async def forget_jobs(self, before_ms: int) -> int:
        """See ports.Jobs."""
        return await self._drop_over(keys.JOBS, "expires", before_ms)

    # -- steps --------------------------------------------------------------------------------

    async def advance_job(self, step: JobStep) -> Job | None:
        """See ports.Jobs.

        A transaction writes 100 items, which may be less than the step. Then it is several smaller ones, each whole and
        each with the places behind what it decided: whoever goes on after a kill in between begins there.
        """
        apart = await self.put_bodies([each.instead for each in step.decisions if each.instead is not None])
        left = step
        while True:
            job, done = await self._run(self._advancing(left, apart), self._needs(left))
            if job is None or done is None:
                break
            left = left.rest(done, job)
        return job

    def _needs(self, step: JobStep) -> list[Key]:
        needs = [_key(step.job_id)]
        for each in step.decisions:
            id_, lane = each.seen.id, each.seen.lane
            needs += [*self.deliveries.keys(id_), keys.last_action(id_)]
            partition = None if lane is None else keys.lane(each.seen.destination, lane)
            needs += [] if partition is None else [(partition, id_), (partition, keys.LANE_HEAD)]
        return needs

    def _advancing(self, step: JobStep, apart: _Names) -> Callable[[View[_Advance]], Awaitable[_Advance]]:
        """A unit: as many of a step's decisions as a transaction takes. apart: see `keep_edited`, by event."""
        made: _Advance = (None, None)

        async def unit(view: View[Any]) -> _Advance:
            nonlocal made
            kept = await view.get(_key(step.job_id))
            job = None if kept is None else _job(kept)
            if view.again and job == made[0]:
                return made
            if job is None or not job.is_held_by(step.token):
                return None, None
            carried_out = await self._decide_some(view, step.decisions, apart)
            done = len(carried_out)
            part = step if done == len(step.decisions) else step.first(done, job)
            after = job.advanced(part, carried_out)
            await view.put(_item(after))
            made = after, None if part is step else done
            return made

        return unit

    async def _decide_some(self, view: View[Any], decisions: Sequence[JobDecision], apart: _Names) -> list[bool]:
        """Carry out the first of these, as many as there is room for; for each, whether its delivery was as seen."""
        carried_out: list[bool] = []
        for each in decisions:
            if carried_out and not _has_room(view, each):
                break
            carried_out.append(await self._decide(view, each, apart))
        return carried_out

    async def _decide(self, view: View[Any], decision: JobDecision, apart: _Names) -> bool:
        """Carry out one, if its delivery stands as it was seen."""
        try:
            now = await self.deliveries.get(view, decision.action.delivery_id)
        except UnreadableRowError:
            return False
        if not decision.holds(now) or await self.carry_out(view, decision.action) is None:
            return False
        if decision.instead is not None and decision.edit is not None:
            await self.keep_edited(view, decision.instead, decision.edit, apart.get(decision.edit.event_id))
        return True

    async def released(self, delivery_ids: Sequence[str]) -> Sequence[Released]:
        """See ports.Jobs."""
        rows = await self.delivery_rows(delivery_ids)
        return list(readable(rows.values(), _released))


def _has_room(view: View[Any], decision: JobDecision) -> bool:
    """Whether it surely fits into the transaction, too."""
    items, size = DECISION_ITEMS + _JOB_ITEMS, 0
    if decision.instead is not None:
        items += NEW_EVENT_ITEMS + NEW_DELIVERY_ITEMS * len(decision.instead.deliveries)
        size = len(decision.instead.event.body)
    return view.has_room(items, size)


def _released(row: Item) -> Released:
    delivery = to_delivery(row)
    return Released(delivery, delivery.state is State.SCHEDULED and "turn" not in row)


def _key(job_id: str) -> Key:
    return keys.JOBS, job_id


def _item(job: Job) -> Item:
    """With its place among those of its state, and when it was over."""
    over = {"expires": f"{number(job.state_at_ms)}#{job.id}"} if job.state in OVER else {}
    return record_item(_key(job.id), job_record(job), turn=f"{job.state}#{job.id}", **over)


def _job(item: Item) -> Job:
    """Raises UnreadableRowError."""
    try:
        return job_of(json.loads(raw_of(item)))
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableRowError("a job", f"{item['sk']!r}: {error}") from error
