"""Who is admitted: every scheme, its edges, and what must never get through."""

import base64
import contextlib
import dataclasses
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.model.errors import ConfigurationError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.sources import build, refusing_source
from longstop.sources.verification import HmacVerifier, build_verifier
from longstop.testing import payloads

BODY = payloads.load("genesys_open_messaging_text")
OLD, NEW = "the-old-secret-of-genesys", "the-new-secret-of-genesys"


def request(*headers: tuple[str, str], body: bytes = BODY) -> Request:
    return Request(Headers(headers), body)


def admits(verify: VerifySettings, secrets: tuple[str, ...], *headers: tuple[str, str], body: bytes = BODY) -> bool:
    return build_verifier(verify, secrets, "s").admits(request(*headers, body=body), 0)


def signature(secret: str, body: bytes = BODY) -> str:
    return "sha256=" + base64.b64encode(hmac.new(secret.encode(), body, "sha256").digest()).decode()


@pytest.fixture
def genesys():
    return build(SourceSettings("genesys", "genesys-open-messaging", secrets=(OLD, NEW)))


# The signing library's own vectors.
@pytest.mark.parametrize(
    ("secret", "sent"),
    [
        ("thisIsSecretKey", "mY/ehO6FCpo8xKIzCS05s2gTicm/ZjDmCm3YgrREVSg="),
        ("random", "36HN7juP6erwuhrmZelPH58M9xDaNrImKsDNi3u8Bww="),
    ],
)
def test_brand_embassy_vectors(secret, sent):
    verify = VerifySettings("hmac-sha256", header="X-Request-Signature", encoding="base64")
    source = build(SourceSettings("dfo", "generic", secrets=(secret,), verify=verify))
    source.verify(request(("X-Request-Signature", sent), body=b'{"foo":"bar"}'), 0)
    with pytest.raises(VerificationError):
        source.verify(request(("X-Request-Signature", sent), body=b'{"foo":"baz"}'), 0)


# RFC 2202 (case 2 for SHA-1) and RFC 4231 (case 2 for the others).
@pytest.mark.parametrize(
    ("scheme", "digest"),
    [
        ("hmac-sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        ("hmac-sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "hmac-sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ],
)
def test_hmac_in_hex_and_base64_with_and_without_prefix(scheme, digest):
    body = b"what do ya want for nothing?"
    in_base64 = base64.b64encode(bytes.fromhex(digest)).decode()
    for prefix in ("", "v1="):
        in_hex = VerifySettings(scheme, header="X-Sig", prefix=prefix)
        assert admits(in_hex, ("Jefe",), ("x-sig", prefix + digest), body=body)
        assert admits(in_hex, ("Jefe",), ("x-sig", prefix + digest.upper()), body=body)
        assert not admits(in_hex, ("Jefe",), ("x-sig", "v2=" + digest), body=body)
        assert not admits(in_hex, ("Jefe",), ("x-sig", prefix + in_base64), body=body)
        as_base64 = VerifySettings(scheme, header="X-Sig", encoding="base64", prefix=prefix)
        assert admits(as_base64, ("Jefe",), ("X-SIG", prefix + in_base64), body=body)
        assert not admits(as_base64, ("Jefe",), ("X-SIG", prefix + in_base64.swapcase()), body=body)


def test_a_prefix_that_is_missing_is_refused():
    verify = VerifySettings("hmac-sha256", header="X-Sig", prefix="sha256=")
    assert not admits(verify, ("k",), ("X-Sig", hmac.new(b"k", BODY, "sha256").hexdigest()))


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_both_secrets_verify_while_one_is_rotated(genesys, secret):
    genesys.verify(request(("x-hub-signature-256", signature(secret))), 0)


def test_a_secret_out_of_use_no_longer_verifies():
    source = build(SourceSettings("genesys", "genesys-open-messaging", secrets=(NEW,)))
    with pytest.raises(VerificationError):
        source.verify(request(("X-Hub-Signature-256", signature(OLD))), 0)


def test_the_hex_form_is_not_genesys(genesys):
    in_hex = "sha256=" + hmac.new(OLD.encode(), BODY, "sha256").hexdigest()
    with pytest.raises(VerificationError):
        genesys.verify(request(("X-Hub-Signature-256", in_hex)), 0)


def test_any_flipped_bit_of_the_signature_is_refused(genesys):
    good = signature(OLD).encode()
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationError):
            genesys.verify(request(("X-Hub-Signature-256", bad.decode("latin-1"))), 0)


def test_any_flipped_bit_of_the_body_is_refused(genesys):
    sent = signature(OLD)
    for bit in range(len(BODY) * 8):
        bad = bytearray(BODY)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationError):
            genesys.verify(request(("X-Hub-Signature-256", sent), body=bytes(bad)), 0)


