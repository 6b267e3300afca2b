"""A delivery: one event for one destination, its states, and the one table of how they follow each other."""

from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from longstop.model.errors import TransitionError
from longstop.model.value import value

ANSWER_BYTES_KEPT = 2048
"""How much of a destination's answer an attempt keeps."""


class State(StrEnum):
    """Where a delivery stands."""

    SCHEDULED = "scheduled"
    LEASED = "leased"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"


class Trigger(StrEnum):
    """What moves a delivery from one state to the next."""

    LEASE = "lease"
    SUCCEED = "succeed"
    RETRY = "retry"
    PARK = "park"
    REPLAY = "replay"
    DISCARD = "discard"
    EXPEDITE = "expedite"
    """What waits is due at once."""


TRANSITIONS: Mapping[tuple[State, Trigger], State] = MappingProxyType(
    {
        (State.SCHEDULED, Trigger.LEASE): State.LEASED,
        (State.SCHEDULED, Trigger.EXPEDITE): State.SCHEDULED,
        (State.SCHEDULED, Trigger.DISCARD): State.DISCARDED,
        (State.LEASED, Trigger.SUCCEED): State.DELIVERED,
        (State.LEASED, Trigger.RETRY): State.SCHEDULED,
        (State.LEASED, Trigger.PARK): State.DEAD,
        (State.DEAD, Trigger.REPLAY): State.SCHEDULED,
        (State.DEAD, Trigger.DISCARD): State.DISCARDED,
        (State.DELIVERED, Trigger.REPLAY): State.SCHEDULED,
        (State.DISCARDED, Trigger.REPLAY): State.SCHEDULED,
    }
)
"""Every change of state there is. What is not in here cannot happen; the diagram in the docs is made from it."""


def next_state(state: State, trigger: Trigger) -> State:
    """The state that `trigger` leads to. Raises TransitionError where the table has no such row."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        possible = sorted(t.value for s, t in TRANSITIONS if s is state)
        raise TransitionError(
            f"a delivery that is {state} cannot {trigger}; from {state} it can only: {', '.join(possible)}"
        ) from None


class DeadReason(StrEnum):
    """Why a delivery is dead."""

    EXHAUSTED = "exhausted"
    """Every attempt of the round failed, or the round is over its `max_age`."""
    REJECTED = "rejected"
    """The destination said never."""
    EXPIRED = "expired"
    """It came due too late to be of use."""
    MALFORMED = "malformed"
    """Quarantine: the request was authentic and could not be read."""
    CRASHED = "crashed"
    """The worker, or the handler's own process, died under it again and again."""


class Wait(StrEnum):
    """Why a scheduled delivery has a time before which it is not tried."""

    BACKOFF = "backoff"
    """Its last attempt failed."""
    RETRY_AFTER = "retry_after"
    """The destination asked to be left alone for longer than the backoff."""
    REPLAY = "replay"
    """A person sends it again, one after the other."""


class OutcomeKind(StrEnum):
    """An attempt's classified result."""

    SUCCESS = "success"
    RETRY = "retry"
    REJECT = "reject"
    LOST = "lost"
    """The lease ran out before the worker reported: it crashed or stood still; what the destination got is unknown."""
    CRASHED = "crashed"
    """The handler's own process ended during the attempt; what it had done by then is unknown."""
    INTERRUPTED = "interrupted"
    """The gateway was stopped during the attempt and broke it off; what the destination got is unknown."""


@value(frozen=True, slots=True)
class Outcome:
    """What one try of a delivery came to."""

    kind: OutcomeKind
    status: int | None = None
    """The HTTP status, where there was an answer."""
    error: str | None = None
    """In words, for the person who looks at it; None on success."""
    retry_after_s: float | None = None
    """How long the destination asked to be left alone."""
    answer: bytes = b""
    """The first ANSWER_BYTES_KEPT bytes of the answer."""
    frames: str | None = field(default=None, compare=False)
    """Where a handler raised: its last frames, `FILE:LINE in FUNCTION` on a line each, the innermost last."""
    traceback: str | None = field(default=None, compare=False, repr=False)
    """The same whole, for the log."""
    raised: bool = False
    """A handler was called and raised: without a status, it answered."""

    @property
    def answered(self) -> bool:
        """Whether the destination was reached and said something."""
        return self.raised or self.status is not None


@value(frozen=True, slots=True)
class Attempt:
    """One try of a delivery, as recorded. Attempts are only ever added."""

    number: int
    """1 for the first; counts on through replays."""
    round: int
    started_at_ms: int
    duration_ms: int
    outcome: OutcomeKind
    status: int | None = None
    error: str | None = None
    answer: bytes = b""
    frames: str | None = None
    """See Outcome."""

    @property
    def ended_at_ms(self) -> int:
        """When its outcome was known."""
        return self.started_at_ms + self.duration_ms


