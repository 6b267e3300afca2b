"""What each scheme of `auth` puts on the wire, and that the receiving side of this very program is convinced by it."""

import base64
import hashlib
import hmac
import logging
from dataclasses import replace
from typing import Any

import pytest
from hostile import EVENT_ID, NOW_MS, OK, FixedClock, Hostile, answering, claim, listening, post, settings

from longstop.model.delivery import OutcomeKind
from longstop.model.errors import ConfigurationError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import AuthSettings, SourceSettings, VerifySettings
from longstop.senders.auth import build_auth
from longstop.senders.http import HttpSender
from longstop.sources import build

CANARY = "CANARY-b7f1"
TIMESTAMP = str(NOW_MS // 1000)
BODIES = [b"", b'{"a": 1}', bytes(range(256)) * 4, b"\xff\x00" * 700_000]
WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
WHSEC_OLD = "whsec_" + base64.b64encode(b"another key of thirty two bytes!").decode()

BASIC = AuthSettings("basic", username="us", password=CANARY)
BEARER = AuthSettings("bearer", token=CANARY)
HMAC = AuthSettings("hmac-sha256", secrets=(CANARY,), header="X-Signature")
WEBHOOKS = AuthSettings("standard-webhooks", secrets=(WHSEC,))
OAUTH = AuthSettings("oauth2-client-credentials", token_url="https://t/", client_id="a", client_secret=CANARY)


async def delivered(auth: AuthSettings, body: bytes = b'{"a": 1}', **given: Any) -> Hostile:
    """The destination, after one delivery."""
    async with listening(answering(OK)) as hostile:
        outcome = await post(settings(hostile.url(), auth=auth, **given), claim(body))
    assert outcome.kind is OutcomeKind.SUCCESS
    return hostile


def received(hostile: Hostile) -> Request:
    """The request as a source of this program would see it."""
    pairs = [line.split(": ", 1) for line in hostile.heads[-1][1:]]
    return Request(Headers([(name, value) for name, value in pairs]), hostile.bodies[-1])


def admits(source: SourceSettings, request: Request, now_ms: int = NOW_MS) -> bool:
    try:
        build(source).verify(request, now_ms)
    except VerificationError:
        return False
    return True


def generic(verify: VerifySettings, *secrets: str) -> SourceSettings:
    return SourceSettings("s", "generic", secrets, verify)


# -- basic, bearer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("username", "password", "value"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),  # RFC 7617, 2
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),  # RFC 7617, 2.1
        ("us", "a:b", "Basic dXM6YTpi"),
    ],
)
async def test_basic_is_the_header_of_its_rfc(username: str, password: str, value: str) -> None:
    hostile = await delivered(AuthSettings("basic", username=username, password=password))
    assert hostile.headers("authorization") == [value]
    assert admits(generic(VerifySettings("basic", username=username), password), received(hostile))
    assert not admits(generic(VerifySettings("basic", username=username), password + "x"), received(hostile))


async def test_bearer_is_the_header_of_its_rfc() -> None:
    hostile = await delivered(AuthSettings("bearer", token="mF_9.B5f-4.1JqM"))
    assert hostile.headers("authorization") == ["Bearer mF_9.B5f-4.1JqM"]
    assert admits(generic(VerifySettings("bearer"), "mF_9.B5f-4.1JqM"), received(hostile))


async def test_without_auth_nothing_is_proven() -> None:
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()))
    assert hostile.headers("authorization") == []
    assert hostile.headers("webhook-signature") == []


# -- hmac -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
async def test_hmac_signs_the_body_as_it_is_sent(digest: Any, body: bytes) -> None:
    auth = replace(HMAC, scheme=f"hmac-{digest}", encoding="base64", prefix=f"{digest}=")
    hostile = await delivered(auth, body)
    signature = base64.b64encode(hmac.new(CANARY.encode(), body, getattr(hashlib, digest)).digest()).decode()
    assert hostile.headers("x-signature") == [f"{digest}={signature}"]
    verify = VerifySettings(f"hmac-{digest}", "X-Signature", "base64", f"{digest}=")
    assert admits(generic(verify, CANARY), received(hostile))
    assert not admits(generic(verify, "another"), received(hostile))


