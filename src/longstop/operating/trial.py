"""A trial: an event that no sender sent, for one destination, to see whether it takes one."""

import json

from longstop.model.append import Append, initial_deliveries
from longstop.model.event import Event, Headers, Origin
from longstop.model.ids import IdFactory
from longstop.model.routing import Target
from longstop.model.times import rfc3339

SOURCE = "(trial)"
"""The source of such events. No source can have this name."""
TYPE = "longstop.trial"


def trial_of(destination: str, by: str, ids: IdFactory, now_ms: int) -> Append:
    """The event and its one delivery, due at once and in no order."""
    said = {"type": TYPE, "at": rfc3339(now_ms), "by": by, "destination": destination}
    event = Event(
        id=ids.make(now_ms),
        source=SOURCE,
        received_at_ms=now_ms,
        body=json.dumps(said).encode(),
        headers=Headers([("Content-Type", "application/json")]),
        type=TYPE,
        origin=Origin.TRIAL,
    )
    return Append(event, initial_deliveries(event, {destination: Target()}, lambda: ids.make(now_ms)))
