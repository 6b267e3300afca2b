"""Calls of DynamoDB that do a part of what they are asked for, and say so in an answer that is no error.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html: where nothing could be done it is
an error, so each such answer is a step further.
"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from longstop.model.errors import StoreUnavailableError

pytest.importorskip("aiobotocore", reason="aiobotocore is not installed")

from longstop.stores.aws.attributes import wire_key
from longstop.stores.aws.dynamodb import ContentionError, Table

KEYS = [("p", f"s{number:03}") for number in range(130)]


class Client:
    """Does seven of what it is asked for, and an empty page now and then."""

    def __init__(self) -> None:
        self.there = dict.fromkeys(KEYS, 1)
        self.calls = 0

    async def batch_get_item(self, RequestItems: Any) -> Any:
        self.calls += 1
        asked = RequestItems["t"]
        assert asked["ConsistentRead"] is True
        done, left = asked["Keys"][:7], asked["Keys"][7:]
        return {"Responses": {"t": done}, "UnprocessedKeys": {"t": asked | {"Keys": left}} if left else {}}

    async def batch_write_item(self, RequestItems: Any) -> Any:
        done, left = RequestItems["t"][:7], RequestItems["t"][7:]
        for each in done:
            key = each["DeleteRequest"]["Key"]
            del self.there[key["pk"]["S"], key["sk"]["S"]]
        return {"UnprocessedItems": {"t": left} if left else {}}

    async def query(self, ExclusiveStartKey: int = 0, **_: Any) -> Any:
        self.calls += 1
        page = [wire_key(key) for key in KEYS[ExclusiveStartKey : ExclusiveStartKey + 10]] if self.calls % 2 else []
        next_ = ExclusiveStartKey + len(page)
        return {"Items": page} | ({"LastEvaluatedKey": next_} if next_ < len(KEYS) else {})


async def test_what_was_not_given_is_asked_for_again() -> None:
    found = await Table(Client(), "t").get(KEYS)
    assert list(found) == KEYS


async def test_what_was_not_deleted_is_deleted_then() -> None:
    client = Client()
    await Table(client, "t").delete(KEYS)
    assert client.there == {}


@pytest.mark.parametrize("limit", [None, 35])
async def test_an_empty_page_is_not_the_end(limit: int | None) -> None:
    found = await Table(Client(), "t").query("p", limit=limit)
    assert [row["sk"] for row in found] == [key[1] for key in KEYS][: limit and 40]


CANCELLED = [
    (["ConditionalCheckFailed", "None"], ContentionError, None),
    (["TransactionConflict"], ContentionError, None),
    (["None", "ThrottlingError"], StoreUnavailableError, "ThrottlingError"),
    (["ConditionalCheckFailed", "ItemCollectionSizeLimitExceeded"], StoreUnavailableError, "ItemCollectionSizeLimit"),
]


@pytest.mark.parametrize(("reasons", "raised", "said"), CANCELLED)
async def test_a_transaction_that_was_cancelled_is_run_again_only_where_another_was_quicker(
    reasons: list[str], raised: type[Exception], said: str | None
) -> None:
    class Cancelling:
        async def transact_write_items(self, **_: Any) -> Any:
            response: Any = {"Error": {"Code": "TransactionCanceledException"}}
            response["CancellationReasons"] = [{"Code": each} for each in reasons]
            raise ClientError(response, "TransactWriteItems")

    with pytest.raises(raised, match=said):
        await Table(Cancelling(), "t").transact([], "token")
