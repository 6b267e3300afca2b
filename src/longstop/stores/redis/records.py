"""Small records that people look at and change: users, jobs, the book of alerts.

A table of them is a hash, id to JSON, and sorted sets beside it in whose order they are listed. Whoever changes one
says what stood there when it was read (`Change.seen`), and asks again where somebody was quicker: so the rules stay in
the model, and the function on the server compares bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from longstop.model.listing import Listing, Page
from longstop.stores.record_json import unpacked
from longstop.stores.redis.database import RedisDatabase
from longstop.stores.redis.keys import wire
from longstop.stores.redis.lex import bounds
from longstop.stores.redis.packing import pack
from longstop.stores.redis.reply import texts

T = TypeVar("T")

ANYTHING = object()
"""Whatever stands there."""
TURNS_MAX = 100
"""So often is asked again what somebody else was quicker with; one of those who race wins each time."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is done with one record if it stands as it was seen."""

    table: str
    id: str
    record: bytes | None
    """None: it goes."""
    seen: Any = ANYTHING
    """What stood there; None: nothing did."""
    adds: Sequence[tuple[str, int, str]] = ()
    """(sorted set, score, member)"""
    drops: Sequence[tuple[str, str]] = ()
    """(sorted set, member)"""

    def packed(self) -> list[object]:
        """As functions/records.lua wants it."""
        seen = True if self.seen is ANYTHING else self.seen or False
        adds = [(wire(order), score, wire(member)) for order, score, member in self.adds]
        drops = [(wire(order), wire(member)) for order, member in self.drops]
        return [wire(self.table), wire(self.id), seen, self.record or False, adds, drops]


class RedisRecords(RedisDatabase):
    """Reading and changing records."""

    async def _change_each(self, changes: Sequence[Change]) -> list[bool]:
        """Carry out each by itself; for each, whether it was done."""
        if not changes:
            return []
        done = await self.call("change_each", pack([change.packed() for change in changes]))
        return [bool(each) for each in done]

    async def _change(self, change: Change) -> bool:
        """Carry out one."""
        return (await self._change_each([change]))[0]

    def _key(self, name: str) -> bytes:
        return wire(self._prefix + name)

    async def _record(self, table: str, id_: str) -> bytes | None:
        (found,) = await self.pipeline(("HGET", self._key(table), wire(id_)))
        return found  # type: ignore[no-any-return]

    async def _records(self, table: str, ids: Sequence[str]) -> list[bytes | None]:
        if not ids:
            return []
        (found,) = await self.pipeline(("HMGET", self._key(table), *map(wire, ids)))
        return list(found)

    async def _ids(self, order: str, page: Page, low: str | None = None, high: str | None = None) -> list[str]:
        """The ids of a page and one more, where there is one; `low` inclusive, `high` exclusive."""
        between = bounds(page, low, high)
        by_lex = ("BYLEX", *(("REV",) if page.newest_first else ()), "LIMIT", 0, page.limit + 1)
        (found,) = await self.pipeline(("ZRANGE", self._key(order), *between, *by_lex))
        return texts(found)

    async def _page(self, table: str, order: str, page: Page, type_: type[T]) -> Listing[T]:
        """One page of a table in the order of a sorted set of its ids."""
        return await self._page_of(table, await self._ids(order, page), page, type_)

    async def _page_of(self, table: str, ids: Sequence[str], page: Page, type_: type[T]) -> Listing[T]:
        shown = ids[: page.limit]
        kept = await self._records(table, shown)
        rows = tuple(unpacked(each, type_) for each in kept if each is not None)
        return Listing(rows, shown[-1] if len(ids) > page.limit else None)

    async def _by_score(self, order: str, low: int | str, high: int | str, limit: int) -> list[str]:
        """Members by their scores, the lowest first; `low` and `high` as ZRANGE wants them."""
        (found,) = await self.pipeline(("ZRANGE", self._key(order), low, high, "BYSCORE", "LIMIT", 0, limit))
        return texts(found)
