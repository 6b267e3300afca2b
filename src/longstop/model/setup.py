"""What setting up a store's services came to: what was made, and what is not as it should be."""

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How something is."""

    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """Such as "table longstop, ttl"."""
    standing: Standing
    found: str
    expected: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that has to be there."""

    what: str
    made: bool
    """Now; otherwise it was there already."""
