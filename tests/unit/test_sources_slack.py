"""Slack's slash commands and interactions: forms, signed as events are."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from longstop.model.errors import MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Reading, Request
from longstop.model.settings import SourceSettings
from longstop.sources import build

AT_S = 1_780_000_000
SOURCE = build(SourceSettings("s", "slack", ("slack-secret",)))
COMMAND = {"command": "/deploy", "text": "web, now", "channel_id": "C1", "user_id": "U1", "trigger_id": "1.2.a"}
ACTIONS = {"type": "block_actions", "trigger_id": "1.2.b", "channel": {"id": "C2"}, "user": {"id": "U2"}, "actions": []}
SUBMISSION = {"type": "view_submission", "user": {"id": "U3"}, "view": {"id": "V1", "state": {"values": {}}}}


def sent(fields: dict[str, str], at_s: int = AT_S) -> Request:
    body = urlencode(fields).encode()
    mac = hmac.new(b"slack-secret", f"v0:{at_s}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": str(at_s),
        "X-Slack-Signature": f"v0={mac}",
    }
    return Request(Headers(headers.items()), body)


def read(request: Request) -> Reading:
    assert SOURCE.handshake(request, AT_S * 1000) is None
    SOURCE.verify(request, AT_S * 1000)
    return SOURCE.read(request)


def payload(document: Any) -> dict[str, str]:
    return {"payload": json.dumps(document)}


def test_a_slash_command_is_a_document_of_its_fields() -> None:
    reading = read(sent(COMMAND))
    assert (reading.type, reading.key) == ("slash_command", "C1")
    assert (reading.document["command"], reading.document["text"]) == ("/deploy", "web, now")


def test_an_interaction_is_the_json_in_its_payload() -> None:
    reading = read(sent(payload(ACTIONS)))
    assert (reading.type, reading.key, reading.document) == ("block_actions", "C2", ACTIONS)
    reading = read(sent(payload(SUBMISSION)))
    assert (reading.type, reading.key) == ("view_submission", "U3")


def test_each_is_one_event_and_sent_again_no_other() -> None:
    keys = [read(sent(fields, at_s)).dedup for at_s in (AT_S, AT_S + 1) for fields in (COMMAND, payload(ACTIONS))]
    assert None not in keys
    assert len(set(keys)) == 4
    assert read(sent(COMMAND)).dedup == keys[0]


def test_a_form_without_a_right_signature_is_refused_unread() -> None:
    request = sent(payload(ACTIONS))
    with pytest.raises(VerificationError):
        SOURCE.verify(Request(request.headers, request.body + b"&x=y"), AT_S * 1000)


@pytest.mark.parametrize("fields", [{"payload": "x"}, {"payload": "[1]"}, {"payload": ""}])
def test_a_payload_that_is_no_object_goes_to_quarantine(fields: dict[str, str]) -> None:
    with pytest.raises(MalformedError):
        SOURCE.read(sent(fields))


def test_slack_is_answered_with_nothing_to_show() -> None:
    for status in ReceiptStatus:
        answer = SOURCE.answer(Receipt(status, "id"))
        assert (answer.status, answer.body) == (200, b"")
