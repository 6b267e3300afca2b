"""`jobs`: replays and discards of many, carried out by the gateways on this store."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query

from longstop.client.jobs import Job, JobRequest, JobSurvey
from longstop.client.models import Items
from longstop.edges.desk.behind import jobs_of
from longstop.edges.desk.lookups import delivery_rows
from longstop.edges.operators.api.access import Decider, Viewer, expect
from longstop.edges.operators.api.once import CarriedOut
from longstop.edges.operators.api.paging import AskedPage, items
from longstop.edges.operators.api.queries import Asked, filter_of
from longstop.edges.operators.api.replays import Why
from longstop.edges.operators.api.services import Services
from longstop.edges.rows.ids import ambiguous
from longstop.edges.rows.jobs import job_row, survey_row
from longstop.edges.rows.values import Row
from longstop.model.caller import Caller, Scope
from longstop.model.errors import NotFoundError
from longstop.model.job import Job as KeptJob
from longstop.model.job import JobState
from longstop.model.listing import Page
from longstop.operating import jobs as operating
from longstop.operating.survey import Survey

NO_REASON = Why()
LATEST = 50
"""Jobs that the stream tells of."""


def router(services: Services) -> APIRouter:
    """Looking at jobs."""
    api = APIRouter(prefix="/jobs", tags=["jobs"])

    @api.get("", response_model=Items[Job], summary="Jobs, and how far each is")
    async def jobs(
        _who: Viewer, page: AskedPage, state: Annotated[JobState | None, Query(description="Only those.")] = None
    ) -> Any:
        found = await services.store.find_jobs(state, page)
        now_ms = services.clock.now_ms()
        return await items(services, Job, (job_row(each, now_ms) for each in found.rows), found)

    @api.get("/{id}", response_model=Job, summary="One job")
    async def job(who: Viewer, id: str) -> Any:
        return job_row(await _meant(jobs_of(services, who), id), services.clock.now_ms())

    return api


async def latest(services: Services) -> list[Row]:
    """The jobs of late, for those who listen to the stream."""
    now_ms = services.clock.now_ms()
    return [job_row(each, now_ms) for each in (await services.store.find_jobs(None, Page(LATEST))).rows]


def deciding_router(services: Services) -> APIRouter:
    """Making jobs and stopping them."""
    api = APIRouter(prefix="/jobs", tags=["jobs"])

    @api.post(
        "",
        response_model=Job,
        status_code=202,
        responses={200: {"model": JobSurvey, "description": "With `dry_run`: what it would be of."}},
        summary="Replay or discard many",
    )
    async def make(who: Viewer, asked: JobRequest, once: CarriedOut) -> Any:
        """The job is of what matches now, and is carried out by whichever gateway delivers.

        Where nothing matches, it is done at once. It takes the scope `replay`; a dry run only counts.
        """
        if not asked.dry_run:
            expect(who, Scope.REPLAY)
        service, wanted = jobs_of(services, who), await _wanted(services, asked)

        async def dry() -> Row:
            return await _survey_row(services, await service.survey(wanted))

        async def create() -> Row:
            return job_row(await service.create(wanted), services.clock.now_ms())

        return await once(JobSurvey, dry) if asked.dry_run else await once(Job, create, 202)

    @api.post("/{id}/pause", response_model=Job, summary="Let a job rest")
    async def pause(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        """Nothing more is released. What was goes out: a quarter of a second's worth, or 100 for a destination."""
        return await once(Job, _change(services, who, id, lambda service, job: service.pause(job.id, asked.why)))

    @api.post("/{id}/resume", response_model=Job, summary="Let a job go on that rests, or that could not")
    async def resume(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        return await once(Job, _change(services, who, id, lambda service, job: service.resume(job.id, asked.why)))

    @api.post("/{id}/cancel", response_model=Job, summary="End a job")
    async def cancel(who: Decider, id: str, once: CarriedOut, asked: Why = NO_REASON) -> Any:
        """What it did stays done, and the rest stays as it is."""
        return await once(Job, _change(services, who, id, lambda service, job: service.cancel(job.id, asked.why)))

    return api


def _change(
    services: Services,
    who: Caller,
    id_: str,
    change: Callable[[operating.JobService, KeptJob], Awaitable[KeptJob]],
) -> Callable[[], Awaitable[Row]]:
    async def act() -> Row:
        service = jobs_of(services, who)
        return job_row(await change(service, await _meant(service, id_)), services.clock.now_ms())

    return act


async def _meant(service: operating.JobService, text: str) -> KeptJob:
    ids = await service.meant(text)
    if not ids:
        raise NotFoundError(f"no job has the id {text[:100]}; GET jobs lists them")
    if len(ids) > 1:
        raise ambiguous(text, ids)
    return await service.job(ids[0])


async def _wanted(services: Services, asked: JobRequest) -> operating.JobRequest:
    wanted = asked.filter
    words = Asked(
        wanted.state or "dead",
        wanted.reason,
        wanted.status,
        wanted.error,
        wanted.source,
        wanted.destination,
        wanted.type,
        wanted.key,
        wanted.since,
        wanted.until,
        wanted.contains,
    )
    found = await filter_of(services, "body.filter", words)
    return operating.JobRequest(
        asked.action, found, asked.why, asked.rate, asked.including_edited, asked.expected_count
    )


async def _survey_row(services: Services, survey: Survey) -> Row:
    return {**survey_row(survey), "sample": await delivery_rows(services, survey.sample)}
