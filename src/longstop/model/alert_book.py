"""What has been told and is to be told, as the store keeps it: so that a restart neither repeats nor forgets. Pure.

All of it is one small document with a version. Who changes it says from which version, and is refused where somebody
was quicker: so several nodes look, and each alert is told once. Every store can keep that: a row, a key, an item.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from longstop.model.alert import KINDS, Alert, Notice, Severity, Status

STANDING_MAX = 300
"""So many are kept; a store that has more wrong with it than this has been told of before."""
PARTS_MAX = 200
"""Of one alert. What comes on top is not told of by itself."""
SILENCES_MAX = 200
ANY_KIND = "*"


@dataclass(frozen=True, slots=True)
class Standing:
    """One alert that is on, or was until shortly."""

    kind: str
    subject: str
    since_ms: int
    why: str
    severity: Severity
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()
    """What it is made of now: causes, say. One that was not told yet is a reason to tell again."""
    told: frozenset[str] = frozenset()
    """The parts that people know of."""
    told_at_ms: int | None = None
    """When people were told last; None: not yet."""
    gone_at_ms: int | None = None
    """Since when it is not seen any more."""
    over: bool = False
    """It has ended. It is kept for a while, so that one that comes and goes is not told of each time."""

    @property
    def key(self) -> str:
        """What it is known by."""
        return f"{self.kind}:{self.subject}"

    @property
    def active(self) -> bool:
        """Whether it is on, as people see it."""
        return not self.over

    def alert(self, status: Status, at_ms: int, why: str | None = None) -> Alert:
        """What people are told of it."""
        row = {
            "kind": self.kind,
            "subject": self.subject,
            "status": status,
            "severity": self.severity,
            "why": self.why if why is None else why,
            "at_ms": at_ms,
            "since_ms": self.since_ms,
            "facts": self.facts,
        }
        return Alert.from_row(row)


@dataclass(frozen=True, slots=True)
class Silence:
    """A person wants to hear nothing of a kind, of all or of one subject, for a time."""

    kind: str
    """A key of KINDS, or ANY_KIND."""
    subject: str | None
    """None: of all of them."""
    until_ms: int
    by: str
    why: str | None
    at_ms: int

    def covers(self, kind: str, subject: str, now_ms: int) -> bool:
        """Whether it is in force for that."""
        return now_ms < self.until_ms and self.kind in (ANY_KIND, kind) and self.subject in (None, subject)


@dataclass(frozen=True, slots=True)
class Baseline:
    """How many of something there were at a time: what came since is the difference."""

    count: int
    at_ms: int
    events: int = 0
    """How many events had been accepted by then."""


@dataclass(frozen=True, slots=True)
class AlertBook:
    """All of it. `version` 0: nothing was ever kept."""

    version: int = 0
    began_at_ms: int | None = None
    """When somebody looked for the first time."""
    standing: Mapping[str, Standing] = field(default_factory=dict)
    """By key."""
    silences: tuple[Silence, ...] = ()
    refused: Mapping[str, Baseline] = field(default_factory=dict)
    """By source: the refused requests that are no news any more."""
    last_told: Mapping[str, int] = field(default_factory=dict)
    """By kind and status: when the last notice was."""
    outbox: tuple[Notice, ...] = ()
    """Decided, and not yet known to be in the queue."""

    def active(self) -> list[Standing]:
        """What is on, the longest first."""
        return sorted((each for each in self.standing.values() if each.active), key=lambda each: each.since_ms)

    def silenced(self, kind: str, subject: str, now_ms: int) -> Silence | None:
        """The silence that is in force for that, if any: the one that lasts longest."""
        covering = [each for each in self.silences if each.covers(kind, subject, now_ms)]
        return max(covering, key=lambda each: each.until_ms, default=None)

    def with_silence(self, silence: Silence) -> Self:
        """With this one, in the place of another for the same; those that are over are dropped."""
        others = [
            each
            for each in self.silences
            if (each.kind, each.subject) != (silence.kind, silence.subject) and each.until_ms > silence.at_ms
        ]
        return replace(self, silences=(*others[-SILENCES_MAX + 1 :], silence))

    def without_silence(self, kind: str, subject: str | None) -> Self:
        """Without the one for exactly that."""
        left = tuple(each for each in self.silences if (each.kind, each.subject) != (kind, subject))
        return replace(self, silences=left)

    # -- as it is kept -----------------------------------------------------------------------------

    def dumped(self) -> str:
        """As text; the version is kept beside it."""
        return json.dumps(
            {
                "began_at_ms": self.began_at_ms,
                "standing": [_standing_row(each) for each in self.standing.values()],
                "silences": [_fields(each) for each in self.silences],
                "refused": {name: _fields(each) for name, each in self.refused.items()},
                "last_told": dict(self.last_told),
                "outbox": [each.body().decode() for each in self.outbox],
            }
        )

    @classmethod
    def loaded(cls, version: int, text: str) -> Self:
        """What `dumped` gave. A kind that this version does not know, of a newer one, is left out."""
        kept = json.loads(text)
        standing = [_standing(each) for each in kept["standing"] if each["kind"] in KINDS]
        outbox = (_notice(each) for each in kept["outbox"])
        return cls(
            version,
            kept["began_at_ms"],
            {each.key: each for each in standing},
            tuple(Silence(**each) for each in kept["silences"]),
            {name: Baseline(**each) for name, each in kept["refused"].items()},
            kept["last_told"],
            tuple(each for each in outbox if each is not None),
        )


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _standing_row(standing: Standing) -> dict[str, Any]:
    row = _fields(standing)
    return {**row, "parts": sorted(standing.parts), "told": sorted(standing.told), "facts": dict(standing.facts)}


def _standing(row: dict[str, Any]) -> Standing:
    sets = {name: frozenset(row[name]) for name in ("parts", "told")}
    return Standing(**{**row, **sets, "severity": Severity(row["severity"])})


def _notice(body: str) -> Notice | None:
    try:
        return Notice.from_body(body.encode())
    except ValueError:
        return None
