"""What the store relies on, as AWS documents it, asked of both emulators.

What one does otherwise stands in docs/stores/aws.md. One of another version that does something else fails here: then
that page has to follow.
"""

import base64
import json
import urllib.error
from collections.abc import Callable
from typing import Any

import pytest

from aws_server import KINDS, AwsServer

Item = dict[str, Any]
REFUSED = "ValidationException"


class Asked:
    """A table and a queue of one emulator."""

    def __init__(self, server: AwsServer) -> None:
        self._server = server
        self.table = server.table()
        self.queue = self.sqs("CreateQueue", QueueName=self.table)["QueueUrl"]

    def dynamodb(self, operation: str, **given: Any) -> Any:
        return self._server.call(f"DynamoDB_20120810.{operation}", given)

    def sqs(self, operation: str, **given: Any) -> Any:
        return self._server.call(f"AmazonSQS.{operation}", given)

    def transact(self, *operations: Item, **more: Any) -> Any:
        return self.dynamodb("TransactWriteItems", TransactItems=list(operations), **more)

    def put(self, name: str, **more: Any) -> Item:
        return {"Put": {"TableName": self.table, "Item": {**key(name), **more}}}

    def add(self, name: str, **more: Any) -> Item:
        one = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
        return {"Update": {"TableName": self.table, "Key": key(name), **one, **more}}

    def get(self, name: str) -> Item:
        found = self.dynamodb("GetItem", TableName=self.table, Key=key(name), ConsistentRead=True)
        item: Item = found.get("Item", {})
        return item


def key(name: str) -> Item:
    return {"pk": {"S": name}, "sk": {"S": "s"}}


def kilobytes(count: int) -> Item:
    return {"B": base64.b64encode(b"x" * count * 1024).decode()}


def code_of(call: Callable[[], Any]) -> str:
    """By what it is refused; "done" where it is not."""
    try:
        call()
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())
        reasons = [each.get("Code") for each in said.get("CancellationReasons", ())]
        return ", ".join([str(said["__type"]).rpartition("#")[2], *map(str, reasons)])
    return "done"


# -- what is asked ----------------------------------------------------------------------------------


def a_token_twice(asked: Asked) -> str:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""
    for _ in range(2):
        asked.transact(asked.add("token"), ClientRequestToken="a-token-of-ours")
    return str(asked.get("token")["n"]["N"])


def a_token_with_something_else(asked: Asked) -> str:
    asked.transact(asked.add("first"), ClientRequestToken="another-token")
    return code_of(lambda: asked.transact(asked.add("second"), ClientRequestToken="another-token"))


def more_than_a_hundred_operations(asked: Asked) -> str:
    return code_of(lambda: asked.transact(*(asked.put(f"many-{number}") for number in range(101))))


def two_operations_on_an_item(asked: Asked) -> str:
    return code_of(lambda: asked.transact(asked.put("two"), asked.add("two")))


def one_condition_that_does_not_hold(asked: Asked) -> str:
    must = {"ConditionExpression": "attribute_exists(pk)"}
    said = code_of(lambda: asked.transact(asked.put("beside"), asked.add("nobody", **must)))
    return f"{said}; beside it {'something' if asked.get('beside') else 'nothing'}"


def an_item_of_399_kilobytes(asked: Asked) -> str:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
    return code_of(lambda: asked.transact(asked.put("large", body=kilobytes(399))))


def an_item_of_401_kilobytes(asked: Asked) -> str:
    return code_of(lambda: asked.transact(asked.put("larger", body=kilobytes(401))))


def a_transaction_of_more_than_4_megabytes(asked: Asked) -> str:
    return code_of(lambda: asked.transact(*(asked.put(f"heavy-{n}", body=kilobytes(390)) for n in range(11))))


def twenty_six_writes(asked: Asked) -> str:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""
    wanted = {asked.table: [{"DeleteRequest": {"Key": key(f"w-{number}")}} for number in range(26)]}
    return code_of(lambda: asked.dynamodb("BatchWriteItem", RequestItems=wanted))


def a_consistent_read_of_a_global_index(asked: Asked) -> str:
    return code_of(lambda: _query(asked, "everything", "of_all"))


def a_consistent_read_of_a_local_index(asked: Asked) -> str:
    return code_of(lambda: _query(asked, "turn", "pk"))