async def test_hmac_is_hex_unless_told_otherwise() -> None:
    hostile = await delivered(HMAC)
    assert hostile.headers("x-signature") == [hmac.new(CANARY.encode(), b'{"a": 1}', "sha256").hexdigest()]


@pytest.mark.parametrize(
    ("given", "timestamp_header", "id_header"),
    [
        ({}, "webhook-timestamp", "webhook-id"),
        ({"timestamp_header": "X-Time", "id_header": "X-Id"}, "X-Time", "X-Id"),
    ],
)
async def test_hmac_signs_the_time_and_the_id_that_are_sent(
    given: dict[str, Any], timestamp_header: str, id_header: str
) -> None:
    content = "{id}.{timestamp}.{body}"
    hostile = await delivered(replace(HMAC, content=content, **given))
    assert hostile.headers(timestamp_header) == [TIMESTAMP]
    assert hostile.headers(id_header) == [EVENT_ID]
    # Whatever else they are called, a delivery has them under their own names too.
    assert (hostile.headers("webhook-timestamp"), hostile.headers("webhook-id")) == ([TIMESTAMP], [EVENT_ID])
    signed = f"{EVENT_ID}.{TIMESTAMP}.".encode() + hostile.bodies[0]
    assert hostile.headers("x-signature") == [hmac.new(CANARY.encode(), signed, "sha256").hexdigest()]
    verify = VerifySettings(
        "hmac-sha256", "X-Signature", content=content, timestamp_header=timestamp_header, id_header=id_header
    )
    assert admits(generic(verify, CANARY), received(hostile))
    assert not admits(generic(verify, CANARY), received(hostile), NOW_MS + 301_000)


# -- standard webhooks ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", BODIES)
async def test_standard_webhooks_convinces_our_own_source(body: bytes) -> None:
    hostile = await delivered(WEBHOOKS, body)
    signed = f"{EVENT_ID}.{TIMESTAMP}.".encode() + body
    key = base64.b64decode(WHSEC.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
    assert hostile.headers("webhook-signature") == [f"v1,{signature}"]
    source = SourceSettings("s", "standard-webhooks", (WHSEC,))
    assert admits(source, received(hostile))
    assert not admits(source, received(hostile), NOW_MS + 301_000)
    assert not admits(replace(source, secrets=(WHSEC_OLD,)), received(hostile))
    assert not admits(source, replace(received(hostile), body=body + b"x"))


async def test_standard_webhooks_is_the_example_of_the_specification() -> None:
    # The test vector of its reference libraries (libraries/javascript/src/index.test.ts and others).
    auth = build_auth(AuthSettings("standard-webhooks", secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)), "crm")
    what = claim(b'{"test": 2432232314}')
    what = replace(what, event=replace(what.event, id="msg_p5jXN8AQM9LWM0D4loKWxJek"))
    assert await auth.headers(what, "1614265330") == [
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    ]


async def test_while_a_secret_is_rotated_either_one_verifies() -> None:
    hostile = await delivered(replace(WEBHOOKS, secrets=(WHSEC, WHSEC_OLD)))
    (value,) = hostile.headers("webhook-signature")
    assert [each[:3] for each in value.split(" ")] == ["v1,", "v1,"]
    for secret in (WHSEC, WHSEC_OLD):
        assert admits(SourceSettings("s", "standard-webhooks", (secret,)), received(hostile))


