"""The functions, whole: the template's stack on an emulator that runs them, for one sender and one operator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aws_server
from acceptance.destination import Arrival, Reply
from acceptance.function_stack import BUS, Stack
from acceptance.harness import free_port, wait_until

EVENT = Path(__file__).parents[2] / "src/longstop/testing/payloads/genesys_eventbridge_customer_start.json"
LARGE = 900 * 2**10
"""More than an item holds, and less than the destination takes."""


@pytest.fixture
def stack(tmp_path: Path, aws_credentials: None) -> Iterator[Stack]:
    """A stack on an emulator of its own, whose rule calls the sweep every minute for as long as it runs."""
    aws_server.needed()
    server = aws_server.AwsServer("ministack", tmp_path, free_port())
    server.start()
    made = Stack(server, "whole", tmp_path)
    try:
        made.make()
        yield made
    finally:
        made.close()
        server.stop()


def refusing(arrival: Arrival) -> Reply:
    """What a destination answers that takes no negative amounts."""
    return Reply(422) if b'"amount": -1' in arrival.body else Reply()


def test_what_is_posted_to_the_functions_ends_delivered_and_what_fails_is_found_edited_and_sent_again(
    stack: Stack, tmp_path: Path
) -> None:
    site = stack.site
    site.destination.script = refusing
    body = json.dumps({"id": "o1", "type": "paid", "text": "gr\u00fcn \U0001f600"}, ensure_ascii=False).encode()
    id_ = stack.accept(body)
    assert [each.body for each in site.destination.wait_for(id_)] == [body]
    assert site.wait_for_state(id_, "delivered")["attempts"] == 1
    again = stack.post(body)
    assert (again.status, again.json) == (200, {"status": "duplicate", "id": id_})
    assert stack.post(body + b" ", "nobody").status == 401
    _dead_edited_and_sent_again(stack, tmp_path / "mended.json")
    _events_of_the_bus(stack)
    _a_large_body(stack)
    _what_no_message_names(stack)


def _dead_edited_and_sent_again(stack: Stack, mended: Path) -> None:
    site = stack.site
    id_ = stack.accept(b'{"id": "o2", "type": "paid", "amount": -1}')
    site.wait_for_state(id_, "dead")
    (found,) = wait_until(lambda: site.ask("dead", "list", "--source", "shop").rows, "the dead one to be listed")
    assert (found["event_id"], found["reason"], found["last_status"]) == (id_, "rejected", 422)
    mended.write_bytes(b'{"id": "o2", "type": "paid", "amount": 1}')
    (sent,) = site.ask("replay", found["id"], "--edit", str(mended)).rows
    (arrival,) = site.destination.wait_for(sent["event_id"])
    assert arrival.body == mended.read_bytes()
    assert site.wait_for_state(sent["event_id"], "delivered")["attempts"] == 1


def _events_of_the_bus(stack: Stack) -> None:
    event = json.loads(EVENT.read_text())
    entry: dict[str, Any] = {"EventBusName": BUS, "Source": event["source"].removeprefix("aws.")}
    entry |= {"DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
    assert stack.call("events", "put_events", Entries=[entry])["FailedEntryCount"] == 0
    (kept,) = wait_until(lambda: stack.site.ask("events", "list", "--source", "bus").rows, "the bus' event to be kept")
    (arrival,) = stack.site.destination.wait_for(kept["id"])
    assert json.loads(arrival.body)["detail"] == event["detail"]
    assert stack.site.wait_for_state(kept["id"], "delivered")["attempts"] == 1


def _a_large_body(stack: Stack) -> None:
    body = json.dumps({"id": "o3", "type": "paid", "text": "x" * LARGE}).encode()
    id_ = stack.accept(body)
    (arrival,) = stack.site.destination.wait_for(id_)
    assert arrival.body == body
    assert stack.site.raw(id_) == body


def _what_no_message_names(stack: Stack) -> None:
    """The queue calls nobody any more, and its message is gone: the sweep delivers."""
    (mapping,) = stack.call("lambda", "list_event_source_mappings")["EventSourceMappings"]
    stack.call("lambda", "delete_event_source_mapping", UUID=mapping["UUID"])
    id_ = stack.accept(b'{"id": "o4", "type": "paid"}')
    queue = stack.call("sqs", "get_queue_url", QueueName="whole")["QueueUrl"]
    stack.call("sqs", "purge_queue", QueueUrl=queue)
    stack.call("lambda", "invoke", FunctionName="whole-sweep", InvocationType="Event", Payload=b"{}")
    stack.site.destination.wait_for(id_)
    stack.site.wait_for_state(id_, "delivered")
    assert "Unclosed" not in stack.site.cli("status").err
