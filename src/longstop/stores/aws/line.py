"""What stands in line, of all destinations together: one question to each shard, where it is little.

Who delivers looks every second, mostly at nothing. A question costs a unit, though it finds nothing, and there would be
two for each destination and shard. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from collections.abc import Sequence

from longstop.stores.aws.attributes import Item
from longstop.stores.aws.database import AwsDatabase
from longstop.stores.aws.table import number

SHORT = 20
"""So many of a shard are little."""
LONG_LOOKS = 30
"""So many looks go by after one that found more, before another tries whether it is little again."""

FIRST = " "
"""Before every destination's name."""

Line = Sequence[Item]
"""All that stands in line, in its order."""


class AwsLine(AwsDatabase):
    """Looking at it."""

    _long_looks = 0

    async def whole_line(self) -> Line | None:
        """All of it; None where that is much, or was just now."""
        if self._long_looks > 0:
            self._long_looks -= 1
            return None
        # What is leased stands behind it.
        parts = await self.each_shard("turn", FIRST, "~", SHORT + 1)
        if any(len(rows) > SHORT for rows in parts):
            self._long_looks = LONG_LOOKS
            return None
        return sorted((row for rows in parts for row in rows), key=lambda row: str(row["turn"]))

    async def in_line(
        self, line: Line | None, name: str, kind: str, limit: int | None, after_ms: int | None = None
    ) -> Line:
        """The first of a destination's line, never tried (`u`) or tried (`t`), due or not, or of those due later."""
        low = f"{name}#{kind}#" if after_ms is None else f"{name}#{kind}#{number(after_ms + 1)}"
        high = f"{name}#{kind}~"
        if line is None:
            return await self.of_shards("turn", low, high, limit)
        return [row for row in line if low <= str(row["turn"]) <= high][:limit]
