"""A process that accepts or delivers, as the store knows it: is any gateway running, and which?"""

from collections.abc import Iterable

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
    cpu_percent: int | None = None
    """How much of one processor core it used since it was last heard of: near 100 it can do no more, for its event loop
    has one. None: not known yet."""
    attempts: int = 0
    """Attempts that it had under way."""

    def runs(self, now_ms: int) -> bool:
        """Whether it has been heard of lately; a clock that is ahead of ours makes no difference."""
        return now_ms - self.seen_at_ms < GONE_AFTER_MS

    def is_elder_than(self, other: "Node") -> bool:
        """Whether it was here first: of any two nodes one."""
        return (self.started_at_ms, self.name) < (other.started_at_ms, other.name)


class NodeWatch:
    """Which nodes run, as one of them finds out by looking again and again: by whether they go on being heard of.

    Their clocks may differ from ours by more than GONE_AFTER_MS: only at the first look is that all there is to go by.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int | None]] = {}
        """Of each node what it last said, and when that was new to us; None: never."""

    def look(self, nodes: Iterable[Node], now_ms: int, monotonic_ms: int) -> list[Node]:
        """Those of these nodes that run."""
        known, self._known = self._known, {}
        running = []
        for node in nodes:
            said_ms, new_at_ms = known.get(node.name, (None, None))
            if node.name not in known:
                new_at_ms = monotonic_ms if node.runs(now_ms) else None
            elif node.seen_at_ms != said_ms:
                new_at_ms = monotonic_ms
            self._known[node.name] = (node.seen_at_ms, new_at_ms)
            if new_at_ms is not None and monotonic_ms - new_at_ms < GONE_AFTER_MS:
                running.append(node)
        return running
