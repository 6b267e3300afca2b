"""Credentials are not kept: neither with an event nor in quarantine, whatever the scheme."""

import pytest
from services import on_virtual_time
from test_rejections import Site, signed

from longstop.model.credentials import (
    NOT_KEPT,
    credential_headers,
    query_without_credentials,
    shown_headers,
    shows_secret,
    without_credentials,
)
from longstop.model.event import Headers
from longstop.model.listing import EventFilter, Page
from longstop.model.settings import SourceSettings, VerifySettings

SECRET = "a-secret-of-many-characters"
BESIDE = [
    ("Cookie", f"session={SECRET}"),
    ("Proxy-Authorization", f"Basic {SECRET}"),
    ("x-api-key", SECRET),
    ("X-Tenant-Token", SECRET),
    ("X-Request-Id", "r-1"),
]
SCHEMES = {
    "header": VerifySettings("header", "X-Shop-Key", prefix="key "),
    "basic": VerifySettings("basic", username="shop"),
    "bearer": VerifySettings("bearer"),
    "hmac-sha256": VerifySettings("hmac-sha256", "X-Signature"),
}


@pytest.mark.parametrize("body", [b'{"id": 1}', b"{"], ids=["event", "quarantine"])
@pytest.mark.parametrize("verify", SCHEMES.values(), ids=SCHEMES)
@on_virtual_time
async def test_what_is_kept_of_a_request_proves_no_other(verify: VerifySettings, body: bytes) -> None:
    settings = SourceSettings("orders", "generic", (SECRET,), verify, dedup="id", required_headers=("X-Tenant-Token",))
    site = Site(settings)
    proof = signed(settings, body)
    assert await site.post("orders", [*BESIDE, *proof], body) in (200, 400)
    ((kept,),) = [(await site.store.find_events(EventFilter(), Page())).rows]
    headers = dict(kept.event.headers)
    assert SECRET not in repr(list(kept.event.headers))
    assert headers["X-Request-Id"] == "r-1"
    assert [headers[name] for name, _ in BESIDE[:4]] == [NOT_KEPT] * 4
    name, value = proof[-1]
    assert headers[name] == (value if verify.scheme.startswith("hmac-") else NOT_KEPT)
    assert [each for each, _ in kept.event.headers] == ["Content-Length", *(each for each, _ in [*BESIDE, *proof])]


def test_every_value_of_a_repeated_header_is_blanked_and_all_else_is_as_it_was() -> None:
    sent = Headers([("cookie", "a"), ("X", "\xe9"), ("COOKIE", "b")])
    assert list(sent.blanked(frozenset({b"cookie"}), NOT_KEPT)) == [
        ("cookie", NOT_KEPT), ("X", "\xe9"), ("COOKIE", NOT_KEPT),
    ]  # fmt: skip
    assert sent.blanked(frozenset({b"authorization"}), NOT_KEPT) is sent


def test_a_signature_is_no_credential_and_a_token_is() -> None:
    github = credential_headers(SourceSettings("hub", "github", (SECRET,)))
    assert b"x-hub-signature-256" not in github
    assert {b"authorization", b"cookie"} <= github
    assert b"authorization" in credential_headers(SourceSettings("byoc", "cxone-byoc", (SECRET,), client_id="c"))


def test_of_a_refused_request_only_what_is_known_to_be_harmless_is_shown() -> None:
    shown = {"Host": "h", "X-Hub-Signature-256": "s", "X-GitHub-Event": "push", "X-Request-Id": "1", "X-Proof": "p"}
    hidden = {"X-Session-Id": "1", "X-Event-Token": "2", "X-Monkey": "3", "X-Note-Id": f"a {SECRET}", "Cookie": "4"}
    sent = Headers([*shown.items(), *hidden.items()])
    kept = without_credentials(sent, frozenset({b"cookie"}), frozenset({b"x-proof"}), (SECRET, ""))
    assert dict(kept) == {**shown, **dict.fromkeys(hidden, NOT_KEPT)}
    assert dict(without_credentials(sent, frozenset({b"host"}), frozenset({b"host"}), ()))["Host"] == NOT_KEPT


def test_the_signature_of_a_source_is_shown_and_its_credential_is_not() -> None:
    for kind in ("stripe", "slack", "shopify", "github", "twilio"):
        assert shown_headers(SourceSettings("a", kind, (SECRET,)))
    keyed = SourceSettings("a", "generic", (SECRET,), VerifySettings("header", "X-Signature"))
    assert shown_headers(keyed) == frozenset()


def test_of_a_query_the_names_are_kept() -> None:
    assert query_without_credentials("") == ""
    assert query_without_credentials("token=abc&x&bodySHA256=00") == f"token={NOT_KEPT}&{NOT_KEPT}&bodySHA256=00"


def test_a_body_that_shows_a_secret() -> None:
    assert shows_secret(b'{"client_secret": "x"}', ())
    assert shows_secret(f"x{SECRET}x".encode(), (SECRET,))
    assert not shows_secret(b'{"id": 1}', (SECRET, ""))
