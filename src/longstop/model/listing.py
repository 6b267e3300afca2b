"""What can be asked of a store: filters, pages, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, DeadReason, Delivery, State
from longstop.model.event import Event
from longstop.model.value import value

T = TypeVar("T")


@value(frozen=True, slots=True)
class KeptEvent:
    """An event with what has happened to it since."""

    event: Event
    redeliveries: int
    """How often the sender sent it again."""
    deliveries: tuple[Delivery, ...]


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


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; None: any. Times select by `ended_at_ms`: since inclusive, until exclusive."""

    state: State | None = None
    source: str | None = None
    destination: str | None = None
    type: str | None = None
    key: str | None = None
    reason: DeadReason | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    contains: bytes | None = None
    """These bytes stand somewhere in the event's body."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing, by id, which is by age. Keyset paging: `after` is the last id of the page before."""

    limit: int = 50
    after: str | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The rows of one page; `next_after` asks for the following one, None where this was the last."""

    rows: tuple[T, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of everything there is."""

    events: int
    unrouted: int
    deliveries: Mapping[str, Mapping[State, int]]
    """Destination name to state to how many."""
    oldest_waiting_at_ms: int | None
    """When the oldest event was received that is still scheduled or leased somewhere."""
