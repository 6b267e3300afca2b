"""The generic dialect, the registry, and what a new dialect is made of."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longstop.config.shape import SOURCE_KINDS
from longstop.model.errors import ConfigurationError, MalformedError, VerificationError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Answer, Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import KINDS, build
from longstop.sources.dialect import Dialect
from longstop.sources.reading import parse_leniently
from longstop.testing import payloads


def generic(**settings: object) -> Source:
    return build(SourceSettings("orders", "generic", **settings))


def test_with_nothing_configured_all_is_accepted_and_nothing_is_a_duplicate():
    reading = generic().read(Request(Headers(), b'{"id": 1}'))
    assert reading.document == {"id": 1}
    assert (reading.type, reading.key, reading.dedup) == (None, None, None)


def test_dedup_type_and_key_by_expression_and_header():
    source = generic(dedup="header:X-Delivery", type="event.type", key="header:X-Session")
    headers = Headers([("X-Delivery", "d1"), ("X-Session", "s1")])
    reading = source.read(Request(headers, b'{"event": {"type": "ended"}}'))
    assert (reading.dedup, reading.type, reading.key) == (b"d1", "ended", "s1")


@pytest.mark.parametrize("body", [b"", b"a=1&b=2", b"<event/>", b"\xff\x00", b"[" * 100_000])
def test_a_body_need_not_be_json(body):
    source = generic(type="type", key="header:X-Session", dedup="header:X-Id")
    reading = source.read(Request(Headers([("X-Session", "s"), ("X-Id", "i")]), body))
    assert (reading.document, reading.type, reading.key, reading.dedup) == (None, None, "s", b"i")


@pytest.mark.parametrize("body", [b"", b"a=1", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("dedup", ["id", "a || b"])
def test_a_body_must_be_readable_where_the_dedup_key_is_in_it(body, dedup):
    with pytest.raises(MalformedError):
        generic(dedup=dedup).read(Request(Headers(), body))


@pytest.mark.parametrize("body", [b"{}", b'{"id":null}', b'{"id":""}', b"[]", b"7"])
def test_a_body_without_a_dedup_key_is_accepted_without_one(body):
    assert generic(dedup="id").read(Request(Headers(), body)).dedup is None


@pytest.mark.parametrize("body", [b'{"id":{}}', b'{"id":[1]}', b'{"id":true}', b'{"id":1,"id":2}'])
def test_an_ambiguous_dedup_key_is_malformed(body):
    with pytest.raises(MalformedError, match="ambiguous dedup key"):
        generic(dedup="id").read(Request(Headers(), body))


def test_a_dedup_expression_that_fails_on_the_body_is_ambiguous():
    with pytest.raises(MalformedError, match="expression fails"):
        generic(dedup="join('-', [a, b])").read(Request(Headers(), b'{"a":"x"}'))


def test_every_payload_is_readable():
    for name in payloads.names():
        assert generic().read(Request(Headers(), payloads.load(name))).document == json.loads(payloads.load(name))


def test_payload_names_with_and_without_suffix():
    name = "genesys_webhook_flat"
    assert payloads.load(name) == payloads.load(f"{name}.json")
    assert name in payloads.names()
    with pytest.raises(FileNotFoundError):
        payloads.load("nobody")


def test_the_kinds_of_sources():
    assert set(KINDS) == set(SOURCE_KINDS)
    with pytest.raises(ConfigurationError, match=r"sources\.x\.kind: found 'genesis'; expected one of: cxone-byoc, "):
        build(SourceSettings("x", "genesis"))


def test_an_expression_that_cannot_be_compiled_is_refused_with_its_place():
    for field in ("dedup", "type", "key"):
        with pytest.raises(ConfigurationError, match=rf"^sources\.orders\.{field}: found 'a\.\.b'"):
            generic(**{field: "a..b"})


class Stamped:
    """Admits what was stamped less than a second ago."""

    def admits(self, request: Request, now_ms: int, /) -> bool:
        return now_ms - int(request.headers.get("X-At", "0")) < 1000


def dialect(settings: SourceSettings) -> Source:
    return Dialect(
        settings,
        verifier=Stamped(),
        parse=parse_leniently,
        dedup=lambda request, _document: request.body[:2],
        answer=lambda receipt: Answer(202, receipt.event_id.encode(), "text/plain"),
    )


def test_a_dialect_of_its_own_kind():
    source = dialect(SourceSettings("new", "new"))
    request = Request(Headers([("X-At", "5000")]), b"hello")
    source.verify(request, 5999)
    with pytest.raises(VerificationError):
        source.verify(request, 6000)
    assert source.read(request).dedup == b"he"
    assert source.answer(Receipt(ReceiptStatus.ACCEPTED, "i")) == Answer(202, b"i", "text/plain")


def test_settings_go_before_a_dialects_own_verifier():
    source = dialect(SourceSettings("new", "new", secrets=("t",), verify=VerifySettings("bearer")))
    source.verify(Request(Headers([("Authorization", "Bearer t")]), b""), 99_000)
    with pytest.raises(VerificationError):
        source.verify(Request(Headers([("X-At", "99000")]), b""), 99_000)


words = st.text(max_size=6) | st.binary(max_size=6).map(lambda raw: raw.decode("latin-1"))
headers = st.lists(st.tuples(st.sampled_from(["X-Id", "x-id", "X-Sig", "Authorization"]), words), max_size=4)
SOURCES = [
    generic(dedup=dedup, type="a.b", key="header:X-Id", secrets=("s:s",), verify=verify)
    for dedup in ("header:X-Id", "a", "a.b", "join('', a)", "*[0]")
    for verify in (VerifySettings(), VerifySettings("basic"), VerifySettings("hmac-sha1", header="X-Sig"))
]
json_bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())


@given(pairs=headers, body=st.binary() | json_bodies)
def test_no_request_raises_anything_but_the_two_errors(pairs, body):
    request = Request(Headers(pairs), body)
    for source in SOURCES:
        with contextlib.suppress(VerificationError):
            source.verify(request, 0)
        try:
            reading = source.read(request)
        except MalformedError:
            continue
        assert isinstance(reading.dedup, bytes | None)
        assert isinstance(reading.type, str | None)
        assert isinstance(reading.key, str | None)
