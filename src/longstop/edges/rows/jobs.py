"""Rows of jobs, and of what one would be of."""

from longstop.edges.rows.deliveries import dead_row
from longstop.edges.rows.known import QUARANTINE
from longstop.edges.rows.values import Row, rfc3339, text_or_base64
from longstop.model.job import Job, JobState
from longstop.model.listing import DeliveryFilter
from longstop.operating.survey import Survey


def job_row(job: Job, now_ms: int) -> Row:
    """The stable fields of a job."""
    return {
        "id": job.id,
        "action": job.action.value,
        "filter": filter_row(job.wanted),
        "including_edited": job.including_edited,
        "rate": job.rate_per_s,
        "why": job.why,
        "by": job.by,
        "state": job.state.value,
        "state_at": rfc3339(job.state_at_ms),
        "state_by": job.state_by,
        "state_why": job.state_why,
        "paused_by": job.state_by if job.state is JobState.PAUSED else None,
        "total": job.total,
        "exact": job.exact,
        "done": job.done,
        "failed": job.failed,
        "skipped": job.skipped,
        "waits_for": [name or QUARANTINE for name in job.full],
        "eta_s": eta_s(job, now_ms),
        "created_at": rfc3339(job.created_at_ms),
        "started_at": rfc3339(job.started_at_ms),
        "ended_at": rfc3339(job.ended_at_ms),
        "errors": [{"id": each.delivery_id, "error": each.error} for each in job.errors],
    }


def eta_s(job: Job, now_ms: int) -> float | None:
    """In how many seconds it may be done: by its rate, or as fast as it went so far; None where that is not known."""
    left = job.total - job.gone_through
    if job.state is not JobState.RUNNING or left < 0:
        return None
    if job.rate_per_s is not None:
        return round(left / job.rate_per_s, 1)
    if job.started_at_ms is None or not job.gone_through:
        return None
    return round(left * max(now_ms - job.started_at_ms, 0) / job.gone_through / 1000, 1)


def filter_row(wanted: DeliveryFilter) -> Row:
    """A filter by the names of the listing's options; what is not asked for is left out."""
    since_ms = wanted.since_ms if wanted.since_ms is not None else wanted.received_since_ms
    until_ms = wanted.until_ms if wanted.until_ms is not None else wanted.received_until_ms
    row = {
        "state": "held" if wanted.held else wanted.state.value if wanted.state else None,
        "reason": wanted.reason.value if wanted.reason else None,
        "status": wanted.status,
        "error": wanted.error,
        "source": wanted.source,
        "destination": QUARANTINE if wanted.destination == "" else wanted.destination,
        "type": wanted.type,
        "key": wanted.key,
        "since": rfc3339(since_ms),
        "until": rfc3339(until_ms),
        "contains": text_or_base64(wanted.contains),
    }
    return {name: value for name, value in row.items() if value is not None}


def survey_row(survey: Survey) -> Row:
    """The stable fields of a dry run."""
    return {
        "count": survey.count,
        "exact": survey.exact,
        "destinations": {name or QUARANTINE: count for name, count in survey.destinations.items()},
        "keys": survey.keys,
        "oldest_at": rfc3339(survey.oldest_at_ms),
        "newest_at": rfc3339(survey.newest_at_ms),
        "sample": [dead_row(delivery) for delivery in survey.sample],
    }
