"""What people are told without having asked: that a circuit opened or closed. Pure."""

from dataclasses import dataclass
from typing import Literal, Self

from longstop.model.breaker import CircuitChange
from longstop.model.times import rfc3339


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as a function that is registered for alerts gets it; `document` is what the hook gets."""

    alert: Literal["circuit_opened", "circuit_closed"]
    destination: str
    why: str
    at_ms: int
    """Unix time in milliseconds."""
    open_s: float | None = None
    """circuit_closed: for how many seconds it was open."""

    @classmethod
    def of(cls, change: CircuitChange) -> Self:
        """The alert about a circuit."""
        name: Literal["circuit_opened", "circuit_closed"] = (
            "circuit_opened" if change.change == "opened" else "circuit_closed"
        )
        return cls(name, change.destination, change.why, change.at_ms, change.open_s)

    @property
    def text(self) -> str:
        """All of it in a sentence or two, for people."""
        if self.open_s is None:
            return f"The circuit of {self.destination} opened: {self.why}. It gets nothing but probes until it is back."
        return f"The circuit of {self.destination} closed after {self.open_s:.0f} s: {self.why}."

    def document(self) -> dict[str, object]:
        """As the hook gets it. Fields may be added, and none is renamed."""
        told = {"alert": self.alert, "destination": self.destination, "why": self.why, "at": rfc3339(self.at_ms)}
        open_s = {} if self.open_s is None else {"open_s": self.open_s}
        return {**told, **open_s, "text": self.text}