@value(frozen=True, slots=True)
class Transition:
    """A decided change of state: what `decide` and the people's commands produce and `Delivery.after` applies."""

    trigger: Trigger
    at_ms: int
    due_at_ms: int | None = None
    """When it is to be tried next, where it leads to `scheduled`."""
    reason: DeadReason | None = None
    leaves_lane: bool = False
    """Its successors need not wait for it any longer."""
    lane: str | None = None
    """replay: the lane that it goes to; None: the one that it is in, or for one that was skipped its source's own."""
    wait: Wait | None = None
    """Why it is not due at once, where it leads to `scheduled`."""


@value(frozen=True, slots=True)
class Delivery:
    """One event for one destination: what is leased, retried, parked and replayed.

    The first group of fields is copied from the event, so that listings and filters need no join.
    """

    id: str
    event_id: str
    source: str
    type: str | None
    key: str | None
    received_at_ms: int

    destination: str
    """The destination's name; empty for a quarantined request, which has none yet."""
    state: State
    due_at_ms: int
    """Not to be tried before this."""
    lane: str | None = None
    """The deliveries of one destination and lane go out one at a time, by id; one that is dead holds those behind it.
    None: in no order."""
    round: int = 1
    """1 on acceptance; each replay starts the next, with a fresh budget."""
    round_at_ms: int = 0
    """When this round began; `max_age` counts from here."""
    attempts: int = 0
    """Attempts in all rounds."""
    tries: int = 0
    """Attempts that this round's budget has paid for."""
    lost: int = 0
    """Attempts of this round under which a worker died: its lease ran out, or the handler's own process ended."""
    token: int = 0
    """The fencing token of the latest lease; each lease adds one."""
    leased_at_ms: int | None = None
    lease_until_ms: int | None = None
    worker: str | None = None
    reason: DeadReason | None = None
    last_status: int | None = None
    last_error: str | None = None
    ended_at_ms: int | None = None
    """When it became delivered, dead or discarded."""
    expires_at_ms: int | None = None
    """From then on it is of no use and not tried any more; None: never. A person who replays it thinks otherwise."""

    skipped: bool = False
    """It died, and its key went on without it: what came after it may have been delivered before it is."""
    wait: Wait | None = None
    """Why `due_at_ms` is what it is, where it is scheduled; None: nothing has made it wait."""
    replaced_by: str | None = None
    """The id of the event that a person sent in its place, edited; replays of many leave it out then."""

    def leased(self, worker: str, now_ms: int, until_ms: int) -> Self:
        """This delivery under a new lease, with the next fencing token."""
        return replace(
            self,
            state=next_state(self.state, Trigger.LEASE),
            token=self.token + 1,
            leased_at_ms=now_ms,
            lease_until_ms=until_ms,
            worker=worker,
        )

    def tried(self, outcome: Outcome, probe: bool = False) -> Self:
        """This delivery with one more attempt on its count. Only what the destination did is paid from the budget.

        Deaths are counted by themselves: a payload that kills its worker is another matter than a failure.
        probe: it went out to find out about the destination, whose circuit was open; that is at nobody's expense.
        """
        lost = outcome.kind in (OutcomeKind.LOST, OutcomeKind.CRASHED)
        free = lost or probe or outcome.kind is OutcomeKind.INTERRUPTED
        return replace(
            self,
            attempts=self.attempts + 1,
            tries=self.tries + (not free),
            lost=self.lost + lost,
            last_status=outcome.status,
            last_error=outcome.error,
        )

    def after(self, transition: Transition) -> Self:
        """This delivery after a decided transition; the lease, if any, is over. Raises TransitionError."""
        state = next_state(self.state, transition.trigger)
        ended = state is not State.SCHEDULED
        changed = replace(
            self,
            state=state,
            due_at_ms=self.due_at_ms if transition.due_at_ms is None else transition.due_at_ms,
            reason=transition.reason if state is State.DEAD else None,
            lane=None if transition.leaves_lane else self.lane,
            skipped=self.skipped or (transition.leaves_lane and self.lane is not None),
            ended_at_ms=transition.at_ms if ended else None,
            wait=None if ended else transition.wait,
            leased_at_ms=None,
            lease_until_ms=None,
            worker=None,
        )
        if transition.trigger is not Trigger.REPLAY:
            return changed
        return replace(
            changed,
            round=self.round + 1,
            round_at_ms=transition.at_ms,
            tries=0,
            lost=0,
            expires_at_ms=None,
            lane=self._lane_again() if transition.lane is None else transition.lane,
            # Whoever sends this one again thinks otherwise of what was sent in its place.
            replaced_by=None,
        )

    def _lane_again(self) -> str | None:
        # One that was skipped comes out of order, but not beside another of its key.
        return lane_of(self.source, self.key) if self.skipped and self.key is not None else self.lane


def lane_of(source: str, key: str, order_with: str | None = None) -> str:
    """The name of a key's lane: of one source, or of all whose routes share an order. No name has a colon or an @."""
    return f"{source}:{key}" if order_with is None else f"@{order_with}:{key}"
