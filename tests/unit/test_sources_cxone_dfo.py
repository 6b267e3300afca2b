"""Digital First Omnichannel: the signature of its origin's library, and events named by their own id."""

import pytest
from dialects import (
    OLD,
    admits,
    bodies,
    header_values,
    malformed,
    raises_nothing_else,
    read,
    refuses_each_flipped_bit,
    signed,
)
from dialects import rotates as rotates_secrets
from hypothesis import given

from longstop.model.errors import ConfigurationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build
from longstop.testing import payloads

FOO = b'{"foo":"bar"}'
SIGNATURE = "X-Request-Signature"
VECTOR = "mY/ehO6FCpo8xKIzCS05s2gTicm/ZjDmCm3YgrREVSg="


def make(secrets: tuple[str, ...]) -> tuple[SourceSettings, Source]:
    settings = SourceSettings("dfo", "cxone-dfo", secrets=secrets)
    return settings, build(settings)


@pytest.mark.parametrize(
    ("secret", "signature"),
    [("thisIsSecretKey", VECTOR), ("random", "36HN7juP6erwuhrmZelPH58M9xDaNrImKsDNi3u8Bww=")],
)
def test_the_vectors_of_its_library(secret: str, signature: str) -> None:
    _, source = make((secret,))
    assert admits(source, Request(Headers([(SIGNATURE, signature)]), FOO))
    assert not admits(source, Request(Headers([(SIGNATURE, signature)]), b'{"foo":"baz"}'))


@pytest.mark.parametrize(
    ("algorithms", "admitted"),
    [([], True), (["sha256"], True), (["SHA256"], True), (["sha1"], False), ([""], False), (["sha256", "md5"], False)],
)
def test_the_algorithm_if_named_is_sha256(algorithms: list[str], admitted: bool) -> None:
    _, source = make(("thisIsSecretKey",))
    headers = Headers([(SIGNATURE, VECTOR), *(("X-Signature-Algorithm", each) for each in algorithms)])
    assert admits(source, Request(headers, FOO)) is admitted


def test_each_flipped_bit_is_refused() -> None:
    settings, source = make((OLD,))
    refuses_each_flipped_bit(source, signed(settings, payloads.load("cxone_message_created")), SIGNATURE)


def test_rotation() -> None:
    rotates_secrets(make, SIGNATURE)


def test_a_real_event() -> None:
    reading = read(make((OLD,))[1], payloads.load("cxone_message_created"))
    assert reading.dedup == b"ca606da7-6c92-4bc7-b8f5-b0b56a12a005"
    assert (reading.type, reading.key) == ("Message.MessageCreated", "131988342510")


def test_what_is_missing_and_what_is_ambiguous() -> None:
    _, source = make((OLD,))
    reading = read(source, {"eventObject": "Case", "data": {"case": None}})
    assert (reading.dedup, reading.type, reading.key) == (None, None, None)
    malformed(source, {"eventId": ["a"]}, "ambiguous dedup key")
    malformed(source, b'{"eventId":"a","eventId":"b"}', "repeated member name")
    malformed(source, b"[]")


def test_settings_go_before_the_scheme_and_a_secret_is_needed() -> None:
    settings = SourceSettings("dfo", "cxone-dfo", secrets=("t",), verify=VerifySettings("bearer"))
    assert admits(build(settings), Request(Headers([("Authorization", "Bearer t")]), b"{}"))
    with pytest.raises(ConfigurationError, match=r"sources\.dfo\.secrets: found none"):
        make(())


@given(body=bodies("eventId", "eventObject", "eventType", "data"), signature=header_values)
def test_no_request_raises_anything_else(body: bytes, signature: str) -> None:
    _, source = make((OLD,))
    request = Request(Headers([(SIGNATURE, signature), ("X-Signature-Algorithm", signature)]), body)
    assert not admits(source, request)
    raises_nothing_else(source, request)