class HurriedClock(FixedClock):
    """Another second each time it is looked at."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        self.ms += 1_000
        return self.ms


@pytest.mark.parametrize("auth", [WEBHOOKS, replace(HMAC, content="{timestamp}.{body}", timestamp_header="X-Time")])
async def test_the_time_that_is_signed_is_the_time_that_is_sent(auth: AuthSettings) -> None:
    async with listening(answering(OK)) as hostile:
        sender = HttpSender(settings(hostile.url(), auth=auth), HurriedClock())
        await sender.send(claim(), 1)
        await sender.close()
    verify = VerifySettings(
        "hmac-sha256", "X-Signature", content="{timestamp}.{body}", timestamp_header="webhook-timestamp"
    )
    source = SourceSettings("s", "standard-webhooks", (WHSEC,)) if auth is WEBHOOKS else generic(verify, CANARY)
    assert admits(source, received(hostile))
    if auth is not WEBHOOKS:
        assert hostile.headers("x-time") == hostile.headers("webhook-timestamp")


# -- what does not go together --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "name"),
    [
        (BASIC, "authorization"),
        (BEARER, "AUTHORIZATION"),
        (OAUTH, "Authorization"),
        (HMAC, "x-signature"),
        (replace(HMAC, content="{timestamp}{body}", timestamp_header="X-Time"), "x-time"),
        (replace(HMAC, content="{id}{body}", id_header="X-Id"), "x-id"),
        (WEBHOOKS, "Webhook-Signature"),
    ],
)
def test_a_header_that_auth_sets_cannot_be_configured(auth: AuthSettings, name: str) -> None:
    given = settings("https://h/", auth=auth, headers=(("X-Fine", "yes"), (name, CANARY)))
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(given, FixedClock())
    assert refused.value.problems == (f"destinations.crm.headers: {name!r} is set by auth; leave it out",)


def test_a_password_in_the_url_and_auth_are_one_too_many() -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(settings(f"https://me:{CANARY}@h/", auth=BASIC), FixedClock())
    assert refused.value.problems == ("destinations.crm.auth: is given twice, here and in the URL; keep one",)


@pytest.mark.parametrize(
    "auth",
    [
        AuthSettings("basic", username="us"),
        AuthSettings("basic", password=CANARY),
        AuthSettings("bearer"),
        replace(HMAC, secrets=()),
        replace(HMAC, secrets=(CANARY, CANARY)),
        replace(HMAC, header=None),
        AuthSettings("standard-webhooks"),
        replace(OAUTH, client_secret=None),
    ],
)
def test_settings_made_in_code_that_lack_something_are_refused(auth: AuthSettings) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(settings("https://h/", auth=auth), FixedClock())
    assert refused.value.problems == (f"destinations.crm.auth: found too little for scheme {auth.scheme}",)


@pytest.mark.parametrize("secret", [f"whsk_{CANARY}", f"whpk_{WHSEC[6:]}", f"whsec_{CANARY}", "whsec_", "é"])
def test_a_secret_that_is_no_key_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(settings("https://h/", auth=replace(WEBHOOKS, secrets=(WHSEC, secret))), FixedClock())
    (problem,) = refused.value.problems
    assert problem == "destinations.crm.auth.secrets[1]: found no base64; expected it after whsec_"


# -- what does not happen -------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [BASIC, BEARER, HMAC, WEBHOOKS])
async def test_a_401_is_final_where_there_is_nothing_to_renew(auth: AuthSettings) -> None:
    async with listening(answering(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n")) as hostile:
        outcome = await post(settings(hostile.url(), auth=auth))
    assert (outcome.kind, outcome.error) == (OutcomeKind.REJECT, "HTTP 401")
    assert len(hostile.heads) == 1


@pytest.mark.parametrize("auth", [BASIC, BEARER, HMAC, WEBHOOKS])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_carries_a_credential_is_not_redirected(auth: AuthSettings, status: int) -> None:
    async with listening(answering(OK)) as elsewhere:
        raw = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, elsewhere.url().encode())
        async with listening(answering(raw)) as hostile:
            outcome = await post(settings(hostile.url(), auth=auth))
    assert (outcome.kind, outcome.status) == (OutcomeKind.RETRY, status)
    assert elsewhere.connections == 0


@pytest.mark.parametrize("auth", [BASIC, BEARER, HMAC, WEBHOOKS])
async def test_no_error_repr_or_log_shows_a_secret(auth: AuthSettings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(answering(b"nonsense\r\n\r\n")) as hostile:
        given = settings(hostile.url(), auth=auth)
        outcome = await post(given)
    assert len(hostile.heads) == 1
    shown = f"{auth!r} {given!r} {HttpSender(given, FixedClock())!r} {outcome!r} {caplog.text}"
    assert [secret for secret in (CANARY, WHSEC, hostile.heads[0][-1]) if secret in shown] == []
