"""Requests with an Idempotency-Key: ports.KeyedRequests over DynamoDB."""

import json
import secrets
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
        item = _item(request) | {"begun": secrets.token_hex(8)}

        async def unit(view: View[KeyedRequest | None]) -> KeyedRequest | None:
            row = await view.get(_key(request))
            kept = None if row is None else to_record(row, KeyedRequest)
            if kept is None or kept.expires_at_ms <= request.began_at_ms:
                await view.put(item)
                return None
            # By a try whose answer was lost; two may ask for the very same in the same millisecond.
            is_own = view.again and row is not None and row.get("begun") == item["begun"]
            return None if is_own else kept

        return await self._run(unit)

    async def answer_keyed(self, request: KeyedRequest, answer: KeptAnswer) -> None:
        """See ports.KeyedRequests."""

        async def unit(view: View[None]) -> None:
            if await _is_under_way(view, request):
                await view.put(_item(replace(request, answer=answer)))

        await self._run(unit)

    async def drop_keyed(self, request: KeyedRequest) -> None:
        """See ports.KeyedRequests."""

        async def unit(view: View[None]) -> None:
            if await _is_under_way(view, request):
                await view.drop(_key(request))

        await self._run(unit)


async def _is_under_way(view: View[None], request: KeyedRequest) -> bool:
    """Whether it is what its key is taken by, without an answer."""
    kept = await view.get(_key(request))
    return kept is not None and to_record(kept, KeyedRequest) == request


def _key(request: KeyedRequest) -> Key:
    return keys.KEYED, keys.short(json.dumps([request.by, request.key]))


def _item(request: KeyedRequest) -> Item:
    return record_item(_key(request), request, ttl=ttl_after(request.expires_at_ms))
