"""A lease: a time-bound, fenced claim on a delivery.

Time makes leases *efficient* (a dead worker's deliveries come back); the token makes them *correct*:
whoever settles shows the token of its lease, and a token that is no longer the latest is refused,
whatever any clock says.
"""

from collections.abc import Collection, Mapping
from dataclasses import field

from longstop.model.breaker import Circuit
from longstop.model.delivery import Attempt, Delivery
from longstop.model.event import Event
from longstop.model.value import value


@value(frozen=True, slots=True)
class LeaseRequest:
    """Ask for what is due: for each destination, at most so many deliveries."""

    worker: str
    room: dict[str, int]
    """Destination name to how many more deliveries it can take now."""
    now_ms: int
    until_ms: int
    retries: Mapping[str, int] = field(default_factory=dict)
    """Of the room of a destination, at most so much for deliveries that were tried before; left out: all of it."""
    retries_first: Collection[str] = ()
    """Destinations of which one that was tried before comes first when they take turns with those that were not."""
    expired_by_ms: int | None = None
    """What expires by then is leased although the circuit is open; None: by `now_ms`."""

    @property
    def over_ms(self) -> int:
        """What expires by then is of no use any more."""
        return self.now_ms if self.expired_by_ms is None else self.expired_by_ms


@value(frozen=True, slots=True)
class Claim:
    """A leased delivery with its event: all a worker needs to try it."""

    delivery: Delivery
    event: Event


@value(frozen=True, slots=True)
class LeaseBatch:
    """What a lease call gave, and when it is worth asking again."""

    claims: tuple[Claim, ...]
    next_due_at_ms: int | None
    """The earliest future `due_at_ms` of the destinations asked for; None where nothing is scheduled."""
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    """The open circuits of the destinations asked for, as they are now that this was leased."""


@value(frozen=True, slots=True)
class LeaseRef:
    """Which lease is meant: the delivery, and the token that it was leased with."""

    delivery_id: str
    token: int


@value(frozen=True, slots=True)
class Settlement:
    """The end of a lease: the delivery as it stands after the attempt, and the attempt's record.

    `delivery.token` is the fencing token that must still be the stored one.
    """

    delivery: Delivery
    attempt: Attempt | None = None
