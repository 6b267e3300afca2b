"""A job as a value of JSON and back, without a loss: the form in which a store may keep it."""

import base64
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from longstop.model.delivery import DeadReason, State
from longstop.model.job import Job, JobAction, JobError, JobState
from longstop.model.listing import DeliveryFilter

Record = dict[str, Any]


def filter_record(wanted: DeliveryFilter) -> Record:
    """A filter; what is not asked for is left out."""
    given = {each.name: getattr(wanted, each.name) for each in fields(wanted)}
    record = {name: each for name, each in given.items() if each is not None}
    if wanted.contains is not None:
        record["contains"] = base64.b64encode(wanted.contains).decode()
    return record


def filter_of(record: Mapping[str, Any]) -> DeliveryFilter:
    """The filter of a record. Raises ValueError, TypeError where it is none, or has what this version cannot read."""
    given = dict(record)
    if "state" in given:
        given["state"] = State(given["state"])
    if "reason" in given:
        given["reason"] = DeadReason(given["reason"])
    if "contains" in given:
        given["contains"] = base64.b64decode(given["contains"], validate=True)
    return DeliveryFilter(**given)


def job_record(job: Job) -> Record:
    """A job."""
    record = {each.name: getattr(job, each.name) for each in fields(job)}
    record["wanted"] = filter_record(job.wanted)
    record["errors"] = [[each.delivery_id, each.error] for each in job.errors]
    record["places"] = dict(job.places)
    record["waiting"], record["full"] = list(job.waiting), list(job.full)
    return record


def job_of(record: Mapping[str, Any]) -> Job:
    """The job of a record. Raises ValueError, TypeError as `filter_of` does."""
    given = dict(record)
    given["action"], given["state"] = JobAction(given["action"]), JobState(given["state"])
    given["wanted"] = filter_of(given["wanted"])
    given["errors"] = tuple(JobError(id_, error) for id_, error in given["errors"])
    given["waiting"], given["full"] = tuple(given["waiting"]), tuple(given["full"])
    return Job(**given)
