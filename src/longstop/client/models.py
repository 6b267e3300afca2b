"""What the API shows of events and deliveries, as pydantic models: its answers, and what the client hands out.

Fields may be added; none is renamed. Times are RFC 3339 in UTC, ids are whole UUIDs.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from longstop.model.delivery import DeadReason, OutcomeKind, State, Trigger
from longstop.model.event import Origin
from longstop.model.waiting import WaitsFor

T = TypeVar("T")

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T09:30:00.000Z"])]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, examples=["019ab0c2-7d1e-7000-8000-0123456789ab"])]


class Nothing(BaseModel):
    """The answer where there is nothing to be told (204)."""


class Items(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next: str | None = Field(default=None, description="`cursor` of the next page; null: this was the last.")
    searched_to: Time | None = Field(
        default=None,
        description="A search that no index answers took too long: everything down to (oldest first: up to) this time "
        "was looked at, and `next` goes on. Such a page may be short or empty.",
    )
    may_lag: bool = Field(
        default=False,
        description="The store finds these by an index that follows what is written: what came or changed a moment ago "
        "may be missing.",
    )


class Edit(BaseModel):
    """Who sent an event in the place of another one: edited, or read and routed anew."""

    event_id: Id = Field(description="The new event.")
    parent: Id = Field(description="The kept one.")
    at: Time
    by: str
    why: str | None


class DeliveryOfEvent(BaseModel):
    """Where one delivery of an event stands."""

    id: Id
    destination: str | None = Field(description="null: quarantined.", examples=["crm"])
    state: State
    attempts: int
    skipped: bool = Field(description="It died, and its key went on without it.")
    reason: DeadReason | None = Field(description="Why it is dead.")
    due_at: Time | None = Field(description="It is not tried before; only of what is scheduled.")
    waits_for: WaitsFor | None = Field(description="Why it is not being tried; only of what is scheduled.")
    waits_until: Time | None = Field(description="Until when at least; null: that is no matter of time.")
    held_by: Id | None = Field(description="The delivery of its key that goes first.")
    expires_at: Time | None = Field(description="From then on it is of no use, and not tried.")
    replaced_by: Id | None = Field(description="The event that a person sent in its place.")
    in_order: bool = Field(description="It goes out in its turn among those of its key.")


class Event(BaseModel):
    """One accepted request."""

    id: Id
    source: str = Field(examples=["shop"])
    type: str | None = Field(examples=["order.paid"])
    key: str | None = Field(description="What it belongs to: a conversation, say.", examples=["conversation-4711"])
    dedup: str | None = Field(description="Its dedup key; `base64:…` where that is no text.")
    received_at: Time
    occurred_at: Time | None = Field(description="When it happened, as the sender tells.")
    size: int = Field(description="Bytes of its body.")
    origin: Origin
    parent: Id | None = Field(description="The event in whose place it was sent.")
    redeliveries: int = Field(description="How often the sender sent it again.")
    made_by: Edit | None
    edits: list[Edit] = Field(description="What was sent in its place, oldest first.")
    deliveries: list[DeliveryOfEvent]


class Attempt(BaseModel):
    """One try of a delivery."""

    number: int = Field(description="1 for the first; counts on through replays.")
    round: int = Field(description="1 on acceptance; each replay starts the next.")
    started_at: Time
    duration_ms: int
    outcome: OutcomeKind
    status: int | None = Field(description="The HTTP status.")
    error: str | None
    answer: str = Field(description="The beginning of what the destination answered.")
    frames: list[str] = Field(description="The last places of the traceback, where a Python handler raised.")


class Action(BaseModel):
    """What a person decided about a delivery."""

    action: Trigger
    at: Time
    by: str
    why: str | None


class DeliveryHistory(BaseModel):
    """All that was done with a delivery."""

    delivery_id: Id
    destination: str | None
    attempts: list[Attempt]
    actions: list[Action]


class EventDetail(Event):
    """An event, whole but for its body."""

    headers: list[tuple[str, str]] = Field(description="In the order sent, without the values of credentials.")
    content_type: str | None
    body_size: int
    history: list[DeliveryHistory]
    archived_in: str | None = Field(description="The file that it was archived in, where it is no longer in the store.")


class EventWithHistory(Event):
    """An event of a conversation."""

    history: list[DeliveryHistory]


class Conversation(Items[EventWithHistory]):
    """Everything of one key."""

    key: str


class Body(BaseModel):
    """A body for showing: its text, or base64 where it is none."""

    text: str | None
    base64: str | None
    masked: bool = Field(description="Fields of it are not shown to the caller.")


class SentHeader(BaseModel):
    """One header of a request that a destination gets."""

    name: str
    value: str | None = Field(description="null: it is not shown, as it proves who sends or is configured.")


class SentRequest(BaseModel):
    """A request as its destination gets it, by the configuration that is in force now."""

    method: str
    url: str = Field(description="Without what may be a secret of it.")
    headers: list[SentHeader]
    body: Body
    attempt: int = Field(description="Which attempt's; of what was never tried, the first's that will be.")
    at: Time | None = Field(description="When it began; null: it has not.")


class Text(BaseModel):
    """A text to copy."""

    text: str


class Delivery(BaseModel):
    """One event for one destination."""

    id: Id
    event_id: Id
    source: str
    destination: str | None = Field(description="null: quarantined.")
    type: str | None
    key: str | None
    state: State
    reason: DeadReason | None
    attempts: int
    last_status: int | None
    last_error: str | None
    received_at: Time
    dead_at: Time | None
    skipped: bool
    replaced_by: Id | None
    ended_at: Time | None = Field(description="When it was delivered, died or was discarded.")
    due_at: Time | None
    waits_for: WaitsFor | None
    waits_until: Time | None = Field(description="Until when at least; null: that is no matter of time.")
    held_by: Id | None
    expires_at: Time | None
    round: int


class DeliveryDetail(Delivery):
    """A delivery, with what people decided about it."""

    actions: list[Action]


class DeadGroup(BaseModel):
    """The dead deliveries of one destination that died of the same."""

    destination: str | None
    reason: DeadReason
    status: int | None
    error: str | None = Field(description="With `#` for ids, times and numbers.")
    count: int
    keys: int = Field(description="How many different keys they have.")
    first_at: Time
    last_at: Time
    sample: list[Id] = Field(description="A few, the last first.")
    over_time: list[int] = Field(
        description="How many of them died in each step, the first of which begins at `from`. The last is going on."
    )


class DeadGroups(Items[DeadGroup]):
    """What is dead, by what it died of, and when it died."""

    from_: Time = Field(alias="from", description="When the first step of each `over_time` begins.")
    step_s: int


class Result(BaseModel):
    """What became of a delivery that was decided on."""

    id: Id
    event_id: Id | None = Field(description="The event that is sent: its own, or the new one.")
    state: State | None = Field(description="Its state now; null: nothing was done.")
    error: str | None = Field(description="Why nothing was done.")


class Results(BaseModel):
    """What became of all that a decision was about."""

    items: list[Result]
    event: Event | None = Field(default=None, description="The new event, where one was made.")


class Destined(BaseModel):
    """Where a replay would go."""

    destination: str
    lane: str | None = Field(description="Those of one lane go out one after the other.")
    changed: bool = Field(description="The destination is another one than the kept deliveries'.")


class ReplayPlan(BaseModel):
    """What a replay would do."""

    would: list[Destined]
    type: str | None = Field(description="The type that the event would have.")
    key: str | None
    replaces: list[Id] = Field(description="The deliveries that it would take the place of.")
    diff: list[str] | None = Field(description="A unified diff of the bodies, where it is edited.")


class Live(BaseModel):
    """Something that happened, as the stream tells it."""

    event: str = Field(description="`activity`, `counts`, `job`, `ping` or `missed`.")
    data: dict[str, Any]
    id: str | None = Field(default=None, description="What to come back with after a broken connection.")


ListOrder = Literal["newest", "oldest"]
