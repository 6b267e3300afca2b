"""The processes that are there: ports.Nodes over Redis."""

from collections.abc import Sequence

from longstop.model.node import FORGOTTEN_AFTER_MS, Node
from longstop.stores.record_json import packed, unpacked
from longstop.stores.redis.records import Change, RedisRecords

NODES_MAX = 10_000


class RedisNodes(RedisRecords):
    """See ports.Nodes."""

    async def beat(self, node: Node) -> None:
        """See ports.Nodes."""
        seen_ms = node.seen_at_ms
        gone = await self._by_score("nodes:seen", "-inf", f"({seen_ms - FORGOTTEN_AFTER_MS}", 100)
        kept = zip(gone, await self._records("nodes", gone), strict=True)
        here = Change("nodes", node.name, packed(node), adds=[("nodes:seen", seen_ms, node.name)])
        # One that has said meanwhile that it is there is another record, and stays.
        old = [Change("nodes", name, None, raw, drops=[("nodes:seen", name)]) for name, raw in kept if raw is not None]
        await self._change_each([*(each for each in old if each.id != node.name), here])

    async def leave(self, name: str) -> None:
        """See ports.Nodes."""
        await self._change(Change("nodes", name, None, drops=[("nodes:seen", name)]))

    async def nodes(self) -> Sequence[Node]:
        """See ports.Nodes."""
        names = await self._by_score("nodes:seen", "-inf", "+inf", NODES_MAX)
        kept = await self._records("nodes", names)
        return sorted((unpacked(each, Node) for each in kept if each is not None), key=lambda node: node.name)
