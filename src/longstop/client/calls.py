"""What can be asked of the API: each call as a value, so that both clients share all but the waiting."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from longstop.client import jobs as job_models
from longstop.client import models, places

T = TypeVar("T", bound=BaseModel)

PREFIX = "/api/v1"
ATTEMPTS = 4
"""How often a call is tried in all."""
WAIT_MAX_S = 30.0
"""The longest wait between two, whatever Retry-After says."""
ASKED_AGAIN = (429, 503)
"""The statuses that say: later."""

Query = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what its answer is."""

    method: str
    path: str
    answer: type[T]
    query: Query = field(default_factory=dict)
    body: Mapping[str, Any] | None = None

    def params(self) -> dict[str, str]:
        """The query as it is sent; what is None is left out."""
        given = {name: value for name, value in self.query.items() if value is not None}
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}

    def content(self) -> bytes | None:
        """The body as it is sent."""
        return None if self.body is None else json.dumps(self.body).encode()


def path(*parts: str) -> str:
    """A path below PREFIX; each part is one segment, whatever is in it."""
    return "/".join((PREFIX, *(quote(part, safe="") for part in parts)))


def wait_s(attempt: int, status: int | None, retry_after: str | None) -> float | None:
    """How long to wait before asking again; None: not at all. attempt: 1 for the first; status None: no answer."""
    if attempt >= ATTEMPTS or (status is not None and status not in ASKED_AGAIN):
        return None
    try:
        asked_s = float(retry_after or "")
    except ValueError:
        asked_s = 0.5 * 2.0 ** (attempt - 1)
    return min(max(asked_s, 0.0), WAIT_MAX_S)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# -- events -----------------------------------------------------------------------------------------


def events(query: Query) -> Call[models.Items[models.Event]]:
    """One page of events."""
    return Call("GET", path("events"), models.Items[models.Event], query)


def event(id_: str) -> Call[models.EventDetail]:
    """One event."""
    return Call("GET", path("events", id_), models.EventDetail)


def curl(id_: str, destination: str | None) -> Call[models.Text]:
    """The command that sends it."""
    return Call("GET", path("events", id_, "curl"), models.Text, {"destination": destination})


def _replay(to: Sequence[str], body: bytes | None, why: str | None) -> dict[str, Any]:
    text = None if body is None else base64.b64encode(body).decode()
    return _given(to=list(to), body_base64=text, why=why)


def replay_event(id_: str, to: Sequence[str], body: bytes | None, why: str | None) -> Call[models.Results]:
    """Send an event again."""
    return Call("POST", path("events", id_, "replay"), models.Results, body=_replay(to, body, why))


def plan_replay(id_: str, to: Sequence[str], body: bytes | None) -> Call[models.ReplayPlan]:
    """What that would come to."""
    asked = {**_replay(to, body, None), "dry_run": True}
    return Call("POST", path("events", id_, "replay"), models.ReplayPlan, body=asked)


# -- deliveries -------------------------------------------------------------------------------------


def deliveries(query: Query) -> Call[models.Items[models.Delivery]]:
    """One page of deliveries."""
    return Call("GET", path("deliveries"), models.Items[models.Delivery], query)


def delivery(id_: str) -> Call[models.DeliveryDetail]:
    """One delivery."""
    return Call("GET", path("deliveries", id_), models.DeliveryDetail)


def sent_request(id_: str, attempt: int | None) -> Call[models.SentRequest]:
    """The request of an attempt."""
    return Call("GET", path("deliveries", id_, "request"), models.SentRequest, {"attempt": attempt})


def attempts(id_: str) -> Call[models.Items[models.Attempt]]:
    """Its attempts."""
    return Call("GET", path("deliveries", id_, "attempts"), models.Items[models.Attempt])


def decide(id_: str, decision: str, why: str | None) -> Call[models.Result]:
    """replay, discard or expedite."""
    return Call("POST", path("deliveries", id_, decision), models.Result, body=_given(why=why))


