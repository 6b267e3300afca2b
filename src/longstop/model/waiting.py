"""Why a scheduled delivery is not being tried now: the first of the reasons that a person would have to take away."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import Delivery, State


class WaitsFor(StrEnum):
    """What has to happen before a scheduled delivery is tried."""

    HELD = "held"
    """Another one of its key goes first."""
    GATEWAY = "gateway"
    """No process delivers."""
    PAUSE = "pause"
    """A person resumes the destination."""
    CIRCUIT = "circuit"
    """The destination's circuit closes, or it is the probe."""
    BACKOFF = "backoff"
    """The time after a failed attempt."""
    RETRY_AFTER = "retry_after"
    """The time that the destination asked for."""
    REPLAY = "replay"
    """Its turn in a replay of many at a rate."""
    TIME = "time"
    """Its due time; why it is that was not kept, as it is in stores of earlier versions."""
    RATE = "rate"
    """It is due, and the destination gets so many a second."""
    ROOM = "room"
    """It is due, and as many attempts are under way as the destination takes."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why it waits, and until when at least; None: that is not a matter of time."""

    why: WaitsFor
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds deliveries back, besides their own time."""

    now_ms: int
    delivering: bool = True
    """A process that delivers is running."""
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    circuits: Mapping[str, Circuit] = field(default_factory=dict)
    rated: frozenset[str] = frozenset()
    """Destinations that get so many a second."""

    def waiting(self, delivery: Delivery, held: bool) -> Waiting | None:
        """Why this one is not being tried; None where it is not scheduled. `held`: another of its key goes first."""
        if delivery.state is not State.SCHEDULED:
            return None
        if held:
            return Waiting(WaitsFor.HELD, None)
        if not self.delivering:
            return Waiting(WaitsFor.GATEWAY, None)
        if delivery.destination in self.pauses:
            return Waiting(WaitsFor.PAUSE, None)
        circuit = self.circuits.get(delivery.destination)
        if circuit is not None:
            return Waiting(WaitsFor.CIRCUIT, max(circuit.probe_at_ms, delivery.due_at_ms))
        if delivery.due_at_ms > self.now_ms:
            why = WaitsFor(delivery.wait.value) if delivery.wait else WaitsFor.TIME
            return Waiting(why, delivery.due_at_ms)
        return Waiting(WaitsFor.RATE if delivery.destination in self.rated else WaitsFor.ROOM, delivery.due_at_ms)
