"""IAM's rules, as far as `longstop aws template` uses them, and the calls of a store as IAM sees them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from unittest.mock import patch

from longstop.stores.aws.dynamodb import Table
from longstop.stores.aws.setup.access import Arns, Statement

ACCOUNT = "arn:aws:dynamodb:eu-central-1:111122223333"
ARNS = Arns(
    table=f"{ACCOUNT}:table/longstop",
    index=lambda name: f"{ACCOUNT}:table/longstop/index/{name}",
    queue="arn:aws:sqs:eu-central-1:111122223333:longstop",
    dead_queue="arn:aws:sqs:eu-central-1:111122223333:longstop-dead",
    bucket="arn:aws:s3:::bodies-of-ours",
    objects=lambda names: f"arn:aws:s3:::bodies-of-ours/{names}",
    functions=("arn:aws:lambda:eu-central-1:111122223333:function:longstop-work",),
    roles=("arn:aws:iam::111122223333:role/work",),
)
ATTRIBUTES = "dynamodb:Attributes"
_OF_WRITE = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


class Asked(NamedTuple):
    """What IAM decides about."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = {}


def allows(policy: Sequence[Statement], asked: Asked) -> bool:
    """Whether a policy of statements that allow does."""
    return any(
        asked.action in each["Action"]
        and any(fnmatchcase(asked.resource, resource) for resource in each["Resource"])
        and all(_holds(test, given, asked.context) for test, given in each.get("Condition", {}).items())
        for each in policy
    )


def _holds(test: str, given: Mapping[str, Any], context: Mapping[str, Sequence[str]]) -> bool:
    for name, wanted in given.items():
        there = context.get(name, ())
        patterns = [wanted] if isinstance(wanted, str) else wanted
        if test == "Null":
            holds = (not there) == (wanted == "true")
        elif test == "StringEqualsIfExists" or test == "ForAllValues:StringEquals":
            holds = all(value in patterns for value in there)
        elif test == "ForAllValues:StringLike":
            holds = all(any(fnmatchcase(value, each) for each in patterns) for value in there)
        else:
            raise NotImplementedError(test)
        if not holds:
            return False
    return True


def of_call(operation: str, given: Mapping[str, Any]) -> Iterator[Asked]:
    """What a call to DynamoDB asks leave for: each of a batch's or a transaction's for itself."""
    table, names = ARNS.table, "dynamodb:LeadingKeys"
    if operation == "batch_get_item":
        for wanted in given["RequestItems"].values():
            keys = [key["pk"]["S"] for key in wanted["Keys"]]
            yield Asked("dynamodb:BatchGetItem", table, {names: keys, **_selected(wanted)})
    elif operation == "query":
        on = ARNS.index(given["IndexName"]) if "IndexName" in given else table
        yield Asked("dynamodb:Query", on, {names: [given["ExpressionAttributeValues"][":p"]["S"]]})
    elif operation == "transact_write_items":
        for each in given["TransactItems"]:
            ((kind, write),) = each.items()
            key = write.get("Key") or write["Item"]
            context = {names: [key["pk"]["S"]], ATTRIBUTES: _written(write)}
            yield Asked(f"dynamodb:{_OF_WRITE[kind]}", table, context)
    else:
        raise NotImplementedError(operation)


def _selected(wanted: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a read asks for: attributes by their names, or all of them, which has none."""
    if "ProjectionExpression" not in wanted:
        return {"dynamodb:Select": ["ALL_ATTRIBUTES"]}
    called = wanted.get("ExpressionAttributeNames", {})
    named = [called.get(each.strip(), each.strip()) for each in wanted["ProjectionExpression"].split(",")]
    return {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES"], ATTRIBUTES: named}


def _written(write: Mapping[str, Any]) -> list[str]:
    """The attributes that a write names: of its key, its item, its expressions."""
    assert "ReturnValuesOnConditionCheckFailure" not in write, "what stood there would come back"
    words = re.findall(r"#?[a-z_0-9]+", f"{write.get('UpdateExpression', '')} {write.get('ConditionExpression', '')}")
    called = write.get("ExpressionAttributeNames", {})
    named = {called[each] for each in words if each in called}
    return sorted({*(write.get("Key") or write["Item"]), *named})


@contextmanager
def recorded() -> Iterator[list[Asked]]:
    """What is asked of IAM by all that is asked of tables meanwhile."""
    real, asked = Table.call, []

    async def call(self: Table, operation: str, **given: Any) -> dict[str, Any]:
        asked.extend(of_call(operation, given))
        return await real(self, operation, **given)

    with patch.object(Table, "call", call):
        yield asked
