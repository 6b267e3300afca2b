"""Reading what is kept by its ids, many at a time. What cannot be read is left out of a list, and told once."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import structlog

from longstop.model.delivery import Delivery
from longstop.model.errors import UnreadableRowError
from longstop.model.event import Event
from longstop.model.listing import History, KeptEvent
from longstop.stores.redis.large_bodies import LargeBodies
from longstop.stores.redis.packing import (
    body_bytes,
    delivery_ids,
    pack,
    to_action,
    to_attempt,
    to_delivery,
    to_edit,
    to_event,
)

T = TypeVar("T")
Row = TypeVar("Row")

AT_ONCE = 200
"""So many events or rows are asked for in one call: the server does nothing else meanwhile."""

BODIES_AT_ONCE_BYTES = 2_000_000
"""So much of bodies, likewise."""

log = structlog.get_logger("longstop.store")


class RedisReading(LargeBodies):
    """What several parts of the store read."""

    async def _ask_each(self, function: str, ids: Sequence[str], *args: str | bytes | int) -> list[Any]:
        """Ask a function that answers for each of many ids, some at a time."""
        found: list[Any] = []
        for start in range(0, len(ids), AT_ONCE):
            found += await self.ask(function, pack(ids[start : start + AT_ONCE]), *args)
        return found

    async def _kept_events(self, ids: Sequence[str], with_bodies: bool) -> list[KeptEvent | None]:
        """Events with their deliveries; None for what is not there or cannot be read."""
        events: list[KeptEvent | None] = []
        while len(events) < len(ids):
            some = ids[len(events) : len(events) + AT_ONCE]
            found = await self.ask("events", pack(some), BODIES_AT_ONCE_BYTES if with_bodies else 0)
            for row, id_ in zip(found, some, strict=False):
                events.append(await self._readable_event(row, id_, with_bodies) if row else None)
        return events

    async def _readable_event(self, row: Sequence[Any], id_: str, with_body: bool) -> KeptEvent | None:
        try:
            return await self._to_kept(row, with_body)
        except UnreadableRowError as error:
            tell_unreadable(id_, error.trouble)
            return None

    async def _to_kept(self, row: Sequence[Any], with_body: bool) -> KeptEvent:
        """The event of what the function `events` answers for one. Raises UnreadableRowError."""
        head, body, *rest = row
        return _to_kept((head, await self._body(head, body), *rest), with_body)

    async def _deliveries(self, ids: Sequence[str], having: Sequence[bytes] = ()) -> list[Delivery | None]:
        """Deliveries; None for what is not there or cannot be read, and for rows in which one of these does not stand.

        A row is searched in a tenth of the time in which it is unpacked.
        """
        rows = await self._packed_deliveries(ids)
        found = zip(ids, rows, strict=True)
        return [
            None if row is None or any(text not in row for text in having) else readable(to_delivery, row, id_)
            for id_, row in found
        ]

    async def _packed_deliveries(self, ids: Sequence[str]) -> list[bytes | None]:
        return await self._values("delivery", ids)

    async def _heads(self, ids: Sequence[str]) -> list[Event | None]:
        """Events without their bodies."""
        found = zip(ids, await self._values("event", ids), strict=True)
        return [None if head is None else readable(bodiless, head, id_) for id_, head in found]

    async def _delivery_ids(self, event_ids: Sequence[str]) -> list[str]:
        """The ids of the deliveries of these events."""
        heads = zip(await self._values("event", event_ids), event_ids, strict=True)
        found = (readable(delivery_ids, head, id_) for head, id_ in heads if head is not None)
        return [id_ for ids in found if ids is not None for id_ in ids]

    async def _values(self, kind: str, ids: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(ids), AT_ONCE * 5):
            some = ids[start : start + AT_ONCE * 5]
            (values,) = await self.pipeline(("MGET", *(f"{self._prefix}{kind}:{id_}" for id_ in some)))
            found += values
        return found

    async def _histories(self, delivery_ids: Sequence[str]) -> list[History]:
        """What is recorded of each delivery."""
        lists = [f"{self._prefix}{kind}:{id_}" for id_ in delivery_ids for kind in ("attempts", "actions")]
        found = await self.pipeline(*(("LRANGE", each, 0, -1) for each in lists)) if lists else []
        records = zip(delivery_ids, found[::2], found[1::2], strict=True)
        return [
            History(_recorded(to_attempt, attempts, id_), _recorded(to_action, actions, id_))
            for id_, attempts, actions in records
        ]


def _to_kept(found: Sequence[Any], with_body: bool) -> KeptEvent:
    head, body, redeliveries, made_by, edits, rows = found
    return KeptEvent(
        to_event(head, body),
        int(redeliveries),
        tuple(to_delivery(row) for row in rows if row is not None),
        to_edit(made_by) if made_by else None,
        tuple(to_edit(each) for each in edits if each is not None),
        None if with_body else body_bytes(head),
    )


def bodiless(head: bytes) -> Event:
    """A head's event, without its body. Raises UnreadableRowError."""
    return to_event(head, b"")


def _recorded(make: Callable[[bytes], T], records: Sequence[bytes], id_: str) -> tuple[T, ...]:
    made = [readable(make, each, f"what is recorded of {id_}") for each in records]
    return tuple(each for each in made if each is not None)


def readable(make: Callable[[Row], T], row: Row, id_: str) -> T | None:
    """What is made of a row; None where it cannot be read, which is told."""
    try:
        return make(row)
    except UnreadableRowError as error:
        trouble = error.trouble
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        trouble = str(error)
    tell_unreadable(id_, trouble)
    return None


@lru_cache(maxsize=1_000)
def tell_unreadable(row: str, trouble: str) -> None:
    """Say so, once: most of what reads it does so again and again."""
    log.error("row_unreadable", row=row, error=trouble)
