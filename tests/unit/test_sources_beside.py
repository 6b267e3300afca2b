"""The senders that sit beside a contact centre: published vectors, edges of tolerance, rotation, what is read."""

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.errors import ConfigurationError, MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around, query_around
from longstop.sources import build

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
STANDARD_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_BODY = b'{"test": 2432232314}'
AT_S = 1_614_265_330
PRIVATE = Ed25519PrivateKey.from_private_bytes(base64.b64decode("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="))
PUBLIC = "whpk_" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
    b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
    b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&"
    b"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


@dataclass(frozen=True)
class Vector:
    """A request that its sender's own documentation or library shows as a good one."""

    kind: str
    secret: str
    headers: Mapping[str, str]
    body: bytes
    at_s: int = 0
    public_url: str | None = None
    query: str = ""

    @property
    def settings(self) -> SourceSettings:
        return SourceSettings("s", self.kind, (self.secret,), public_url=self.public_url)

    def request(self, **changed: str) -> Request:
        return Request(Headers({**self.headers, **changed}.items()), self.body, query=self.query)


def standard(signature: str, secret: str) -> Vector:
    headers = {"webhook-id": STANDARD_ID, "webhook-timestamp": str(AT_S), "webhook-signature": signature}
    return Vector("standard-webhooks", secret, headers, STANDARD_BODY, AT_S)


def twilio(signature: str, body: bytes = FORM, url: str = URL, query: str = "") -> Vector:
    return Vector("twilio", "12345", {"X-Twilio-Signature": signature}, body, 0, url, query)


JSON_HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
VECTORS = {
    # docs.github.com, "Validating webhook deliveries".
    "github": Vector(
        "github",
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    # docs.slack.dev, "Verifying requests from Slack".
    "slack": Vector(
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1_531_420_618,
    ),
    # The tests of the convention's reference libraries.
    "standard v1": standard(
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ),
    "standard v1a": standard(
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==", PUBLIC
    ),
    # The tests of the vendor's libraries for Python and PHP.
    "twilio": twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    "twilio repeated": twilio(
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=", b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234"
    ),
    "twilio json": twilio(
        "a9nBmqA0ju/hNViExpshrM61xv4=",
        b'{"property": "value", "boolean": true}',
        query=f"foo=1&bar=2&bodySHA256={JSON_HASH}",
    ),
    "twilio port": twilio("kvajT1Ptam85bY51eRf/AJRuM3w="),
    "twilio other port": twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8=", url=URL.replace(".com", ".com:1234")),
    "twilio http port": twilio("0ZXoZLH/DfblKGATFgpif+LLRf4=", url=URL.replace("https", "http")),
}
TIMED = {"slack": 300, "standard v1": 300, "standard v1a": 300}


def verifies(settings: SourceSettings, request: Request, now_ms: int) -> bool:
    try:
        build(settings).verify(request, now_ms)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_published_vectors(vector: Vector) -> None:
    assert verifies(vector.settings, vector.request(), vector.at_s * 1000)


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_one_flipped_bit_is_refused_anywhere(vector: Vector) -> None:
    source = build(vector.settings)
    proofs = [name for name in vector.headers if "signature" in name.lower()]
    bodies = [_flipped(vector.body, bit) for bit in range(8 * len(vector.body))]
    # Of an escape in a form, %2B and %2b are the same.
    bodies = [body for body in bodies if not (vector.kind == "twilio" and body.lower() == vector.body.lower())]
    tried = [Request(Headers(vector.headers.items()), body, query=vector.query) for body in bodies]
    for name in proofs:
        value = vector.headers[name].encode()
        for bit in range(8 * len(value)):
            changed = _flipped(value, bit)
            # Hex may be written in either case.
            if changed.lower() != value.lower() or vector.kind not in ("github", "slack"):
                tried.append(vector.request(**{name: changed.decode("latin-1")}))
    for request in tried:
        with pytest.raises(VerificationError):
            source.verify(request, vector.at_s * 1000)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_no_header_may_be_missing_or_come_twice(vector: Vector) -> None:
    source = build(vector.settings)
    for name, value in vector.headers.items():
        others = [pair for pair in vector.headers.items() if pair[0] != name]
        for pairs in (others, [*vector.headers.items(), (name, value)]):
            with pytest.raises(VerificationError):
                source.verify(Request(Headers(pairs), vector.body, query=vector.query), vector.at_s * 1000)


# -- signed times -------------------------------------------------------------------------------

STRIPE = SourceSettings("s", "stripe", ("whsec_stripe",))
SIGNED = [
    STRIPE,
    SourceSettings("s", "slack", ("slack-secret",)),
    SourceSettings("s", "standard-webhooks", ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)),
]


