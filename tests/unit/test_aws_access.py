"""What each role may: all that the store does in it, and nothing that it must not."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.session import get_session
from aws_policies import ARNS, ATTRIBUTES, Asked, allows, recorded

from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.model.retention import Cutoffs, Kind
from longstop.stores.aws import AwsStore
from longstop.stores.aws.setup.access import statements
from longstop.stores.aws.setup.wanted import ROLES
from longstop.stores.aws.table import definition
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.store_contract.steps import delivered, in_lane, lease, parked, replay, rescued, to_retry

ALL = (*ROLES, "operator")
INGEST, WORK, SWEEP, OPERATOR = (statements(role, ARNS) for role in ALL)
ROWS = "dynamodb:LeadingKeys"
LONG_AGO = Cutoffs(*[AT_MS + 10**9] * 4)


def row(action: str, partition: str) -> Asked:
    return Asked(f"dynamodb:{action}", ARNS.table, {ROWS: [partition]})


def of(action: str, partition: str, attributes: list[str], select: str = "", returned: str = "") -> Asked:
    """Of a row, what is named of it, and what comes back."""
    more = {"dynamodb:Select": [select] * bool(select), "dynamodb:ReturnValues": [returned] * bool(returned)}
    return Asked(f"dynamodb:{action}", ARNS.table, {ROWS: [partition], ATTRIBUTES: attributes, **more})


def body(action: str) -> Asked:
    return Asked(f"s3:{action}", "arn:aws:s3:::bodies-of-ours/bodies/0a/01-0a")


@pytest.mark.parametrize("role", ALL)
def test_every_action_stands_by_its_name_on_things_of_ours(role: str) -> None:
    for each in statements(role, ARNS):
        assert each["Effect"] == "Allow"
        assert each["Resource"], each
        assert not [action for action in each["Action"] if "*" in action], each
        for resource in each["Resource"]:
            assert "longstop" in resource or "bodies-of-ours" in resource or resource.endswith("role/work"), resource
            assert resource.count("*") <= 1, resource


@pytest.mark.parametrize("role", ALL)
@pytest.mark.parametrize(
    ("action", "of"),
    [
        ("dynamodb:Scan", ARNS.table),
        ("dynamodb:DeleteTable", ARNS.table),
        ("dynamodb:UpdateTable", ARNS.table),
        ("dynamodb:ExportTableToPointInTime", ARNS.table),
        ("sqs:PurgeQueue", ARNS.queue),
        ("sqs:SetQueueAttributes", ARNS.queue),
        ("sqs:DeleteQueue", ARNS.dead_queue),
        ("s3:DeleteBucket", ARNS.bucket),
        ("s3:PutBucketPolicy", ARNS.bucket),
        ("s3:GetObject", "arn:aws:s3:::somebody-elses/bodies/x"),
        ("dynamodb:GetItem", "arn:aws:dynamodb:eu-central-1:111122223333:table/another"),
    ],
)
def test_no_role_may_change_or_empty_what_holds_events(role: str, action: str, of: str) -> None:
    assert not allows(statements(role, ARNS), Asked(action, of, {ROWS: ["E#x"]}))


@pytest.mark.parametrize(
    "asked",
    [
        body("GetObject"),
        body("DeleteObject"),
        row("DeleteItem", "E#x"),
        row("DeleteItem", "A#x"),
        row("Query", "E#x"),
        # An event with its body: by its name, with all that there is, or as what a write has overwritten.
        row("GetItem", "E#x"),
        row("BatchGetItem", "E#x"),
        row("ConditionCheckItem", "E#x"),
        of("GetItem", "E#x", attributes=["pk", "sk", "body"]),
        of("BatchGetItem", "E#x", attributes=["body"]),
        of("BatchGetItem", "E#x", attributes=["row"], select="ALL_ATTRIBUTES"),
        of("PutItem", "E#x", attributes=["pk", "sk", "body"], returned="ALL_OLD"),
        of("UpdateItem", "E#x", attributes=["pk", "redeliveries"], returned="ALL_NEW"),
        of("UpdateItem", "E#x", attributes=["pk", "sk", "body"]),
        row("GetItem", "users"),
        row("GetItem", "sessions"),
        row("PutItem", "users"),
        row("PutItem", "tokens"),
        row("PutItem", "audit#x"),
        row("PutItem", "S"),
        row("Query", "K#00"),
        row("PutItem", "nodes"),
        row("Query", "S"),
        Asked("dynamodb:Query", ARNS.index("everything"), {ROWS: ["L#dead#crm#00"]}),
        Asked("dynamodb:Query", ARNS.index("turn"), {ROWS: ["D#00"]}),
        Asked("dynamodb:Query", ARNS.index("by_source"), {ROWS: ["E#shop#00"]}),
        Asked("dynamodb:Query", ARNS.index("by_key"), {ROWS: ["E#order-1"]}),
        Asked("dynamodb:Query", ARNS.index("by_group"), {ROWS: ["G#1#00"]}),
        Asked("sqs:ReceiveMessage", ARNS.queue),
        # A request that names no key at all.
        Asked("dynamodb:GetItem", ARNS.table),
        Asked("dynamodb:PutItem", ARNS.table),
    ],
    ids=str,
)
def test_who_accepts_reads_no_body_and_searches_for_nothing(asked: Asked) -> None:
    assert not allows(INGEST, asked)


@pytest.mark.parametrize(
    "asked",
    [
        of("BatchGetItem", "E#x", attributes=["pk", "sk", "row"], select="SPECIFIC_ATTRIBUTES"),
        of("BatchGetItem", "E#x", attributes=["pk", "sk", "row"]),
        of("PutItem", "E#x", attributes=["pk", "sk", "body"]),
        of("UpdateItem", "E#x", attributes=["pk", "sk", "redeliveries"], returned="NONE"),
    ],
    ids=str,
)
def test_who_accepts_keeps_an_event_and_reads_all_else_of_it(asked: Asked) -> None:
    assert allows(INGEST, asked)


@pytest.mark.parametrize(
    "asked",
    [
        row("DeleteItem", "E#x"),
        row("PutItem", "E#x"),
        row("UpdateItem", "E#x"),
        row("DeleteItem", "K#x"),
        row("PutItem", "K#x"),
        row("GetItem", "users"),
        row("PutItem", "tokens"),
        row("PutItem", "nodes"),
        Asked("dynamodb:Query", ARNS.index("everything"), {ROWS: ["L#dead#crm#00"]}),
        body("DeleteObject"),
        body("PutObject"),
        Asked("dynamodb:Query", ARNS.index("by_source"), {ROWS: ["E#shop#00"]}),
        Asked("sqs:ReceiveMessage", ARNS.dead_queue),
    ],
    ids=str,
)
def test_who_delivers_cannot_forget_or_change_an_event(asked: Asked) -> None:
    assert not allows(WORK, asked)


def test_rows_of_which_one_may_not_be_had_are_had_together_by_nobody() -> None:
    asked = Asked("dynamodb:BatchGetItem", ARNS.table, {ROWS: ["E#x", "users"]})
    assert not allows(WORK, asked)
    assert allows(WORK, asked._replace(context={ROWS: ["E#x", "D#00"]}))


@pytest.mark.parametrize("role", ALL)
def test_a_role_has_room_for_its_policy(role: str) -> None:
    # White space apart: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    assert len(json.dumps(statements(role, ARNS, takes_events=True))) < 10_240


# -- the store's own calls ------------------------------------------------------------------------


@pytest.fixture
async def store(aws_emulator: Any, aws_credentials: None) -> AsyncIterator[AwsStore]:
    """A store over a table with nothing in it."""
    name = f"access-{uuid.uuid4().hex[:8]}"
    async with get_session().create_client(
        "dynamodb", region_name="eu-central-1", endpoint_url=aws_emulator.url
    ) as client:
        await client.create_table(**definition(name))
        store = AwsStore("eu-central-1", name, endpoint=aws_emulator.url, shards=2)
        yield store
        await store.close()
        await client.delete_table(TableName=name)


async def accept(store: AwsStore) -> None:
    """Events new and old, in lanes, of nobody, and what cannot be read."""
    await store.open()
    lane = [in_lane(make_append(number)) for number in (4, 5)]
    for append in (make_append(1, dedup=b"a"), make_append(2, dedup=b"a"), make_append(3, to=()), *lane):
        await store.append([append])
    await store.append([make_quarantined(6)])
    await store.counts(times=False)
    await store.find_events(EventFilter(), Page(1))


async def deliver(store: AwsStore) -> None:
    """Ends of each kind, a circuit that opens and is probed, a lease that runs out, a replay."""
    first, other = (await lease(store, crm=10)).claims
    await store.settle([to_retry(first, AT_MS + 20), parked(other)])
    await store.act([replay(other.delivery.id)])
    again = (await lease(store, AT_MS + 5_000, crm=10)).claims
    assert len(again) == 2
    # Their leases run out, and what is expired is rescued.
    lost = await store.expired(AT_MS + 10**7, 10)
    assert len(lost) == 2
    await rescued(store, again[0], AT_MS + 10**7)
    await store.settle([delivered(again[1])])
    await store.counts(times=False)


async def forget(store: AwsStore) -> None:
    """What people look at, and what is forgotten."""
    await store.find_deliveries(DeliveryFilter(), Page(10))
    await store.find_events(EventFilter(source="shop"), Page(10))
    for kind in Kind:
        old = await store.forgettable(kind, LONG_AGO, None, 10)
        await store.forget(old.event_ids, LONG_AGO)
    await store.forget_dedup(AT_MS + 10**9)


async def test_each_role_may_all_that_the_store_does_in_it(store: AwsStore) -> None:
    calls: dict[str, list[Asked]] = {}
    for role, steps in (("ingest", accept), ("work", deliver), ("sweep", forget)):
        with recorded() as calls[role]:
            await steps(store)
        assert len(calls[role]) > 5
    every = [each for made in calls.values() for each in made]
    for role, made in (calls | {"sweep": every, "operator": every}).items():
        assert not [each for each in made if not allows(statements(role, ARNS), each)], role
