"""What people are told without having asked: kinds of alerts, one alert, and the notice that carries several. Pure.

What is wrong is a *condition* (`model.alert_conditions`); whether somebody is told of it, and when, is decided in
`model.alert_rules`; what has been told is kept in the store (`model.alert_book`). A notice becomes an event of the
source LONGSTOP, with a delivery to each channel that wants it, and so is kept, retried and visible as every other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, Self

from longstop.model.breaker import CircuitChange
from longstop.model.times import rfc3339

LONGSTOP = "longstop"
"""The source of Longstop's own events. No source that is configured can have this name."""
CHANNEL_PREFIX = "alerts."
"""What the destinations begin with that alerts go to: no destination that is configured has a point in its name."""
ALERTS_PER_NOTICE = 20
"""More that begin or end together make another notice."""
WHY_CHARS_MAX = 600


class Severity(StrEnum):
    """How bad it is, the least first: the four that PagerDuty has, so that nothing is lost on the way there."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Its place among them."""
        return list(Severity).index(self)


class Status(StrEnum):
    """Whether it is so, or is so no more."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class AlertKind:
    """One kind of alert. `{}` stands for what it is about."""

    about: Literal["destination", "source", "node", "job", "disk", "channel"]
    begins: str
    ends: str
    """Empty: nobody is told that it is over, for it is no state but something that happened."""
    severity: Severity
    settle_ms: int = 0
    """It has to be gone for so long to be over: what comes and goes is one alert."""
    advice: str = ""
    """A sentence more, for the first time."""
    names: tuple[str, str] | None = None
    """What `Alert.alert` says when it begins and when it ends; None: the kind, both times."""


SETTLE_MS = 60_000
KINDS: Mapping[str, AlertKind] = MappingProxyType(
    {
        "dead_letters": AlertKind(
            "destination", "Dead letters at {}", "No dead letters at {} any more", Severity.ERROR, SETTLE_MS
        ),
        "circuit": AlertKind(
            "destination",
            "The circuit of {} opened",
            "The circuit of {} closed",
            Severity.ERROR,
            advice="It gets nothing but probes until it is back.",
            names=("circuit_opened", "circuit_closed"),
        ),
        "backlog": AlertKind(
            "destination",
            "What waits for {} is old",
            "Nothing that is old waits for {} any more",
            Severity.WARNING,
            SETTLE_MS,
        ),
        "source_silent": AlertKind("source", "Nothing comes from {}", "Something came from {} again", Severity.WARNING),
        "refused": AlertKind(
            "source",
            "Requests of {} are refused",
            "Requests of {} are refused no more",
            Severity.WARNING,
            SETTLE_MS,
        ),
        "disk_low": AlertKind(
            "disk",
            "The disk of the store on {} is nearly full",
            "The disk of the store on {} has room again",
            Severity.CRITICAL,
            SETTLE_MS,
        ),
        "node_lost": AlertKind(
            "node", "The gateway {} ended without a word", "The gateway {} is back, or replaced", Severity.WARNING
        ),
        "spool": AlertKind(
            "node",
            "The gateway {} keeps events in its spool",
            "The spool of {} is empty again",
            Severity.CRITICAL,
            # Each gateway looks at its own only: what another one does not see is not over.
            SETTLE_MS,
        ),
        "job_done": AlertKind("job", "The job {} has ended", "", Severity.INFO),
        "test": AlertKind("channel", "A test for {}", "", Severity.INFO),
    }
)
"""Every kind of alert there is, by its name."""
TOLD_WHATEVER = "test"
"""The kind that goes to the channel that it is about, whatever that is set to take: somebody asked for it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as a function that is registered for alerts gets it; `document` is what a hook gets."""

    alert: str
    """`circuit_opened`, `circuit_closed`, or else its kind: `dead_letters`, `backlog`, …"""
    destination: str | None
    """The destination that it is about; None where it is about something else."""
    why: str
    at_ms: int
    """Unix time in milliseconds."""
    open_s: float | None = None
    """circuit_closed: for how many seconds it was open."""
    kind: str = "circuit"
    """A key of KINDS."""
    subject: str = ""
    """What it is about: the name of a destination, a source, a gateway."""
    severity: Severity = Severity.ERROR
    status: Status = Status.FIRING
    since_ms: int | None = None
    """Since when it is so, or was."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it: numbers, names, ids. Values are what JSON has."""

    @classmethod
    def of(cls, change: CircuitChange) -> Self:
        """The alert about a circuit."""
        opened = change.change == "opened"
        since_ms = change.at_ms if opened else change.at_ms - round((change.open_s or 0) * 1000)
        return cls(
            "circuit_opened" if opened else "circuit_closed",
            change.destination,
            change.why,
            change.at_ms,
            change.open_s,
            subject=change.destination,
            status=Status.FIRING if opened else Status.RESOLVED,
            since_ms=since_ms,
        )

    @property
    def name(self) -> str:
        """The name of what it is about."""
        return self.subject or self.destination or ""

    @property
    def key(self) -> str:
        """The same from its beginning to its end: what incidents are told apart by."""
        return f"{self.kind}:{self.name}"

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        kind = KINDS[self.kind]
        if self.status is Status.FIRING:
            return kind.begins.format(self.name)
        lasted_s = self.open_s if self.since_ms is None else (self.at_ms - self.since_ms) / 1000
        lasted = f" after {lasted_s:.0f} s" if self.kind == "circuit" and lasted_s is not None else ""
        return kind.ends.format(self.name) + lasted

    @property
    def text(self) -> str:
        """All of it in a sentence or two, for people."""
        advice = KINDS[self.kind].advice if self.status is Status.FIRING else ""
        why = f": {self.why.rstrip('.')}." if self.why else "."
        return f"{self.title}{why}{' ' if advice else ''}{advice}"

    def document(self) -> dict[str, object]:
        """As a hook gets it. Fields may be added, and none is renamed."""
        about = str(KINDS[self.kind].about)
        told: dict[str, object] = {"alert": self.alert, about: self.name, "why": self.why, "at": rfc3339(self.at_ms)}
        if self.open_s is not None:
            told["open_s"] = self.open_s
        told["text"] = self.text
        told |= {"status": str(self.status), "severity": str(self.severity), "kind": self.kind, "key": self.key}
        told["since"] = None if self.since_ms is None else rfc3339(self.since_ms)
        return told | {"facts": dict(self.facts)}

    def row(self) -> dict[str, Any]:
        """As it is kept."""
        return {
            "kind": self.kind,
            "subject": self.name,
            "status": str(self.status),
            "severity": str(self.severity),
            "why": self.why,
            "at_ms": self.at_ms,
            "since_ms": self.since_ms,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """What `row` gave. Raises KeyError, ValueError, TypeError for what it never gave."""
        kind, status = KINDS[row["kind"]], Status(row["status"])
        known = row["kind"] == "circuit" and row["since_ms"] is not None
        circuit_s = (row["at_ms"] - row["since_ms"]) / 1000 if known else None
        return cls(
            alert=(kind.names or (row["kind"],) * 2)[status is Status.RESOLVED],
            destination=str(row["subject"]) if kind.about == "destination" else None,
            why=str(row["why"]),
            at_ms=int(row["at_ms"]),
            open_s=circuit_s if status is Status.RESOLVED else None,
            kind=str(row["kind"]),
            subject=str(row["subject"]),
            severity=Severity(row["severity"]),
            status=status,
            since_ms=row["since_ms"],
            facts=dict(row["facts"]),
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """Alerts of one kind that begin or end together: what a channel is sent at once."""

    id: str
    """Told twice under one id, it is kept once."""
    kind: str
    status: Status
    alerts: tuple[Alert, ...]

    @property
    def severity(self) -> Severity:
        """Of the worst of them."""
        return max((each.severity for each in self.alerts), key=lambda each: each.rank)

    @property
    def title(self) -> str:
        """What it is, in a line."""
        first, *others = self.alerts
        return f"{first.title}, and {len(others)} more" if others else first.title

    def body(self) -> bytes:
        """As it is kept, as the body of an event."""
        told = {
            "id": self.id,
            "kind": self.kind,
            "status": str(self.status),
            "severity": str(self.severity),
            "title": self.title,
            "alerts": [each.row() for each in self.alerts],
        }
        return json.dumps(told).encode()

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """What `body` gave. Raises ValueError for anything else."""
        try:
            told = json.loads(body)
            alerts = tuple(Alert.from_row(each) for each in told["alerts"])
            if not alerts:
                raise ValueError("a notice without an alert")
            return cls(str(told["id"]), str(told["kind"]), Status(told["status"]), alerts)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a notice: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which notices a channel takes."""

    min_severity: Severity = Severity.INFO
    kinds: frozenset[str] | None = None
    """None: all of them."""

    def takes(self, notice: Notice) -> bool:
        """Whether a notice is for it. What is over is told to whom its beginning was told: severity and kind stay."""
        fits = self.kinds is None or notice.kind in self.kinds
        return fits and notice.severity.rank >= self.min_severity.rank


def is_own(destination: str) -> bool:
    """Whether a destination is one of the alerts' own: nobody is alerted about those, or it would never end."""
    return destination.startswith(CHANNEL_PREFIX)


def shortened(text: str, chars: int = WHY_CHARS_MAX) -> str:
    """Text that is no longer than so many characters."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
