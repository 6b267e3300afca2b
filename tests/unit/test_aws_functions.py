"""An event's way through functions: posted to an HTTP API, told by a message, delivered, or dead and sent again."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from aws_functions import CALL, KEY, REGION, configured, crm, functions, init, post
from botocore.exceptions import ClientError

from longstop.model.action import Action
from longstop.model.delivery import DeadReason, State, Transition, Trigger
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.stores.aws.setup import Wanted
from longstop.wiring.functions import Functions

__all__ = ["configured", "crm", "functions"]

Three = tuple[Functions, Functions, Functions]
PAGE = Page(newest_first=False)
EVENT = Path(__file__).parents[2] / "src/longstop/testing/payloads/genesys_eventbridge_customer_start.json"


@pytest.fixture
def made(functions: Three, configured: str, aws_emulator: Any) -> tuple[Three, "Queue"]:
    """The functions, whose table and queue are there, and the queue."""
    functions[0]._run(init(Wanted(REGION, configured, configured, endpoint=aws_emulator.url)))
    return functions, Queue(aws_emulator, configured)


class Queue:
    """What Lambda does with a queue: hands out its messages, and deletes those that are done."""

    def __init__(self, emulator: Any, name: str) -> None:
        self._emulator = emulator
        self._url = self._call("GetQueueUrl", QueueName=name)["QueueUrl"]
        self._dead_url = self._call("GetQueueUrl", QueueName=f"{name}-dead")["QueueUrl"]

    def _call(self, operation: str, **given: Any) -> Any:
        return self._emulator.call(f"AmazonSQS.{operation}", given)

    def put(self, body: str, dead: bool = False) -> None:
        self._call("SendMessage", QueueUrl=self._dead_url if dead else self._url, MessageBody=body)

    def messages(self) -> list[dict[str, Any]]:
        given = {"QueueUrl": self._url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "VisibilityTimeout": 600}
        return list(self._call("ReceiveMessage", **given).get("Messages", ()))

    def hand_out(self, work: Functions) -> list[str]:
        """Once; the bodies of the messages that are to come again."""
        found = self.messages()
        records = [{"messageId": each["MessageId"], "body": each["Body"]} for each in found]
        again = {each["itemIdentifier"] for each in work.work({"Records": records}, CALL)["batchItemFailures"]}
        for each in found:
            if each["MessageId"] not in again:
                self._call("DeleteMessage", QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        return [each["Body"] for each in found if each["MessageId"] in again]

    def dead(self) -> int:
        return len(self._call("ReceiveMessage", QueueUrl=self._dead_url, WaitTimeSeconds=0).get("Messages", ()))


def deliveries(function: Functions, **wanted: Any) -> list[Any]:
    """What the store has of them."""

    async def ask() -> list[Any]:
        gateway = await function._started()
        return list((await gateway.store.find_deliveries(DeliveryFilter(**wanted), PAGE)).rows)

    return function._run(ask())


def test_what_is_posted_is_told_by_a_message_and_delivered(made: tuple[Three, Queue]) -> None:
    (ingest, work, _), queue = made
    answer = ingest.ingest(post('{"id": 1, "conversation": "a"}', KEY), CALL)
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "accepted")
    (waiting,) = deliveries(ingest)
    assert waiting.state is State.SCHEDULED
    assert queue.hand_out(work) == []
    (row,) = deliveries(work)
    assert (row.state, row.attempts) == (State.DELIVERED, 1)
    assert queue.messages() == [], "nothing is told of what has ended"


def test_a_body_that_is_base64_is_the_one_that_was_signed(made: tuple[Three, Queue]) -> None:
    (ingest, _, _), _ = made
    body = '{"id": 2, "text": "grüße"}'
    encoded = post(body, KEY) | {"body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True}
    assert ingest.ingest(encoded, CALL)["statusCode"] == 200
    assert ingest.ingest(post(body, KEY), CALL)["body"].startswith('{"status":"duplicate"')
    assert ingest.ingest(encoded | {"body": "%%%"}, CALL)["statusCode"] == 400
    assert ingest.ingest(post(body, "not the key"), CALL)["statusCode"] == 401


def test_one_that_is_refused_is_dead_and_goes_out_when_it_is_sent_again(made: tuple[Three, Queue]) -> None:
    (ingest, work, _), queue = made
    ingest.ingest(post('{"id": 3, "refuse": true}', KEY), CALL)
    queue.hand_out(work)
    (dead,) = deliveries(work, state=State.DEAD)
    assert dead.reason is DeadReason.REJECTED

    async def replay() -> None:
        gateway = await work._started()
        again = Transition(Trigger.REPLAY, dead.ended_at_ms + 1, due_at_ms=dead.ended_at_ms + 1)
        await gateway.store.act([Action(dead.id, again, "ada")])
        await gateway.leave_behind()

    work._run(replay())
    assert queue.hand_out(work) == []
    (row,) = deliveries(work)
    assert (row.state, row.round, row.attempts) == (State.DEAD, 2, 2), "a message told of the replay"


@pytest.mark.parametrize("code", ["ThrottlingException", "ProvisionedThroughputExceededException"])
def test_a_table_that_takes_nothing_is_told_to_senders_as_a_matter_of_time(
    made: tuple[Three, Queue], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Senders come again, and so do messages; nothing is lost of either."""
    (ingest, work, _), queue = made
    assert ingest.ingest(post('{"id": 5}', KEY), CALL)["statusCode"] == 200
    deliveries(work)
    throttled = [function._run(function._started()).store.table for function in (ingest, work)]  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for table in throttled:
            patch.setattr(table, "_client", Throttled(code))
        answer = ingest.ingest(post('{"id": 6}', KEY), CALL)
        assert (answer["statusCode"], int(answer["headers"]["retry-after"]) > 0) == (503, True)
        (again,) = queue.hand_out(work)
        assert json.loads(again)["delivery"]
    assert ingest.ingest(post('{"id": 6}', KEY), CALL)["body"].startswith('{"status":"accepted"')
    queue.hand_out(work)
    assert [each.state for each in deliveries(work)] == [State.DELIVERED] * 2


