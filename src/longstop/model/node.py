"""A process that accepts or delivers, as the store knows it: is any gateway running, and which?"""

from longstop.model.value import value

BEAT_EVERY_S = 5.0
"""How often a node says that it is there."""
GONE_AFTER_MS = 20_000
"""Without a word for so long it is held to be gone."""
FORGOTTEN_AFTER_MS = 86_400_000
"""Without a word for so long it is no longer listed."""


@value(frozen=True, slots=True)
class Node:
    """A running process. `seen_at_ms` is by its own clock, and so efficiency's business alone, never correctness's."""

    name: str
    """Host and process id: two processes never share it at the same time."""
    roles: tuple[str, ...]
    """`ingest`, `work` or both."""
    version: str
    started_at_ms: int
    seen_at_ms: int

    def runs(self, now_ms: int) -> bool:
        """Whether it has been heard of lately; a clock that is ahead of ours makes no difference."""
        return now_ms - self.seen_at_ms < GONE_AFTER_MS
