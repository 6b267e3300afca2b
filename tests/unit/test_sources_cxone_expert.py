"""Expert webhooks: a signed time, and bodies of XML."""

import hashlib
import hmac

import pytest
from dialects import (
    NOW_MS,
    OLD,
    admits,
    bodies,
    header_values,
    raises_nothing_else,
    read,
    refuses_each_flipped_bit,
    rotates,
    signed,
)
from hypothesis import given

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings
from longstop.ports import Source
from longstop.sources import build

SIGNATURE, TIMESTAMP = "X-Nexus-Signature-256", "X-Nexus-Timestamp"
XML = b'<?xml version="1.0"?><event><page id="7"/></event>'


def make(secrets: tuple[str, ...]) -> tuple[SourceSettings, Source]:
    settings = SourceSettings("expert", "cxone-expert", secrets=secrets)
    return settings, build(settings)


SETTINGS, SOURCE = make((OLD,))


def by_hand(timestamp: str, body: bytes = XML) -> Request:
    """Signed as the vendor's guide does it."""
    digest = hmac.new(OLD.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return Request(Headers([(SIGNATURE, f"sha256={digest}"), (TIMESTAMP, timestamp)]), body)


@pytest.mark.parametrize(
    ("off_ms", "admitted"),
    [(0, True), (299_000, True), (300_000, True), (300_001, False), (301_000, False)],
)
@pytest.mark.parametrize("way", [1, -1])
def test_the_edges_of_the_tolerance(off_ms: int, admitted: bool, way: int) -> None:
    request = by_hand(str(NOW_MS // 1000))
    assert admits(SOURCE, request, NOW_MS + way * off_ms) is admitted


def test_the_tolerance_is_a_setting() -> None:
    source = build(SourceSettings("expert", "cxone-expert", secrets=(OLD,), tolerance_ms=1_000))
    request = by_hand(str(NOW_MS // 1000))
    assert admits(source, request, NOW_MS + 1_000)
    assert not admits(source, request, NOW_MS + 1_001)


@pytest.mark.parametrize(
    "timestamp", ["", "-5", "1e9", " ", "١٧٨", f"{NOW_MS // 1000}.0", f"+{NOW_MS // 1000}", "9" * 40]
)
def test_a_time_that_is_none_is_refused(timestamp: str) -> None:
    assert not admits(SOURCE, by_hand(timestamp), NOW_MS)


def test_a_time_that_is_missing_or_there_twice_is_refused() -> None:
    (signature, time) = by_hand(str(NOW_MS // 1000)).headers
    for headers in ([signature], [signature, time, time], [time]):
        assert not admits(SOURCE, Request(Headers(headers), XML))


def test_each_flipped_bit_is_refused() -> None:
    request = by_hand(str(NOW_MS // 1000))
    refuses_each_flipped_bit(SOURCE, request, SIGNATURE)
    refuses_each_flipped_bit(SOURCE, request, TIMESTAMP)


def test_rotation() -> None:
    rotates(make, SIGNATURE)


def test_what_is_read_of_xml() -> None:
    reading = read(SOURCE, XML, **{"X-Nexus-Delivery-Id": "d-1", "X-Nexus-Event-Type": "Page_Create"})
    assert (reading.document, reading.type, reading.key, reading.dedup) == (None, "Page_Create", None, b"d-1")


def test_json_can_be_decided_on() -> None:
    reading = read(SOURCE, {"page": {"id": 7}})
    assert (reading.document, reading.type, reading.dedup) == ({"page": {"id": 7}}, None, None)


def test_two_delivery_ids_are_ambiguous() -> None:
    headers = Headers([("X-Nexus-Delivery-Id", "a"), ("X-Nexus-Delivery-Id", "b")])
    with pytest.raises(Exception, match="ambiguous dedup key"):
        SOURCE.read(Request(headers, XML))


def test_send_gives_equal_bodies_one_delivery_id() -> None:
    one, again, other = (SOURCE.read(signed(SETTINGS, body)).dedup for body in (XML, XML, b"<a/>"))
    assert one == again != other


@given(body=bodies("id"), signature=header_values, timestamp=header_values)
def test_no_request_raises_anything_else(body: bytes, signature: str, timestamp: str) -> None:
    headers = Headers([(SIGNATURE, signature), (TIMESTAMP, timestamp), ("X-Nexus-Delivery-Id", timestamp)])
    assert not admits(SOURCE, Request(headers, body))
    raises_nothing_else(SOURCE, Request(headers, body))