class Throttled:
    """A client whose calls are all refused."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __getattr__(self, name: str) -> Any:
        async def refuse(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": self._code, "Message": "Rate exceeded"}}, name)

        return refuse


def test_an_event_of_eventbridge_is_kept_once(made: tuple[Three, Queue], configured_eventbridge: None) -> None:
    (_, work, _), queue = made
    body = EVENT.read_text()
    queue.put(body)
    queue.put(body)
    queue.put("no event at all")
    assert queue.hand_out(work) == ["no event at all"], "it comes again, until the queue gives it up"

    async def ask() -> list[Any]:
        gateway = await work._started()
        return list((await gateway.store.find_events(EventFilter(source="genesys"), PAGE)).rows)

    (kept,) = work._run(ask())
    assert kept.redeliveries == 1


@pytest.fixture
def configured_eventbridge(configured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a source for them."""
    file = Path(os.environ["LONGSTOP_CONFIG"])
    source = '[sources.genesys]\nkind = "genesys-eventbridge"\nverify = { scheme = "none" }\n'
    file.write_text(f"{file.read_text()}\n{source}")


def test_what_the_queue_gives_up_is_dead_once(made: tuple[Three, Queue]) -> None:
    (ingest, work, sweep), queue = made
    queue.put("no event at all", dead=True)
    sweep.sweep({}, CALL)
    (kept,) = deliveries(work, state=State.DEAD)
    assert (kept.reason, kept.destination) == (DeadReason.CRASHED, "")
    assert queue.dead() == 0
    # One under which nobody died stands in line, and is none.
    ingest.ingest(post('{"id": 4}', KEY), CALL)
    (waiting,) = deliveries(ingest, state=State.SCHEDULED)
    queue.put(json.dumps({"delivery": waiting.id, "destination": "crm"}), dead=True)
    sweep.sweep({}, CALL)
    assert [each.id for each in deliveries(work, state=State.DEAD)] == [kept.id]
