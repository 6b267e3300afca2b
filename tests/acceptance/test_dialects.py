"""Every dialect against the real program: sent as its sender would, sent again, tampered with, oversized."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.harness import Answer, Site
from longstop import sources
from longstop.clock import SystemClock
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.model.simulated_request import headers_around, path_below, query_around, token_request
from longstop.testing import payloads

MAX_BODY = 20_000
SECRET = "0123456789abcdef0123456789abcdef"
API_KEY = VerifySettings("header", header="X-API-Key")
BEARER = VerifySettings("bearer")
XML = b'<?xml version="1.0"?><event><page id="7"/></event>'


def made(kind: str, verify: VerifySettings | None = None, **more: str) -> SourceSettings:
    """A source named as its kind."""
    return SourceSettings(kind, kind, (SECRET,), verify, max_body_bytes=MAX_BODY, **more)  # type: ignore[arg-type]


SOURCES = [
    made("genesys-open-messaging"),
    made("genesys-data-action", API_KEY),
    made("genesys-eventbridge", API_KEY),
    made("genesys-webhook", BEARER),
    made("cxone-dfo"),
    made("cxone-byoc", client_id="the-platform"),
    made("cxone-studio", BEARER),
    made("cxone-expert"),
    made("standard-webhooks"),
    made("github"),
    made("stripe"),
    made("slack"),
    made("shopify"),
    made("twilio", public_url="https://hooks.example/webhooks/twilio"),
    made("generic", VerifySettings("hmac-sha256", header="X-Signature"), dedup="hash:body"),
]

BODIES = {
    "genesys-open-messaging": payloads.load("genesys_open_messaging_receipt_failed"),
    "genesys-data-action": payloads.load("genesys_data_action_event"),
    "genesys-eventbridge": payloads.load("genesys_eventbridge_customer_end"),
    "genesys-webhook": payloads.load("genesys_webhook_envelope"),
    "cxone-dfo": payloads.load("cxone_message_created"),
    "cxone-byoc": payloads.load("cxone_byoc_message"),
    "cxone-studio": payloads.load("cxone_studio_post"),
    "cxone-expert": XML,
    "standard-webhooks": b'{"type":"contact.created","data":{"id":"c-1"}}',
    "github": b'{"ref":"refs/heads/main","repository":{"full_name":"an/example"}}',
    "stripe": b'{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_1"}}}',
    "slack": b'{"type":"event_callback","event_id":"Ev1","event":{"type":"message","channel":"C1"}}',
    "shopify": b'{"id":820982911946154508}',
    "twilio": b"MessageSid=SM1&SmsStatus=delivered&To=%2B15555550123",
    "generic": b"neither JSON nor a form",
}

READ = {
    "genesys-open-messaging": ("receipt.failed", None),
    "genesys-data-action": (
        "v2.detail.events.conversation.{id}.customer.end",
        "2f7bf00a-0fc2-4d6a-9b56-92238191433e",
    ),
    "genesys-eventbridge": (
        "v2.detail.events.conversation.{id}.customer.end",
        "2f7bf00a-0fc2-4d6a-9b56-92238191433e",
    ),
    "genesys-webhook": ("conversation:updated", "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"),
    "cxone-dfo": ("Message.MessageCreated", "131988342510"),
    "cxone-byoc": ("message", "longstop-send"),
    "cxone-studio": ("contact.queued", "131988342510"),
    "cxone-expert": ("Page_Create", None),
}
"""Type and key that are read in these bodies; for the other kinds their unit tests say it."""


def toml(settings: SourceSettings) -> str:
    """The source's table."""
    lines = [f'kind = "{settings.kind}"', f'secrets = ["{SECRET}"]', f"max_body = {MAX_BODY}"]
    if settings.verify is not None:
        header = f', header = "{settings.verify.header}"' if settings.verify.header else ""
        lines.append(f'verify = {{ scheme = "{settings.verify.scheme}"{header} }}')
    for name in ("client_id", "public_url", "dedup"):
        if getattr(settings, name) is not None:
            lines.append(f'{name} = "{getattr(settings, name)}"')
    return "\n".join([f"\n[sources.{settings.name}]", *lines, ""])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, new_store: Callable[[], str]) -> Iterator[Site]:
    """One gateway with a source of each kind."""
    site = Site(tmp_path_factory.mktemp("dialects"), new_store())
    site.configure(more="".join(toml(settings) for settings in SOURCES))
    site.serve()
    yield site
    site.close()


