"""Whether whoever asks may do what the store does: it is done, with an item, an object and messages of no meaning."""

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from longstop.aws_api.errors import code_of
from longstop.model.errors import StoreUnavailableError
from longstop.model.setup import Finding
from longstop.stores.aws.setup.asking import DeniedError, Services
from longstop.stores.aws.setup.findings import About
from longstop.stores.aws.setup.wanted import BODIES, Wanted
from longstop.stores.aws.table import GLOBAL_INDEXES, LOCAL_INDEXES

TTL_S = 86_400
"""Of an item that is left where somebody ends the program in the middle."""
_NOTHING = frozenset({"EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest"})
"""What SQS says of a batch of no messages, to those who may."""

Probe = tuple[str, str, Mapping[str, Any]]
"""The action that it takes, the operation, what is given."""


async def usable(services: Services, wanted: Wanted, now_ms: int) -> AsyncIterator[Finding]:
    """Each action of the store, whether it may be done. The queue is asked to send and to delete nothing."""
    mark = secrets.token_hex(8)
    for probe in _of_table(wanted.table, mark, now_ms):
        yield await _finding(services, "dynamodb", wanted.table, probe)
    if wanted.queue is not None:
        answer = await services.ask("sqs", "get_queue_url", QueueName=wanted.queue)
        for probe in _of_queue((answer.value or {}).get("QueueUrl")):
            yield await _finding(services, "sqs", wanted.queue, probe)
    if wanted.bucket is not None:
        for probe in _of_bucket(wanted.bucket, mark):
            yield await _finding(services, "s3", wanted.bucket, probe)


def _of_table(name: str, mark: str, now_ms: int) -> list[Probe]:
    key = {"pk": {"S": f"check#{mark}"}, "sk": {"S": "check"}}
    item = key | {"ttl": {"N": str(now_ms // 1000 + TTL_S)}}
    there = {"TableName": name, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
    of = {"KeyConditionExpression": "#p = :p", "ExpressionAttributeValues": {":p": key["pk"]}}
    added = {"UpdateExpression": "ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    names = [(each, "pk") for each in LOCAL_INDEXES] + [(each, keys[0]) for each, keys in GLOBAL_INDEXES.items()]
    changes = [{"Put": {"TableName": name, "Item": item}}]
    return [
        ("dynamodb:PutItem", "transact_write_items", {"TransactItems": changes}),
        ("dynamodb:GetItem", "batch_get_item", {"RequestItems": {name: {"Keys": [key], "ConsistentRead": True}}}),
        ("dynamodb:ConditionCheckItem", "transact_write_items", {"TransactItems": [{"ConditionCheck": there}]}),
        ("dynamodb:UpdateItem", "update_item", {"TableName": name, "Key": key, **added}),
        ("dynamodb:Query", "query", {"TableName": name, **of, "ExpressionAttributeNames": {"#p": "pk"}}),
        *(
            (
                f"dynamodb:Query on the index {index}",
                "query",
                {"TableName": name, "IndexName": index, **of, "ExpressionAttributeNames": {"#p": attribute}},
            )
            for index, attribute in names
        ),
        ("dynamodb:DeleteItem", "delete_item", {"TableName": name, "Key": key}),
    ]


def _of_queue(url: str | None) -> list[Probe]:
    if url is None:
        return []
    return [
        ("sqs:SendMessage", "send_message_batch", {"QueueUrl": url, "Entries": []}),
        ("sqs:DeleteMessage", "delete_message_batch", {"QueueUrl": url, "Entries": []}),
    ]


def _of_bucket(name: str, mark: str) -> list[Probe]:
    of = {"Bucket": name, "Key": f"{BODIES}/check-{mark}"}
    return [
        ("s3:PutObject", "put_object", of | {"Body": mark.encode(), "IfNoneMatch": "*"}),
        ("s3:GetObject", "get_object", of),
        ("s3:ListBucket", "list_objects_v2", {"Bucket": name, "Prefix": of["Key"]}),
        ("s3:DeleteObject", "delete_object", of),
    ]


async def _finding(services: Services, service: str, name: str, probe: Probe) -> Finding:
    action, operation, given = probe
    about = About(f"{action} on {name}")
    try:
        await services.call(service, operation, **given)
    except DeniedError:
        return about.wrong("not allowed", "leave to do it", "run it as the template's operator role")
    except ClientError as error:
        if code_of(error) not in _NOTHING:
            return about.wrong(str(error), "an answer", "see what is wrong above")
    except StoreUnavailableError as error:
        return about.unknown(str(error))
    return about.ok("allowed")
