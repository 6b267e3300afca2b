"""What the API shows of sources, destinations and the gateway itself, as pydantic models."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from longstop.client.models import Attempt, Id, Time
from longstop.model.rejection import RejectionReason

DestinationState = Literal["closed", "open", "half_open", "paused"]


class Node(BaseModel):
    """A process that accepts or delivers."""

    name: str = Field(description="Its host and process id.", examples=["gw-1:4711"])
    roles: list[str] = Field(examples=[["ingest", "work"]])
    version: str
    started_at: Time
    seen_at: Time = Field(description="When it was last heard of.")
    running: bool = Field(description="It was heard of within 20 s.")
    cpu_percent: int | None = Field(
        description="How much of one processor core it used in the last 5 s: near 100 it can do no more.", examples=[35]
    )
    attempts: int = Field(description="Attempts that it had under way.")


class Circuit(BaseModel):
    """An open circuit."""

    opened_at: Time
    probe_at: Time = Field(description="When the next probe goes out.")
    why: str


class DestinationCounts(BaseModel):
    """How many deliveries of a destination are in which state."""

    scheduled: int
    leased: int
    delivered: int
    dead: int
    discarded: int
    held: int | None = Field(description="Of those that are scheduled; null: more than 1,000.")


class RetrySettings(BaseModel):
    """How persistent deliveries to it are."""

    attempts: int | None = Field(description="null: any number, until `max_age_s`.")
    first_s: float
    factor: float
    cap_s: float
    jitter: str
    max_age_s: float
    on_dead: str


class Limits(BaseModel):
    """How much a destination gets at once."""

    concurrency: int
    adaptive: bool
    rate_per_s: float | None


class Destination(BaseModel):
    """Where deliveries go, and how it is."""

    name: str | None = Field(description="null: requests that could not be read.")
    configured: bool
    url: str | None = Field(description="Variables not filled in, and without its query.")
    handler: str | None = Field(description="The Python function that is called instead.")
    ordered: bool
    state: DestinationState
    circuit: Circuit | None
    paused_at: Time | None
    paused_by: str | None
    paused_why: str | None
    counts: DestinationCounts
    oldest_waiting_at: Time | None
    next_due_at: Time | None
    retry: RetrySettings | None
    timeout_s: float | None
    limits: Limits | None


class DestinationAttempt(Attempt):
    """An attempt, with what it was of."""

    delivery_id: Id
    event_id: Id
    key: str | None
    ended_at: Time


class DestinationDetail(Destination):
    """A destination, with what happened there last."""

    recent_attempts: list[DestinationAttempt] = Field(
        description="The last 20 of the deliveries that came or died last, newest first."
    )


class Source(BaseModel):
    """A configured sender, and what came of it."""

    name: str
    configured: bool
    kind: str | None
    url_path: str
    url: str | None = Field(
        description="Where its sender posts to: `public_url`, else where the gateway itself listens, which senders on "
        "other machines reach by the name of what stands before it. null: it is not configured any more."
    )
    first_event: str | None = Field(description="A command that posts an event to it.")
    verified: str | None = Field(description="The scheme that its requests are verified by.")
    to: list[str] = Field(description="The destinations that its routes name.")
    events: int
    last_event_at: Time | None
    usual_gap_s: float | None = Field(
        description="The longest it has been without one, in 90 days; null: too little is known."
    )
    silent: bool = Field(description="It says nothing for longer than it ever does.")
    refused: dict[str, int] = Field(description="Reason to how many requests were refused for it.")
    refused_since: Time | None
    held: int = Field(description="Requests that were not verified and are kept apart.")
    duplicates: int = Field(description="Requests that were known already, in 90 days.")


class Verification(BaseModel):
    """How requests of a source are verified."""

    scheme: str
    headers: list[str] = Field(description="Those that carry the proof.")
    secrets: int = Field(description="How many are in force.")


class SourceDetail(Source):
    """A source, whole, without its secrets."""

    setup: list[str] = Field(description="What its sender has to be told, step by step.")
    verify: Verification
    dedup: str | None = Field(description="What a dedup key is read from; null: the kind's own.")
    type: str | None
    key: str | None
    on_unverified: str
    settings: dict[str, Any] = Field(description="All of its settings; of secrets, how many there are.")


class Rejection(BaseModel):
    """A request that was refused, kept as a sample."""

    id: Id
    source: str | None = Field(description="null: a name that no source has.")
    at: Time
    reason: RejectionReason
    status: int
    problems: list[str] = Field(description="What is wrong with it.")
    client: str | None
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body_bytes: int
    body: str | None
    asked: str | None
    nearest: str | None


class TriedRoute(BaseModel):
    """A route, and whether it wants the event."""

    to: list[str]
    when: str | None
    matched: bool
    sees: dict[str, Any]
    of_body: list[str] = Field(description="Which of them are members of the body, and not known of the event.")


class SourceTest(BaseModel):
    """What would become of a request."""

    verdict: Literal["accepted", "answered", "quarantined", "refused"]
    verified: bool
    would_answer: int = Field(description="The HTTP status.")
    type: str | None
    key: str | None
    dedup: str | None
    occurred_at: Time | None
    destinations: list[str]
    routes: list[TriedRoute]
    problems: list[str]


class Refused(BaseModel):
    """How many requests were refused."""

    source: str | None
    reason: RejectionReason
    requests: int
    since: Time
    last: Time


class HeldRequests(BaseModel):
    """What is held of a source."""

    source: str
    requests: int
    bytes: int
    oldest: Time


class DestinationStatus(BaseModel):
    """How a destination stands."""

    destination: str | None
    configured: bool
    paused_at: Time | None
    paused_by: str | None
    paused_why: str | None
    circuit: Circuit | None
    oldest_waiting_at: Time | None
    next_due_at: Time | None
    scheduled: int
    leased: int
    delivered: int
    dead: int
    discarded: int


class SourceStatus(BaseModel):
    """How many events of a source are kept."""

    source: str
    events: int


class Totals(BaseModel):
    """How much of everything there is."""

    events: int
    unrouted: int
    scheduled: int
    leased: int
    delivered: int
    dead: int
    discarded: int


class Spool(BaseModel):
    """What is kept on a gateway's own disk while its store cannot be had."""

    in_use: bool = Field(description="New events go into it, and not into the store.")
    events: int = Field(description="Those that the store does not have yet.")
    bytes: int
    oldest_at: Time | None
    stuck: int = Field(description="Of those, which the store refuses: they wait for a person.")
    since: Time | None = Field(description="Since when it is in use.")
    why: str | None = Field(description="What keeps them from the store, or kept them last.")


