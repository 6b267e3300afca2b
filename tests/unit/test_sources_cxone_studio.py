"""Studio scripts: bodies that say what they are, whatever their Content-Type says."""

import json
from typing import Any

import pytest
from dialects import admits, bodies, malformed, raises_nothing_else, read, rotates
from hypothesis import given
from hypothesis import strategies as st

from longstop.edges.senders_http.answers import problem
from longstop.model.errors import MalformedError, QuarantinedError
from longstop.model.event import Headers, Receipt, ReceiptStatus
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.ports import Source
from longstop.sources import build
from longstop.testing import payloads

FORM = "application/x-www-form-urlencoded"
SOURCE = build(SourceSettings("studio", "cxone-studio", verify=VerifySettings()))


@pytest.mark.parametrize("content_type", [FORM, "application/json", "text/plain", ""])
def test_json_is_json_whatever_the_content_type(content_type: str) -> None:
    reading = read(SOURCE, payloads.load("cxone_studio_post"), **{"Content-Type": content_type})
    assert (reading.type, reading.key, reading.dedup) == (
        "contact.queued",
        "131988342510",
        b"131988342510-queue-1",
    )
    assert reading.document["skill"] == "billing"


@pytest.mark.parametrize("content_type", [FORM, "application/json"])
@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b"contactId=1319&skill=tier+2&note=%C3%A9%20%26", {"contactId": "1319", "skill": "tier 2", "note": "é &"}),
        (b"a=&b=1", {"a": "", "b": "1"}),
        (b"a=1&a=2", {"a": ["1", "2"]}),
        (b'a={"b":1}', {"a": '{"b":1}'}),
    ],
)
def test_a_form_is_an_object_of_its_fields(body: bytes, document: Any, content_type: str) -> None:
    assert read(SOURCE, body, **{"Content-Type": content_type}).document == document


def test_a_form_is_read_as_json_is() -> None:
    reading = read(SOURCE, b"contactId=1319&eventType=t&eventId=e", **{"Content-Type": FORM})
    assert (reading.type, reading.key, reading.dedup) == ("t", "1319", b"e")
    malformed(SOURCE, b"eventId=a&eventId=b", "ambiguous dedup key")
    by_expression = build(SourceSettings("s", "cxone-studio", verify=VerifySettings(), dedup="join('-', [a, b])"))
    assert read(by_expression, b"a=1&b=2").dedup == b"1-2"


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"text", b"<a b='c'/>", b'{"a": "b=c"', b" [1, 'a=b']", b"a=%ff", b"\xff=1", b"&" * 50, b"[" * 9],
)
def test_what_is_neither_goes_to_quarantine(body: bytes) -> None:
    malformed(SOURCE, body)


def test_a_form_of_too_many_fields_goes_to_quarantine() -> None:
    assert len(read(SOURCE, b"&".join(b"a%d=1" % n for n in range(1_000))).document) == 1_000
    malformed(SOURCE, b"&".join(b"a%d=1" % n for n in range(1_001)))


def test_all_answers_are_short_json() -> None:
    answers = [SOURCE.answer(Receipt(status, "0198c0de-0000-7000-8000-000000000000")) for status in ReceiptStatus]
    assert all(answer.status == 200 for answer in answers)
    with pytest.raises(MalformedError) as caught:
        read(SOURCE, b"x" * 100_000)
    answers.append(problem(QuarantinedError(str(caught.value), "0198c0de-0000-7000-8000-000000000000")))
    for answer in answers:
        assert answer.content_type in ("application/json", "application/problem+json")
        assert isinstance(json.loads(answer.body), dict)
        assert len(answer.body) < 32 * 1024


def test_without_the_templates_fields_nothing_is_a_duplicate() -> None:
    reading = read(SOURCE, b'{"a":1}')
    assert (reading.type, reading.key, reading.dedup) == (None, None, None)


def test_a_static_credential() -> None:
    def make(secrets: tuple[str, ...]) -> tuple[SourceSettings, Source]:
        settings = SourceSettings("studio", "cxone-studio", secrets=secrets, verify=VerifySettings("bearer"))
        return settings, build(settings)

    rotates(make, "Authorization")
    assert admits(SOURCE, Request(Headers(), b"{}"))


@given(body=bodies("eventId", "eventType", "contactId") | st.from_regex(rb"[a-z%=&+0-9]*", fullmatch=True))
def test_no_body_raises_anything_else(body: bytes) -> None:
    raises_nothing_else(SOURCE, Request(Headers([("Content-Type", FORM)]), body))
