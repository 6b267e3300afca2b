"""Going through ids in the order of a page, within a time: pages without a search that nobody can wait for.

What comes into question is a number of partitions of global indexes that have no id in common. Some ids at a time are
looked at, as they stand in the table; when patience ends, the page says where. An index may be late by a moment: what
it says is looked up, and what it does not say yet is not on the page.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from longstop.model.ids import id_ms
from longstop.model.listing import Listing, Page
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item
from longstop.stores.aws.database import AwsDatabase

T = TypeVar("T")

Pick = Callable[[Sequence[str]], Awaitable[Sequence[T | None]]]
"""What is to be shown of these ids; None where one does not fit or is gone."""

FIRST_CHUNK = 64
CHUNK_MAX = 1_024
LAST_OF_ALL = "g"
"""Behind every id, whose digits end with f."""


@dataclass(frozen=True, slots=True)
class Range:
    """The ids that an index has in a partition."""

    index: str
    partition: str


@dataclass(frozen=True, slots=True)
class Question:
    """Which ids come into question: low is inclusive, high is not."""

    ranges: tuple[Range, ...]
    low: str | None = None
    high: str | None = None


class AwsWalk(AwsDatabase):
    """Pages of ids."""

    async def walk(self, asked: Question, page: Page, pick: Pick[T], patient: bool) -> Listing[T]:
        """One page. patient: all that comes into question is shown, so that no time needs to be watched."""
        until_s = math.inf if patient else time.monotonic() + page.patience_ms / 1000
        chunk = page.limit + 1 if patient else max(page.limit + 1, FIRST_CHUNK)
        shown: list[tuple[str, T]] = []
        rest = page
        while True:
            ids = await self.next_ids(asked, rest, chunk)
            shown += [(id_, row) for id_, row in zip(ids, await pick(ids), strict=True) if row is not None]
            if len(shown) > page.limit:
                shown = shown[: page.limit]
                return Listing(tuple(row for _, row in shown), shown[-1][0], may_lag=True)
            if len(ids) < chunk:
                return Listing(tuple(row for _, row in shown), None, may_lag=True)
            rest = replace(rest, after=ids[-1])
            if time.monotonic() >= until_s:
                return Listing(tuple(row for _, row in shown), ids[-1], id_ms(ids[-1]), may_lag=True)
            chunk = min(chunk * 2, CHUNK_MAX)

    async def next_ids(self, asked: Question, page: Page, n: int) -> list[str]:
        """The next ids of a page, at most so many; fewer where there are no more."""
        low, high = asked.low, asked.high
        if page.after is not None:
            # The service's bounds are inclusive.
            low, high = (low, _lower(high, page.after)) if page.newest_first else (_higher(low, page.after), high)
        found = await asyncio.gather(*(self._ids_of(each, low, high, n, page) for each in asked.ranges))
        ids = {id_ for some in found for id_ in some}
        return sorted(ids, reverse=page.newest_first)[:n]

    async def _ids_of(self, of: Range, low: str | None, high: str | None, n: int, page: Page) -> list[str]:
        rows = await self.table.query(
            of.partition,
            low,
            high,
            index=of.index,
            names=keys.GLOBAL_INDEXES[of.index],
            limit=n + 2,
            backward=page.newest_first,
            consistent=False,
        )
        ids = [str(row["id"]) for row in rows]
        return [id_ for id_ in ids if id_ not in (page.after, high)][:n]

    async def dedup_rows(self, after: str | None, n: int) -> list[Item]:
        """The next dedup keys behind a digest (in hex): by bucket, and in each by digest."""
        found: list[Item] = []
        first = 0 if after is None else keys.bucket_of(bytes.fromhex(after))
        low = None if after is None else f"{after}~"
        for number in range(first, keys.DEDUP_BUCKETS):
            found += await self.table.query(keys.dedup_bucket(number), low, limit=n - len(found))
            if len(found) == n:
                break
            low = None
        return found

    async def dedup_rows_in_order(self, after: str | None, n: int) -> list[Item]:
        """The same by digest alone, of all buckets at once."""
        share = n // keys.DEDUP_BUCKETS * 2 + 8
        found: list[Item] = []
        while len(found) < n:
            low = None if after is None else f"{after}~"
            buckets = [keys.dedup_bucket(number) for number in range(keys.DEDUP_BUCKETS)]
            parts = await asyncio.gather(*(self.table.query(each, low, limit=share) for each in buckets))
            # Behind the last row of a bucket that has more, others' rows may stand before its next.
            after = min((str(rows[-1]["sk"]) for rows in parts if len(rows) == share), default=None)
            rows = [row for rows in parts for row in rows if after is None or str(row["sk"]) <= after]
            found += sorted(rows, key=lambda row: str(row["sk"]))
            if after is None:
                break
        return found[:n]

    async def received_within(
        self, since_ms: int | None, until_ms: int | None, ended_until_ms: int | None = None
    ) -> tuple[str | None, str | None]:
        """Times of arrival as bounds of ids, as wide as these ever lay beside each other.

        ended_until_ms: what ended before that was received before it, too.
        """
        if since_ms is None and until_ms is None and ended_until_ms is None:
            return None, None
        return (await self.marks()).received(since_ms, until_ms, ended_until_ms)


def _lower(one: str | None, other: str) -> str:
    return other if one is None else min(one, other)


def _higher(one: str | None, other: str) -> str:
    return other if one is None else max(one, other)
