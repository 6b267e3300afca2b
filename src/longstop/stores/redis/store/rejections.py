"""Refused requests: counted, shown as samples, held apart. ports.Rejections over Redis."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from longstop.model.errors import StoreUnavailableError
from longstop.model.listing import Listing, Page
from longstop.model.rejection import SAMPLES_KEPT, HeldCount, HeldRequest, HoldSettings, Rejection, RejectionCount
from longstop.stores.record_json import packed, unpacked
from longstop.stores.redis.keys import wire
from longstop.stores.redis.packing import pack
from longstop.stores.redis.records import TURNS_MAX, Change, RedisRecords
from longstop.stores.redis.reply import pairs, texts

AT_ONCE = 500


class RedisRejections(RedisRecords):
    """See ports.Rejections."""

    async def record_rejections(self, counts: Sequence[RejectionCount], samples: Sequence[Rejection]) -> None:
        """See ports.Rejections."""
        for each in counts:
            await self._count(each)
        await self._change_each([_sample(each) for each in samples])
        for source in dict.fromkeys(each.source for each in samples):
            await self._drop_samples(source, (await self._sample_ids(source))[SAMPLES_KEPT:])

    async def _count(self, more: RejectionCount) -> None:
        id_ = json.dumps([more.source, more.reason.value])
        for _ in range(TURNS_MAX):
            kept = await self._record("rejections:counts", id_)
            sum_ = more if kept is None else _sum(unpacked(kept, RejectionCount), more)
            if await self._change(Change("rejections:counts", id_, packed(sum_), kept)):
                return
        raise StoreUnavailableError("a count was changed by others for too long")

    async def _sample_ids(self, source: str) -> list[str]:
        """The youngest first; a little more than are kept where several processes add some."""
        return await self._ids(f"rejections:ids:{source}", Page(SAMPLES_KEPT * 10))

    async def _drop_samples(self, source: str, ids: Iterable[str]) -> int:
        dropped = [
            Change(
                f"rejections:of:{source}",
                id_,
                None,
                drops=[(f"rejections:ids:{source}", id_), ("rejections:at", json.dumps([source, id_]))],
            )
            for id_ in ids
        ]
        return sum(await self._change_each(dropped))

    async def rejections(self, source: str, page: Page) -> Listing[Rejection]:
        """See ports.Rejections."""
        return await self._page(f"rejections:of:{source}", f"rejections:ids:{source}", page, Rejection)

    async def rejection_counts(self) -> Sequence[RejectionCount]:
        """See ports.Rejections."""
        return [count for _, _, count in await self._counts()]

    async def _counts(self) -> list[tuple[str, bytes, RejectionCount]]:
        """As they are kept: a few for each source."""
        (found,) = await self.pipeline(("HGETALL", self._key("rejections:counts")))
        made = [(id_.decode(), raw, unpacked(raw, RejectionCount)) for id_, raw in pairs(found)]
        return sorted(made, key=lambda each: (each[2].source, each[2].reason.value))

    async def forget_rejections(self, before_ms: int) -> int:
        """See ports.Rejections."""
        over = [(id_, raw) for id_, raw, count in await self._counts() if count.last_at_ms < before_ms]
        await self._change_each([Change("rejections:counts", id_, None, raw) for id_, raw in over])
        forgotten = 0
        while old := await self._by_score("rejections:at", "-inf", f"({before_ms}", AT_ONCE):
            for source, id_ in map(json.loads, old):
                forgotten += await self._drop_samples(source, [id_])
        return forgotten

    async def hold(self, requests: Sequence[HeldRequest], limits: Mapping[str, HoldSettings]) -> Sequence[bool]:
        """See ports.Rejections."""
        if not requests:
            return []
        asked = [_to_hold(request, limits[request.source]) for request in requests]
        return [bool(each) for each in await self.call("hold", pack(asked))]

    async def held_requests(self, source: str, page: Page) -> Listing[HeldRequest]:
        """See ports.Rejections."""
        return await self._page(f"held:requests:{source}", f"held:ids:{source}", page, HeldRequest)

    async def held_counts(self) -> Sequence[HeldCount]:
        """See ports.Rejections."""
        (names,) = await self.pipeline(("SMEMBERS", self._key("held:names")))
        sources = sorted(texts(names))
        if not sources:
            return []
        asked: list[tuple[str | bytes | int, ...]] = []
        for source in sources:
            asked.append(("HMGET", self._key(f"held:sums:{source}"), "requests", "bytes"))
            asked.append(("ZRANGE", self._key(f"held:at:{source}"), 0, 0, "WITHSCORES"))
        found = await self.pipeline(*asked)
        rows = zip(sources, found[::2], found[1::2], strict=True)
        return [
            HeldCount(source, int(sums[0]), int(sums[1]), int(score))
            for source, sums, oldest in rows
            for _, score in pairs(oldest)
            if sums[0] is not None
        ]

    async def drop_held(self, source: str, ids: Sequence[str]) -> int:
        """See ports.Rejections."""
        if not ids:
            return 0
        (dropped,) = await self.call("drop_held", wire(source), pack([wire(each) for each in ids]))
        return int(dropped)

    async def forget_held(self, source: str, before_ms: int) -> int:
        """See ports.Rejections."""
        forgotten = 0
        while old := await self._by_score(f"held:at:{source}", "-inf", f"({before_ms}", AT_ONCE):
            forgotten += await self.drop_held(source, old)
        return forgotten


def _sample(sample: Rejection) -> Change:
    source, id_ = sample.source, sample.id
    places = [(f"rejections:ids:{source}", 0, id_), ("rejections:at", sample.at_ms, json.dumps([source, id_]))]
    return Change(f"rejections:of:{source}", id_, packed(sample), adds=places)


def _sum(kept: RejectionCount, more: RejectionCount) -> RejectionCount:
    return replace(
        kept,
        count=kept.count + more.count,
        first_at_ms=min(kept.first_at_ms, more.first_at_ms),
        last_at_ms=max(kept.last_at_ms, more.last_at_ms),
    )


def _to_hold(request: HeldRequest, limit: HoldSettings) -> list[object]:
    """As functions/held_requests.lua wants it."""
    names = [wire(each) for each in (request.source, request.id, request.sender)]
    numbers = (request.size, request.received_at_ms)
    return [*names, *numbers, packed(request), limit.max_requests, limit.max_bytes, *limit.share]