class StoreWarning(BaseModel):
    """What to know of the store, although it works."""

    kind: str = Field(examples=["old_snapshot"])
    text: str
    since: Time | None
    details: dict[str, str | int] = Field(examples=[{"kind": "session", "pid": "4711", "state": "idle in transaction"}])


class Status(BaseModel):
    """How it stands, on one page."""

    accepting: bool
    delivering: bool
    ready: bool
    why_not: list[str] = Field(description="Why it is not ready.")
    counts: Totals
    backlog: int = Field(description="Deliveries that are scheduled or under way.")
    events: int
    unrouted: int
    oldest_waiting_at: Time | None
    oldest_waiting_s: float | None
    nodes: list[Node]
    destinations: list[DestinationStatus]
    sources: list[SourceStatus]
    refused: list[Refused]
    held_requests: list[HeldRequests]
    spool: Spool | None = Field(description="Of the gateway that is asked; null: it has none.")
    warnings: list[StoreWarning] = Field(description="Of the store, although it works.")


class PauseResult(BaseModel):
    """What became of a pause."""

    destination: str
    paused: bool
    changed: bool
    held: int = Field(description="How many deliveries wait for it.")
    paused_at: Time | None
    paused_by: str | None
    paused_why: str | None


class ResumeResult(BaseModel):
    """What became of a resumption."""

    destination: str
    paused: bool
    changed: bool
    held: int
    paused_at: Time | None = Field(description="Of the pause that is over: since when it was.")
    paused_by: str | None
    paused_why: str | None
    pause_ended: bool
    circuit_closed: bool
    alert_error: str | None = Field(description="Why people were not told that the circuit is closed.")


class RunningSettings(BaseModel):
    """The running configuration."""

    version: str
    python: str
    store: str = Field(description="The kind of store.")
    configuration: dict[str, Any] = Field(description="As it is in force; what may hold a secret is masked.")
    warnings: list[str]
