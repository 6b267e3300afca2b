"""`longstop aws init` and `check`, and the template made for real, on an emulator."""

import asyncio
import io
import json
import uuid
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cli_program import StandingClock

from longstop.clock import SystemClock
from longstop.model.append import Append
from longstop.model.errors import StoreUnavailableError
from longstop.model.setup import Finding, Standing, Step
from longstop.stores.aws import AwsStore
from longstop.stores.aws.setup import Account, Wanted
from longstop.stores.aws.setup.asking import Services
from longstop.testing.builders import make_append

REGION = "eu-central-1"
TABLE_PARTS = {"", ", ttl", ", point-in-time recovery"}


@pytest.fixture
def wanted(aws_emulator: Any, aws_credentials: None) -> Wanted:
    """Names that nothing has yet."""
    name = f"setup-{uuid.uuid4().hex[:8]}"
    return Wanted(REGION, name, name, name, endpoint=aws_emulator.url)


@pytest.fixture
async def services(wanted: Wanted) -> AsyncIterator[Services]:
    """Clients of the emulator."""
    async with Services(REGION, wanted.endpoint) as made:
        yield made


async def init(wanted: Wanted) -> list[Step]:
    return [step async for step in Account(wanted, SystemClock()).init()]


async def check(wanted: Wanted) -> list[Finding]:
    return [each async for each in Account(wanted, SystemClock()).check()]


def wrong(found: list[Finding]) -> set[str]:
    return {each.what for each in found if each.standing is not Standing.OK}


async def test_what_is_missing_is_made_once_and_then_is_all_there(wanted: Wanted) -> None:
    before = await check(wanted)
    name = wanted.table
    assert wrong(before) == {f"table {name}", f"queue {name}", f"queue {name}-dead", f"bucket {name}"}
    steps = await init(wanted)
    made = {step.what for step in steps if step.made}
    assert {f"table {name}{part}" for part in TABLE_PARTS} <= made
    # Some encrypt each new bucket by themselves, as S3 does.
    assert {step.what for step in steps} - made <= {f"bucket {name}, encryption"}
    assert [step.what for step in await init(wanted) if step.made] == []
    found = await check(wanted)
    assert wrong(found) == set()
    assert len(found) > 45


async def test_the_store_works_on_what_was_made(wanted: Wanted) -> None:
    await init(wanted)
    store = AwsStore(REGION, wanted.table, queue=wanted.queue, endpoint=wanted.endpoint)
    await store.open()
    append: Append = make_append(1)
    await store.append([append])
    assert (await store.event(append.event.id)) is not None
    await store.close()


async def test_dead_letters_of_a_queue_with_the_longest_name_are_found_where_they_are_put(wanted: Wanted) -> None:
    longest = replace(wanted, queue=f"{wanted.queue}-{'x' * 80}"[:80])
    await init(longest)
    store = AwsStore(REGION, longest.table, queue=longest.queue, endpoint=longest.endpoint)
    await store.open()
    assert store.dead_queue is not None
    # Where there is none of this name, it is an error.
    assert await store.dead_queue.receive() == []
    assert len(longest.dead_queue) == 80
    await store.close()


async def test_of_a_table_alone_nothing_else_is_made_or_looked_at(wanted: Wanted) -> None:
    alone = Wanted(REGION, wanted.table, endpoint=wanted.endpoint)
    assert {step.what for step in await init(alone)} == {f"table {alone.table}{part}" for part in TABLE_PARTS}
    found = await check(alone)
    assert wrong(found) == set()
    assert not [each for each in found if "queue" in each.what or "bucket" in each.what or "sqs" in each.what]


async def test_marks_of_a_check_are_gone_when_it_ends(wanted: Wanted, services: Services) -> None:
    await init(wanted)
    await check(wanted)
    rows = await services.call("dynamodb", "scan", TableName=wanted.table)
    objects = await services.call("s3", "list_objects_v2", Bucket=wanted.bucket)
    versions = await services.call("sqs", "get_queue_url", QueueName=wanted.queue)
    waiting = await services.call("sqs", "receive_message", QueueUrl=versions["QueueUrl"], WaitTimeSeconds=0)
    assert (rows["Items"], objects.get("Contents", []), waiting.get("Messages", [])) == ([], [], [])


