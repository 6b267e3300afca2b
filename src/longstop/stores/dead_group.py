"""A group of the dead, for the stores that keep each as a row of its own, Redis and AWS."""

from dataclasses import dataclass

from longstop.model.delivery import DeadReason
from longstop.model.error_group import OTHER, has_variables, may_say
from longstop.model.listing import DeliveryFilter


@dataclass(frozen=True, slots=True)
class Group:
    """What all of a group have in common."""

    id: str
    destination: str
    reason: DeadReason
    status: int | None
    error: str

    def may_have(self, wanted: DeliveryFilter) -> bool:
        """Whether there may be one in it that a filter means."""
        return (
            wanted.destination in (None, self.destination)
            and wanted.reason in (None, self.reason)
            and wanted.status in (None, self.status)
            and (wanted.error is None or self._may_say(wanted.error))
        )

    def _may_say(self, text: str) -> bool:
        # The group of other errors: what they say, only they know.
        return may_say(self.error, text) if has_variables(text) else text in self.error or self.error == OTHER