def test_a_signature_sent_twice_is_refused(genesys):
    good = ("X-Hub-Signature-256", signature(OLD))
    for other in (good, ("x-hub-signature-256", "sha256=zzz"), ("X-HUB-SIGNATURE-256", "")):
        for headers in ((good, other), (other, good)):
            with pytest.raises(VerificationError):
                genesys.verify(request(*headers), 0)


@pytest.mark.parametrize("value", ["", "sha256=", "sha256=é", "ÿ" * 50, "sha256=\u2603", "\0", "=" * 9000, "\ud800"])
def test_odd_header_values_are_refused_and_do_not_raise(genesys, value):
    with pytest.raises(VerificationError):
        genesys.verify(request(("X-Hub-Signature-256", value)), 0)


def test_every_secret_is_tried_whatever_was_sent(genesys, monkeypatch):
    tried = []
    real = hmac.HMAC.copy
    monkeypatch.setattr(hmac.HMAC, "copy", lambda keyed: tried.append(real(keyed).digest()) or real(keyed))
    sent = [(("X-Hub-Signature-256", signature(OLD)),), (("X-Hub-Signature-256", "sha256=no"),), ()]
    for headers in sent:
        tried.clear()
        with contextlib.suppress(VerificationError):
            genesys.verify(request(*headers), 0)
        assert tried == [hmac.digest(secret.encode(), b"", "sha256") for secret in (OLD, NEW)]


