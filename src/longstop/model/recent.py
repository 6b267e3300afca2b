"""What has happened lately, in the order in which it did: what a person who listeners a gateway sees go by."""

from dataclasses import dataclass

from longstop.model.action import ActionRecord
from longstop.model.delivery import Attempt, Delivery
from longstop.model.event import Event


@dataclass(frozen=True, slots=True)
class Recent:
    """What happened since a time (inclusive), each list oldest first and at most as long as was asked for."""

    events: tuple[Event, ...] = ()
    """Received since; without their bodies."""
    attempts: tuple[tuple[Delivery, Attempt], ...] = ()
    """Ended since, each with its delivery as it stands now."""
    actions: tuple[tuple[Delivery, ActionRecord], ...] = ()
    """Decided by people since."""
