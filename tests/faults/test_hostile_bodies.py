"""Bodies that parsers choke on, posted to the real program: never a 5xx, and every byte comes back as it was sent."""

import gzip
import unicodedata
from collections.abc import Iterator

import pytest

from acceptance.harness import PROOFS, Site

BODIES = {
    "empty": b"",
    "deep array": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "unclosed": b"[" * 100_000,
    "5,000 digits": b'{"id":' + b"9" * 5_000 + b"}",
    "exponent": b'{"id":1e999999}',
    "NaN": b'{"id":NaN}',
    "lone surrogate": b'{"id":"\\ud800","type":"\\udc00","customer":"\\ud83d"}',
    "escaped NUL": b'{"id":"a\\u0000b","type":"\\u0000","customer":"\\u0000"}',
    "raw NUL": b'{"id":"a\x00b"}',
    "invalid UTF-8": b'{"id":"\xff\xfe\xc3\x28"}',
    "overlong UTF-8": b'{"id":"\xc0\xaf"}',
    "byte order mark": b'\xef\xbb\xbf{"id":"bom"}',
    "UTF-16": '{"id":"wide"}'.encode("utf-16"),
    "duplicate keys": b'{"id":"one","id":"two"}',
    "text": b"just text\r\n",
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "multipart": b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--b--\r\n',
    "form": b"id=1&type=%00",
    "every byte": bytes(range(256)) * 16,
    "object as key": b'{"id":{"a":1}}',
    "boolean as key": b'{"id":true}',
    "many lists": b'{"id":"lists","a":[' + b"[]," * 300_000 + b"1]}",
    "too many values": b'{"id":"more","a":[' + b"[]," * 600_000 + b"1]}",
    "many names": b'{"id":"names",' + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}",
    "large text": b'{"id":"large","a":"' + b"x" * 1_900_000 + b'"}',
    "large and no JSON": b"x" * 1_900_000,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("bodies"))
    made.start("ingest").ready()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("source", ["genesys", "tutorial", "anything", "shop"])
@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_accepted_or_quarantined_and_kept_as_sent(site: Site, source: str, name: str) -> None:
    body = BODIES[name]
    answer = site.post(source, body)
    assert answer.status in (200, 400), answer
    shown = site.event(answer.json["id"])
    assert shown["size"] == len(body)


def test_what_is_packed_small_and_unpacks_to_much_is_quarantined_and_kept_as_sent(site: Site) -> None:
    for content, status in ((b"[]," * 3_300_000, 400), (b" " * 11_000_000, 413)):
        body = gzip.compress(b'{"id":"bomb","a":[' + content + b"1]}")
        answer = site.post("shop", body, {**PROOFS["shop"](body), "Content-Encoding": "gzip"})
        assert answer.status == status, answer
        if status == 400:
            assert site.event(answer.json["id"])["size"] == len(body)


@pytest.mark.parametrize("name", ["every byte", "escaped NUL", "invalid UTF-8", "lone surrogate", "multipart"])
def test_show_raw_writes_the_very_bytes(site: Site, name: str) -> None:
    for body in (BODIES[name], gzip.compress(BODIES[name])):
        answer = site.post("anything", body)
        assert site.cli("events", "show", answer.json["id"], "--raw").out == body


@pytest.mark.parametrize("name", ["duplicate keys", "object as key", "boolean as key"])
def test_an_ambiguous_dedup_key_goes_to_quarantine(site: Site, name: str) -> None:
    answer = site.post("shop", BODIES[name])
    assert (answer.status, answer.json["title"]) == (400, "Unreadable")
    delivery = site.delivery(answer.json["id"])
    assert (delivery["state"], delivery["reason"]) == ("dead", "malformed")


def test_keys_compare_as_bytes(site: Site) -> None:
    """One word, composed and decomposed, upper and lower case: each is a key of its own."""
    composed = unicodedata.normalize("NFC", "café")
    words = [composed, unicodedata.normalize("NFD", composed), composed.upper(), composed + " "]
    ids = {site.accept("shop", f'{{"id":"{word}"}}'.encode()) for word in words}
    assert len(ids) == len(words)
    again = [site.post("shop", f'{{"id":"{word}"}}'.encode()).json for word in words]
    assert {each["id"] for each in again} == ids
    assert {each["status"] for each in again} == {"duplicate"}
