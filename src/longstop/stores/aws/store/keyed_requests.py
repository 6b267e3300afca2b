"""Requests with an Idempotency-Key: ports.KeyedRequests over DynamoDB."""

import json
from dataclasses import replace

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.stores.aws import table as keys
from longstop.stores.aws.attributes import Item, Key
from longstop.stores.aws.records import AwsRecords, record_item, to_record
from longstop.stores.aws.table import ttl_after
from longstop.stores.aws.units import View


class AwsKeyedRequests(AwsRecords):
    """See ports.KeyedRequests. What has expired is the service's to delete; that it has expired is looked at here."""

    async def begin_keyed(self, request: KeyedRequest) -> KeyedRequest | None:
        """See ports.KeyedRequests."""
        kept: KeyedRequest | None = None

        def begun(row: Item | None) -> Item | None:
            nonlocal kept
            kept = None if row is None else to_record(row, KeyedRequest)
            return _item(request) if kept is None or kept.expires_at_ms <= request.began_at_ms else None

        return kept if await self._change(_key(request), begun) is None else None

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """See ports.KeyedRequests."""
        answered = _item(replace(request, answer=answer))
        await self._change(_key(request), lambda row: answered if _is_under_way(row, request) else None)

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """See ports.KeyedRequests."""

        async def unit(view: View[None]) -> None:
            if _is_under_way(await view.get(_key(request)), request):
                await view.drop(_key(request))

        await self._run(unit)


def _is_under_way(row: Item | None, request: KeyedRequest) -> bool:
    """Whether it is what its key is taken by, without an answer."""
    return row is not None and to_record(row, KeyedRequest) == request


def _key(request: KeyedRequest) -> Key:
    return keys.KEYED, keys.short(json.dumps([request.by, request.key]))


def _item(request: KeyedRequest) -> Item:
    return record_item(_key(request), request, ttl=ttl_after(request.expires_at_ms))
