"""Reconciling: what the sender handed over against what the destination got, event by event. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from longstop.model.delivery import DeadReason

_DELIVERED_TWICE = "killed before its 2xx was noted: same webhook-id, once more"
"""At least once is not exactly once; by its `webhook-id` the destination can tell."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it stands in the sender's book."""

    id: str
    """The sender's own id."""
    body: bytes
    event_id: str | None = None
    """Longstop's id, from its 2xx; None: never accepted, as far as the sender knows."""

    def accepted(self, event_id: str) -> "Sent":
        """This event after its 2xx."""
        return replace(self, event_id=event_id)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Both books side by side."""

    sent: int
    accepted: int
    delivered: int
    """Accepted events that the destination has, with the body that was sent."""
    missing: tuple[str, ...]
    """Accepted events, by Longstop's id, that it does not have."""
    given_up: tuple[str, ...]
    """Events, by the sender's id, that were never accepted."""


def reconcile(sent: Iterable[Sent], delivered: Mapping[str, bytes]) -> Reconciliation:
    """Compare the sender's book with the destination's, which maps `webhook-id` to the body that came with it.

    An event counts as delivered only with its own body: two events kept as one would otherwise go unnoticed.
    """
    book = tuple(sent)
    accepted = [(each.event_id, each.body) for each in book if each.event_id is not None]
    missing = tuple(event_id for event_id, body in accepted if delivered.get(event_id) != body)
    given_up = tuple(each.id for each in book if each.event_id is None)
    return Reconciliation(len(book), len(accepted), len(accepted) - len(missing), missing, given_up)


@dataclass(frozen=True, slots=True)
class Report:
    """How the show ended."""

    before: Reconciliation
    """As it stood before the dead were replayed."""
    after: Reconciliation
    redeliveries: int
    """Requests that were recognised as an event that is kept already."""
    delivered_again: int
    """Deliveries of what the destination had already: at least once is not exactly once."""
    attempts: int
    dead: Mapping[DeadReason, int]
    """The dead letters before the replay, by reason."""
    kills: int
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 where everything that was sent was accepted and everything accepted was delivered, 1 otherwise."""
        return 1 if self.after.missing or self.after.given_up else 0

    def rows(self) -> list[tuple[str, int, str]]:
        """The final table: what was counted, the number, a remark."""
        after, again = self.after, self.delivered_again
        return [
            ("sent", after.sent, "events of the platform, each with its own id"),
            ("accepted", after.accepted, "answered 2xx: on disk"),
            ("not accepted", len(after.given_up), "handed over in vain: the sender gave up" if after.given_up else ""),
            ("redeliveries recognised", self.redeliveries, "sent again, kept once"),
            ("attempts", self.attempts, f"of {after.accepted} deliveries"),
            ("delivered twice", again, _DELIVERED_TWICE if again else "no attempt was cut off behind its answer"),
            ("dead before replay", sum(self.dead.values()), _by_reason(self.dead)),
            ("delivered", after.delivered, "reached the destination as they were sent"),
            ("missing after replay", len(after.missing), ""),
        ]

    def as_json(self) -> dict[str, Any]:
        """The report with stable names, for `--json`."""
        return {
            "ok": self.exit_status == 0,
            "sent": self.after.sent,
            "accepted": self.after.accepted,
            "not_accepted": len(self.after.given_up),
            "redeliveries_recognised": self.redeliveries,
            "attempts": self.attempts,
            "delivered_again": self.delivered_again,
            "dead_before_replay": sum(self.dead.values()),
            "dead_by_reason": {reason.value: number for reason, number in self.dead.items()},
            "delivered_before_replay": self.before.delivered,
            "delivered": self.after.delivered,
            "missing_before_replay": len(self.before.missing),
            "missing_after": len(self.after.missing),
            "missing_ids": self.after.missing,
            "not_accepted_ids": self.after.given_up,
            "gateway_kills": self.kills,
            "seconds": round(self.seconds, 1),
        }


def _by_reason(dead: Mapping[DeadReason, int]) -> str:
    return ", ".join(f"{number} {reason.value}" for reason, number in sorted(dead.items()))
