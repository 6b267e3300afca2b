"""What the API shows of jobs, as pydantic models: replays and discards of many."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from longstop.client.models import Delivery, Id, Result, Time
from longstop.model.delivery import DeadReason
from longstop.model.job import JobAction, JobState

TEXT_MAX = 1_000
"""Characters of a text that is looked for."""
WHY_CHARS_MAX = 2_000
"""Characters of a reason."""
RATE_MAX = 100_000.0

Text = Annotated[str | None, Field(max_length=TEXT_MAX)]
Times = Annotated[str | None, Field(max_length=100, description="An age such as `2h`, a date, or an RFC 3339 time.")]


class JobFilter(BaseModel):
    """Which deliveries a job is of: by the names of the query of `GET deliveries`. What is left out is any."""

    # A name that is mistyped would make it a filter for more than was meant.
    model_config = ConfigDict(extra="forbid")

    state: Literal["scheduled", "held", "dead", "delivered", "discarded"] | None = Field(
        default=None, description="Left out: `dead`. A replay is of what has ended, a discard of what is dead or waits."
    )
    reason: DeadReason | None = None
    status: int | None = Field(default=None, ge=100, le=599, description="The HTTP status of the last attempt.")
    error: str | None = Field(default=None, min_length=1, max_length=TEXT_MAX, description="The last error holds this.")
    source: Text = None
    destination: str | None = Field(default=None, max_length=TEXT_MAX, description="`quarantine`: unreadable requests.")
    type: Text = None
    key: Text = None
    since: Times = None
    until: Times = None
    contains: str | None = Field(
        default=None, min_length=1, max_length=TEXT_MAX, description="The body holds this text, as it stands there."
    )


class JobRequest(BaseModel):
    """A job as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    action: JobAction
    filter: JobFilter = Field(description="`{}`: everything that is dead.")
    rate: float | None = Field(
        default=None, gt=0, le=RATE_MAX, description="Replay: how many go out in a second at most.", examples=[20]
    )
    why: str | None = Field(
        default=None, max_length=WHY_CHARS_MAX, description="Kept with the caller's name. A discard needs one."
    )
    including_edited: bool = Field(default=False, description="Also what was replaced by an edited event.")
    dry_run: bool = Field(default=False, description="Make nothing; say what it would be of.")
    expected_count: int | None = Field(
        default=None, ge=1, description="How many a dry run said. Of more or fewer no job is made (409)."
    )


class JobError(BaseModel):
    """What could not be done with one delivery."""

    id: Id = Field(description="The delivery's.")
    error: str


class Job(BaseModel):
    """A replay or a discard of many."""

    id: Id
    action: JobAction
    filter: dict[str, str | int] = Field(description="Which deliveries it is of: what was asked for.")
    including_edited: bool
    rate: float | None = Field(description="How many go out in a second at most.")
    why: str | None
    by: str = Field(description="Who asked for it.")
    state: JobState
    state_at: Time = Field(description="Since when it is so.")
    state_by: str | None = Field(description="Who paused, resumed or cancelled it.")
    state_why: str | None = Field(description="The reason for that; of one that failed, why it cannot go on.")
    paused_by: str | None
    total: int = Field(description="How many there were when it was made.")
    exact: bool = Field(description="false: there were too many to count, and `total` is an estimate.")
    done: int
    failed: int = Field(description="Those that could not be done.")
    skipped: int = Field(description="Those that somebody sent again, gave up or edited before their turn.")
    waits_for: list[str] = Field(description="Destinations that take no more of it now.")
    eta_s: float | None = Field(description="In how many seconds it may be done.")
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    errors: list[JobError] = Field(description="Of the first that failed.")


class JobSurvey(BaseModel):
    """What a job would be of."""

    count: int
    exact: bool = Field(
        description="false: there are too many to count in two seconds; `count` is an estimate, the rest is of those "
        "that were counted."
    )
    destinations: dict[str, int] = Field(description="Destination to how many are for it.")
    keys: int = Field(description="How many different keys they have.")
    oldest_at: Time | None = Field(description="When the first of them was received.")
    newest_at: Time | None
    sample: list[Delivery] = Field(description="The first of them.")


class NamedResult(Result):
    """What became of what an id stands for."""

    id: str = Field(description="The delivery's; where it stands for none, the id as it was given.")


class NamedResults(BaseModel):
    """What became of all that ids stand for."""

    items: list[NamedResult]


class NamedSurvey(BaseModel):
    """What a decision by ids would be of."""

    survey: JobSurvey
    failed: list[NamedResult] = Field(description="For each id that stands for nothing that could be decided on.")
