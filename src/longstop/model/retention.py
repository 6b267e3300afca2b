"""How long things are kept: what may be forgotten, and by whose clock. Pure decisions; nothing is forgotten here."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from longstop.model.delivery import Delivery, State
from longstop.model.listing import History, KeptEvent
from longstop.model.s3_place import S3Place

DAY_MS = 86_400_000
CATCH_UP = 1.05
"""How much faster than it passes the time may be believed, until it is as late as the clock says."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """`[retention]`: for how long what has ended is kept, counted from its end."""

    delivered_ms: int = 30 * DAY_MS
    dead_ms: int = 180 * DAY_MS
    discarded_ms: int = 30 * DAY_MS
    unrouted_ms: int = 30 * DAY_MS
    """Counted from the event's arrival."""
    rejections_ms: int = 7 * DAY_MS
    attempts_ms: int | None = None
    """The attempts of what has ended; None: for as long as their delivery."""
    audit_ms: int = 400 * DAY_MS
    """Entries of the audit log, counted from when they were noted: a year, and some time to look back at it."""
    archive: str | S3Place | None = None
    """Where what is forgotten is kept: a folder's absolute path, or a place in S3; None: nowhere."""


class Kind(StrEnum):
    """By what an event may come to be forgotten: the ends that each have an age of their own."""

    UNROUTED = "unrouted"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """For each kind: what ended before this may be forgotten."""

    delivered_ms: int
    dead_ms: int
    discarded_ms: int
    unrouted_ms: int

    def of(self, kind: Kind) -> int:
        """The one of a kind."""
        return int(getattr(self, f"{kind}_ms"))


def cutoffs(settings: RetentionSettings, now_ms: int) -> Cutoffs:
    """What the settings come to at this time."""
    return Cutoffs(
        delivered_ms=now_ms - settings.delivered_ms,
        dead_ms=now_ms - settings.dead_ms,
        discarded_ms=now_ms - settings.discarded_ms,
        unrouted_ms=now_ms - settings.unrouted_ms,
    )


def delivery_may_go(delivery: Delivery, before: Cutoffs) -> bool:
    """Whether nobody waits for it: it has ended, long enough ago, and holds no other of its key."""
    if delivery.ended_at_ms is None or (delivery.state is State.DEAD and delivery.lane is not None):
        return False
    return delivery.ended_at_ms < before.of(Kind(delivery.state.value))


def event_may_go(received_at_ms: int, deliveries: Sequence[Delivery], before: Cutoffs) -> bool:
    """Whether all of an event may be forgotten: an event goes when its last delivery may."""
    if not deliveries:
        return received_at_ms < before.unrouted_ms
    return all(delivery_may_go(each, before) for each in deliveries)


def lived(known_ms: int | None, mine_ms: int | None, ran_ms: float, wall_ms: int) -> int:
    """Until when the store has lived, as far as can be believed: the time by which ages are counted.

    A clock that jumps ahead must not make everything old at once. So this time goes on by what has really passed
    (and a little faster, to catch up with what passed while nothing ran), and never beyond the clock.

    known_ms: what the store has kept, None where nothing. mine_ms: what this function said last in this process, None
    at its start; ran_ms: how long ago that was, by a clock that nobody sets. wall_ms: what the clock says.
    """
    if known_ms is None:
        return wall_ms
    if mine_ms is None:
        return known_ms
    return max(known_ms, min(wall_ms, mine_ms + int(ran_ms * CATCH_UP)))


@dataclass(frozen=True, slots=True)
class Forgettable:
    """What one step of a search for what may be forgotten found."""

    event_ids: tuple[str, ...]
    after: str | None
    """Where the next step goes on."""
    more: bool
    """Whether there is more to look at now."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a store that keeps what came in one span of time together, and can forget it at once."""

    name: str
    from_id: str
    until_id: str
    """Exclusive. What has an id of an event or delivery between them is in the span."""
    staying: frozenset[str]
    """The events in it that may not be forgotten yet, or not with it; few."""


@dataclass(frozen=True, slots=True)
class WholeEvent:
    """All that is kept of an event: itself, its deliveries, and of each in turn what was done with it."""

    kept: KeptEvent
    histories: tuple[History, ...]
    dedup_until_ms: int | None = None
    """Until when another event of its dedup key is a duplicate of it; None where it holds none."""


@dataclass(frozen=True, slots=True)
class ArchivedEvent:
    """An event as it was when it was forgotten, and where that is kept."""

    whole: WholeEvent
    place: str
