"""All events of a store, one after the other: what is exported, moved and compared."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from longstop.model.listing import EventFilter, KeptEvent, Listing, Page
from longstop.model.retention import WholeEvent
from longstop.ports import Ledger

T = TypeVar("T")
Key = TypeVar("Key", str, bytes)

PAGE = 500
AT_ONCE = 200
AT_ONCE_BYTES = 8_000_000
"""Of bodies, held in memory at once: one alone may be larger."""


async def pages(ask: Callable[[Page], Awaitable[Listing[T]]]) -> AsyncIterator[T]:
    """All rows of a listing, the oldest first."""
    after: str | None = None
    while True:
        found = await ask(Page(PAGE, after, newest_first=False))
        for row in found.rows:
            yield row
        if (after := found.next_after) is None:
            return


async def listed(ledger: Ledger) -> AsyncIterator[KeptEvent]:
    """All events by id, without their bodies."""
    async for row in pages(lambda page: ledger.find_events(EventFilter(), page)):
        yield row


async def batches(rows: AsyncIterator[KeptEvent]) -> AsyncIterator[list[str]]:
    """The ids of a few at a time, as many as may be in memory at once with their bodies."""
    ids: list[str] = []
    size = 0
    async for row in rows:
        if ids and (len(ids) == AT_ONCE or size + row.body_bytes > AT_ONCE_BYTES):
            yield ids
            ids, size = [], 0
        ids.append(row.event.id)
        size += row.body_bytes
    if ids:
        yield ids


async def wholes(ledger: Ledger) -> AsyncIterator[WholeEvent]:
    """All there is of all events, by id. What cannot be read is left out; the store's log names it."""
    async for ids in batches(listed(ledger)):
        for whole in sorted(await ledger.whole(ids), key=event_id):
            yield whole


def event_id(whole: WholeEvent) -> str:
    """By what events are in order."""
    return whole.kept.event.id


async def beside(
    rows: AsyncIterator[T], others: AsyncIterator[T], key: Callable[[T], Key]
) -> AsyncIterator[tuple[T | None, T | None]]:
    """Two streams in order of their keys, side by side: what has the same key together, None where one lacks it."""
    one, other = await anext(rows, None), await anext(others, None)
    while one is not None or other is not None:
        first = other is None or (one is not None and key(one) <= key(other))
        second = one is None or (other is not None and key(other) <= key(one))
        yield (one if first else None), (other if second else None)
        if first:
            one = await anext(rows, None)
        if second:
            other = await anext(others, None)
