"""What the people who run a store should know of it, although it works."""

from collections.abc import Mapping
from enum import StrEnum

from longstop.model.value import value

OLD_SNAPSHOT_MS = 300_000
"""A snapshot that stands open for so long is warned of: what is settled since cannot be cleared away."""


class StoreWarningKind(StrEnum):
    """What it is about; stable, for whoever watches."""

    OLD_SNAPSHOT = "old_snapshot"
    """Somebody keeps the server from clearing away what is no longer needed."""
    DURABILITY_RELAXED = "durability_relaxed"
    """What is accepted may be lost in a power cut or a failover, because the configuration says so."""


@value(frozen=True, slots=True)
class StoreWarning:
    """One thing to know."""

    kind: StoreWarningKind
    text: str
    """What is so, what comes of it and what to do, in a sentence or two. No credentials, no text of anybody's query."""
    details: Mapping[str, str | int]
    """The same as names and values, for programs."""
    since_ms: int | None = None
    """Since when, where that is known."""


def durability_relaxed(server: str, found: Mapping[str, str]) -> StoreWarning:
    """The warning of a server that may lose what it confirms. found: its settings that are to blame, by name."""
    named = ", ".join(f"{name} {value}" for name, value in found.items())
    return StoreWarning(
        StoreWarningKind.DURABILITY_RELAXED,
        f"What is accepted may be lost in a crash, for {server} has {named}, and durability=relaxed in store.url "
        "allows it. Set the server to keep what it confirms, and take durability=relaxed out.",
        dict(found),
    )


@value(frozen=True, slots=True)
class StoreHealth:
    """How the place is in which everything is kept."""

    warnings: tuple[StoreWarning, ...] = ()
    oldest_snapshot_ms: int | None = None
    """How old the oldest snapshot is that keeps what was deleted from being cleared away; None: there is nothing of the
    kind here. Also below the age that is warned of."""
