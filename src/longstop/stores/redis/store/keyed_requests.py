"""Requests with an Idempotency-Key: ports.KeyedRequests over Redis."""

import json
from dataclasses import replace

from longstop.model.errors import StoreUnavailableError
from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.record_json import packed, unpacked
from longstop.stores.redis.records import TURNS_MAX, Change, RedisRecords

EXPIRED_AT_ONCE = 20
"""More than one, so that they become fewer than come."""


class RedisKeyedRequests(RedisRecords):
    """See ports.KeyedRequests."""

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """See ports.KeyedRequests."""
        await self._forget_expired(request.began_at_ms)
        id_ = _id(request)
        for _ in range(TURNS_MAX):
            raw = await self._record("keyed", id_)
            kept = None if raw is None else unpacked(raw, KeyedRequest)
            if kept is not None and kept.expires_at_ms > request.began_at_ms:
                return kept
            expiry = ("keyed:expires", request.expires_at_ms, id_)
            if await self._change(Change("keyed", id_, packed(request), raw, [expiry])):
                return None
        raise StoreUnavailableError("a key was taken and freed again by others for too long")

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """See ports.KeyedRequests."""
        answered = packed(replace(request, answer=answer))
        await self._change(Change("keyed", _id(request), answered, packed(request)))

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """See ports.KeyedRequests."""
        await self._change(_dropped(_id(request), packed(request)))

    async def _forget_expired(self, now_ms: int) -> None:
        ids = await self._by_score("keyed:expires", "-inf", now_ms, EXPIRED_AT_ONCE)
        kept = zip(ids, await self._records("keyed", ids), strict=True)
        await self._change_each([_dropped(id_, raw) for id_, raw in kept if raw is not None])


def _id(request: KeyedRequest) -> str:
    return json.dumps([request.by, request.key])


def _dropped(id_: str, seen: bytes) -> Change:
    return Change("keyed", id_, None, seen, drops=[("keyed:expires", id_)])