def dead_groups(destination: str | None, limit: int, step_s: int, steps: int) -> Call[models.DeadGroups]:
    """What is dead, by what it died of, and when it died."""
    query = {"destination": destination, "limit": limit, "step": step_s, "steps": steps}
    return Call("GET", path("dead-letters", "groups"), models.DeadGroups, query)


def conversation(key: str, query: Query) -> Call[models.Conversation]:
    """One page of a key's events."""
    return Call("GET", path("keys", key), models.Conversation, query)


# -- jobs -------------------------------------------------------------------------------------------


def _job(action: str, filters: Query, **values: Any) -> dict[str, Any]:
    return {"action": action, "filter": _given(**filters), **_given(**values)}


def make_job(
    action: str, filters: Query, rate: float | None, why: str | None, including_edited: bool
) -> Call[job_models.Job]:
    """Replay or discard many."""
    asked = _job(action, filters, rate=rate, why=why, including_edited=including_edited)
    return Call("POST", path("jobs"), job_models.Job, body=asked)


def plan_job(action: str, filters: Query, including_edited: bool) -> Call[job_models.JobSurvey]:
    """What that would be of."""
    asked = _job(action, filters, including_edited=including_edited, dry_run=True)
    return Call("POST", path("jobs"), job_models.JobSurvey, body=asked)


def list_jobs(state: str | None, limit: int) -> Call[models.Items[job_models.Job]]:
    """The last jobs."""
    return Call("GET", path("jobs"), models.Items[job_models.Job], {"state": state, "limit": limit})


def job(id_: str) -> Call[job_models.Job]:
    """One job."""
    return Call("GET", path("jobs", id_), job_models.Job)


def change_job(id_: str, decision: str, why: str | None) -> Call[job_models.Job]:
    """pause, resume or cancel."""
    return Call("POST", path("jobs", id_, decision), job_models.Job, body=_given(why=why))


# -- places -----------------------------------------------------------------------------------------


def sources() -> Call[models.Items[places.Source]]:
    """All sources."""
    return Call("GET", path("sources"), models.Items[places.Source])


def source(name: str) -> Call[places.SourceDetail]:
    """One source."""
    return Call("GET", path("sources", name), places.SourceDetail)


def rejections(name: str) -> Call[models.Items[places.Rejection]]:
    """Its last refused requests."""
    return Call("GET", path("sources", name, "rejections"), models.Items[places.Rejection])


def test_source(name: str, body: bytes, headers: Mapping[str, str]) -> Call[places.SourceTest]:
    """What would become of a request."""
    asked = {"body_base64": base64.b64encode(body).decode(), "headers": dict(headers)}
    return Call("POST", path("sources", name, "test"), places.SourceTest, body=asked)


def destinations() -> Call[models.Items[places.Destination]]:
    """All destinations."""
    return Call("GET", path("destinations"), models.Items[places.Destination])


def destination(name: str) -> Call[places.DestinationDetail]:
    """One destination."""
    return Call("GET", path("destinations", name), places.DestinationDetail)


def pause(name: str, why: str | None) -> Call[places.PauseResult]:
    """Send it nothing more."""
    return Call("POST", path("destinations", name, "pause"), places.PauseResult, body=_given(why=why))


def resume(name: str) -> Call[places.ResumeResult]:
    """Let it go on."""
    return Call("POST", path("destinations", name, "resume"), places.ResumeResult, body={})


def test_destination(name: str) -> Call[models.Result]:
    """Send it a test event."""
    return Call("POST", path("destinations", name, "test"), models.Result, body={})


def status() -> Call[places.Status]:
    """How it stands."""
    return Call("GET", path("status"), places.Status)


def nodes() -> Call[models.Items[places.Node]]:
    """The processes."""
    return Call("GET", path("nodes"), models.Items[places.Node])


def settings() -> Call[places.RunningSettings]:
    """The configuration that is in force."""
    return Call("GET", path("settings"), places.RunningSettings)
