"""Calls of setting up: what is not there and what one may not are answers; the rest is an error that says what."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from longstop.model.errors import StoreUnavailableError
from longstop.model.setup import Standing
from longstop.stores.aws.setup.asking import Answer, DeniedError, Services
from longstop.stores.aws.setup.make import make_missing
from longstop.stores.aws.setup.probes import usable
from longstop.stores.aws.setup.wanted import Wanted

WANTED = Wanted("eu-central-1", "longstop", "longstop", "bodies-of-ours")
DATE = {"ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}}}


class Saying(Services):
    """Services that all say the same. errors: operation to what is wrong with it; "": with every one."""

    def __init__(self, answer: dict[str, Any], errors: dict[str, Exception] | None = None) -> None:
        super().__init__("eu-central-1", None)
        self.answer = answer
        self.errors = errors or {}
        self.asked: list[str] = []

    async def client(self, service: str) -> Any:
        return self

    def __getattr__(self, operation: str) -> Any:
        async def call(**_: Any) -> dict[str, Any]:
            self.asked.append(operation)
            error = self.errors.get(operation) or self.errors.get("")
            if error is not None:
                raise error
            return self.answer

        return call


def failed(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "because"}, **DATE}, "operation")  # type: ignore[typeddict-item]


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "403", "AuthorizationError"])
async def test_what_one_may_not_look_at_is_not_known(code: str) -> None:
    found = await Saying({}, {"": failed(code)}).ask("sqs", "get_queue_attributes")
    assert found == Answer(None, "sqs, get_queue_attributes: not allowed")


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "NoSuchBucket", "404"]
)
async def test_what_is_not_there_is_not_there(code: str) -> None:
    assert await Saying({}, {"": failed(code)}).ask("s3", "get_bucket_policy") == Answer(None)


@pytest.mark.parametrize("error", [failed("UnrecognizedClientException"), NoCredentialsError(), TimeoutError("late")])
async def test_anything_else_is_an_error_that_names_the_call(error: Exception) -> None:
    with pytest.raises(
        StoreUnavailableError, match=r"^dynamodb: (describe_table|operation) (was refused|failed|had no credentials) "
    ):
        await Saying({}, {"": error}).ask("dynamodb", "describe_table")


@pytest.mark.parametrize("errors", [{}, {"": failed("AccessDenied")}])
async def test_the_time_is_the_services_whatever_they_answer(errors: dict[str, Exception]) -> None:
    services = Saying(DATE, errors)
    await services.ask("s3", "get_bucket_policy")
    assert services.now_ms == 1_767_225_600_000


async def test_of_an_account_that_one_may_not_look_at_nothing_is_made() -> None:
    services = Saying({}, {"": failed("AccessDeniedException")})
    with pytest.raises(DeniedError, match="dynamodb, describe_table: not allowed"):
        _ = [step async for step in make_missing(services, WANTED)]
    assert services.asked == ["describe_table"]


async def test_what_may_not_be_done_is_wrong_and_an_empty_batch_is_leave_enough() -> None:
    errors: dict[str, Exception] = {
        "update_item": failed("AccessDeniedException"),
        "get_object": failed("AccessDenied"),
        "send_message_batch": failed("AWS.SimpleQueueService.EmptyBatchRequest"),
        "delete_message_batch": failed("AccessDenied"),
        "delete_item": TimeoutError("late"),
        "list_objects_v2": failed("SlowDown"),
    }
    found = {each.what: each async for each in usable(Saying({"QueueUrl": "u"}, errors), WANTED, 0)}
    not_ok = {what: each.standing for what, each in found.items() if each.standing is not Standing.OK}
    assert not_ok == {
        "dynamodb:UpdateItem on longstop": Standing.WRONG,
        "s3:GetObject on bodies-of-ours": Standing.WRONG,
        "sqs:DeleteMessage on longstop": Standing.WRONG,
        "dynamodb:DeleteItem on longstop": Standing.UNKNOWN,
        "s3:ListBucket on bodies-of-ours": Standing.WRONG,
    }
    assert found["sqs:SendMessage on longstop"].standing is Standing.OK
