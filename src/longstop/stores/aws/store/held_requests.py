"""Requests that are held apart. A part of ports.Rejections over DynamoDB."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from longstop.model.errors import UnreadableRowError
from longstop.model.listing import Listing, Page
from longstop.model.rejection import HeldCount, HeldRequest, HoldRoom, HoldSettings
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.large_bodies import ITEM_BODY_MAX, AwsLargeBodies
from longstop.stores.aws.records import AT_ONCE, AwsRecords, Order, record_item, to_record
from longstop.stores.aws.table import number
from longstop.stores.aws.units import View

Sums = tuple[int, int]
"""Requests, and their bytes."""


class AwsHeldRequests(AwsRecords, AwsLargeBodies):
    """What is held. Of each source and of each sender it is kept how much that is.

    Large bodies lie in the bucket, as those of events do.
    """

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """See ports.Rejections."""
        needs = [key for each in requests for key in (_key(each), *_sums_keys(each.source, _holder(each)))]
        large = [each for each in requests if len(each.request.body) > self._bodies_over]
        apart: dict[str, str] = {}
        if large and self._bodies is not None:
            # What there is no room for anyway is not put there first.
            sums = await self.table.get(needs)
            fitting = [each for each in large if _room(each, limits[each.source], sums)[0]]
            apart = await self.put_named({each.id: each.request.body for each in fitting}, held=True)
        held = await self.units.run(
            [_holding(each, limits[each.source], apart.get(each.id)) for each in requests], needs
        )
        kept = {each.id for each, is_held in zip(requests, held, strict=True) if is_held}
        await self.drop_bodies([name for id_, name in apart.items() if id_ not in kept])
        return held

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """See ports.Rejections."""
        rows = await self._rows(Order(_partition(source)), page)
        ids = [str(row["sk"]) for row in rows[: page.limit]]
        found = await self.table.get([keys.held_body(source, id_) for id_ in ids])
        read = await asyncio.gather(*(self._body(row, found) for row in rows[: page.limit]))
        bodies = dict(zip(ids, read, strict=True))
        return self._page_of(rows, page, lambda row: _to_held(row, bodies[str(row["sk"])]))

    async def _body(self, row: Item, found: Mapping[Key, Item]) -> bytes | UnreadableRowError:
        item = found.get(keys.held_body(str(row["pk"]).removeprefix("held#"), str(row["sk"])), {})
        try:
            body = await self.body_in(str(row["kept_in"])) if "kept_in" in row else item.get("body")
        except UnreadableRowError as error:
            return error
        return body if isinstance(body, bytes) else UnreadableRowError("a held request", "its body is not there")

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
        gone = await self.units.run([_letting_go(source, id_) for id_ in ids], [keys.held(source, i) for i in ids])
        await self.drop_bodies([name for name in gone if name])
        return sum(name is not None for name in gone)

    async def forget_held(self, source: str, before_ms: int) -> int:
        """See ports.Rejections."""
        forgotten = 0
        while rows := await self._over(_partition(source), "expires", before_ms, AT_ONCE):
            gone = await self.drop_held(source, [str(row["sk"]) for row in rows])
            forgotten += gone
            if not gone:
                break
        return forgotten


def _room(request: HeldRequest, limit: HoldSettings, found: Mapping[Key, Item | None]) -> tuple[bool, Sums, Sums]:
    """Whether there is room for it, and how much is held of its source and of its sender."""
    of_source, of_sender = _sums_keys(request.source, _holder(request))
    all_, own = _sums(found.get(of_source)), _sums(found.get(of_sender))
    others = (all_[0] - own[0], all_[1] - own[1])
    room = HoldRoom(limit, {request.sender: own, f"not {request.sender}": others})
    return room.take(request.sender, request.size), all_, own


def _holding(request: HeldRequest, limit: HoldSettings, apart: str | None) -> Callable[[View[bool]], Awaitable[bool]]:
    """A unit: hold it where there is room. apart: the name of its body in the bucket."""
    sums = _sums_keys(request.source, _holder(request))

    async def unit(view: View[bool]) -> bool:
        if await view.get(_key(request)) is not None:
            return True
        fits, *kept = _room(request, limit, {key: await view.get(key) for key in sums})
        if not fits or (apart is None and len(request.request.body) > ITEM_BODY_MAX):
            return False
        for key, each in zip(sums, kept, strict=True):
            await _keep_sums(view, key, each, (1, request.size))
        if apart is None:
            partition, order = keys.held_body(request.source, request.id)
            view.put_new(_item(request))
            view.put_new({"pk": partition, "sk": order, "body": request.request.body})
        else:
            partition, order = keys.held_apart(apart)
            view.put_new(_item(request) | {"kept_in": apart})
            view.put_new({"pk": partition, "sk": order})
        return True

    return unit


def _letting_go(source: str, id_: str) -> Callable[[View[str | None]], Awaitable[str | None]]:
    """A unit: let go of one; the name of its body in the bucket, or nothing where it has none there."""

    async def unit(view: View[str | None]) -> str | None:
        row = await view.get(keys.held(source, id_))
        if row is None:
            return None
        for key in _sums_keys(source, str(row["holder"])):
            await _keep_sums(view, key, _sums(await view.get(key)), (-1, -int(row["size"])))
        await view.drop(keys.held(source, id_))
        body = keys.held_apart(str(row["kept_in"])) if "kept_in" in row else keys.held_body(source, id_)
        view.drop_unread(body, row)
        return str(row.get("kept_in", ""))

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


def _to_held(row: Item, body: bytes | UnreadableRowError) -> HeldRequest:
    """Raises UnreadableRowError."""
    if isinstance(body, UnreadableRowError):
        raise body
    bare = to_record(row, HeldRequest)
    return replace(bare, request=replace(bare.request, body=body))


# -- sums -----------------------------------------------------------------------------------------


def _sums_keys(source: str, holder: str) -> tuple[Key, Key]:
    """Where it is kept how much is held of a source, and of one of its senders."""
    return (keys.HELD, source), keys.holder(source, holder)


def _sums(item: Item | None) -> Sums:
    return (0, 0) if item is None else (int(item["requests"]), int(item["bytes"]))


async def _keep_sums(view: View[Any], key: Key, kept: Sums, more: Sums) -> None:
    requests, size = kept[0] + more[0], kept[1] + more[1]
    if requests > 0:
        await view.put({"pk": key[0], "sk": key[1], "requests": requests, "bytes": size})
    else:
        await view.drop(key)