@pytest.mark.parametrize("settings", SIGNED, ids=lambda each: each.kind)
@pytest.mark.parametrize(
    ("off_s", "admitted"),
    [(0, True), (299, True), (300, True), (301, False), (-299, True), (-300, True), (-301, False), (86_400, False)],
)
def test_tolerance(settings: SourceSettings, off_s: int, admitted: bool) -> None:
    headers = Headers(sign(settings, b"{}", AT_S * 1000))
    assert verifies(settings, Request(headers, b"{}"), (AT_S + off_s) * 1000) is admitted


@pytest.mark.parametrize("time", ["", "soon", "-1", "1e9", "٣", " ", "9" * 5000, "1614265330.0"])
def test_a_time_that_is_none_is_refused(time: str) -> None:
    wire = time.encode().decode("latin-1")
    signature = hmac.new(b"whsec_stripe", f"{time}.".encode() + b"{}", "sha256").hexdigest()
    assert not verifies(STRIPE, Request(Headers([("Stripe-Signature", f"t={wire},v1={signature}")]), b"{}"), 0)


# -- several secrets, several signatures --------------------------------------------------------

SECRETS = {
    "github": ("old-secret", "new-secret"),
    "shopify": ("old-secret", "new-secret"),
    "slack": ("old-secret", "new-secret"),
    "stripe": ("whsec_old", "whsec_new"),
    "twilio": ("old-secret", "new-secret"),
    "standard-webhooks": ("whsec_b2xkLXNlY3JldA==", "whsec_bmV3LXNlY3JldA=="),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_both_secrets_verify_while_they_are_rotated(kind: str) -> None:
    def of(*secrets: str) -> SourceSettings:
        return SourceSettings("s", kind, secrets, public_url="https://here.example/hook")

    both = of(*SECRETS[kind])
    for secret in SECRETS[kind]:
        assert verifies(both, _sent(of(secret)), AT_S * 1000)
    other = "whsec_b3RoZXI=" if kind == "standard-webhooks" else "other"
    assert not verifies(both, _sent(of(other)), AT_S * 1000)


@pytest.mark.parametrize("url", ["https://here.example/hook", "https://here.example/hook?a=1&b=2"])
@pytest.mark.parametrize("body", [b'{"id":"e1"}', FORM])
def test_what_is_sent_as_twilio_is_admitted(url: str, body: bytes) -> None:
    settings = SourceSettings("s", "twilio", ("12345",), public_url=url)
    assert verifies(settings, _sent(settings, body), 0)


def _sent(settings: SourceSettings, body: bytes = b'{"id":"e1"}') -> Request:
    headers = [*headers_around(settings, body), *sign(settings, body, AT_S * 1000)]
    return Request(Headers(headers), body, query=query_around(settings, body))


def test_any_good_signature_among_several_will_do() -> None:
    vector = VECTORS["standard v1"]
    good = vector.headers["webhook-signature"]
    for several in (f"v1,bm8= {good}", f"{good} v2,what", f"v1a,{'A' * 86}== v1, {good}"):
        assert verifies(vector.settings, vector.request(**{"webhook-signature": several}), AT_S * 1000)
    seventeen = "v1,bm8= " * 16 + good
    assert not verifies(vector.settings, vector.request(**{"webhook-signature": seventeen}), AT_S * 1000)


def test_shared_and_public_keys_stand_side_by_side() -> None:
    shared, public = VECTORS["standard v1"], VECTORS["standard v1a"]
    settings = SourceSettings("s", "standard-webhooks", (shared.secret, PUBLIC))
    assert verifies(settings, shared.request(), AT_S * 1000)
    assert verifies(settings, public.request(), AT_S * 1000)
    # A version is never taken for the other.
    assert not verifies(shared.settings, public.request(), AT_S * 1000)


def test_stripe_takes_any_v1_and_no_other_scheme() -> None:
    ((_, header),) = sign(STRIPE, b"{}", AT_S * 1000)
    time, good = header.split(",")
    for value, admitted in [
        (f"{time},v1=00,{good},v0=11", True),
        (f"{time}, {good}", True),
        (f"{time},{good.replace('v1', 'v0')}", False),
        (f"{time},t=1,{good}", False),
        (good, False),
        (time, False),
    ]:
        assert verifies(STRIPE, Request(Headers([("Stripe-Signature", value)]), b"{}"), AT_S * 1000) is admitted


@given(st.binary(max_size=200), st.text(max_size=80))
def test_no_invented_signature_is_admitted(body: bytes, text: str) -> None:
    wire = text.encode("utf-8", "replace").decode("latin-1")
    for vector in VECTORS.values():
        names = dict.fromkeys((name for name in vector.headers if "signature" in name.lower()), wire)
        request = Request(Headers({**vector.headers, **names}.items()), body, query=wire)
        assert not verifies(vector.settings, request, vector.at_s * 1000)


def test_a_form_of_too_many_fields_is_not_taken_apart() -> None:
    assert not verifies(VECTORS["twilio"].settings, Request(Headers(), b"a&" * 2000), 0)


def test_twilio_wants_the_signed_hash_to_be_the_bodys() -> None:
    vector = VECTORS["twilio json"]
    other = Request(Headers(vector.headers.items()), b"{}", query=vector.query)
    assert not verifies(vector.settings, other, 0)
    twice = Request(Headers(vector.headers.items()), vector.body, query=f"{vector.query}&bodySHA256={JSON_HASH}")
    assert not verifies(vector.settings, twice, 0)


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ((), "found none"),
        (("whsec_",), "no base64"),
        (("whsec_no base64!",), "no base64"),
        (("whpk_c2hvcnQ=",), "a public key of 5 bytes"),
        (("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=",), "a private key"),
    ],
)
def test_secrets_that_cannot_verify(secrets: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        build(SourceSettings("s", "standard-webhooks", secrets))
    assert not any(len(secret) > 6 and secret[6:] in str(raised.value) for secret in secrets)


def test_nobody_signs_with_a_public_key() -> None:
    with pytest.raises(ConfigurationError, match="only public keys"):
        sign(SourceSettings("s", "standard-webhooks", (PUBLIC,)), b"{}")


@pytest.mark.parametrize("url", [None, "", "mycompany.com", "https://", "ftp://a.example", "https://a.example:x/"])
def test_twilio_needs_its_url(url: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.s\.public_url: found"):
        build(SourceSettings("s", "twilio", ("12345",), public_url=url))


def test_another_way_to_verify_goes_before_the_kinds_own() -> None:
    settings = SourceSettings("s", "stripe", ("token",), VerifySettings("bearer"))
    assert verifies(settings, Request(Headers([("Authorization", "Bearer token")]), b"{}"), 0)


# -- what is read -------------------------------------------------------------------------------


def read(kind: str, body: bytes, **headers: str) -> tuple[str | None, str | None, bytes | None]:
    named = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    reading = build(SourceSettings("s", kind, ("whsec_MfKQ",), public_url=URL)).read(Request(named, body))
    return reading.type, reading.key, reading.dedup


ISSUE = b'{"action":"opened","repository":{"full_name":"octo/hello"}}'
CALL = b"CallSid=CA1&CallStatus=in-progress&Digits="


@pytest.mark.parametrize(
    ("kind", "body", "headers", "found"),
    [
        (
            "github",
            ISSUE,
            {"X_GitHub_Event": "issues", "X_GitHub_Delivery": "72d3"},
            ("issues.opened", "octo/hello", b"72d3"),
        ),
        ("github", b'{"zen":"x"}', {"X_GitHub_Event": "ping", "X_GitHub_Delivery": "d"}, ("ping", None, b"d")),
        ("github", b"payload=%7B%22action%22%3A%22a%22%7D", {"X_GitHub_Event": "e"}, ("e.a", None, None)),
        (
            "stripe",
            b'{"id":"evt_1","type":"charge.refunded","data":{"object":{"id":"ch_1"}}}',
            {},
            ("charge.refunded", "ch_1", b"evt_1"),
        ),
        (
            "slack",
            b'{"type":"event_callback","event_id":"Ev1","event":{"type":"message","channel":"C1"}}',
            {},
            ("message", "C1", b"Ev1"),
        ),
        ("slack", b'{"type":"app_rate_limited"}', {}, ("app_rate_limited", None, None)),
        (
            "shopify",
            b'{"id":7}',
            {"X_Shopify_Topic": "orders/create", "X_Shopify_Webhook_Id": "w", "X_Shopify_Event_Id": "e"},
            ("orders/create", "7", b"w"),
        ),
        (
            "shopify",
            b'{"id":7,"admin_graphql_api_id":"gid://7"}',
            {"X_Shopify_Topic": "orders/paid", "X_Shopify_Event_Id": "e"},
            ("orders/paid", "gid://7", b'["orders/paid","e"]'),
        ),
        ("shopify", b"<xml/>", {}, (None, None, None)),
        (
            "standard-webhooks",
            b'{"type":"user.created"}',
            {"webhook_id": "msg_1"},
            ("user.created", None, b"msg_1"),
        ),
        ("standard-webhooks", b"\xff", {"webhook_id": "msg_1"}, (None, None, b"msg_1")),
    ],
)
def test_readings(kind: str, body: bytes, headers: dict[str, str], found: object) -> None:
    assert read(kind, body, **headers) == found


def test_what_a_call_asks_with_tells_its_requests_apart() -> None:
    one, two = (read("twilio", CALL + digits) for digits in (b"1", b"2"))
    assert one[:2] == ("call.in-progress", "CA1")
    assert one[2] != two[2]
    assert one == read("twilio", CALL + b"1")


@pytest.mark.parametrize("kind", ["github", "stripe", "slack"])
@pytest.mark.parametrize("body", [b"", b"[1]", b"payload=x", b"\xff", b"[" * 100_000])
def test_bodies_that_are_no_events_go_to_quarantine(kind: str, body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(kind, body)


@given(st.binary(max_size=300))
def test_nothing_but_malformed_comes_of_any_body(body: bytes) -> None:
    for kind in SECRETS:
        try:
            read(kind, body)
        except MalformedError:
            continue


def test_a_form_of_very_many_fields_is_malformed() -> None:
    with pytest.raises(MalformedError, match="more than"):
        read("twilio", b"a&" * 20_000)


def test_twilio_is_answered_in_twiml() -> None:
    answer = build(VECTORS["twilio"].settings).answer(Receipt(ReceiptStatus.ACCEPTED, "e"))
    assert (answer.status, answer.content_type) == (200, "text/xml")
    assert answer.body.endswith(b"<Response/>")


# -- Slack's question ---------------------------------------------------------------------------

SLACK = SourceSettings("s", "slack", ("slack-secret",))


def _asked(body: bytes, settings: SourceSettings = SLACK) -> Request:
    return Request(Headers(sign(settings, body, AT_S * 1000)), body)


def test_the_challenge_comes_back_if_it_is_slacks() -> None:
    body = json.dumps({"token": "t", "challenge": "3eZbrw1a", "type": "url_verification"}).encode()
    answer = build(SLACK).handshake(_asked(body), AT_S * 1000)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"3eZbrw1a")
    assert answer.content_type.startswith("text/plain")
    with pytest.raises(VerificationError):
        build(SLACK).handshake(Request(Headers(), body), AT_S * 1000)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"event_callback","challenge":"x","event":{"text":"url_verification"}}',
        b'{"type":"url_verification"}',
        b"url_verification",
        b"{}",
    ],
)
def test_what_only_looks_like_a_challenge_is_an_event(body: bytes) -> None:
    assert build(SLACK).handshake(_asked(body), AT_S * 1000) is None
