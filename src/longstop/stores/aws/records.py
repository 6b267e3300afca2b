"""Small records that people look at and change: users, jobs, the book of alerts.

Those of a kind are a partition, in the order of their ids; where they are asked for in another order, a local index has
them in it. All of that is read consistently. A change is a unit, so that the rules stay in the model.
"""

import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from longstop.model.errors import UnreadableRowError
from longstop.model.listing import Listing, Page
from longstop.stores.aws.attributes import Item, Key, Value, key_of
from longstop.stores.aws.database import AwsDatabase
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View
from longstop.stores.aws.unreadable import readable
from longstop.stores.record_json import packed, unpacked

T = TypeVar("T")

AT_ONCE = 500
COMPRESSED_OVER = 4_096
"""Bytes. An item holds 400 KB, and is paid for by the KB: a job that waits for much, or a book of alerts with
everything wrong, says much the same many times."""
_ZLIB = b"\x78"
"""What zlib's bytes begin with, and JSON never does. https://www.rfc-editor.org/rfc/rfc1950"""

Making = Callable[[Item | None], Item | None]
"""What is to stand in the place of what stands there, if anything does; None: nothing is changed."""


@dataclass(frozen=True, slots=True)
class Order:
    """The records of a partition by id, or, with an index, those of it whose attribute begins with `of`, by id."""

    partition: str
    index: str | None = None
    of: str = ""

    @property
    def names(self) -> tuple[str, str]:
        """Of the key."""
        return "pk", self.index or "sk"


def record_item(key: Key, record: Any, **more: Value) -> Item:
    """A record's row. more: its places in local indexes, and `ttl`."""
    return {"pk": key[0], "sk": key[1], "row": compressed(packed(record)), **more}


def compressed(raw: bytes) -> bytes:
    """JSON, or what it is in fewer bytes."""
    return raw if len(raw) <= COMPRESSED_OVER else zlib.compress(raw)


def raw_of(item: Item) -> bytes:
    """The JSON of a row. Raises UnreadableRowError."""
    row = item.get("row")
    try:
        if not isinstance(row, bytes):
            raise ValueError(f"its row is {type(row).__name__}, expected bytes")
        return zlib.decompress(row) if row.startswith(_ZLIB) else row
    except (ValueError, zlib.error) as error:
        raise UnreadableRowError("a record", f"{key_of(item)}: {error}") from error


def to_record(item: Item, type_: type[T]) -> T:
    """The record of a row. Raises UnreadableRowError."""
    try:
        return unpacked(raw_of(item), type_)
    except (ValueError, TypeError) as error:
        raise UnreadableRowError("a record", f"{key_of(item)}: {error}") from error


class AwsRecords(AwsDatabase):
    """Reading and changing records."""

    async def _run(self, unit: Callable[[View[T]], Awaitable[T]], needs: Iterable[Key] = ()) -> T:
        """Carry out one unit."""
        (result,) = await self.units.run([unit], needs)
        return result

    async def _read(self, key: Key, type_: type[T]) -> T | None:
        """A record as it stands."""
        found = await self.table.get([key])
        return to_record(found[key], type_) if key in found else None

    async def _change(self, key: Key, make: Making) -> Item | None:
        """Put in place what is made of an item; the new one."""
        return await self._run(changing(key, make))

    async def _add(self, item: Item) -> bool:
        """Keep a new record. False where there is one of its key; that one stays."""
        return await self._change(key_of(item), unless_there(item)) is not None

    async def _remove(self, key: Key) -> bool:
        """Drop a record. False where there is none."""
        return await self._run(dropping(key))

    async def _page(self, order: Order, page: Page, make: Callable[[Item], T]) -> Listing[T]:
        """One page of records."""
        return self._page_of(await self._rows(order, page), page, make)

    def _page_of(self, rows: Sequence[Item], page: Page, make: Callable[[Item], T]) -> Listing[T]:
        """A page of the rows that `_rows` has found."""
        shown = rows[: page.limit]
        return Listing(tuple(readable(shown, make)), str(shown[-1]["sk"]) if len(rows) > page.limit else None)

    async def _rows(self, order: Order, page: Page) -> list[Item]:
        """The rows of a page and one more, where there is one."""
        low, high = (order.of, f"{order.of}~") if order.of else (None, None)
        after = None if page.after is None else f"{order.of}{page.after}"
        if after is not None:
            low, high = (low, after) if page.newest_first else (after, high)
        # The service's bounds are inclusive: what a page stands behind is asked for and left out.
        rows = await self.table.query(
            order.partition,
            low,
            high,
            index=order.index,
            names=order.names,
            limit=page.limit + 2,
            backward=page.newest_first,
        )
        return [row for row in rows if row["sk"] != page.after][: page.limit + 1]

    async def _drop_over(self, partition: str, index: str, until_ms: int) -> int:
        """Drop the records whose time in a local index is before this one; how many there were.

        One whose time has changed since it was found stays.
        """
        dropped = 0
        while rows := await self._over(partition, index, until_ms, AT_ONCE):
            seen: dict[Key, Item | None] = {key_of(row): row for row in rows}
            gone = sum(await self.units.run([dropping(key_of(row), row, index) for row in rows], seen=seen))
            dropped += gone
            if not gone:
                break
        return dropped

    async def _over(self, partition: str, index: str, until_ms: int, limit: int) -> list[Item]:
        """The first rows whose time in a local index (`number(TIME)#…`) is before this one."""
        # Behind every time of before, and before every row of this very time.
        high = number(until_ms)
        return await self.table.query(partition, None, high, index=index, names=("pk", index), limit=limit)


def unless_there(item: Item) -> Making:
    """This one, where there is none."""
    return lambda kept: item if kept is None else None


def changing(key: Key, make: Making) -> Callable[[View[Item | None]], Awaitable[Item | None]]:
    """A unit: put in place what is made of an item; the new one.

    It bears a mark, by which a unit that is run again knows what it wrote itself, when the answer was lost.
    """
    mark = secrets.token_hex(8)

    async def unit(view: View[Item | None]) -> Item | None:
        kept = await view.get(key)
        if view.again and kept is not None and kept.get("made") == mark:
            return kept
        new = make(kept)
        if new is not None:
            await view.put(new | {"made": mark})
        return new

    return unit


def dropping(key: Key, seen: Item | None = None, attribute: str = "") -> Callable[[View[bool]], Awaitable[bool]]:
    """A unit: drop an item, and whether it was there. seen: only where this attribute is as it was seen."""

    async def unit(view: View[bool]) -> bool:
        kept = await view.get(key)
        if kept is None or (seen is not None and kept.get(attribute) != seen.get(attribute)):
            return False
        await view.drop(key)
        return True

    return unit
