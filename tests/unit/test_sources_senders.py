"""The senders that docs/sources/generic.md says how to configure: each signed by hand, as its documentation says."""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from longstop.config import parse
from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around
from longstop.sources import build

PAGE = Path(__file__).parents[2] / "docs/sources/generic.md"
SECRET = b"secret-of-the-sender"
BODY = b'[{"eventId":1,"name":"J\xc3\xbcrgen"}]'
AT_S = 1_777_636_800
AT_RFC3339 = "2026-05-01T12:00:00Z"
URL = "https://YOUR-HOST/webhooks/"


def mac(content: bytes, digest: str = "sha256") -> bytes:
    return hmac.new(SECRET, content, getattr(hashlib, digest)).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def at(text: str, body: bytes = b"") -> bytes:
    return text.encode() + body


Signed = dict[str, str]
BY_HAND: dict[str, Callable[[], Signed]] = {
    "Bitbucket, Jira": lambda: {"X-Hub-Signature": f"sha256={mac(BODY).hex()}"},
    "Box": lambda: {
        "BOX-DELIVERY-TIMESTAMP": "2026-05-01T05:00:00-07:00",
        "BOX-SIGNATURE-PRIMARY": b64(mac(BODY + b"2026-05-01T05:00:00-07:00")),
    },
    "Calendly": lambda: {"Calendly-Webhook-Signature": f"t={AT_S},v1={mac(at(f'{AT_S}.', BODY)).hex()}"},
    "ClickUp": lambda: {"X-Signature": mac(BODY).hex()},
    "GitLab (secret token)": lambda: {"X-Gitlab-Token": SECRET.decode()},
    "HubSpot": lambda: {
        "X-HubSpot-Request-Timestamp": f"{AT_S}123",
        "X-HubSpot-Signature-v3": b64(mac(at(f"POST{URL}hubspot", BODY) + at(f"{AT_S}123"))),
    },
    "Intercom": lambda: {"X-Hub-Signature": f"sha1={mac(BODY, 'sha1').hex()}"},
    "Meta, WhatsApp": lambda: {"X-Hub-Signature-256": f"sha256={mac(BODY).hex()}"},
    "Paddle": lambda: {"Paddle-Signature": f"ts={AT_S};h1=00ff;h1={mac(at(f'{AT_S}:', BODY)).hex()}"},
    "PagerDuty": lambda: {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={mac(BODY).hex()}"},
    "Rootly": lambda: {"X-Rootly-Signature": f"t={AT_S}, v1={mac(at(str(AT_S), BODY)).hex()}"},
    "Square": lambda: {"x-square-hmacsha256-signature": b64(mac(at(f"{URL}square", BODY)))},
    "Trello": lambda: {"X-Trello-Webhook": b64(mac(BODY + at(f"{URL}trello"), "sha1"))},
    "Twitch": lambda: {
        "Twitch-Eventsub-Message-Id": "e76c6bd4-55c9-4987-8304-da1588d8988b",
        "Twitch-Eventsub-Message-Timestamp": "2026-05-01T12:00:00.123456789Z",
        "Twitch-Eventsub-Message-Signature": "sha256="
        + mac(at("e76c6bd4-55c9-4987-8304-da1588d8988b2026-05-01T12:00:00.123456789Z", BODY)).hex(),
    },
    "Typeform": lambda: {"Typeform-Signature": f"sha256={b64(mac(BODY))}"},
    "Worldpay": lambda: {"Event-Signature": f"2/SHA256/{'0' * 64},1/SHA256/{mac(BODY).hex()}"},
    "Zendesk": lambda: {
        "X-Zendesk-Webhook-Signature-Timestamp": AT_RFC3339,
        "X-Zendesk-Webhook-Signature": b64(mac(at(AT_RFC3339, BODY))),
    },
    "Zoho Payments": lambda: {"X-Zoho-Webhook-Signature": f"t={AT_S}123,v={mac(at(f'{AT_S}123.', BODY)).hex()}"},
    "Zoom": lambda: {
        "x-zm-request-timestamp": str(AT_S),
        "x-zm-signature": f"v0={mac(at(f'v0:{AT_S}:', BODY)).hex()}",
    },
}


def documented() -> dict[str, str]:
    """The senders of the page and their `verify`."""
    part = PAGE.read_text().partition("### How known senders are configured")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| ([^|`]+?) \| `(\{.*?\})` \|", part, re.MULTILINE))


def settings(sender: str) -> SourceSettings:
    text = f'[sources.s]\nkind = "generic"\nsecrets = ["{SECRET.decode()}"]\nverify = {documented()[sender]}\n'
    return parse(text, where="longstop.toml", environ={}, base=Path()).sources[0]


def admits(source: SourceSettings, headers: Signed, body: bytes = BODY, at_s: int = AT_S) -> bool:
    try:
        build(source).verify(Request(Headers(headers.items()), body), at_s * 1000)
    except VerificationError:
        return False
    return True


def test_every_sender_of_the_page_is_tested() -> None:
    assert list(documented()) == list(BY_HAND)


@pytest.mark.parametrize("sender", BY_HAND)
def test_a_sender_is_admitted_as_the_page_configures_it(sender: str) -> None:
    source, headers = settings(sender), BY_HAND[sender]()
    assert admits(source, headers)
    assert admits(source, {name.upper(): value for name, value in headers.items()})
    for name in headers:
        assert not admits(source, {**headers, name: headers[name][:-1] + "?"})
        assert not admits(source, {key: value for key, value in headers.items() if key != name})
    if sender != "GitLab (secret token)":
        assert not admits(source, headers, BODY + b" ")
    if source.verify is not None and "{timestamp}" in source.verify.content:
        assert admits(source, headers, at_s=AT_S + 300)
        assert not admits(source, headers, at_s=AT_S + 302)
        assert not admits(source, headers, at_s=AT_S - 302)


@pytest.mark.parametrize("sender", BY_HAND)
def test_what_is_sent_to_try_it_is_admitted(sender: str) -> None:
    source = settings(sender)
    headers = dict([*headers_around(source, BODY), *sign(source, BODY, AT_S * 1000)])
    assert admits(source, headers)
