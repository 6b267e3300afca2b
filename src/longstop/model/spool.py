"""The spool: where events are kept on this machine's disk while the store cannot be had."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """`[store] spool` and what belongs to it."""

    path: str
    """The absolute path of the file."""
    after_ms: int = 2_000
    """A store that takes longer than this over an append is not waited for."""
    max_events: int = 1_000_000
    max_bytes: int = 1_000_000_000
    """Of bodies and headers."""
    min_free_bytes: int = 0
    """So much room must be left on the spool's disk (`store.min_free`)."""


@dataclass(frozen=True, slots=True)
class SpoolFacts:
    """How a spool stands."""

    in_use: bool
    """New events go into it, and not into the store."""
    events: int
    """Which the store does not have yet."""
    bytes: int
    oldest_at_ms: int | None
    """When the first of them was received."""
    full: bool = False
    """It takes no more."""
    stuck: int = 0
    """Of those, which the store refuses: they wait for a person."""
    since_ms: int | None = None
    """Since when it is in use; None: it is not."""
    used_until_ms: int | None = None
    """When it was in use last; None: it is, or never was since the start."""
    why: str = ""
    """What keeps events from the store, or kept them."""
    spooled: int = 0
    """How many events this process has put into it."""
    forwarded: int = 0
    """How many this process has brought to the store."""
    duplicates: int = 0
    """Of those, which turned out to be duplicates of an event there."""
