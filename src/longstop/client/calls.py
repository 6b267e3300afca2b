"""What can be asked of the API: each call as a value, so that both clients share all but the waiting."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from longstop.client import access, models, places
from longstop.client import alerts as alert_models
from longstop.client import jobs as job_models
from longstop.client.statistics import Statistics

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


def decide_on(action: str, ids: Sequence[str], why: str | None, rate: float | None) -> Call[job_models.NamedResults]:
    """replay, discard or expedite what ids name."""
    asked = {"action": action, "ids": list(ids), **_given(why=why, rate=rate)}
    return Call("POST", path("decisions"), job_models.NamedResults, body=asked)


def plan_decision(action: str, ids: Sequence[str]) -> Call[job_models.NamedSurvey]:
    """What that would be of."""
    asked = {"action": action, "ids": list(ids), "dry_run": True}
    return Call("POST", path("decisions"), job_models.NamedSurvey, body=asked)


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


def statistics(query: Query) -> Call[Statistics]:
    """What happened when."""
    return Call("GET", path("statistics"), Statistics, query)


# -- alerts -----------------------------------------------------------------------------------------


def alerts() -> Call[models.Items[alert_models.Alert]]:
    """What is wrong now."""
    return Call("GET", path("alerts"), models.Items[alert_models.Alert])


def silences() -> Call[models.Items[alert_models.Silence]]:
    """What nobody is told of."""
    return Call("GET", path("alerts", "silences"), models.Items[alert_models.Silence])


def silence(kind: str, subject: str | None, for_s: float, why: str | None) -> Call[alert_models.Silence]:
    """Tell nobody of it for a time."""
    asked = {"kind": kind, "for_s": for_s, **_given(subject=subject, why=why)}
    return Call("POST", path("alerts", "silences"), alert_models.Silence, body=asked)


def unsilence(kind: str, subject: str | None) -> Call[alert_models.Ended]:
    """End that."""
    return Call("DELETE", path("alerts", "silences"), alert_models.Ended, {"kind": kind, "subject": subject})


# -- access -----------------------------------------------------------------------------------------


def session() -> Call[access.Session]:
    """Who asks."""
    return Call("GET", path("session"), access.Session)


def sessions(query: Query) -> Call[models.Items[access.KeptSession]]:
    """One page of who is signed in."""
    return Call("GET", path("sessions"), models.Items[access.KeptSession], query)


def end_session(id_: str) -> Call[models.Nothing]:
    """Sign somebody out."""
    return Call("DELETE", path("sessions", id_), models.Nothing)


def users(query: Query) -> Call[models.Items[access.User]]:
    """One page of users."""
    return Call("GET", path("users"), models.Items[access.User], query)


def add_user(name: str, role: str, password: str) -> Call[access.User]:
    """Let a person sign in."""
    return Call("POST", path("users"), access.User, body={"name": name, "role": role, "password": password})


def change_user(name: str, role: str | None, password: str | None, disabled: bool | None) -> Call[access.User]:
    """Change one."""
    asked = _given(role=role, password=password, disabled=disabled)
    return Call("PATCH", path("users", name), access.User, body=asked)


def remove_user(name: str) -> Call[models.Nothing]:
    """Remove one."""
    return Call("DELETE", path("users", name), models.Nothing)


def tokens(query: Query) -> Call[models.Items[access.Token]]:
    """One page of tokens."""
    return Call("GET", path("tokens"), models.Items[access.Token], query)


def create_token(name: str, scopes: Sequence[str], expires_at: str | None) -> Call[access.NewToken]:
    """Make one."""
    asked = {"name": name, "scopes": list(scopes), **_given(expires_at=expires_at)}
    return Call("POST", path("tokens"), access.NewToken, body=asked)


def revoke_token(id_: str) -> Call[models.Nothing]:
    """Revoke one."""
    return Call("DELETE", path("tokens", id_), models.Nothing)


def audit(query: Query) -> Call[models.Items[access.AuditEntry]]:
    """One page of who did and looked at what."""
    return Call("GET", path("audit"), models.Items[access.AuditEntry], query)


def audit_export(query: Query) -> Call[access.AuditEntry]:
    """All of it; the answer is one a line."""
    return Call("GET", path("audit", "export"), access.AuditEntry, query)
