"""Functions at their limits: bodies, time, one bad message among good ones, callers of another kind, no store."""

import base64
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_functions import CALL, KEY, REGION, Crm, configured, crm, functions, init, post

from longstop.model.delivery import State
from longstop.model.errors import StoreUnavailableError
from longstop.model.listing import DeliveryFilter, Page
from longstop.stores.aws.setup import Wanted
from longstop.wiring.functions import RESERVED_S, FunctionGateway, Functions

__all__ = ["configured", "crm", "functions"]

Three = tuple[Functions, Functions, Functions]
LARGEST = 4_718_592
"""Bytes whose base64 is the 6 MiB that a function takes of a request.
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@pytest.fixture
def made(functions: Three, configured: str, aws_emulator: Any) -> Three:
    """The functions, whose table and queue are there."""
    functions[0]._run(init(Wanted(REGION, configured, configured, endpoint=aws_emulator.url)))
    return functions


def deliveries(function: Functions) -> list[Any]:
    async def ask() -> list[Any]:
        gateway = await function._started()
        return list((await gateway.store.find_deliveries(DeliveryFilter(), Page(newest_first=False))).rows)

    return function._run(ask())


def called(left_ms: int) -> Any:
    """A call with so much time, which passes."""
    until_s = time.monotonic() + left_ms / 1000
    return SimpleNamespace(get_remaining_time_in_millis=lambda: int((until_s - time.monotonic()) * 1000))


def message(id_: str, body: str) -> dict[str, str]:
    return {"messageId": id_, "body": body}


def in_base64(body: bytes) -> dict[str, Any]:
    return post("", KEY) | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def test_the_largest_body_that_comes_to_a_function_is_kept_byte_for_byte(
    functions: Three, configured: str, aws_emulator: Any
) -> None:
    file = Path(os.environ["LONGSTOP_CONFIG"])
    file.write_text(file.read_text().replace("&shards=2", f"&shards=2&bucket={configured}"))
    ingest = functions[0]
    ingest._run(init(Wanted(REGION, configured, configured, configured, endpoint=aws_emulator.url)))
    body = b'{"id": "large", "text": "%s"}' % (b"x" * (LARGEST - 27))
    largest = in_base64(body)
    assert (len(body), len(largest["body"])) == (LARGEST, 6 * 2**20)
    answer = ingest.ingest(largest, CALL)
    assert answer["statusCode"] == 200

    async def kept() -> bytes:
        found = await (await ingest._started()).store.event(json.loads(answer["body"])["id"])
        assert found is not None
        return found.event.body

    assert ingest._run(kept()) == body


def test_a_body_that_is_more_than_the_source_takes_is_refused(made: Three) -> None:
    # Without a bucket an item of the table is the limit.
    assert made[0].ingest(in_base64(b'{"id": 1, "text": "%s"}' % (b"x" * 300_000)), CALL)["statusCode"] == 200
    assert made[0].ingest(in_base64(b'{"id": 2, "text": "%s"}' % (b"x" * 400_000)), CALL)["statusCode"] == 413


def test_a_request_of_a_function_url_is_one_of_an_http_api(made: Three) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads"""
    body = base64.b64encode(b'{"id": "by url"}').decode()
    about: dict[str, Any] = {
        "accountId": "anonymous",
        "apiId": "abcdefgh",
        "authentication": None,
        "authorizer": None,
        "domainName": "abcdefgh.lambda-url.eu-central-1.on.aws",
        "http": {"method": "POST", "path": "/webhooks/shop", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
        "routeKey": "$default",
        "stage": "$default",
    }
    asked = post("", KEY) | {"requestContext": about, "routeKey": "$default", "body": body, "isBase64Encoded": True}
    assert made[0].ingest(asked, CALL)["statusCode"] == 200
    health: dict[str, Any] = {"version": "2.0", "rawPath": "/healthz", "headers": {}, "requestContext": about}
    health["requestContext"] = about | {"http": about["http"] | {"method": "GET"}}
    assert made[0].ingest(health, CALL)["statusCode"] == 200
    assert [each.state for each in deliveries(made[0])] == [State.SCHEDULED]


def test_who_calls_in_another_way_is_told_what_was_expected(made: Three) -> None:
    ingest, work, _ = made
    with pytest.raises(TypeError, match="found body, httpMethod, requestContext; expected one of an HTTP API"):
        ingest.ingest({"httpMethod": "POST", "body": "{}", "requestContext": {"stage": "prod"}}, CALL)
    with pytest.raises(TypeError, match="found detail, detail-type; expected Records of SQS"):
        work.work({"detail-type": "x", "detail": {}}, CALL)
    with pytest.raises(TypeError, match="found Records"):
        work.work({"Records": [{"kinesis": {}}]}, CALL)


def test_one_bad_message_comes_again_and_nine_good_ones_do_not(made: Three) -> None:
    ingest, work, _ = made
    for number in range(9):
        assert ingest.ingest(post(json.dumps({"id": number}), KEY), CALL)["statusCode"] == 200
    good = [message(str(place), json.dumps({"delivery": each.id})) for place, each in enumerate(deliveries(ingest))]
    told = work.work({"Records": [*good[:4], message("bad", "no event at all"), *good[4:]]}, called(20_000))
    assert told == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert [each.state for each in deliveries(work)] == [State.DELIVERED] * 9


def test_what_is_under_way_when_the_time_is_up_is_broken_off_and_stands_in_line_again(
    made: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest, work, _ = made
    go_on = threading.Event()
    answering = Crm.do_POST
    monkeypatch.setattr(Crm, "do_POST", lambda self: (go_on.wait(30), answering(self)))
    assert ingest.ingest(post('{"id": "slow"}', KEY), CALL)["statusCode"] == 200
    (waiting,) = deliveries(ingest)
    context = called(int(RESERVED_S * 1000) + 1_500)
    try:
        told = work.work({"Records": [message("1", json.dumps({"delivery": waiting.id}))]}, context)
        assert context.get_remaining_time_in_millis() > 0, "the service would have ended it, its lease not given back"
    finally:
        go_on.set()
    assert told == {"batchItemFailures": []}
    (row,) = deliveries(work)
    # On a machine that is very busy the time is up before it has begun.
    assert row.state is State.SCHEDULED
    assert row.attempts <= 1


def test_what_a_cold_start_took_is_no_time_for_attempts(made: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    left_ms, limits = [60_000], []
    start = FunctionGateway.start

    async def slowly(gateway: FunctionGateway) -> None:
        await start(gateway)
        left_ms[0] = 8_000

    async def deliver(_: FunctionGateway, limit_s: float) -> None:
        limits.append(limit_s)

    monkeypatch.setattr(FunctionGateway, "start", slowly)
    monkeypatch.setattr(FunctionGateway, "deliver", deliver)
    call = SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms[0])
    made[1].work({"Records": [message("1", '{"delivery": "x"}')]}, call)
    assert limits == [8 - RESERVED_S]


def test_a_call_without_time_begins_nothing(made: Three) -> None:
    ingest, work, _ = made
    assert ingest.ingest(post('{"id": "late"}', KEY), CALL)["statusCode"] == 200
    (waiting,) = deliveries(ingest)
    told = work.work({"Records": [message("1", json.dumps({"delivery": waiting.id}))]}, called(1_000))
    assert told == {"batchItemFailures": []}
    (row,) = deliveries(work)
    assert (row.state, row.attempts) == (State.SCHEDULED, 0)


def test_without_its_store_a_function_says_come_again_and_goes_on_when_it_is_back(
    made: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest, work, _ = made

    async def fail(*_: Any) -> None:
        raise StoreUnavailableError("not now")

    with monkeypatch.context() as away:
        away.setattr("longstop.stores.aws.database.AwsDatabase._shards_of_table", fail)
        answer = ingest.ingest(post('{"id": "away"}', KEY), CALL)
        assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
        told = work.work({"Records": [message("1", '{"delivery": "x"}'), message("2", "no event")]}, CALL)
        assert [each["itemIdentifier"] for each in told["batchItemFailures"]] == ["1", "2"]
    assert ingest.ingest(post('{"id": "away"}', KEY), CALL)["statusCode"] == 200
