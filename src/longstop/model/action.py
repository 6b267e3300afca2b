"""What a person decided: about a delivery (replay, discard) or about a destination (pause)."""

from dataclasses import dataclass

from longstop.model.delivery import Transition, Trigger
from longstop.model.value import value


@value(frozen=True, slots=True)
class Action:
    """What a person decided about a delivery: replay it or discard it."""

    delivery_id: str
    transition: Transition
    by: str
    why: str | None = None

    def __post_init__(self) -> None:
        if self.transition.trigger not in (Trigger.REPLAY, Trigger.DISCARD):
            raise ValueError(f"{self.transition.trigger} is no decision of a person's; expected replay or discard")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's decision that a destination gets nothing until further notice. What is for it waits."""

    destination: str
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
