"""Twilio: what an event is known by, and that names and values cannot be divided in another way than Twilio did."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from urllib.parse import quote_from_bytes, urlencode

import pytest

from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import FORM_BYTES_MAX
from longstop.sources import build

URL = "https://hooks.example/webhooks/twilio"
TOKEN = "12345"
SID = "SM" + "0a" * 16
ACCOUNT = "AC" + "1b" * 16
STATUS = {"AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "MessageSid": SID, "MessageStatus": "sent"}
GATHER = {"AccountSid": ACCOUNT, "CallSid": "CA" + "2c" * 16, "CallStatus": "in-progress", "Digits": "1"}
SOURCE = build(SourceSettings("s", "twilio", (TOKEN,), public_url=URL))


def signature(text: bytes) -> tuple[str, str]:
    """Made as Twilio makes it, not by the code that is tested."""
    return "X-Twilio-Signature", base64.b64encode(hmac.new(TOKEN.encode(), text, hashlib.sha1).digest()).decode()


def form(fields: dict[str, str], token: str | None = None, query: str = "") -> Request:
    joined = "".join(name + fields[name] for name in sorted(fields))
    url = f"{URL}?{query}" if query else URL
    headers = [signature((url + joined).encode()), ("Content-Type", "application/x-www-form-urlencoded")]
    headers += [("I-Twilio-Idempotency-Token", token)] if token else []
    return Request(Headers(headers), urlencode(fields).encode(), query=query)


def json_body(body: bytes = b'[{"type":"com.twilio.x"}]', token: str | None = None) -> Request:
    query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = [signature(f"{URL}?{query}".encode())]
    headers += [("I-Twilio-Idempotency-Token", token)] if token else []
    return Request(Headers(headers), body, query=query)


def admits(request: Request) -> bool:
    try:
        SOURCE.verify(request, 0)
    except VerificationError:
        return False
    return True


def dedup(request: Request) -> bytes | None:
    assert admits(request)
    return SOURCE.read(request).dedup


def test_a_redelivery_is_the_same_event_and_another_status_is_not() -> None:
    assert dedup(form(STATUS)) == dedup(form(STATUS))
    assert dedup(form(STATUS)) != dedup(form({**STATUS, "MessageStatus": "delivered"}))
    assert dedup(form(STATUS)) != dedup(form({**STATUS, "MessageSid": "SM" + "0b" * 16}))
    assert dedup(json_body()) == dedup(json_body())
    assert dedup(json_body()) != dedup(json_body(b"[]"))


def test_a_message_status_sent_again_with_another_token_is_the_same_event() -> None:
    """The token is not signed: whoever captured the request may write another one."""
    assert dedup(form(STATUS, "t1")) == dedup(form(STATUS, "t2")) == dedup(form(STATUS))


def test_the_same_key_pressed_twice_makes_two_events() -> None:
    assert dedup(form(GATHER, "t1")) != dedup(form(GATHER, "t2"))
    assert dedup(form(GATHER, "t1")) == dedup(form(GATHER, "t1"))
    assert dedup(json_body(token="t1")) != dedup(json_body(token="t2"))


def divided_anew(request: Request, joined: bytes) -> Iterator[Request]:
    """Every way to make one or two parameters of the same signed text."""
    for at in range(1, len(joined)):
        yield replace(request, body=_form_of([(joined[:at], joined[at:])]))
    for name, value, other in combinations(range(1, len(joined)), 3):
        pairs = [(joined[:name], joined[name:value]), (joined[value:other], joined[other:])]
        yield replace(request, body=_form_of(pairs))


def _form_of(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"&".join(quote_from_bytes(name).encode() + b"=" + quote_from_bytes(value).encode() for name, value in pairs)


def test_the_names_and_values_divided_in_another_way_are_never_another_event() -> None:
    sent = {"MessageSid": SID, "MessageStatus": "sent"}
    request = form(sent)
    known = dedup(request)
    joined = "".join(name + sent[name] for name in sorted(sent)).encode()
    seen = 0
    for other in divided_anew(request, joined):
        if admits(other):
            seen += 1
            assert SOURCE.read(other).dedup == known
    # The id itself cannot be moved: where it is, only what follows it can.
    assert seen > 0


@pytest.mark.parametrize("moved", [b"MessageSidS=M%s", b"MessageSi=dSM%s", b"M=essageSidSM%s", b"MessageSidSM%s="])
def test_an_id_that_is_moved_into_a_name_is_refused(moved: bytes) -> None:
    request = form({"MessageSid": SID})
    assert admits(request)
    assert not admits(replace(request, body=moved % SID[2:].encode()))


def test_a_form_made_of_the_hash_of_a_json_body_is_refused() -> None:
    request = json_body()
    digest = request.query.partition("=")[2].encode()
    for query, body in (("bodySHA", b"256=%%3D%s" % digest), ("", b"%%3FbodySHA256=%%3D%s" % digest)):
        assert not admits(replace(request, query=query, body=body))


def test_the_query_that_ends_elsewhere_is_the_same_event() -> None:
    source = build(SourceSettings("s", "twilio", (TOKEN,), public_url=f"{URL}?a=1"))
    sent = form(GATHER, query="a=1")
    readings = []
    for query, body in (("a=1", sent.body), ("", sent.body), ("a=1Account", sent.body.removeprefix(b"Account"))):
        request = replace(sent, query=query, body=body)
        try:
            source.verify(request, 0)
        except VerificationError:
            continue
        readings.append(source.read(request).dedup)
    assert len(readings) >= 2
    assert len(set(readings)) == 1


def test_a_form_is_taken_apart_only_up_to_a_size() -> None:
    small, large = ({"Body": "x" * size} for size in (FORM_BYTES_MAX - 5, FORM_BYTES_MAX - 4))
    assert admits(form(small))
    assert not admits(form(large))


def test_type_and_key_are_those_of_the_message_the_call_or_the_sink() -> None:
    message = SOURCE.read(form(STATUS, "t"))
    assert (message.type, message.key) == ("message.sent", SID)
    assert SOURCE.read(form(GATHER)).type == "call.in-progress"
    assert SOURCE.read(json_body()).type == "com.twilio.x"
