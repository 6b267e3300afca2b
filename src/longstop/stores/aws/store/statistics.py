"""What happened when: ports.Statistics over DynamoDB.

The numbers of a bucket lie in an item, to which processes add. A transaction that meets another one at an item fails:
each process has one of a few slots, in which it seldom meets any. What is asked for is the sum over the slots.
"""

import asyncio
import json
import secrets
from collections.abc import Iterable, Sequence

from longstop.model.errors import StoreUnavailableError
from longstop.model.statistics import BINS, Bucket, Series, StatisticsQuery, summed
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of
from longstop.stores.aws.database import AwsDatabase
from longstop.stores.aws.dynamodb import ITEMS_MAX, ContentionError
from longstop.stores.aws.table import STATISTICS_SLOTS, number
from longstop.stores.aws.units import TURNS_MAX, adding

_BINS = tuple(f"b{place:02}" for place in range(BINS))


class AwsStatistics(AwsDatabase):
    """See ports.Statistics."""

    _statistics_slot: int | None = None

    async def add_statistics(self, buckets: Sequence[Bucket]) -> None:
        """See ports.Statistics. Where it fails, some may have been added: what is added once more counts twice."""
        if self._statistics_slot is None:
            self._statistics_slot = secrets.randbelow(STATISTICS_SLOTS)
        amounts = list(_amounts(buckets, self._statistics_slot).items())
        for start in range(0, len(amounts), ITEMS_MAX):
            await self._add_amounts(amounts[start : start + ITEMS_MAX])

    async def _add_amounts(self, amounts: Iterable[tuple[Key, dict[str, int]]]) -> None:
        operations = [adding(self.table.name, key, each) for key, each in amounts]
        for _ in range(TURNS_MAX):
            try:
                return await self.table.transact(operations, secrets.token_hex(16))
            except ContentionError:
                continue
        raise StoreUnavailableError(f"DynamoDB: statistics met others' {TURNS_MAX} times in a row")

    async def statistics(self, wanted: StatisticsQuery) -> Sequence[Bucket]:
        """See ports.Statistics."""
        low, high = number(wanted.from_ms), number(wanted.until_ms)
        slots = [keys.statistics(wanted.kept_ms, wanted.series, slot) for slot in range(STATISTICS_SLOTS)]
        found = await asyncio.gather(*(self.table.query(each, low, high) for each in slots))
        return summed((_bucket(wanted, row) for rows in found for row in rows), wanted)

    async def forget_statistics(self, step_ms: int, before_ms: int, limit: int) -> int:
        """See ports.Statistics. What several processes added to one bucket counts as several."""
        gone = 0
        for series in Series:
            for slot in range(STATISTICS_SLOTS):
                partition = keys.statistics(step_ms, series, slot)
                rows = await self.table.query(partition, None, number(before_ms), limit=limit - gone)
                await self.table.delete([key_of(row) for row in rows])
                gone += len(rows)
                if gone == limit:
                    return gone
        return gone


def _amounts(buckets: Iterable[Bucket], slot: int) -> dict[Key, dict[str, int]]:
    """What is added to which item."""
    amounts: dict[Key, dict[str, int]] = {}
    for each in buckets:
        order = f"{number(each.at_ms)}#{json.dumps([each.source, each.destination])}"
        numbers = amounts.setdefault((keys.statistics(each.step_ms, each.series, slot), order), {"n": 0})
        named = zip(("n", *_BINS), (each.n, *each.bins), strict=False)
        for name, more in named:
            if more:
                numbers[name] = numbers.get(name, 0) + more
    return amounts


def _bucket(wanted: StatisticsQuery, row: Item) -> Bucket:
    at, _, names = str(row["sk"]).partition("#")
    source, destination = json.loads(names)
    bins = tuple(int(row.get(name, 0)) for name in _BINS)
    kept = bins if any(bins) else ()
    return Bucket(wanted.kept_ms, int(at), wanted.series, source, destination, int(row["n"]), kept)