def send(site: Site, settings: SourceSettings, *options: str) -> Any:
    """What `longstop send` says of the kind's body."""
    file = site.folder / f"{settings.kind}.body"
    file.write_bytes(BODIES[settings.kind])
    return site.ask("send", settings.name, str(file), *options)


def kept(site: Site, name: str) -> list[Any]:
    """The events of a source."""
    rows: list[Any] = site.ask("events", "list", "--source", name).rows
    return rows


def post(site: Site, settings: SourceSettings, body: bytes, signed: bytes, now_ms: int) -> Answer:
    """A body with the proof of another."""
    base, query = f"/webhooks/{settings.name}", query_around(settings, signed)
    headers = dict([*headers_around(settings, signed), *sign(settings, signed, now_ms)])
    asked = token_request(settings)
    if asked is not None:
        token = site.request("POST", base + asked[0], asked[1], {}).json["access_token"]
        headers["Authorization"] = f"Bearer {token[:-1] if body != signed else token}"
    elif settings.verify is not None and body != signed and settings.verify.scheme in ("header", "bearer"):
        headers = {name: value.replace(SECRET, SECRET[:-1]) for name, value in headers.items()}
    path = base + path_below(settings) + (f"?{query}" if query else "")
    return site.request("POST", path, body, headers)


def now_ms() -> int:
    """The time of the real clock, which the program's is."""
    return SystemClock().now_ms()


def test_all_kinds_are_here() -> None:
    assert {settings.kind for settings in SOURCES} == set(sources.KINDS)


@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.kind)
def test_sent_and_sent_again(site: Site, settings: SourceSettings) -> None:
    first, again = send(site, settings).row, send(site, settings).row
    assert (first["status_code"], again["status_code"]) == (200, 200)
    (event,) = kept(site, settings.name)
    assert (first["id"], again["id"]) in ((event["id"], event["id"]), (None, None))
    assert (event["redeliveries"], event["size"]) == (1, len(BODIES[settings.kind]))
    assert (event["type"], event["key"]) == READ.get(settings.kind, (event["type"], event["key"]))
    assert site.cli("events", "show", event["id"], "--raw").out == BODIES[settings.kind]


@pytest.mark.any_store
@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.kind)
def test_tampered_with(site: Site, settings: SourceSettings) -> None:
    before = len(kept(site, settings.name))
    body = BODIES[settings.kind]
    answer = post(site, settings, body[:-1] + bytes([body[-1] ^ 1]), body, now_ms())
    stranger = site.request("POST", "/webhooks/nobody" + path_below(settings), body, {})
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert stranger.status in (401, 404)
    assert len(kept(site, settings.name)) == before


@pytest.mark.any_store
@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.kind)
def test_oversized(site: Site, settings: SourceSettings) -> None:
    before = len(kept(site, settings.name))
    body = b'{"id":"' + b"x" * MAX_BODY + b'"}'
    answer = post(site, settings, body, body, now_ms())
    assert (answer.status, answer.json["title"]) == (413, "Body too large")
    assert len(kept(site, settings.name)) == before


def test_answers_in_the_platforms_own_words(site: Site) -> None:
    settings = {each.kind: each for each in SOURCES}
    token = site.request("POST", "/webhooks/cxone-byoc/integration/box/1.0/token", b"{}", {})
    assert (token.status, token.json["title"]) == (401, "Not verified")
    body = json.dumps({"id": "m-1", "message": "hello"}).encode()
    first, again = (post(site, settings["cxone-byoc"], body, body, now_ms()) for _ in range(2))
    assert first.json == again.json
    assert (first.status, list(first.json)) == (200, ["idOnExternalPlatform"])
    form = b"contactId=1319&eventId=form-1"
    studio = post(site, settings["cxone-studio"], form, form, now_ms())
    assert (studio.status, studio.json["status"]) == (200, "accepted")
    unreadable = post(site, settings["cxone-studio"], b"{no", b"{no", now_ms())
    assert (unreadable.status, unreadable.json["title"]) == (400, "Unreadable")


def test_many_copies_of_a_message_for_one_token(site: Site, tmp_path: Path) -> None:
    (tmp_path / "many.json").write_text('{"id": "m", "message": "hello"}')
    rows = site.ask("send", "cxone-byoc", str(tmp_path / "many.json"), "--count", "5").rows
    assert len({row["id"] for row in rows}) == 5
