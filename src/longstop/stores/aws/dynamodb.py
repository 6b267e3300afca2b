"""Calls to DynamoDB: one table, read consistently, changed in transactions.

A call that got no answer, a 500 or a throttle is made again, a few times and less and less often (botocore's standard
retries), a transaction with the token that it had: within ten minutes the service carries out one of a token once.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from longstop.aws_api.errors import CALL_ERRORS, what_is_wrong
from longstop.model.errors import SchemaError, StoreUnavailableError
from longstop.stores.aws.attributes import Item, Key, from_wire, key_of, to_wire, wire_key
from longstop.stores.aws.table import EVENT_HEAD

ITEMS_MAX = 100
"""Of one transaction, and of one BatchGetItem.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
DELETES_MAX = 25
"""Of one BatchWriteItem."""
BYTES_MAX = 3_500_000
"""Of one transaction; the service's limit is 4 MB."""
_CONTENDED = frozenset({"ConditionalCheckFailed", "TransactionConflict", "None"})


_PERMISSION = "what `longstop aws template` lists for its role"


class ContentionError(Exception):
    """Somebody else has changed one of the items meanwhile: nothing was done."""


class Table:
    """One table. client: aiobotocore's, of DynamoDB."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name

    async def call(self, operation: str, **given: Any) -> dict[str, Any]:
        """Any call. Raises StoreUnavailableError, ContentionError."""
        try:
            answer: dict[str, Any] = await getattr(self._client, operation)(**given)
        except ClientError as error:
            raise _translated(operation, error) from error
        except CALL_ERRORS as error:
            raise StoreUnavailableError(what_is_wrong(error, operation, _PERMISSION)) from error
        return answer

    async def get(self, keys: Sequence[Key], without: str | None = None) -> dict[Key, Item]:
        """Those of these items that are there, as they are now. without: an attribute that stays there."""
        distinct = list(dict.fromkeys(keys))
        chunks = [distinct[start : start + ITEMS_MAX] for start in range(0, len(distinct), ITEMS_MAX)]
        found: dict[Key, Item] = {}
        for some in await asyncio.gather(*(self._get_some(chunk, without) for chunk in chunks)):
            found.update(some)
        return found

    async def _get_some(self, keys: Sequence[Key], without: str | None) -> dict[Key, Item]:
        wanted: dict[str, Any] = {"Keys": [wire_key(each) for each in keys], "ConsistentRead": True}
        if without is not None:
            wanted |= _all_but(without)
        asked: Mapping[str, Any] = {self.name: wanted}
        found: dict[Key, Item] = {}
        while asked:
            answer = await self.call("batch_get_item", RequestItems=asked)
            items = [from_wire(each) for each in answer["Responses"].get(self.name, ())]
            found.update((key_of(each), each) for each in items)
            # What would have been more than 16 MB, or more than the table gives now.
            asked = answer.get("UnprocessedKeys") or {}
        return found

    async def query(
        self,
        partition: str,
        low: str | None = None,
        high: str | None = None,
        *,
        index: str | None = None,
        names: tuple[str, str] = ("pk", "sk"),
        limit: int | None = None,
        backward: bool = False,
        consistent: bool = True,
    ) -> list[Item]:
        """The items of a partition, in order, from low to high (both inclusive); at most so many.

        names: of the index's key. consistent: not to be had of a global index.
        """
        if low is not None and high is not None and low > high:
            # Nothing, which the service takes for a mistake.
            return []
        given = self._asked(partition, low, high, names) | {"ConsistentRead": consistent}
        given |= {"ScanIndexForward": not backward} | ({} if index is None else {"IndexName": index})
        found: list[Item] = []
        while limit is None or len(found) < limit:
            more = {} if limit is None else {"Limit": limit - len(found)}
            answer = await self.call("query", TableName=self.name, **given, **more)
            found += [from_wire(each) for each in answer["Items"]]
            if not answer.get("LastEvaluatedKey"):
                break
            given["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found

    def _asked(self, partition: str, low: str | None, high: str | None, names: tuple[str, str]) -> dict[str, Any]:
        condition, values = "#p = :p", {":p": partition}
        bounds = {":low": low, ":high": high}
        values |= {name: bound for name, bound in bounds.items() if bound is not None}
        if low is not None and high is not None:
            condition += " AND #s BETWEEN :low AND :high"
        elif low is not None:
            condition += " AND #s >= :low"
        elif high is not None:
            condition += " AND #s <= :high"
        called = {"#p": names[0]} | ({} if low is None and high is None else {"#s": names[1]})
        return {
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": called,
            "ExpressionAttributeValues": to_wire(values),
        }

    async def delete(self, keys: Sequence[Key]) -> None:
        """Delete items, each by itself, whatever they say. Raises StoreUnavailableError: some may be gone."""
        asked = [{"DeleteRequest": {"Key": wire_key(each)}} for each in keys]
        for start in range(0, len(asked), DELETES_MAX):
            some: Mapping[str, Any] = {self.name: asked[start : start + DELETES_MAX]}
            while some:
                answer = await self.call("batch_write_item", RequestItems=some)
                some = answer.get("UnprocessedItems") or {}

    async def transact(self, operations: Sequence[dict[str, Any]], token: str) -> None:
        """All of these or none. Raises ContentionError, StoreUnavailableError: whether it was done is not known."""
        await self.call("transact_write_items", TransactItems=list(operations), ClientRequestToken=token)


def _all_but(without: str) -> dict[str, Any]:
    names = {f"#n{place}": name for place, name in enumerate(EVENT_HEAD) if name != without}
    return {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}


def _translated(operation: str, error: ClientError) -> Exception:
    code = error.response.get("Error", {}).get("Code", "")
    if code == "TransactionCanceledException":
        reasons = {each.get("Code", "None") for each in error.response.get("CancellationReasons", ())}
        if reasons <= _CONTENDED:
            return ContentionError()
        return StoreUnavailableError(f"DynamoDB, {operation}: {', '.join(sorted(reasons - _CONTENDED))}")
    if code in ("ConditionalCheckFailedException", "TransactionConflictException", "TransactionInProgressException"):
        return ContentionError()
    if code == "ResourceNotFoundException":
        return SchemaError("the table is not there; expected it to have been made: longstop aws init")
    return StoreUnavailableError(what_is_wrong(error, operation, _PERMISSION))
