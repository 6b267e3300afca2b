"""What any source takes by its settings: challenges, addresses, media types."""

import json

import pytest

from longstop.model.errors import AddressError, MalformedError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import ChallengeSettings, SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.sources import build

OPEN = VerifySettings()
SIGNED = VerifySettings("hmac-sha256", "X-Sig")
BY_GET = SourceSettings("s", "generic", ("k",), SIGNED, challenge=ChallengeSettings(query="hub.challenge"))
BY_POST = SourceSettings("s", "generic", ("k",), SIGNED, challenge=ChallengeSettings(field="challenge"))


def get(query: str, client: str | None = None) -> Request:
    return Request(Headers(), b"", "GET", client, query=query)


def post(body: bytes, settings: SourceSettings = BY_POST) -> Request:
    return Request(Headers(sign(settings, body)), body)


def test_get_is_served_only_where_it_is_asked_for() -> None:
    assert build(BY_GET).methods("") == {"GET", "POST"}
    assert build(BY_POST).methods("") == {"POST"}
    assert build(BY_GET).methods("/below") == frozenset()


@pytest.mark.parametrize(("query", "text"), [("hub.challenge=a%20b&x=1", "a b"), ("x=1&hub.challenge=%C3%A9", "é")])
def test_a_challenge_by_get_comes_back_as_text(query: str, text: str) -> None:
    answer = build(BY_GET).handshake(get(query), 0)
    assert answer is not None
    assert (answer.status, answer.body.decode()) == (200, text)
    assert answer.content_type == "text/plain; charset=utf-8"
    assert ("x-content-type-options", "nosniff") in answer.headers


@pytest.mark.parametrize(
    "query", ["", "x=1", "hub.challenge=", "hub.challenge=a&hub.challenge=b", "hub.challenge=" + "a" * 1025]
)
def test_by_get_nothing_else_is_taken(query: str) -> None:
    # Least of all as an event, where nothing is verified.
    for verify in (OPEN, SIGNED):
        settings = SourceSettings("s", "generic", ("k",), verify, challenge=BY_GET.challenge)
        with pytest.raises(VerificationError):
            build(settings).handshake(get(query), 0)


def test_an_event_by_post_is_no_challenge_whatever_is_in_the_query() -> None:
    request = Request(Headers(), b"{}", "POST", query="hub.challenge=a")
    assert build(BY_GET).handshake(request, 0) is None


def test_a_challenge_by_post_comes_back_if_it_is_proven() -> None:
    body = b'{"challenge":"abc","type":"ping"}'
    answer = build(BY_POST).handshake(post(body), 0)
    assert answer is not None
    assert (answer.content_type, json.loads(answer.body)) == ("application/json", {"challenge": "abc"})
    with pytest.raises(VerificationError):
        build(BY_POST).handshake(Request(Headers(), body), 0)


@pytest.mark.parametrize(
    "body",
    [
        b'{"challenge":"abc","id":"e1"}',
        b'{"challenge":5}',
        b'{"challenge":""}',
        b'["challenge"]',
        b'"challenge"',
        b"challenge",
        b"",
        b'{"challenge":"' + b"a" * 1025 + b'"}',
        b"[" * 3000 + b"challenge",
    ],
)
def test_what_may_be_an_event_is_not_swallowed(body: bytes) -> None:
    assert build(BY_POST).handshake(post(body), 0) is None


@pytest.mark.parametrize(
    ("client", "inside"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("::ffff:203.0.113.5", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_addresses(client: str | None, inside: bool) -> None:
    settings = SourceSettings(
        "s", "generic", (), OPEN, allow=("203.0.113.0/24", "2001:db8::/32"), challenge=BY_GET.challenge
    )
    source = build(settings)
    calls = (
        lambda: source.verify(Request(Headers(), b"{}", client=client), 0),
        lambda: source.handshake(get("hub.challenge=a", client), 0),
    )
    for call in calls:
        if inside:
            call()
        else:
            with pytest.raises(AddressError):
                call()


def test_only_who_knows_the_secret_learns_that_the_address_is_wrong() -> None:
    source = build(SourceSettings("s", "generic", ("k",), SIGNED, allow=("203.0.113.0/24",)))
    with pytest.raises(VerificationError):
        source.verify(Request(Headers(), b"{}", client="198.51.100.1"), 0)


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/xml;x=y", True),
        ("text/plain", False),
        ("application/jsonp", False),
        ("", False),
        (None, False),
    ],
)
def test_media_types(sent: str | None, taken: bool) -> None:
    source = build(SourceSettings("s", "generic", (), OPEN, content_types=("application/json", "text/xml")))
    request = Request(Headers([] if sent is None else [("content-type", sent)]), b"{}")
    # Of whatever type it is, it is the sender's own: it goes to quarantine, and is not refused.
    source.verify(request, 0)
    if taken:
        source.read(request)
    else:
        with pytest.raises(MalformedError, match="Content-Type; expected application/json or text/xml"):
            source.read(request)
