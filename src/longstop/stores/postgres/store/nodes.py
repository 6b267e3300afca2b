"""The processes that are there: ports.Nodes over PostgreSQL."""

from collections.abc import Sequence

from longstop.model.node import Node
from longstop.stores.postgres import nodes
from longstop.stores.postgres.database import PostgresDatabase


class PostgresNodes(PostgresDatabase):
    """See ports.Nodes."""

    async def beat(self, node: Node) -> None:
        """See ports.Nodes."""
        await self.transact(lambda connection: nodes.beat(connection, node))

    async def leave(self, name: str) -> None:
        """See ports.Nodes."""
        await self.transact(lambda connection: nodes.leave(connection, name))

    async def nodes(self) -> Sequence[Node]:
        """See ports.Nodes."""
        return await self.view(nodes.nodes)
