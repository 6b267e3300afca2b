"""Makes what is missing, and nothing else: what is there stays as it is, and nothing is ever deleted."""

import json
from collections.abc import AsyncIterator
from typing import Any

from botocore.exceptions import BotoCoreError

from longstop.model.errors import StoreUnavailableError
from longstop.model.setup import Step
from longstop.stores.aws.setup.asking import Answer, DeniedError, Services
from longstop.stores.aws.setup.facts import QueueFacts, bucket_facts, queue_facts, table_facts
from longstop.stores.aws.setup.findings import is_recoverable
from longstop.stores.aws.setup.wanted import (
    BLOCKED,
    RECEIVES_MAX,
    TTL,
    Wanted,
    dead_queue_attributes,
    lifecycle,
    queue_attributes,
    tls_only,
)

WAIT = {"Delay": 2, "MaxAttempts": 150}
"""A table is there within seconds, its indexes within minutes."""
_WITHOUT_PLACE = "us-east-1"
"""The one region whose name is not said when a bucket is made.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html"""

Steps = AsyncIterator[Step]


async def make_missing(services: Services, wanted: Wanted) -> Steps:
    """Each thing as it is there. Raises StoreUnavailableError: what was made until then stays, and is found again."""
    async for step in _table(services, wanted):
        yield step
    if wanted.queue is not None:
        async for step in _queues(services, wanted, wanted.queue):
            yield step
    if wanted.bucket is not None:
        async for step in _bucket(services, wanted, wanted.bucket):
            yield step


def _seen(answer: Answer) -> bool:
    """Whether it is there. Raises DeniedError: what may not be looked at is not made either."""
    if answer.denied is not None:
        raise DeniedError(answer.denied)
    return answer.value is not None


async def _table(services: Services, wanted: Wanted) -> Steps:
    name, what = wanted.table, f"table {wanted.table}"
    facts = await table_facts(services, wanted)
    is_there = _seen(facts.table)
    if not is_there:
        await services.make("dynamodb", "create_table", **wanted.table_definition())
    await _until_active(services, name)
    yield Step(what, not is_there)
    facts = await table_facts(services, wanted)
    forgets = _seen(facts.ttl) and (facts.ttl.value or {}).get("TimeToLiveDescription", {}).get("AttributeName") == TTL
    if not forgets:
        by = {"AttributeName": TTL, "Enabled": True}
        await services.make("dynamodb", "update_time_to_live", TableName=name, TimeToLiveSpecification=by)
    yield Step(f"{what}, ttl", not forgets)
    recoverable = _seen(facts.backups) and is_recoverable(facts)
    if not recoverable:
        on = {"PointInTimeRecoveryEnabled": True}
        await services.make(
            "dynamodb", "update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=on
        )
    yield Step(f"{what}, point-in-time recovery", not recoverable)


async def _until_active(services: Services, name: str) -> None:
    waiter = (await services.client("dynamodb")).get_waiter("table_exists")
    try:
        await waiter.wait(TableName=name, WaiterConfig=WAIT)
    except BotoCoreError as error:
        raise StoreUnavailableError(
            f"the table {name} is not active yet: {error}; start it again to wait on"
        ) from error


async def _queues(services: Services, wanted: Wanted, name: str) -> Steps:
    dead = await queue_facts(services, wanted.dead_queue)
    dead_is_there = _seen(dead.attributes)
    if not dead_is_there:
        await _make_queue(services, wanted.dead_queue, dead_queue_attributes())
        dead = await queue_facts(services, wanted.dead_queue)
    yield Step(f"queue {wanted.dead_queue}", not dead_is_there)
    queue = await queue_facts(services, name)
    is_there = _seen(queue.attributes)
    if not is_there:
        await _make_queue(services, name, queue_attributes(wanted.visibility_s))
        queue = await queue_facts(services, name)
    yield Step(f"queue {name}", not is_there)
    gives_up = bool(queue.document("RedrivePolicy"))
    if not gives_up:
        target = (dead.attributes.value or {})["QueueArn"]
        policy = {"deadLetterTargetArn": target, "maxReceiveCount": RECEIVES_MAX}
        await services.make(
            "sqs", "set_queue_attributes", QueueUrl=queue.url, Attributes={"RedrivePolicy": json.dumps(policy)}
        )
    yield Step(f"queue {name}, redrive policy", not gives_up)
    if not wanted.is_plain:
        for which, facts in ((wanted.dead_queue, dead), (name, queue)):
            yield await _tls_of_queue(services, which, facts)


async def _tls_of_queue(services: Services, name: str, facts: QueueFacts) -> Step:
    has_policy = bool(facts.document("Policy"))
    if not has_policy:
        policy = json.dumps(tls_only((facts.attributes.value or {})["QueueArn"], "sqs:*"))
        await services.make("sqs", "set_queue_attributes", QueueUrl=facts.url, Attributes={"Policy": policy})
    return Step(f"queue {name}, TLS", not has_policy)


async def _make_queue(services: Services, name: str, attributes: dict[str, str]) -> None:
    await services.make("sqs", "create_queue", QueueName=name, Attributes=attributes)


async def _bucket(services: Services, wanted: Wanted, name: str) -> Steps:
    facts = await bucket_facts(services, name)
    is_there = _seen(facts.bucket)
    if not is_there:
        place = {"CreateBucketConfiguration": {"LocationConstraint": wanted.region}}
        given = {} if wanted.region == _WITHOUT_PLACE else place
        await services.make("s3", "create_bucket", Bucket=name, ObjectOwnership="BucketOwnerEnforced", **given)
        facts = await bucket_facts(services, name)
    yield Step(f"bucket {name}", not is_there)
    by = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    both = [f"arn:{wanted.partition}:s3:::{name}", f"arn:{wanted.partition}:s3:::{name}/*"]
    versions = facts.versioning if (facts.versioning.value or {}).get("Status") else Answer(None)
    settings: list[tuple[str, Answer, str, dict[str, Any]]] = [
        (
            "public access",
            facts.blocked,
            "put_public_access_block",
            {"PublicAccessBlockConfiguration": dict.fromkeys(BLOCKED, True)},
        ),
        (
            "encryption",
            facts.encryption,
            "put_bucket_encryption",
            {"ServerSideEncryptionConfiguration": {"Rules": [by]}},
        ),
        ("versions", versions, "put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
        (
            "lifecycle",
            facts.lifecycle,
            "put_bucket_lifecycle_configuration",
            {"LifecycleConfiguration": {"Rules": lifecycle()}},
        ),
    ]
    if not wanted.is_plain:
        settings.append(("TLS", facts.policy, "put_bucket_policy", {"Policy": json.dumps(tls_only(both, "s3:*"))}))
    for what, answer, operation, setting in settings:
        is_set = _seen(answer)
        if not is_set:
            await services.make("s3", operation, Bucket=name, **setting)
        yield Step(f"bucket {name}, {what}", not is_set)
