"""Nothing is parsed before it is proven, of no kind; where the proof is in the body, the body is small."""

import base64
import json
from pathlib import Path

import pytest

from longstop.config import SOURCE_KINDS
from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import (
    BODY_BYTES_MAX,
    BODY_BYTES_MAX_OF,
    ChallengeSettings,
    SourceSettings,
    VerifySettings,
)
from longstop.model.signing import FORM_BYTES_MAX, sign
from longstop.ports import Source
from longstop.sources import KINDS, build, challenge, cxone_byoc, reading, standard_webhooks, unknown_sources
from longstop.sources.challenge import ASKING_BYTES_MAX
from longstop.sources.cxone_byoc import TOKEN_REQUEST_BYTES_MAX

PAGES = Path(__file__).parents[2] / "docs"
CHALLENGE = b'{"type":"url_verification","challenge":"abc"}'
NOW_MS = 1_780_000_000_000
VERIFY = VerifySettings("hmac-sha256", "X-Sig")


def settings(kind: str) -> SourceSettings:
    verify = VERIFY if kind in ("generic", "genesys-webhook", "genesys-data-action", "cxone-studio") else None
    verify = VerifySettings("bearer") if kind == "genesys-eventbridge" else verify
    asked = ChallengeSettings(field="challenge") if kind == "generic" else None
    secret = "whsec_" + base64.b64encode(b"key").decode()
    return SourceSettings(
        "s", kind, (secret,), verify, client_id="client", public_url="https://a.example/", challenge=asked
    )


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every body that is parsed as JSON."""
    bodies: list[bytes] = []
    real = reading._decode
    monkeypatch.setattr(reading, "_decode", lambda body: bodies.append(bytes(body)) or real(body))
    return bodies


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [CHALLENGE, b'{"a":' + b"[]," * 9_000 + b"1}", b"payload=%7B%7D", b"x" * 9_999])
def test_no_kind_parses_what_is_not_proven(kind: str, body: bytes, parsed: list[bytes]) -> None:
    source = build(settings(kind))
    stand_in = unknown_sources([source], b"key")("nobody")
    for each in (source, stand_in):
        with pytest.raises(VerificationError):
            _received(each, Request(Headers(), body))
    assert parsed == []


def _received(source: Source, request: Request) -> None:
    """What ingest does with it."""
    assert source.handshake(request, NOW_MS) is None
    source.verify(request, NOW_MS)


@pytest.mark.parametrize("kind", ["slack", "generic"])
def test_a_challenge_is_proven_before_it_is_parsed(kind: str, parsed: list[bytes]) -> None:
    made = settings(kind)
    source = build(made)
    for headers in (Headers(), Headers(sign(made, b"another body"))):
        with pytest.raises(VerificationError):
            source.handshake(Request(headers, CHALLENGE), NOW_MS)
    assert parsed == []
    answer = source.handshake(Request(Headers(sign(made, CHALLENGE, NOW_MS)), CHALLENGE), NOW_MS)
    assert answer is not None
    assert b"abc" in answer.body
    assert parsed == [CHALLENGE]


@pytest.mark.parametrize("kind", ["slack", "generic"])
def test_what_is_too_large_to_be_a_challenge_is_an_event(kind: str, parsed: list[bytes]) -> None:
    made = settings(kind)
    body = CHALLENGE + b" " * (ASKING_BYTES_MAX + 1 - len(CHALLENGE))
    assert build(made).handshake(Request(Headers(sign(made, body, NOW_MS)), body), NOW_MS) is None
    assert build(made).handshake(Request(Headers(sign(made, body[:-1], NOW_MS)), body[:-1]), NOW_MS) is not None
    assert parsed == [body[:-1]]


def test_a_challenge_by_get_is_looked_for_in_a_short_query_only() -> None:
    source = build(SourceSettings("s", "generic", challenge=ChallengeSettings(query="c")))
    for extra, answered in ((b"", True), (b"&x" * ASKING_BYTES_MAX, False)):
        request = Request(Headers(), b"", method="GET", query="c=abc" + extra.decode())
        if answered:
            assert source.handshake(request, NOW_MS) is not None
        else:
            with pytest.raises(VerificationError):
                source.handshake(request, NOW_MS)


# -- the token of BYOC ---------------------------------------------------------------------------


def asked_for_token(size: int) -> Request:
    client = {"client_id": "client", "client_secret": settings("cxone-byoc").secrets[0], "pad": ""}
    client["pad"] = "x" * (size - len(json.dumps(client)))
    return Request(Headers(), json.dumps(client).encode(), path="/token")


def test_a_request_for_a_token_is_small(parsed: list[bytes]) -> None:
    source = build(settings("cxone-byoc"))
    stand_in = unknown_sources([source], b"key")("nobody")
    for each in (source, stand_in):
        assert each.body_bytes_max("/token") == TOKEN_REQUEST_BYTES_MAX
        assert each.body_bytes_max("/posts/1/messages") == BODY_BYTES_MAX
    assert source.handshake(asked_for_token(TOKEN_REQUEST_BYTES_MAX), NOW_MS) is not None
    parsed.clear()
    # Whoever lets a larger one in: it is not parsed.
    with pytest.raises(VerificationError):
        source.handshake(asked_for_token(TOKEN_REQUEST_BYTES_MAX + 1), NOW_MS)
    assert parsed == []


def test_the_limit_of_a_token_is_never_over_that_of_the_source() -> None:
    made = SourceSettings("s", "cxone-byoc", ("x",), client_id="client", max_body_bytes=100)
    assert build(made).body_bytes_max("/token") == 100


# -- signatures that each take the body to be hashed ----------------------------------------------


def test_of_signatures_by_a_public_key_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr(
        standard_webhooks, "_public_key", lambda _data: lambda signature, _content: tried.append(signature) or False
    )
    source = build(SourceSettings("s", "standard-webhooks", ("whpk_" + base64.b64encode(b"k" * 32).decode(),)))
    signature = "v1a," + base64.b64encode(b"s" * 64).decode()
    headers = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": " ".join([signature] * 30)}
    with pytest.raises(VerificationError):
        source.verify(Request(Headers(headers.items()), b"{}"), NOW_MS)
    assert len(tried) == standard_webhooks.PUBLIC_SIGNATURES_MAX


# -- how large a body may be -----------------------------------------------------------------------


def test_each_kinds_limit_is_on_its_page_and_in_the_table() -> None:
    table = (PAGES / "backpressure.md").read_text()
    for kind in SOURCE_KINDS:
        size = f"{BODY_BYTES_MAX_OF.get(kind, BODY_BYTES_MAX) // 1024**2} MiB"
        assert build(settings(kind)).body_bytes_max("") == BODY_BYTES_MAX_OF.get(kind, BODY_BYTES_MAX)
        if kind != "generic":
            assert f"| largest body | {size}, " in (PAGES / f"sources/{kind}.md").read_text()
        assert (f"| `{kind}` | {size} |" in table) is (kind in BODY_BYTES_MAX_OF)


def test_the_limits_are_those_of_the_page() -> None:
    table = (PAGES / "backpressure.md").read_text()
    for text in (
        f"over {TOKEN_REQUEST_BYTES_MAX // 1024} KiB",
        f"over {ASKING_BYTES_MAX // 1024} KiB",
        f"over {FORM_BYTES_MAX // 1024} KiB",
        f"{reading.require_few_nodes.__globals__['NODES_MAX']:,} values",
        f"{standard_webhooks.PUBLIC_SIGNATURES_MAX} of them by a public key",
    ):
        assert text in table
    assert challenge.ASKING_BYTES_MAX < cxone_byoc.TOKEN_REQUEST_BYTES_MAX


def test_max_body_goes_before_the_kinds_own_limit() -> None:
    made = SourceSettings("s", "github", ("x",), max_body_bytes=7)
    assert build(made).body_bytes_max("") == made.body_bytes_max == 7
