"""What a workflow's data action posts: fields that may be there, and no dedup key unless three of them are."""

import base64
import json

import pytest
from dialects import NEW, OLD, admits, bodies, malformed, raises_nothing_else, read, rotates, signed
from hypothesis import given

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build
from longstop.testing import payloads

SOURCE = build(SourceSettings("workflow", "genesys-data-action"))
TOPIC = "v2.detail.events.conversation.{id}.customer.end"
WHOLE = {"topicName": TOPIC, "conversationId": "c", "eventTime": 1}


def test_a_body_that_follows_the_template() -> None:
    reading = read(SOURCE, payloads.load("genesys_data_action_event"))
    assert (reading.type, reading.key) == (TOPIC, "2f7bf00a-0fc2-4d6a-9b56-92238191433e")
    assert json.loads(reading.dedup or b"") == [
        "2f7bf00a-0fc2-4d6a-9b56-92238191433e",
        "1649237504949",
        TOPIC,
        "9fb2ca78-8389-4758-b76a-9b0300de1fce",
        "c03d300e-fa79-4353-9695-b97a71322785",
    ]


def test_a_real_body_has_a_type_and_nothing_else() -> None:
    reading = read(SOURCE, payloads.load("genesys_data_action_post"))
    assert (reading.type, reading.key, reading.dedup) == ("v2.detail.events.conversation.id.user.end", None, None)


@pytest.mark.parametrize("missing", ["topicName", "conversationId", "eventTime"])
@pytest.mark.parametrize("value", [None, ""])
def test_without_one_of_the_three_nothing_is_a_duplicate(missing: str, value: str | None) -> None:
    body = {**WHOLE, missing: value}
    assert read(SOURCE, body).dedup is None
    assert read(SOURCE, {name: body[name] for name in body if name != missing}).dedup is None


def test_each_part_tells_events_apart_and_nothing_else_does() -> None:
    changes = [{}, {"topicName": "t"}, {"conversationId": "d"}, {"eventTime": 2}, {"participantId": "p"}]
    found = {read(SOURCE, {**WHOLE, **change}).dedup for change in [*changes, {"sessionId": "p"}]}
    assert len(found) == 6
    assert read(SOURCE, {**WHOLE, "other": 1}).dedup == read(SOURCE, WHOLE).dedup
    assert read(SOURCE, {"topic": TOPIC, "conversationId": "c", "eventTime": "1"}).dedup == read(SOURCE, WHOLE).dedup


def test_a_topic_with_the_conversation_in_it_is_the_same_type_for_all() -> None:
    body = {"topic": "v2.detail.events.conversation.c-1.customer.end", "conversationId": "c-1"}
    assert read(SOURCE, body).type == TOPIC


def test_what_is_ambiguous_goes_to_quarantine() -> None:
    for value in ({}, ["c"], True):
        malformed(SOURCE, {**WHOLE, "conversationId": value}, "ambiguous dedup key")
    malformed(SOURCE, b'{"topic":"t","conversationId":"c","eventTime":1,"eventTime":2}', "repeated member name")
    for body in (b"", b"[]", b"no json", b"[" * 100_000):
        malformed(SOURCE, body)


def test_the_bodys_hash_is_a_dedup_key_for_who_asks_for_it() -> None:
    source = build(SourceSettings("workflow", "genesys-data-action", dedup="hash:body", dedup_window_ms=60_000))
    one, other = (read(source, payloads.load(f"genesys_data_action_{name}")).dedup for name in ("post", "event"))
    assert one != other
    assert one == read(source, payloads.load("genesys_data_action_post")).dedup
    assert one is not None
    assert one.startswith(b"sha256:")
    assert source.dedup_window_ms == 60_000


@pytest.mark.parametrize(
    "verify",
    [VerifySettings("header", header="X-Key"), VerifySettings("bearer"), VerifySettings("basic", username="u")],
)
def test_a_static_credential(verify: VerifySettings) -> None:
    def make(secrets: tuple[str, ...]) -> tuple[SourceSettings, Source]:
        settings = SourceSettings("workflow", "genesys-data-action", secrets=secrets, verify=verify)
        return settings, build(settings)

    rotates(make, verify.header or "Authorization")
    settings, source = make((OLD,))
    assert admits(source, signed(settings, b"{}"))
    assert not admits(source, signed(make((NEW,))[0], b"{}"))


def test_basic_as_the_platform_writes_it() -> None:
    settings = SourceSettings("w", "genesys-data-action", secrets=(f"u:{OLD}",), verify=VerifySettings("basic"))
    header = "Basic " + base64.b64encode(f"u:{OLD}".encode()).decode()
    assert admits(build(settings), Request(Headers([("Authorization", header)]), b"{}"))


@given(body=bodies("conversationId", "topicName", "topic", "eventTime", "participantId"))
def test_no_body_raises_anything_else(body: bytes) -> None:
    raises_nothing_else(SOURCE, Request(Headers(), body))
