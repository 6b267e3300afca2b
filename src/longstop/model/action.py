"""What a person decided: about a delivery (replay, discard, expedite, edit) or about a destination (pause)."""

from dataclasses import dataclass

from longstop.model.delivery import Transition, Trigger
from longstop.model.value import value


@value(frozen=True, slots=True)
class Action:
    """What a person decided about a delivery: replay it, discard it or expedite it."""

    delivery_id: str
    transition: Transition
    by: str
    why: str | None = None

    def __post_init__(self) -> None:
        if self.transition.trigger not in (Trigger.REPLAY, Trigger.DISCARD, Trigger.EXPEDITE):
            found = f"{self.transition.trigger} is no decision of a person's"
            raise ValueError(f"{found}; expected replay, discard or expedite")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's decision that a destination gets nothing until further notice. What is for it waits."""

    destination: str
    at_ms: int
    by: str
    why: str | None = None


@value(frozen=True, slots=True)
class Edit:
    """A person's decision to send a new event in the place of a kept one: edited, or read and routed anew."""

    event_id: str
    """The new one."""
    parent: str
    """The kept one."""
    at_ms: int
    by: str
    why: str | None = None


@value(frozen=True, slots=True)
class ActionRecord:
    """An action as it was recorded."""

    trigger: Trigger
    at_ms: int
    by: str
    why: str | None
