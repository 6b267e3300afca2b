"""EventBridge's envelope."""

import pytest
from dialects import admits, bodies, malformed, raises_nothing_else, read, rotates
from hypothesis import given

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build
from longstop.testing import payloads

KEY = VerifySettings("header", header="X-API-Key")
SOURCE = build(SourceSettings("bus", "genesys-eventbridge", secrets=("api-key",), verify=KEY))


@pytest.mark.parametrize(
    ("name", "dedup", "occurred_at_ms"),
    [
        ("customer_start", b"adbcfa5b-0116-4baa-b66b-a3f5902e95bf", 1649237444949),
        ("customer_end", b"58fb5dac-f077-4eec-a25f-c638dbdd4368", 1649237504949),
    ],
)
def test_real_envelopes(name: str, dedup: bytes, occurred_at_ms: int) -> None:
    reading = read(SOURCE, payloads.load(f"genesys_eventbridge_{name}"))
    assert reading.dedup == dedup
    assert reading.type == "v2.detail.events.conversation.{id}." + name.replace("_", ".")
    assert reading.key == "2f7bf00a-0fc2-4d6a-9b56-92238191433e"
    assert reading.occurred_at_ms == occurred_at_ms


@pytest.mark.parametrize(
    ("envelope", "occurred_at_ms"),
    [
        ({"time": "2022-04-06T09:30:45Z"}, 1649237445000),
        ({"time": "2022-04-06T11:30:45.001+02:00"}, 1649237445001),
        ({"time": "2022-04-06T09:30:45Z", "detail": {"eventBody": {"eventTime": "soon"}}}, 1649237445000),
        ({"time": "2022-04-06T09:30:45"}, None),
        ({"time": "1969-12-31T23:59:59Z"}, None),
        ({"time": True, "detail": {"eventBody": {"eventTime": 10**15}}}, None),
        ({}, None),
    ],
)
def test_the_time_of_the_event(envelope: dict[str, object], occurred_at_ms: int | None) -> None:
    assert read(SOURCE, {"id": "e", **envelope}).occurred_at_ms == occurred_at_ms


def test_an_envelope_without_an_id_is_no_duplicate_of_any() -> None:
    assert read(SOURCE, {"detail-type": "t"}).dedup is None


def test_other_topics_have_no_conversation() -> None:
    reading = read(SOURCE, {"id": "e", "detail-type": "v2.users.{id}.presence", "detail": {"eventBody": {"id": "u"}}})
    assert (reading.dedup, reading.type, reading.key) == (b"e", "v2.users.{id}.presence", None)


def test_what_is_ambiguous_goes_to_quarantine() -> None:
    malformed(SOURCE, {"id": {}}, "ambiguous dedup key")
    malformed(SOURCE, b'{"id":"a","id":"b"}', "repeated member name")
    malformed(SOURCE, b"[]")


def test_an_api_key() -> None:
    def make(secrets: tuple[str, ...]) -> tuple[SourceSettings, Source]:
        settings = SourceSettings("bus", "genesys-eventbridge", secrets=secrets, verify=KEY)
        return settings, build(settings)

    rotates(make, "X-API-Key")
    assert not admits(SOURCE, Request(Headers([("X-API-Key", "api-kez")]), b"{}"))


@given(body=bodies("id", "detail-type", "detail"))
def test_no_body_raises_anything_else(body: bytes) -> None:
    raises_nothing_else(SOURCE, Request(Headers(), body))