def test_comparisons_are_of_constant_time(monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    verify = VerifySettings("header", header="X-Key")
    assert admits(verify, ("one", "two"), ("X-Key", "one"))
    assert not admits(verify, ("one", "two"))
    assert compared == [b"one", b"two"] * 2


def test_shared_header():
    verify = VerifySettings("header", header="X-Api-Key")
    assert admits(verify, ("a", "b"), ("x-api-key", "b"))
    assert admits(verify, ("schlüssel",), ("x-api-key", "schlüssel".encode().decode("latin-1")))
    assert not admits(verify, ("a", "b"), ("x-api-key", "c"))
    assert not admits(verify, ("a", "b"), ("x-api-key", "a"), ("x-api-key", "a"))
    assert not admits(verify, ("a", "b"))
    prefixed = VerifySettings("header", header="X-Api-Key", prefix="Key ")
    assert admits(prefixed, ("a",), ("x-api-key", "Key a"))
    assert not admits(prefixed, ("a",), ("x-api-key", "a"))


def basic(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def test_basic():
    whole, password = VerifySettings("basic"), VerifySettings("basic", username="agent")
    assert admits(whole, ("agent:pass:word",), ("Authorization", "Basic " + basic("agent:pass:word")))
    assert admits(password, ("one", "two"), ("authorization", "bAsIc  " + basic("agent:two")))
    for value in ("Basic", "Basic ", "Bearer " + basic("agent:one"), basic("agent:one"), "Basic " + basic("x:one")):
        assert not admits(password, ("one", "two"), ("Authorization", value))
    assert not admits(password, ("one",))


def test_bearer():
    verify = VerifySettings("bearer")
    assert admits(verify, ("t1", "t2"), ("Authorization", "Bearer t2"))
    for value in ("Bearer", "Bearer t3", "Basic t1", "t1", "Bearer t1 t1"):
        assert not admits(verify, ("t1", "t2"), ("Authorization", value))


def test_none_admits_everybody():
    assert admits(VerifySettings("none"), ())


@pytest.mark.parametrize(
    ("verify", "secrets", "words"),
    [
        (VerifySettings("hmac-sha256", header="X"), (), "secrets: found none"),
        (VerifySettings("bearer"), ("good", ""), "secrets: found an empty one"),
        (VerifySettings("hmac-sha1"), ("k",), "verify.header: found nothing"),
        (VerifySettings("header"), ("k",), "verify.header: found nothing"),
        (VerifySettings("basic"), ("no-colon-secret",), "without a colon"),
    ],
)
def test_settings_that_cannot_verify_are_refused_without_telling_a_secret(verify, secrets, words):
    with pytest.raises(ConfigurationError, match=r"^sources\.s\.") as caught:
        build_verifier(verify, secrets, "s")
    assert words in str(caught.value)
    assert not any(secret and secret in str(caught.value) for secret in secrets if len(secret) > 4)


def test_open_messaging_without_a_secret_is_refused():
    with pytest.raises(ConfigurationError, match=r"sources\.genesys\.secrets"):
        build(SourceSettings("genesys", "genesys-open-messaging"))


def test_an_unknown_source_refuses_with_the_same_words_as_a_wrong_signature(genesys):
    with pytest.raises(VerificationError) as unknown:
        refusing_source("random").verify(request(("X-Hub-Signature-256", signature(OLD))), 0)
    with pytest.raises(VerificationError) as wrong:
        genesys.verify(request(("X-Hub-Signature-256", signature("guess"))), 0)
    with pytest.raises(VerificationError) as missing:
        genesys.verify(request(), 0)
    assert str(unknown.value) == str(wrong.value) == str(missing.value)


def test_an_unknown_source_does_the_work_of_a_signature(monkeypatch):
    digested = []
    real = hmac.HMAC.update
    monkeypatch.setattr(
        hmac.HMAC, "update", lambda keyed, data: digested.append((data, keyed.name)) or real(keyed, data)
    )
    with pytest.raises(VerificationError):
        refusing_source("random").verify(request(), 0)
    assert digested == [(BODY, "hmac-sha256")]


def test_secrets_are_in_no_repr(genesys):
    verifier = HmacVerifier((OLD,), "X")
    for text in (repr(genesys), repr(verifier), repr(SourceSettings("s", "generic", secrets=(OLD,)))):
        assert OLD not in text


SCHEMES = [
    VerifySettings("header", header="X"),
    VerifySettings("basic", header="X", username="u"),
    VerifySettings("bearer", header="X"),
    VerifySettings("hmac-sha256", header="X", prefix="v="),
    VerifySettings("hmac-sha512", header="X", encoding="base64"),
]


@given(values=st.lists(st.text() | st.binary().map(lambda raw: raw.decode("latin-1"))), body=st.binary())
def test_no_header_or_body_makes_a_verifier_raise_or_admit(values, body):
    sent = request(*(("x", value) for value in values), body=body)
    for verify in SCHEMES:
        assert not build_verifier(verify, (hashlib.sha256(b"hard to guess").hexdigest(),), "s").admits(sent, 0)


# -- signed text


TEMPLATE = VerifySettings(
    "hmac-sha256", "X-Sig", content="v0:{id}:{timestamp}:{body}", timestamp_header="X-Time", id_header="X-Id"
)
NOW_S = 1_780_000_000


def signed_text(timestamp: str, id: str = "m-1", body: bytes = BODY) -> Request:
    text = f"v0:{id}:{timestamp}:".encode() + body
    sent = hmac.new(OLD.encode(), text, "sha256").hexdigest()
    return request(("X-Sig", sent), ("X-Time", timestamp), ("X-Id", id), body=body)


@pytest.mark.parametrize("off_s", [-301, -300, -299, 0, 299, 300, 301])
def test_a_signed_time_is_good_for_the_tolerance_and_not_longer(off_s):
    verifier = build_verifier(TEMPLATE, (NEW, OLD), "s", 300_000)
    now_ms = NOW_S * 1000
    assert verifier.admits(signed_text(str(NOW_S + off_s)), now_ms) is (abs(off_s) <= 300)
    assert not verifier.admits(signed_text(str(NOW_S - 300)), now_ms + 1)


def test_all_that_is_put_in_is_signed_and_has_to_be_there():
    verifier = build_verifier(TEMPLATE, (OLD,), "s", 300_000)
    good = signed_text(str(NOW_S))
    assert verifier.admits(good, NOW_S * 1000)
    for name, value in (("X-Time", str(NOW_S + 1)), ("X-Id", "m-2"), ("X-Id", None), ("X-Time", None)):
        pairs = [(key, text) for key, text in good.headers if key != name]
        other = request(*pairs, *([(name, value)] if value else []), body=good.body)
        assert not verifier.admits(other, NOW_S * 1000)
    assert not verifier.admits(signed_text(str(NOW_S), id=""), NOW_S * 1000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timestamp_header": None}, "verify.timestamp_header: found nothing"),
        ({"id_header": None}, "verify.id_header: found nothing"),
        ({"content": "{id}{body}"}, "verify.timestamp_header: found a header, and no {timestamp}"),
        ({"content": "{body}"}, "verify.timestamp_header: found a header"),
    ],
)
def test_what_is_signed_and_where_it_is_have_to_fit(changes, said):
    with pytest.raises(ConfigurationError) as caught:
        build_verifier(dataclasses.replace(TEMPLATE, **changes), (OLD,), "s")
    assert f"sources.s.{said}" in str(caught.value)
