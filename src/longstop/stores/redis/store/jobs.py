"""What is done with many: ports.Jobs over Redis."""

import json
from collections.abc import Callable, Mapping, Sequence

from longstop.model.action import ActionRecord
from longstop.model.delivery import Delivery
from longstop.model.errors import StoreUnavailableError, TransitionError
from longstop.model.job import OVER, Job, JobChange, JobDecision, JobState, JobStep, Released
from longstop.model.job_record import job_of, job_record
from longstop.model.listing import Listing, Page
from longstop.stores.redis.packing import item, pack, pack_action, pack_delivery, pack_edit, to_delivery
from longstop.stores.redis.reading import RedisReading, readable
from longstop.stores.redis.records import TURNS_MAX, Change, RedisRecords

RUNNING_MAX = 1_000
"""More jobs than that do not run at a time."""
AT_ONCE = 500


class RedisJobs(RedisRecords, RedisReading):
    """See ports.Jobs."""

    async def add_job(self, job: Job) -> None:
        """See ports.Jobs."""
        if not await self._change(_put(job, None, None)):
            raise ValueError(f"job {job.id} is already kept")

    async def job(self, job_id: str) -> Job | None:
        """See ports.Jobs."""
        kept = await self._record("jobs", job_id)
        return None if kept is None else _job(kept)

    async def find_jobs(self, state: JobState | None, page: Page) -> Listing[Job]:
        """See ports.Jobs."""
        ids = await self._ids("jobs:ids" if state is None else f"jobs:state:{state}", page)
        shown = ids[: page.limit]
        kept = await self._records("jobs", shown)
        rows = tuple(_job(each) for each in kept if each is not None)
        return Listing(rows, shown[-1] if len(ids) > page.limit else None)

    async def change_job(self, change: JobChange) -> Job | None:
        """See ports.Jobs."""
        return await self._change_job(change.job_id, lambda job: job.after(change))

    async def _change_job(self, job_id: str, changed: Callable[[Job], Job | None]) -> Job | None:
        """Put in place what `changed` makes of a job; None where it makes nothing of it, or there is none."""
        for _ in range(TURNS_MAX):
            kept = await self._record("jobs", job_id)
            if kept is None:
                return None
            before = _job(kept)
            try:
                after = changed(before)
            except TransitionError:
                return None
            if after is None or await self._change(_put(after, before, kept)):
                return after
        raise StoreUnavailableError("the job is changed again and again by others")

    async def lease_jobs(
        self, worker: str, now_ms: int, until_ms: int, limit: int, job_id: str | None = None
    ) -> Sequence[Job]:
        """See ports.Jobs."""
        running = await self._ids("jobs:state:running", Page(RUNNING_MAX, newest_first=False))
        taken: list[Job] = []
        for id_ in running if job_id is None else [job_id]:
            if len(taken) >= limit:
                break
            job = await self._change_job(
                id_, lambda job: job.leased(worker, now_ms, until_ms) if job.is_free(now_ms) else None
            )
            taken += [] if job is None else [job]
        return taken

    async def advance_job(self, step: JobStep) -> Job | None:
        """See ports.Jobs."""
        apart = await self._put_bodies([each.instead for each in step.decisions if each.instead is not None])
        for _ in range(TURNS_MAX):
            kept = await self._record("jobs", step.job_id)
            before = None if kept is None else _job(kept)
            if before is None or not before.is_held_by(step.token):
                return None
            decided = await self._decided(step.decisions, apart)
            after = before.advanced(step, [each is not None for each in decided])
            asked = [_put(after, before, kept).packed(), [each for each in decided if each is not None]]
            (done,) = await self.call("advance_job", pack(asked))
            if done:
                return after
        raise StoreUnavailableError("the job's deliveries are changed again and again by others")

    async def _decided(self, decisions: Sequence[JobDecision], apart: Mapping[str, str]) -> list[list[object] | None]:
        """Of each decision what functions/jobs.lua wants; None where the delivery is not as it was seen."""
        ids = [each.action.delivery_id for each in decisions]
        rows = dict(zip(ids, await self._packed_deliveries(ids), strict=True))
        decided: list[list[object] | None] = []
        for each in decisions:
            # Of two about the same delivery the second has seen what the first is about to change.
            row = rows.pop(each.action.delivery_id, None)
            after = None if row is None else _after(each, row)
            decided.append(None if row is None or after is None else _as_asked(each, row, after, apart))
        return decided

    async def give_up_job(self, job_id: str, token: int) -> None:
        """See ports.Jobs."""
        await self._change_job(job_id, lambda job: job.given_up() if job.is_held_by(token) else None)

    async def released(self, delivery_ids: Sequence[str]) -> Sequence[Released]:
        """See ports.Jobs."""
        found = zip(delivery_ids, await self._ask_each("standing", list(delivery_ids)), strict=True)
        there = [(readable(to_delivery, each[0], id_), bool(each[1])) for id_, each in found if each]
        return [Released(delivery, held) for delivery, held in there if delivery is not None]

    async def forget_jobs(self, before_ms: int) -> int:
        """See ports.Jobs."""
        forgotten = 0
        while over := await self._by_score("jobs:over", "-inf", f"({before_ms}", AT_ONCE):
            kept = zip(over, await self._records("jobs", over), strict=True)
            gone = await self._change_each([_forgotten(id_, raw) for id_, raw in kept if raw is not None])
            if not any(gone):
                break
            forgotten += sum(gone)
        return forgotten


def _job(raw: bytes) -> Job:
    return job_of(json.loads(raw))


def _put(job: Job, before: Job | None, seen: bytes | None) -> Change:
    """A job in the place of what it was."""
    adds = [("jobs:ids", 0, job.id), (f"jobs:state:{job.state}", 0, job.id)]
    adds += [("jobs:over", job.state_at_ms, job.id)] if job.state in OVER else []
    drops = [] if before is None else [(f"jobs:state:{before.state}", job.id)]
    return Change("jobs", job.id, json.dumps(job_record(job)).encode(), seen, adds, drops)


def _forgotten(id_: str, seen: bytes) -> Change:
    orders = ("jobs:ids", f"jobs:state:{_job(seen).state}", "jobs:over")
    return Change("jobs", id_, None, seen, drops=[(order, id_) for order in orders])


def _after(decision: JobDecision, row: bytes) -> Delivery | None:
    delivery = readable(to_delivery, row, decision.action.delivery_id)
    if delivery is None or not decision.holds(delivery):
        return None
    try:
        return delivery.after(decision.action.transition)
    except TransitionError:
        return None


def _as_asked(decision: JobDecision, row: bytes, after: Delivery, apart: Mapping[str, str]) -> list[object]:
    action = decision.action
    record = ActionRecord(action.transition.trigger, action.transition.at_ms, action.by, action.why)
    made: list[object] = [action.delivery_id, row, pack_delivery(after), pack_action(record), record.at_ms]
    if decision.instead is None or decision.edit is None:
        return [*made, False]
    instead = item(decision.instead, apart.get(decision.instead.event.id))
    return [*made, instead, decision.edit.parent, pack_edit(decision.edit)]
