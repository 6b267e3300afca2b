"""What a source's keys have to agree on: the exact words of each refusal, and what is let through."""
# ruff: noqa: E501 -- a message stands on one line here, as it does on the terminal.

from pathlib import Path

import pytest

from longstop.config import Config, parse
from longstop.model.errors import ConfigurationError
from longstop.model.settings import ChallengeSettings

SECRETS = 'secrets = ["${S}"]\n'


def read(text: str) -> Config:
    return parse(text, where="longstop.toml", environ={"S": "whsec_c2VjcmV0"}, base=Path("/etc/longstop"))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(text)
    return list(raised.value.problems)


def of(kind: str, lines: str = "") -> str:
    return f'[sources.a]\nkind = "{kind}"\n{SECRETS}{lines}'


def hmac(more: str) -> str:
    return of("generic", f'verify = {{ scheme = "hmac-sha256", header = "X-Sig", {more} }}')


BEARER = 'verify = { scheme = "bearer" }\n'
REFUSED = [
    (
        hmac('content = "{timestamp}.{body}"'),
        'sources.a.verify.timestamp_header: found nothing; expected the name of the header with the time, for {timestamp} in content; as in timestamp_header = "X-Time"',
    ),
    (
        hmac('content = "{id}.{body}"'),
        'sources.a.verify.id_header: found nothing; expected the name of the header with the id, for {id} in content; as in id_header = "X-Id"',
    ),
    (
        hmac('timestamp_header = "X-Time"'),
        "sources.a.verify.timestamp_header: found timestamp_header and no {timestamp} in content; expected it only where the time is signed; put {timestamp} into content, or remove timestamp_header",
    ),
    (
        hmac('id_header = "X-Id"'),
        "sources.a.verify.id_header: found id_header and no {id} in content; expected it only where the id is signed; put {id} into content, or remove id_header",
    ),
    (
        of("generic", 'verify = { scheme = "bearer", content = "{body}" }'),
        'sources.a.verify.content: found content with scheme "bearer", which has no use for it; expected it only with hmac-sha1, hmac-sha256, hmac-sha512; remove it',
    ),
    (
        of("generic", 'verify = { scheme = "bearer", id_header = "X-Id" }'),
        'sources.a.verify.id_header: found id_header with scheme "bearer", which has no use for it; expected it only with hmac-sha1, hmac-sha256, hmac-sha512; remove it',
    ),
    (
        of("generic", BEARER + "challenge = {}"),
        'sources.a.challenge: found neither query nor field; expected one of them; as in { query = "hub.challenge" } for GET, or { field = "challenge" } for POST',
    ),
    (
        of("generic", BEARER + 'challenge = { query = "a", field = "b" }'),
        'sources.a.challenge: found query and field; expected one of them; as in { query = "hub.challenge" } for GET, or { field = "challenge" } for POST',
    ),
    (
        of("stripe", 'public_url = "https://a.example/"'),
        'sources.a.public_url: found public_url with kind "stripe", which has no use for it; expected it only with twilio; remove it',
    ),
    (
        of("stripe", 'client_id = "me"'),
        'sources.a.client_id: found client_id with kind "stripe", which has no use for it; expected it only with cxone-byoc; remove it',
    ),
    (
        of("twilio"),
        'sources.a.public_url: found nothing; expected the URL that Twilio posts to, as it stands there: its signature covers it; as in public_url = "https://hooks.example/webhooks/twilio"',
    ),
    (
        of("twilio", 'public_url = "hooks.example"'),
        'sources.a.public_url: found "hooks.example"; expected the URL that Twilio posts to, as it stands there: its signature covers it; as in public_url = "https://hooks.example/webhooks/twilio"',
    ),
    (
        of("cxone-byoc"),
        'sources.a.client_id: found nothing; expected the client id that the platform asks for tokens with; as in client_id = "cxone"',
    ),
    (
        of("github", 'tolerance = "1m"'),
        "sources.a.tolerance: found tolerance, and no time is signed that it could be applied to; expected it only where {timestamp} is in verify.content; remove it",
    ),
    (
        of("stripe", BEARER + 'tolerance = "1m"'),
        "sources.a.tolerance: found tolerance, and no time is signed that it could be applied to; expected it only where {timestamp} is in verify.content; remove it",
    ),
    (
        of("github", 'content_types = ["application/json; charset=utf-8"]'),
        'sources.a.content_types[0]: found "application/json; charset=utf-8"; expected a media type; as in "application/json"; parameters such as charset make no difference',
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[f"{at}" for at in range(len(REFUSED))])
def test_refused(text: str, message: str) -> None:
    assert problems(text) == [message]


@pytest.mark.parametrize("kind", ["github", "shopify", "slack", "standard-webhooks", "stripe"])
def test_a_kind_with_a_scheme_of_its_own_needs_secrets_alone(kind: str) -> None:
    assert read(of(kind)).sources[0].kind == kind
    assert "found no secret" in problems(f'[sources.a]\nkind = "{kind}"\n')[0]


@pytest.mark.parametrize(
    "text",
    [
        of("stripe", 'tolerance = "1m"'),
        of("cxone-byoc", 'client_id = "me"'),
        of("twilio", 'public_url = "https://a.example:8443/x?y=1"'),
        of("twilio", BEARER),
        hmac('content = "v0:{timestamp}:{body}", timestamp_header = "X-T"') + '\ntolerance = "10m"',
        hmac('content = "{id}{body}", id_header = "X-Id"'),
        of("github", 'content_types = ["application/json", "application/vnd.api+json"]'),
    ],
)
def test_let_through(text: str) -> None:
    assert read(text).sources[0].name == "a"


def test_the_settings_hold_what_was_said() -> None:
    (made,) = read(
        of("generic", BEARER + 'challenge = { query = "hub.challenge" }\nallow = ["203.0.113.0/24"]')
    ).sources
    assert made.challenge == ChallengeSettings(query="hub.challenge")
    assert made.allow == ("203.0.113.0/24",)


def verified_by(settings: str) -> str:
    return f'[sources.s]\nkind = "generic"\nsecrets = ["secret"]\nverify = {{ scheme = "hmac-sha256", header = "X", {settings} }}\n'


def test_a_time_and_signatures_in_one_header() -> None:
    text = verified_by(
        'content = "{timestamp}.{body}", signature_part = "v1", timestamp_part = "t", encoding = "base64url"'
    )
    verify = read(text).sources[0].verify
    assert verify is not None
    assert (verify.signature_part, verify.timestamp_part, verify.encoding) == ("v1", "t", "base64url")
    assert read(text + 'tolerance = "1m"\n').sources[0].tolerance_ms == 60_000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('content = "{timestamp}.{body}", timestamp_part = "t"', "verify.signature_part: found nothing"),
        (
            'signature_part = "v1", timestamp_part = "t"',
            "verify.timestamp_part: found timestamp_part and no {timestamp}",
        ),
        ('content = "{timestamp}.{body}", signature_part = "v1"', "verify.timestamp_header: found nothing"),
        (
            'content = "{timestamp}.{body}", signature_part = "v1", timestamp_part = "t", timestamp_header = "X-T"',
            "verify.timestamp_header: found timestamp_header and timestamp_part",
        ),
        ('signature_part = "v1,v2"', 'verify.signature_part: found "v1,v2"'),
    ],
)
def test_parts_of_a_header_have_to_fit(settings: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(verified_by(settings))
    assert said in str(caught.value)


def test_without_max_body_the_limit_is_the_kinds_own() -> None:
    text = '[sources.s]\nkind = "github"\nsecrets = ["secret"]\n'
    assert read(text).sources[0].body_bytes_max == 25 * 1024 * 1024
    assert read(text + 'max_body = "1MB"\n').sources[0].body_bytes_max == 1_000_000
