"""The two Genesys dialects, on the bodies that the platform sends."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.errors import MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.sources import build, duplicate_names
from longstop.testing import payloads

SECRET = "sixteen-characters-and-more"
OPEN = build(SourceSettings("genesys", "genesys-open-messaging", secrets=(SECRET,)))
WEBHOOK = build(SourceSettings("genesys", "genesys-webhook"))


def read(source: Any, body: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return source.read(Request(Headers(), raw))


def whole(body: bytes) -> bytes:
    return b"sha256:" + hashlib.sha256(body).hexdigest().encode()


# -- Open Messaging


def test_a_real_text_message():
    body = payloads.load("genesys_open_messaging_text")
    sent = "sha256=" + base64.b64encode(hmac.new(SECRET.encode(), body, "sha256").digest()).decode()
    request = Request(Headers([("X-Hub-Signature-256", sent)]), body)
    OPEN.verify(request, 0)
    reading = OPEN.read(request)
    assert reading.type == "message.text"
    assert reading.key == "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"
    assert json.loads(reading.dedup) == [
        "2025-06-10T21:03:05.427Z",
        "e6b352de-ecd0-49c7-94de-7787418869bc",
        "d7d58935af65a45e5234ac77de017a0a",
        "Text",
    ]
    assert reading.document == json.loads(body)


@pytest.mark.parametrize(
    ("name", "type", "key"),
    [
        ("genesys_open_messaging_typing", "event.typing", "d06cb41e-f938-4dcf-b823-c8af1a39d7e5"),
        ("genesys_open_messaging_receipt_failed", "receipt.failed", None),
    ],
)
def test_other_real_bodies(name, type, key):
    reading = read(OPEN, payloads.load(name))
    assert (reading.type, reading.key) == (type, key)
    assert json.loads(reading.dedup)[2] == "c327c2078ca056db130c55ce648d9fa2"


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ({"type": "Text"}, "message.text"),
        ({"type": "Structured", "content": [{"contentType": "QuickReply"}]}, "message.structured"),
        ({"type": "Receipt", "status": "Delivered"}, "receipt.delivered"),
        ({"type": "Receipt"}, "receipt"),
        ({"type": "Event", "events": [{"eventType": "Typing"}, {"eventType": "Typing"}]}, "event.typing"),
        ({"type": "Event", "events": [{"eventType": "Typing"}, {"eventType": "Presence"}]}, "event.presence+typing"),
        ({"type": "Event", "events": "none"}, "event"),
        ({"type": "Event", "events": [None, {"eventType": {}}]}, "event"),
        ({"type": "Sticker"}, "message.sticker"),
        ({"type": {}}, None),
        ({}, None),
    ],
)
def test_types_of_open_messaging(body, type):
    assert read(OPEN, body).type == type


@pytest.mark.parametrize("spelling", ["nickname", "nickName"])
def test_both_spellings_of_the_nickname_say_the_same(spelling):
    body = message(channel={"id": "c", "time": "t", "from": {spelling: "Jane"}}, conversationId="k")
    reading = read(OPEN, body)
    assert (reading.type, reading.key, json.loads(reading.dedup)) == ("message.text", "k", ["t", "c", "m", "Text"])


def test_both_secrets_verify_while_one_is_rotated():
    old, new = "the-old-secret-of-16", "the-new-secret-of-16"
    body = payloads.load("genesys_open_messaging_text")
    both = build(SourceSettings("genesys", "genesys-open-messaging", secrets=(new, old)))
    only_new = build(SourceSettings("genesys", "genesys-open-messaging", secrets=(new,)))
    by_old, by_new = (
        Request(Headers(sign(SourceSettings("g", "genesys-open-messaging", secrets=(secret,)), body)), body)
        for secret in (old, new)
    )
    for each in (by_old, by_new):
        both.verify(each, 0)
    only_new.verify(by_new, 0)
    with pytest.raises(VerificationError):
        only_new.verify(by_old, 0)


def message(**parts: Any) -> dict[str, Any]:
    return {"channel": {"id": "c", "time": "t"}, "id": "m", "type": "Text", **parts}


def test_each_part_tells_events_apart_and_nothing_else_does():
    bodies = [
        message(),
        message(id="n"),
        message(channel={"id": "d", "time": "t"}),
        message(channel={"id": "c", "time": "u"}),
        message(channel={"id": 'c","m', "time": "t"}, id="m"),
        message(channel={"id": "c", "time": "t"}, id='m","t'),
        message(type="Receipt"),
        message(type=None),
    ]
    assert len({read(OPEN, body).dedup for body in bodies}) == len(bodies)
    assert read(OPEN, message(text="other", direction="Inbound")).dedup == read(OPEN, message()).dedup


def test_a_message_and_its_receipt_are_two_events_though_they_agree_in_all_the_vendors_parts():
    bodies = [payloads.load(f"genesys_open_messaging_{name}") for name in ("typing", "receipt_failed")]
    assert len({read(OPEN, body).dedup for body in bodies}) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "Text"},
        {"id": "m"},
        message(id=None),
        message(id=""),
        message(channel={"id": "c"}),
        message(channel={"time": "t"}),
        message(channel=None),
        message(channel="c"),
        message(channel=[]),
    ],
)
def test_a_body_that_lacks_a_part_is_accepted_and_known_by_its_hash(body):
    raw = json.dumps(body).encode()
    assert read(OPEN, raw).dedup == whole(raw)


@pytest.mark.parametrize(
    "body",
    [
        message(id={}),
        message(id=["m"]),
        message(id=True),
        message(id=1.5),
        message(channel={"id": ["c"], "time": "t"}),
        message(channel={"id": "c", "time": {}}),
    ],
)
def test_a_part_of_the_wrong_type_is_ambiguous(body):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        read(OPEN, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"m","id":"n","channel":{"id":"c","time":"t"}}',
        b'{"id":"m","channel":{"id":"c","time":"t"},"channel":{"id":"d","time":"t"}}',
        b'{"id":"m","channel":{"id":"c","id":"d","time":"t"}}',
        b'{"id":"m","channel":{"id":"c","time":"t","t\\u0069me":"u"}}',
    ],
)
def test_a_repeated_part_is_ambiguous(body):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        read(OPEN, body)


def test_a_name_repeated_where_no_key_lies_is_the_senders_own_affair():
    body = b'{"id":"m","channel":{"id":"c","time":"t","to":{"id":1,"id":2}},"x":1,"x":2}'
    assert json.loads(read(OPEN, body).dedup) == ["t", "c", "m", ""]


def test_real_bodies_are_spared_the_second_parse(monkeypatch):
    def never(_body: bytes) -> Any:
        raise AssertionError("parsed a second time")

    monkeypatch.setattr(duplicate_names, "parse_marking", never)
    for name in ("text", "typing", "receipt_failed"):
        assert read(OPEN, payloads.load(f"genesys_open_messaging_{name}")).dedup
    assert read(OPEN, message(content=[{"id": 1}, {"to": [{"id": 2}]}])).dedup


def test_a_very_long_part_makes_a_short_key():
    one, other = (read(OPEN, message(id="m" * 5000 + end)).dedup for end in "ab")
    assert one != other
    assert one.startswith(b"sha256:")
    assert len(one) == 71


def test_whole_numbers_of_any_size_are_told_apart():
    one, other = (read(OPEN, message(id=12345678901234567890123 + add)).dedup for add in (0, 1))
    assert one != other


@pytest.mark.parametrize("source", [OPEN, WEBHOOK])
@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000])
def test_no_json_object_is_malformed(source, body):
    with pytest.raises(MalformedError):
        read(source, body)


# -- the webhook of the tutorials


def test_the_envelope():
    body = payloads.load("genesys_webhook_envelope")
    reading = read(WEBHOOK, body)
    assert reading.dedup == b"b2f6c1d4-8f0e-4f4b-9a8c-5f0d8f3f2b61"
    assert reading.type == "conversation:updated"
    assert reading.key == "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"
    assert reading.document == json.loads(body)


def test_the_flat_shape():
    reading = read(WEBHOOK, payloads.load("genesys_webhook_flat"))
    assert reading.dedup == b"0b7a2f3c-1c9e-4f55-8a41-2f9b9f7f6d02"
    assert reading.type == "conversation:started"
    assert reading.key == "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"


@pytest.mark.parametrize(
    "body",
    [
        {"webhookId": "w", "conversationId": "k"},
        {"webhookId": "w", "payload": {"conversationId": "k"}},
        {"webhookId": "w", "payload": None, "conversationId": "k"},
        {"webhookId": "w", "payload": "no json", "conversationId": "k"},
        {"webhookId": "w", "payload": ["x"], "conversationId": "k"},
        {"payload": None, "id": "w", "conversationId": "k"},
        {"payload": "no json", "id": "w", "conversationId": "k"},
        {"webhookId": "w", "payload": {"id": ""}, "conversationId": "k"},
        {"webhookId": "w", "payload": {"id": None}, "id": "w", "conversationId": "k"},
    ],
)
def test_without_an_id_of_its_own_an_event_is_known_by_its_whole_body(body):
    raw, other = json.dumps(body).encode(), json.dumps({**body, "at": 1}).encode()
    assert read(WEBHOOK, raw).dedup == whole(raw)
    assert read(WEBHOOK, other).dedup == whole(other)
    assert read(WEBHOOK, raw).key == "k"


def test_a_payload_that_is_json_in_a_string():
    body = {"webhookId": "w", "webhookName": "n", "payload": json.dumps({"id": "e", "conversationId": "k"})}
    reading = read(WEBHOOK, body)
    assert (reading.dedup, reading.type, reading.key) == (b"e", "n", "k")


@pytest.mark.parametrize(
    ("body", "type"),
    [
        ({"payload": {"eventType": "a", "type": "b"}, "eventType": "c", "webhookName": "d"}, "a"),
        ({"payload": {"type": "b"}, "eventType": "c", "webhookName": "d"}, "c"),
        ({"payload": {"type": "b"}, "type": "e", "webhookName": "d"}, "b"),
        ({"payload": {}, "type": "e", "webhookName": "d"}, "e"),
        ({"payload": None, "webhookName": "d"}, "d"),
        ({"eventType": {}}, None),
    ],
)
def test_where_the_type_is_looked_for(body, type):
    assert read(WEBHOOK, body).type == type


@pytest.mark.parametrize(
    "body",
    [
        b'{"payload":{"id":["e"]}}',
        b'{"id":{}}',
        b'{"id":"a","id":"b"}',
        b'{"payload":{"id":"a"},"payload":{"id":"b"}}',
        b'{"payload":{"id":"a","id":"b"}}',
        b'{"payload":"{\\"id\\":\\"a\\",\\"id\\":\\"b\\"}"}',
    ],
)
def test_an_ambiguous_event_id(body):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        read(WEBHOOK, body)


def test_a_webhook_is_verified_as_its_settings_say():
    WEBHOOK.verify(Request(Headers(), b"{}"), 0)
    verify = VerifySettings("header", header="X-Key")
    guarded = build(SourceSettings("g", "genesys-webhook", secrets=("k",), verify=verify))
    guarded.verify(Request(Headers([("X-Key", "k")]), b"{}"), 0)


def test_required_headers_are_part_of_the_proof_and_are_traced():
    settings = SourceSettings(
        "g",
        "genesys-webhook",
        secrets=("k",),
        verify=VerifySettings("header", header="X-Key"),
        required_headers=("X-Genesys-Webhook-Id", "x-key"),
    )
    source = build(settings)
    proof, named = ("X-Key", "k"), ("X-Genesys-Webhook-ID", "w" * 300)
    whole = Request(Headers([proof, named]), b"{}")
    source.verify(whole, 0)
    said = set()
    for headers in ([proof], [named], [("X-Key", "l"), named], []):
        with pytest.raises(VerificationError) as caught:
            source.verify(Request(Headers(headers), b"{}"), 0)
        said.add(str(caught.value))
    assert len(said) == 1
    # The proof itself is never in a log, and of the rest not more than fits a line.
    assert source.read(whole).trace == (("X-Genesys-Webhook-Id", "w" * 200),)
    assert WEBHOOK.read(whole).trace == ()


# -- both


@pytest.mark.parametrize("kind", ["genesys-open-messaging", "genesys-webhook"])
def test_settings_go_before_the_kinds_own(kind):
    settings = SourceSettings(
        "s", kind, verify=VerifySettings(), dedup="header:X-Id", type="text", key="channel.to.id", max_body_bytes=9
    )
    source = build(settings)
    request = Request(Headers([("X-Id", "7")]), payloads.load("genesys_open_messaging_text"))
    source.verify(request, 0)
    reading = source.read(request)
    assert (reading.dedup, reading.type, reading.key) == (b"7", "Hi", "did:plc:exampleexampleexample0000")
    assert (source.name, source.kind, source.max_body_bytes) == ("s", kind, 9)


@pytest.mark.parametrize("source", [OPEN, WEBHOOK])
@pytest.mark.parametrize("status", list(ReceiptStatus))
def test_the_answer(source, status):
    answer = source.answer(Receipt(status, "an-id"))
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {"status": status.value, "id": "an-id"}


names = st.sampled_from(["id", "channel", "time", "payload", "type", "eventType", "conversationId", "webhookName"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)


@given(body=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_but_malformed(body):
    for source in (OPEN, WEBHOOK):
        try:
            reading = read(source, body)
        except MalformedError:
            continue
        assert isinstance(reading.dedup, bytes)
        assert isinstance(reading.type, str | None)
        assert isinstance(reading.key, str | None)
