"""How the table, the queues, the bucket and the functions are now."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from longstop.stores.aws.setup.asking import Answer, Services
from longstop.stores.aws.setup.wanted import ROLES, Wanted

NOTHING = Answer(None)


@dataclass(frozen=True, slots=True)
class TableFacts:
    """The table."""

    table: Answer
    ttl: Answer = NOTHING
    backups: Answer = NOTHING


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue: its attributes."""

    attributes: Answer
    url: str = ""

    def number(self, name: str) -> int:
        """An attribute that is a number."""
        return int((self.attributes.value or {}).get(name, 0))

    def document(self, name: str) -> Mapping[str, Any]:
        """An attribute that is a document."""
        made: Mapping[str, Any] = json.loads((self.attributes.value or {}).get(name) or "{}")
        return made


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """The bucket."""

    bucket: Answer
    blocked: Answer = NOTHING
    encryption: Answer = NOTHING
    lifecycle: Answer = NOTHING
    policy: Answer = NOTHING
    versioning: Answer = NOTHING

    def document(self) -> Mapping[str, Any]:
        """Its policy."""
        made: Mapping[str, Any] = json.loads((self.policy.value or {}).get("Policy") or "{}")
        return made


async def table_facts(services: Services, wanted: Wanted) -> TableFacts:
    """How the table is."""
    name = wanted.table
    table = await services.ask("dynamodb", "describe_table", TableName=name)
    if table.value is None:
        return TableFacts(table)
    return TableFacts(
        Answer(table.value["Table"]),
        await services.ask("dynamodb", "describe_time_to_live", TableName=name),
        await services.ask("dynamodb", "describe_continuous_backups", TableName=name),
    )


async def queue_facts(services: Services, name: str) -> QueueFacts:
    """How a queue is."""
    found = await services.ask("sqs", "get_queue_url", QueueName=name)
    if found.value is None:
        return QueueFacts(found)
    url = str(found.value["QueueUrl"])
    answer = await services.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
    return QueueFacts(Answer((answer.value or {}).get("Attributes"), answer.denied), url)


async def bucket_facts(services: Services, name: str) -> BucketFacts:
    """How the bucket is."""
    bucket = await services.ask("s3", "get_bucket_versioning", Bucket=name)
    if bucket.value is None and bucket.denied is None:
        return BucketFacts(bucket)
    return BucketFacts(
        Answer({}),
        await services.ask("s3", "get_public_access_block", Bucket=name),
        await services.ask("s3", "get_bucket_encryption", Bucket=name),
        await services.ask("s3", "get_bucket_lifecycle_configuration", Bucket=name),
        await services.ask("s3", "get_bucket_policy", Bucket=name),
        bucket,
    )


async def function_facts(services: Services, wanted: Wanted) -> dict[str, Answer]:
    """The functions, by role."""
    return {
        role: await services.ask("lambda", "get_function_configuration", FunctionName=wanted.function(role))
        for role in ROLES
    }
