"""The processes that are there: ports.Nodes over an SQLite file."""

from collections.abc import Sequence

from longstop.model.node import Node
from longstop.stores.sqlite import nodes
from longstop.stores.sqlite.database import Database


class SqliteNodes(Database):
    """See ports.Nodes."""

    async def beat(self, node: Node) -> None:
        """See ports.Nodes."""
        await self._transact(lambda connection: nodes.beat(connection, node))

    async def leave(self, name: str) -> None:
        """See ports.Nodes."""
        await self._transact(lambda connection: nodes.leave(connection, name))

    async def nodes(self) -> Sequence[Node]:
        """See ports.Nodes."""
        return await self._reader.call(nodes.nodes)
