"""Requests that are held apart. A part of ports.Rejections over DynamoDB."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from longstop.model.errors import UnreadableRowError
from longstop.model.listing import Listing, Page
from longstop.model.rejection import HeldCount, HeldRequest, HoldRoom, HoldSettings
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key, key_of
from longstop.stores.aws.large_bodies import ITEM_BODY_MAX
from longstop.stores.aws.records import AT_ONCE, AwsRecords, Order, record_item, to_record
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View

Sums = tuple[int, int]
"""Requests, and their bytes."""


class AwsHeldRequests(AwsRecords):
    """What is held. Of each source and of each sender it is kept how much that is.

    There is no room for one whose body an item does not hold: the bucket is for those of events.
    """

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """See ports.Rejections."""
        needs = [key for each in requests for key in (_key(each), *_sums_keys(each.source, _holder(each)))]
        return await self.units.run([_holding(each, limits[each.source]) for each in requests], needs)

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """See ports.Rejections."""
        rows = await self._rows(Order(_partition(source)), page)
        ids = [str(row["sk"]) for row in rows[: page.limit]]
        bodies = await self.table.get([keys.held_body(source, id_) for id_ in ids])
        return self._page_of(rows, page, lambda row: _to_held(row, bodies.get(keys.held_body(source, str(row["sk"])))))

    async def held_counts(self) -> Sequence[HeldCount]:
        """See ports.Rejections."""
        rows = await self.table.query(keys.HELD)
        return await asyncio.gather(*(self._held_count(row) for row in rows))

    async def _held_count(self, row: Item) -> HeldCount:
        source = str(row["sk"])
        oldest = await self.table.query(_partition(source), limit=1, index="expires", names=("pk", "expires"))
        return HeldCount(source, *_sums(row), *(int(str(each["expires"]).partition("#")[0]) for each in oldest))

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """See ports.Rejections."""
        return sum(await self.units.run([_letting_go(source, id_) for id_ in ids], [keys.held(source, i) for i in ids]))

    async def forget_held(self, source: str, before_ms: int) -> int:
        """See ports.Rejections."""
        forgotten = 0
        while rows := await self._over(_partition(source), "expires", before_ms, AT_ONCE):
            gone = await self.drop_held(source, [str(row["sk"]) for row in rows])
            forgotten += gone
            if not gone:
                break
        return forgotten


def _holding(request: HeldRequest, limit: HoldSettings) -> Callable[[View[bool]], Awaitable[bool]]:
    source, sender, size = request.source, request.sender, request.size
    of_source, of_sender = _sums_keys(source, _holder(request))

    async def unit(view: View[bool]) -> bool:
        if await view.get(_key(request)) is not None:
            return True
        all_, own = _sums(await view.get(of_source)), _sums(await view.get(of_sender))
        others = (all_[0] - own[0], all_[1] - own[1])
        room = HoldRoom(limit, {sender: own, f"not {sender}": others})
        if len(request.request.body) > ITEM_BODY_MAX or not room.take(sender, size):
            return False
        await _keep_sums(view, of_source, all_, (1, size))
        await _keep_sums(view, of_sender, own, (1, size))
        view.put_new(_item(request))
        partition, order = keys.held_body(source, request.id)
        view.put_new({"pk": partition, "sk": order, "body": request.request.body})
        return True

    return unit


def _letting_go(source: str, id_: str) -> Callable[[View[bool]], Awaitable[bool]]:
    async def unit(view: View[bool]) -> bool:
        row = await view.get(keys.held(source, id_))
        if row is None:
            return False
        for key in _sums_keys(source, str(row["holder"])):
            await _keep_sums(view, key, _sums(await view.get(key)), (-1, -int(row["size"])))
        await view.drop(keys.held(source, id_))
        view.drop_unread(keys.held_body(source, id_), row)
        return True

    return unit


def _key(request: HeldRequest) -> Key:
    return keys.held(request.source, request.id)


def _partition(source: str) -> str:
    return keys.held(source, "")[0]


def _holder(request: HeldRequest) -> str:
    return keys.short(request.sender)


def _item(request: HeldRequest) -> Item:
    """All of it but the body."""
    bare = replace(request, request=replace(request.request, body=b""))
    expires = f"{number(request.received_at_ms)}#{request.id}"
    return record_item(_key(request), bare, holder=_holder(request), size=request.size, expires=expires)


def _to_held(row: Item, body: Item | None) -> HeldRequest:
    """Raises UnreadableRowError."""
    kept = None if body is None else body.get("body")
    if not isinstance(kept, bytes):
        raise UnreadableRowError("a held request", f"the body of {key_of(row)} is not there")
    bare = to_record(row, HeldRequest)
    return replace(bare, request=replace(bare.request, body=kept))


# -- sums -----------------------------------------------------------------------------------------


def _sums_keys(source: str, holder: str) -> tuple[Key, Key]:
    """Where it is kept how much is held of a source, and of one of its senders."""
    return (keys.HELD, source), keys.holder(source, holder)


def _sums(item: Item | None) -> Sums:
    return (0, 0) if item is None else (int(item["requests"]), int(item["bytes"]))


async def _keep_sums(view: View[bool], key: Key, kept: Sums, more: Sums) -> None:
    requests, size = kept[0] + more[0], kept[1] + more[1]
    if requests > 0:
        await view.put({"pk": key[0], "sk": key[1], "requests": requests, "bytes": size})
    else:
        await view.drop(key)
