"""Bring Your Own Channel: tokens for who knows the client's secret, and messages from who has a token."""

import json
from typing import Any

import pytest
from dialects import NEW, NOW_MS, OLD, OTHER, admits, bodies, header_values, malformed, raises_nothing_else
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.errors import ConfigurationError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Reading, Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build
from longstop.testing import payloads

EXCHANGE = json.loads(payloads.load("cxone_byoc_exchange"))
TOKEN_PATH = "/integration/box/1.0/token"
MESSAGES = "/integration/box/1.0/posts/post-7/messages"
HOUR_MS = 3_600_000


def make(*secrets: str, name: str = "byoc") -> Source:
    return build(SourceSettings(name, "cxone-byoc", secrets=secrets, client_id="example-client"))


SOURCE = make(OLD)


def asking(secret: Any = OLD, client_id: Any = "example-client") -> bytes:
    asked = EXCHANGE["token_request"]["json"]
    return json.dumps({**asked, "client_id": client_id, "client_secret": secret}).encode()


def ask(source: Source, body: bytes, now_ms: int = NOW_MS) -> Any:
    answer = source.handshake(Request(Headers(), body, path=TOKEN_PATH), now_ms)
    assert answer is not None
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert ("cache-control", "no-store") in answer.headers
    return json.loads(answer.body)


def token(source: Source, secret: str = OLD, now_ms: int = NOW_MS) -> str:
    return str(ask(source, asking(secret), now_ms)["access_token"])


def message(token: str, body: bytes = b"{}", path: str = MESSAGES) -> Request:
    return Request(Headers([("Authorization", f"Bearer {token}")]), body, path=path)


def read(body: Any, path: str = MESSAGES) -> Reading:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return SOURCE.read(message("", raw, path))


# -- tokens


def test_the_paths_of_the_exchange() -> None:
    assert EXCHANGE["token_request"]["path"] == TOKEN_PATH
    for path in (TOKEN_PATH, EXCHANGE["message_request"]["path"], MESSAGES, "/token", "/posts/a/messages"):
        assert SOURCE.methods(path) == {"POST"}
    for path in ("", "/", "/posts/messages", "/posts//messages", "/posts/a/b/messages/c", "/tokens", "/messages"):
        assert SOURCE.methods(path) == set()


def test_a_token_as_the_platform_asks_for_it() -> None:
    answer = ask(SOURCE, asking())
    assert answer.keys() == EXCHANGE["token_response"].keys()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    assert OLD not in answer["access_token"]
    assert admits(SOURCE, message(answer["access_token"]))


@pytest.mark.parametrize(
    "body",
    [
        asking(OTHER),
        asking(""),
        asking(None),
        asking([OLD]),
        asking(client_id="another"),
        asking(client_id=None),
        asking(OLD.upper()),
        asking(OLD + " "),
        b"",
        b"[]",
        b"{}",
        b"no json",
        b"[" * 100_000,
        f"client_id=example-client&client_secret={OLD}".encode(),
    ],
)
def test_who_does_not_know_the_secret_gets_none(body: bytes) -> None:
    with pytest.raises(VerificationError):
        SOURCE.handshake(Request(Headers(), body, path=TOKEN_PATH), NOW_MS)


def test_a_message_is_no_handshake() -> None:
    assert SOURCE.handshake(message("x", asking()), NOW_MS) is None


@pytest.mark.parametrize(
    ("after_ms", "admitted"), [(0, True), (HOUR_MS - 1, True), (HOUR_MS, False), (HOUR_MS + 1, False)]
)
def test_a_token_ends_after_an_hour(after_ms: int, admitted: bool) -> None:
    assert admits(SOURCE, message(token(SOURCE)), NOW_MS + after_ms) is admitted


def test_a_forged_token_is_refused() -> None:
    until, signature = token(SOURCE).split(".")
    forged = [
        f"{int(until) + 1}.{signature}",
        f"{until}.{signature[:-1]}",
        f"{until}.{'0' * 64}",
        f"{until}.",
        f".{signature}",
        f"{until}",
        "",
        f"0{until}.{signature}",
        f"{until}.{signature}\n.{signature}",
        token(make(OTHER), OTHER),
        token(make(OLD, name="another")),
    ]
    for each in forged:
        assert not admits(SOURCE, message(each)), each
    good = message(f"{until}.{signature}")
    assert admits(SOURCE, good)
    assert not admits(SOURCE, Request(Headers([*good.headers, *good.headers]), b"{}", path=MESSAGES))
    assert not admits(SOURCE, Request(Headers(), b"{}", path=MESSAGES))


def test_each_flipped_bit_of_a_token_is_refused() -> None:
    good = token(SOURCE)
    for place in range(len(good)):
        for bit in range(8):
            other = good[:place] + chr(ord(good[place]) ^ (1 << bit)) + good[place + 1 :]
            # The case of hex digits is free.
            assert other.lower() == good or not admits(SOURCE, message(other)), other


def test_rotation() -> None:
    both = make(OLD, NEW)
    by_old, by_new = token(both, OLD), token(both, NEW)
    assert by_old != by_new
    for each in (by_old, by_new):
        assert admits(both, message(each))
    assert admits(make(NEW), message(by_new))
    assert not admits(make(NEW), message(by_old))


# -- messages


def test_a_message_is_named_by_its_id_or_by_all_of_it() -> None:
    placeholder = payloads.load("cxone_byoc_message")
    reading = read(placeholder)
    assert (reading.type, reading.key) == ("message", "post-7")
    assert reading.dedup == read(placeholder).dedup
    found = [
        reading.dedup,
        read(placeholder, "/box/posts/post-8/messages").dedup,
        read({"message": "other"}).dedup,
        read({"id": "m", "message": "a"}).dedup,
        read({"message": {"id": "n", "text": "a"}}).dedup,
    ]
    assert len(set(found)) == len(found)
    assert read({"id": "m", "message": "b"}).dedup == found[3]
    assert read({"message": {"id": "n", "text": "b"}}).dedup == found[4]


def test_what_is_ambiguous_goes_to_quarantine() -> None:
    for body in ({"id": ["m"]}, {"message": {"id": {}}}, b'{"id":"a","id":"b"}', b"[]", b""):
        malformed(SOURCE, body)


def test_the_answer_is_the_same_for_a_redelivery() -> None:
    for status in ReceiptStatus:
        answer = SOURCE.answer(Receipt(status, "first"))
        assert (answer.status, json.loads(answer.body)) == (200, {"idOnExternalPlatform": "first"})
    assert EXCHANGE["message_response"]["json"].keys() == {"idOnExternalPlatform"}


# -- settings


def test_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.b\.client_id: found nothing"):
        build(SourceSettings("b", "cxone-byoc", secrets=(OLD,)))
    with pytest.raises(ConfigurationError, match=r"sources\.b\.secrets: found none"):
        build(SourceSettings("b", "cxone-byoc", client_id="c"))
    with pytest.raises(ConfigurationError, match=r"sources\.b\.verify: found a table"):
        build(SourceSettings("b", "cxone-byoc", secrets=(OLD,), client_id="c", verify=VerifySettings("bearer")))


paths = st.sampled_from([MESSAGES, TOKEN_PATH, ""])


@given(body=bodies("id", "message", "client_id", "client_secret"), shown=header_values, path=paths)
def test_no_request_raises_anything_else(body: bytes, shown: str, path: str) -> None:
    request = message(shown, body, path)
    try:
        assert SOURCE.handshake(request, NOW_MS) is None
    except VerificationError:
        assert path == TOKEN_PATH
    assert not admits(SOURCE, request)
    raises_nothing_else(SOURCE, request)
