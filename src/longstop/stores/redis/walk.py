"""Going through ids in the order of a page, within a time: pages without a search that nobody can wait for.

What comes into question is a number of sorted sets that have no id in common, or a list of few ids. Some ids at a time
are looked at; when patience ends, the page says where.
"""

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from longstop.model.id_times import IdTimes
from longstop.model.ids import id_ms
from longstop.model.listing import Listing, Page
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.keys import wire
from longstop.stores.redis.lex import bounds
from longstop.stores.redis.reply import pairs, texts

T = TypeVar("T")

Pick = Callable[[Sequence[str]], Awaitable[Sequence[T | None]]]
"""What is to be shown of these ids; None where one does not fit or is gone."""

FIRST_CHUNK = 64
CHUNK_MAX = 2_048
IDS_AT_ONCE = 16_384
"""Of all sets together."""
FOR_EVER_S = math.inf


@dataclass(frozen=True, slots=True)
class Range:
    """The ids in a sorted set, behind a prefix that its members may have."""

    order: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Which ids come into question."""

    ranges: tuple[Range, ...] = ()
    gathered: tuple[str, ...] = ()
    """Few ids, sorted, in place of the ranges."""
    low: str | None = None
    """Inclusive."""
    high: str | None = None
    """Exclusive."""


class RedisWalk(RedisDatabase):
    """Pages of ids."""

    async def _walk(self, asked: Question, page: Page, pick: Pick[T], patient: bool) -> Listing[T]:
        """One page. patient: all that comes into question is shown, so that no time needs to be watched."""
        until_s = FOR_EVER_S if patient else time.monotonic() + page.patience_ms / 1000
        chunk = page.limit + 1 if patient and asked.ranges else max(page.limit + 1, FIRST_CHUNK)
        shown: list[tuple[str, T]] = []
        rest = page
        while True:
            ids = await self._next_ids(asked, rest, chunk)
            for id_, row in zip(ids, await pick(ids), strict=True):
                if row is not None:
                    shown.append((id_, row))
            if len(shown) > page.limit:
                shown = shown[: page.limit]
                return Listing(tuple(row for _, row in shown), shown[-1][0])
            if len(ids) < chunk:
                return Listing(tuple(row for _, row in shown), None)
            rest = replace(rest, after=ids[-1])
            if time.monotonic() >= until_s:
                return Listing(tuple(row for _, row in shown), ids[-1], id_ms(ids[-1]))
            chunk = min(chunk * 2, CHUNK_MAX, max(FIRST_CHUNK, IDS_AT_ONCE // max(1, len(asked.ranges))))

    async def _next_ids(self, asked: Question, page: Page, n: int) -> list[str]:
        """The next ids of a page, at most so many; fewer where there are no more."""
        if not asked.ranges:
            return behind(asked.gathered, page)[:n]
        order = ("BYLEX", *(("REV",) if page.newest_first else ()), "LIMIT", 0, n)
        found = await self.pipeline(
            *(
                ("ZRANGE", wire(self._prefix + each.order), *bounds(page, asked.low, asked.high, each.prefix), *order)
                for each in asked.ranges
            )
        )
        ids = [
            member[len(each.prefix) :]
            for each, members in zip(asked.ranges, found, strict=True)
            for member in texts(members)
        ]
        return sorted(ids, reverse=page.newest_first)[:n]

    async def _sizes(self, ranges: Sequence[Range]) -> list[int]:
        """How many ids are in each."""
        if not ranges:
            return []
        return list(
            await self.pipeline(
                *(
                    (
                        "ZLEXCOUNT",
                        wire(self._prefix + each.order),
                        *bounds(Page(newest_first=False), None, None, each.prefix),
                    )
                    if each.prefix
                    else ("ZCARD", wire(self._prefix + each.order))
                    for each in ranges
                )
            )
        )

    async def _names(self) -> tuple[list[str], list[str]]:
        """The sources and the destinations of which anything is kept."""
        sources, destinations = [], set()
        for name, _ in await self._counters():
            subject, _, rest = name.partition(":")
            if subject == "events":
                sources.append(rest)
            elif subject == "deliveries":
                destinations.add(split_pair(rest)[0])
        return sorted(sources), sorted(destinations)

    async def _counters(self) -> list[tuple[str, int]]:
        (found,) = await self.pipeline(("HGETALL", f"{self._prefix}counters"))
        return [(name.decode("utf-8", "surrogatepass"), int(n)) for name, n in pairs(found)]

    async def _received_within(
        self, since_ms: int | None, until_ms: int | None, ended_until_ms: int | None = None
    ) -> tuple[str | None, str | None]:
        """Times of arrival as bounds of ids, as wide as these ever lay beside each other.

        ended_until_ms: what ended before that was received before it, too.
        """
        if since_ms is None and until_ms is None and ended_until_ms is None:
            return None, None
        return (await self._id_times()).received(since_ms, until_ms, ended_until_ms)

    async def _id_times(self) -> IdTimes:
        """How far ids' times lie from those of arrival."""
        (kept,) = await self.pipeline(("HMGET", f"{self._prefix}marks", "ahead", "behind", "early"))
        return IdTimes(*(int(each or 0) for each in kept))


def split_pair(text: str) -> tuple[str, str]:
    """Two names of one, as functions/base.lua joins them."""
    length, _, rest = text.partition(":")
    first = wire(rest)[: int(length)].decode("utf-8", "surrogatepass")
    return first, rest[len(first) :]


def behind(ids: Sequence[str], page: Page) -> list[str]:
    """Sorted ids in the page's direction, from behind its cursor."""
    if page.newest_first:
        end = len(ids) if page.after is None else bisect_left(ids, page.after)
        return list(ids[:end])[::-1]
    start = 0 if page.after is None else bisect_right(ids, page.after)
    return list(ids[start:])
