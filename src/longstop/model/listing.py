"""What can be asked of a store: filters, pages, and what comes back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Self, TypeVar

from longstop.model.action import ActionRecord, Edit
from longstop.model.delivery import Attempt, DeadReason, Delivery, State
from longstop.model.error_group import says
from longstop.model.event import Event
from longstop.model.value import value

T = TypeVar("T")

DEAD_STEP_MS = 900_000
"""A store keeps how many of a group died in each quarter of an hour, so that a histogram costs the same at any size:
half a year of a group is 17,000 numbers at most, and there is none for a quarter in which nothing died."""
STEPS_MAX = 200
"""Steps of one histogram: no list has room for more bars."""
SPAN_MAX_MS = 31 * 86_400_000
"""How long all of them may be: 2,976 kept numbers of each group."""


@value(frozen=True, slots=True)
class KeptEvent:
    """An event with what has happened to it since."""

    event: Event
    redeliveries: int
    """How often the sender sent it again."""
    deliveries: tuple[Delivery, ...]
    made_by: Edit | None = None
    """Who sent this event in the place of its parent, when and why."""
    edits: tuple[Edit, ...] = ()
    """What was sent in its place, oldest first."""
    listed_bytes: int | None = None
    """In a listing, how large the body is, which is not there; None: it is."""

    @property
    def body_bytes(self) -> int:
        """How large the body is."""
        return len(self.event.body) if self.listed_bytes is None else self.listed_bytes


@dataclass(frozen=True, slots=True)
class History:
    """All that is recorded of a delivery, oldest first."""

    attempts: tuple[Attempt, ...]
    actions: tuple[ActionRecord, ...]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; None: any. Times select by `received_at_ms`: since inclusive, until exclusive."""

    source: str | None = None
    type: str | None = None
    key: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    contains: bytes | None = None
    """These bytes stand somewhere in the body."""
    unrouted: bool = False
    """Only events without any delivery."""

    def fits(self, event: Event) -> bool:
        """Whether it lets an event through by what the event says of itself: not by its body, nor by where it went."""
        return (
            self.source in (None, event.source)
            and self.type in (None, event.type)
            and self.key in (None, event.key)
            and _within(event.received_at_ms, self.since_ms, self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; None: any. Times: since inclusive, until exclusive."""

    state: State | None = None
    source: str | None = None
    destination: str | None = None
    type: str | None = None
    key: str | None = None
    reason: DeadReason | None = None
    since_ms: int | None = None
    """By `ended_at_ms`: what has not ended is neither since nor until anything."""
    until_ms: int | None = None
    contains: bytes | None = None
    """These bytes stand somewhere in the event's body."""
    held: bool | None = None
    """True: only what is scheduled and held, because another of its key goes first; False: only what is not."""
    status: int | None = None
    """The HTTP status of the last attempt."""
    error: str | None = None
    """This stands in the last error; `#` for what varies, or a number to look for one (`error_group.says`)."""
    received_since_ms: int | None = None
    """By `received_at_ms`."""
    received_until_ms: int | None = None

    def implied(self) -> Self:
        """The same with the state that what it asks for has."""
        if self.reason is not None and self.state is None:
            return replace(self, state=State.DEAD)
        if self.held and self.state is None:
            return replace(self, state=State.SCHEDULED)
        return self

    def fits(self, delivery: Delivery) -> bool:
        """Whether it lets a delivery through by what that says of itself: not by its event's body, nor by its place in
        line (`contains`, `held`)."""
        return (
            self.state in (None, delivery.state)
            and self.source in (None, delivery.source)
            and self.destination in (None, delivery.destination)
            and self.type in (None, delivery.type)
            and self.key in (None, delivery.key)
            and self.reason in (None, delivery.reason)
            and self.status in (None, delivery.last_status)
            and (self.error is None or says(delivery.last_error, self.error))
            and _within(delivery.ended_at_ms, self.since_ms, self.until_ms)
            and _within(delivery.received_at_ms, self.received_since_ms, self.received_until_ms)
        )


def _within(at_ms: int | None, since_ms: int | None, until_ms: int | None) -> bool:
    if since_ms is None and until_ms is None:
        return True
    if at_ms is None:
        return False
    return (since_ms is None or since_ms <= at_ms) and (until_ms is None or at_ms < until_ms)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, by id, which is by age. Keyset paging: `after` is the `next_after` of the page before."""

    limit: int = 50
    after: str | None = None
    newest_first: bool = True
    patience_ms: int = 1_000
    """A search that no index answers ends about then, with what it has found and where to go on."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The rows of one page; `next_after` asks for the following one, None where this was the last.

    A page may be short, or empty, and not be the last: then patience ended, and `searched_to_ms` says how far it got.
    """

    rows: tuple[T, ...]
    next_after: str | None
    searched_to_ms: int | None = None
    """Patience ended: all that was received down to (oldest first: up to) about this time was looked at."""
    may_lag: bool = False
    """Found by an index that follows what is written: what came or changed a moment ago may be missing."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is: kept, or looked up in an index, so that asking costs the same at any size."""

    events: int
    unrouted: int
    deliveries: Mapping[str, Mapping[State, int]]
    """Destination name to state to how many."""
    oldest_waiting_at_ms: int | None
    """When the oldest event was received that is still scheduled or leased somewhere."""
    sources: Mapping[str, int] = field(default_factory=dict)
    """Source name to how many events of it are kept."""
    oldest_waiting: Mapping[str, int] = field(default_factory=dict)
    """Destination name to when the oldest event was received that is scheduled or leased for it."""
    next_due: Mapping[str, int] = field(default_factory=dict)
    """Destination name to the earliest `due_at_ms` of what is scheduled for it and not held; it may be past."""


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """Steps of time, one after the other: `count` of `step_ms` each, from `from_ms` on.

    Raises ValueError where a store that counts by DEAD_STEP_MS could not tell them apart, or there are too many.
    """

    from_ms: int
    step_ms: int
    count: int

    def __post_init__(self) -> None:
        if self.step_ms <= 0 or self.step_ms % DEAD_STEP_MS or self.from_ms % DEAD_STEP_MS:
            raise ValueError(f"steps of {self.step_ms} ms from {self.from_ms}; expected multiples of {DEAD_STEP_MS} ms")
        if not 1 <= self.count <= STEPS_MAX:
            raise ValueError(f"found {self.count} steps; expected 1 to {STEPS_MAX}")
        if self.step_ms * self.count > SPAN_MAX_MS:
            most = SPAN_MAX_MS // 86_400_000
            raise ValueError(
                f"found {self.count} steps of {self.step_ms // 1000} s; expected {most} days in all at most"
            )

    @classmethod
    def until(cls, now_ms: int, step_ms: int, count: int) -> "TimeSteps":
        """The last of them is the one that is going on; each begins at a multiple of the step, in UTC."""
        return cls(now_ms - now_ms % step_ms - (count - 1) * step_ms, step_ms, count)

    @classmethod
    def last_day(cls, now_ms: int) -> "TimeSteps":
        """The last 24 hours, by the hour: what is shown where nobody asks for other steps."""
        return cls.until(now_ms, 3_600_000, 24)

    @property
    def until_ms(self) -> int:
        """Where the last of them ends."""
        return self.from_ms + self.count * self.step_ms

    def counts(self, times: Iterable[int]) -> tuple[int, ...]:
        """How many of these times are in each step."""
        steps = [0] * self.count
        for at_ms in times:
            if self.from_ms <= at_ms < self.until_ms:
                steps[(at_ms - self.from_ms) // self.step_ms] += 1
        return tuple(steps)


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """The dead deliveries of one destination that died of the same: what a person looks at first."""

    destination: str
    reason: DeadReason
    status: int | None
    """The HTTP status of the last attempt."""
    error: str
    """The last error with its variable parts taken out (`error_group.group_of`); empty where there was none."""
    count: int
    keys: int
    """How many different keys they have; those without one count as none."""
    first_at_ms: int
    """When the first of them died."""
    last_at_ms: int
    sample: tuple[str, ...]
    """The ids of the few that died last, the newest first."""
    over_time: tuple[int, ...] = ()
    """How many of them died in each of the steps that were asked for."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A counter that was wrong, and was put right."""

    counter: str
    kept: int
    found: int


@dataclass(frozen=True, slots=True)
class Recount:
    """What one step of a check of the counters came to."""

    next_after: str | None
    """Where the next step goes on; None: that was the last."""
    drifts: tuple[Drift, ...] = ()


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A copy of a store that was made and checked."""

    file: str
    bytes: int
    events: int