async def test_all_that_somebody_has_changed_is_found(wanted: Wanted, services: Services) -> None:
    await init(wanted)
    name, table, bucket = wanted.table, {"TableName": wanted.table}, {"Bucket": wanted.bucket}
    url = (await services.call("sqs", "get_queue_url", QueueName=name))["QueueUrl"]
    no_ttl = {"Enabled": False, "AttributeName": "ttl"}
    no_recovery = {"PointInTimeRecoveryEnabled": False}
    for service, operation, given in (
        ("s3", "delete_public_access_block", bucket),
        ("s3", "delete_bucket_lifecycle", bucket),
        ("s3", "put_bucket_versioning", bucket | {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("dynamodb", "update_time_to_live", table | {"TimeToLiveSpecification": no_ttl}),
        ("dynamodb", "update_table", table | {"DeletionProtectionEnabled": False}),
        ("dynamodb", "update_continuous_backups", table | {"PointInTimeRecoverySpecification": no_recovery}),
        ("sqs", "set_queue_attributes", {"QueueUrl": url, "Attributes": {"VisibilityTimeout": "30"}}),
    ):
        await services.call(service, operation, **given)
    assert wrong(await check(wanted)) == {
        f"bucket {name}, public access",
        f"bucket {name}, lifecycle",
        f"bucket {name}, versions",
        f"table {name}, ttl",
        f"table {name}, deletion protection",
        f"table {name}, point-in-time recovery",
        f"queue {name}, visibility",
    }


async def test_a_clock_that_is_years_away_is_told(wanted: Wanted) -> None:
    found = [each async for each in Account(wanted, StandingClock()).check()]
    assert "this machine's clock" in wrong(found)


async def test_where_no_service_answers_it_says_so(aws_credentials: None) -> None:
    nobody = Wanted(REGION, "longstop", endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailableError, match="dynamodb: describe_table failed"):
        await check(nobody)


# -- the template, made for real ------------------------------------------------------------------

CODE = "def ingest(event, context):\n    return {'statusCode': 200}\n\n\nwork = sweep = ingest\n"
NOT_MADE = {
    "table NAME, ttl",
    "table NAME, point-in-time recovery",
    "queue NAME, redrive policy",
    "queue NAME, encryption",
    "queue NAME-dead, encryption",
    "bucket NAME, public access",
    "bucket NAME, lifecycle",
}
"""What ministack 1.5.0 leaves out of a stack and says nothing of."""
NOT_RECKONED = {f"role of NAME-{role}" for role in ("ingest", "work", "sweep")}
"""Its IAM takes no context: it refuses whatever has a condition."""


async def deploy(services: Services, wanted: Wanted, kms: bool) -> str:
    """Make the template's stack; how it ended."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("longstop/__init__.py", "")
        archive.writestr("longstop/aws.py", CODE)
    bucket, place = f"code-{wanted.table}", {"LocationConstraint": REGION}
    await services.call("s3", "create_bucket", Bucket=bucket, CreateBucketConfiguration=place)
    await services.call("s3", "put_object", Bucket=bucket, Key="code.zip", Body=code.getvalue())
    made = Account(wanted, SystemClock()).template(sam=False, kms=kms)
    given = {"CodeBucket": bucket, "CodeKey": "code.zip"}
    await services.call(
        "cloudformation",
        "create_stack",
        StackName=wanted.table,
        TemplateBody=json.dumps(made),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
    )
    while True:
        answer = await services.call("cloudformation", "describe_stacks", StackName=wanted.table)
        status = str(answer["Stacks"][0]["StackStatus"])
        if not status.endswith("IN_PROGRESS"):
            return status
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("kms", [False, True])
async def test_a_stack_is_made_of_the_template_and_init_adds_what_the_emulator_left_out(
    wanted: Wanted, services: Services, kms: bool
) -> None:
    assert await deploy(services, wanted, kms) == "CREATE_COMPLETE"
    names = {each.replace("NAME", wanted.table) for each in NOT_MADE | NOT_RECKONED}
    assert wrong(await check(wanted)) <= names
    await init(wanted)
    left = {f"queue {wanted.table}, encryption", f"queue {wanted.table}-dead, encryption"}
    assert wrong(await check(wanted)) <= left | {each for each in names if each.startswith("role")}
