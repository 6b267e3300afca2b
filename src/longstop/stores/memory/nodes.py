"""The processes that are there."""

from collections.abc import Sequence

from longstop.model.node import FORGOTTEN_AFTER_MS, Node


class MemoryNodes:
    """Who is there."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes: dict[str, Node] = {}

    async def beat(self, node: Node) -> None:
        """Note that a process is there."""
        self._nodes[node.name] = node
        oldest_ms = node.seen_at_ms - FORGOTTEN_AFTER_MS
        self._nodes = {name: each for name, each in self._nodes.items() if each.seen_at_ms >= oldest_ms}

    async def leave(self, name: str) -> None:
        """Note that a process has ended."""
        self._nodes.pop(name, None)

    async def nodes(self) -> Sequence[Node]:
        """The processes that are there."""
        return [self._nodes[name] for name in sorted(self._nodes)]
