"""The processes that work on a store."""

from collections.abc import Sequence
from typing import Protocol

from longstop.model.node import Node


class Nodes(Protocol):
    """Which processes are there."""

    async def beat(self, node: Node) -> None:
        """Note that a process is there, in the place of what was known of it. Forgets those long gone."""

    async def leave(self, name: str) -> None:
        """Note that a process has ended. Nothing to do where it is not known."""

    async def nodes(self) -> Sequence[Node]:
        """The processes that said they are there and have not left, by name; also those that were killed."""