def _query(asked: Asked, index: str, attribute: str) -> None:
    of = {"KeyConditionExpression": f"{attribute} = :p", "ExpressionAttributeValues": {":p": {"S": "x"}}}
    asked.dynamodb("Query", TableName=asked.table, IndexName=index, ConsistentRead=True, **of)


def an_index_key_of_another_type(asked: Asked) -> str:
    return code_of(lambda: asked.transact(asked.put("type", turn={"N": "1"})))


def an_index_key_of_more_than_1024_bytes(asked: Asked) -> str:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""
    return code_of(lambda: asked.transact(asked.put("long", turn={"S": "x" * 1_025})))


def no_entries(asked: Asked) -> str:
    said = code_of(lambda: asked.sqs("SendMessageBatch", QueueUrl=asked.queue, Entries=[]))
    return "EmptyBatchRequest" if "EmptyBatchRequest" in said else said


def a_delay_of_901_seconds_beside_another(asked: Asked) -> str:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
    entries = [{"Id": "a", "MessageBody": "x", "DelaySeconds": 901}, {"Id": "b", "MessageBody": "y"}]
    answer = asked.sqs("SendMessageBatch", QueueUrl=asked.queue, Entries=entries)
    return f"{len(answer.get('Successful') or ())} sent, {len(answer.get('Failed') or ())} not"


def a_handle_of_an_earlier_receipt(asked: Asked) -> str:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html"""
    asked.sqs("SendMessage", QueueUrl=asked.queue, MessageBody="x")
    first, _ = (_receive(asked) for _ in range(2))
    said = code_of(lambda: asked.sqs("DeleteMessage", QueueUrl=asked.queue, ReceiptHandle=first["ReceiptHandle"]))
    return f"{said.rpartition('.')[2]}; it is {'there' if _receive(asked) else 'gone'}"


def _receive(asked: Asked) -> Item:
    """And seen again at once."""
    messages = asked.sqs("ReceiveMessage", QueueUrl=asked.queue, VisibilityTimeout=0).get("Messages") or [{}]
    item: Item = messages[0]
    return item


DOCUMENTED: dict[Callable[[Asked], str], str] = {
    a_token_twice: "1",
    a_token_with_something_else: "IdempotentParameterMismatchException",
    more_than_a_hundred_operations: REFUSED,
    two_operations_on_an_item: REFUSED,
    one_condition_that_does_not_hold: "TransactionCanceledException, None, ConditionalCheckFailed; beside it nothing",
    an_item_of_399_kilobytes: "done",
    an_item_of_401_kilobytes: REFUSED,
    a_transaction_of_more_than_4_megabytes: REFUSED,
    twenty_six_writes: REFUSED,
    a_consistent_read_of_a_global_index: REFUSED,
    a_consistent_read_of_a_local_index: "done",
    an_index_key_of_another_type: "TransactionCanceledException, ValidationError",
    an_index_key_of_more_than_1024_bytes: "TransactionCanceledException, ValidationError",
    no_entries: "EmptyBatchRequest",
    a_delay_of_901_seconds_beside_another: "1 sent, 1 not",
    a_handle_of_an_earlier_receipt: "done; it is there",
}
OTHERWISE: dict[tuple[str, Callable[[Asked], str]], str] = {
    ("moto", a_token_twice): "2",
    ("moto", a_token_with_something_else): "done",
    ("moto", an_item_of_399_kilobytes): REFUSED,
    ("moto", a_transaction_of_more_than_4_megabytes): "done",
    ("moto", twenty_six_writes): "done",
    ("moto", an_index_key_of_another_type): "done",
    ("moto", an_index_key_of_more_than_1024_bytes): "done",
    ("ministack", an_index_key_of_more_than_1024_bytes): "done",
    ("ministack", a_delay_of_901_seconds_beside_another): "2 sent, 0 not",
    ("ministack", a_handle_of_an_earlier_receipt): "ReceiptHandleIsInvalid; it is there",
}
"""Where an emulator does otherwise, and what."""


@pytest.fixture(scope="module")
def both(aws_emulator: AwsServer, aws_second_opinion: AwsServer) -> dict[str, Asked]:
    return {each.kind: Asked(each) for each in (aws_emulator, aws_second_opinion)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ask", DOCUMENTED, ids=lambda ask: ask.__name__)
def test_an_emulator_does_as_documented_or_as_is_known_of_it(
    ask: Callable[[Asked], str], kind: str, both: dict[str, Asked]
) -> None:
    assert ask(both[kind]) == OTHERWISE.get((kind, ask), DOCUMENTED[ask])
