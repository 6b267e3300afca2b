"""The processes that are there: ports.Nodes over DynamoDB."""

from collections.abc import Sequence

from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.stores.aws import table as keys
from longstop.stores.aws.records import AwsRecords, record_item, to_record
from longstop.stores.aws.table import number
from longstop.stores.aws.unreadable import readable


class AwsNodes(AwsRecords):
    """See ports.Nodes."""

    async def beat(self, node: Node) -> None:
        """See ports.Nodes."""
        item = record_item((keys.NODES, node.name), node, expires=f"{number(node.seen_at_ms)}#{node.name}")
        await self._change((keys.NODES, node.name), lambda _: item)
        # One that has said meanwhile that it is there stands elsewhere in the index, and stays.
        await self._drop_over(keys.NODES, "expires", node.seen_at_ms - FORGOTTEN_AFTER_MS)

    async def leave(self, name: str) -> None:
        """See ports.Nodes."""
        await self._remove((keys.NODES, name))

    async def nodes(self) -> Sequence[Node]:
        """See ports.Nodes."""
        return list(readable(await self.table.query(keys.NODES), lambda item: to_record(item, Node)))
