"""Harmless spellings: headers of Standard Webhooks under their other name, marks, charsets, media types."""

import base64
import gzip
import hashlib
import hmac
import json

import pytest

from longstop.model.errors import MalformedError, VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.sources import KINDS, build

AT_S = 1_780_000_000
TEXT = '{"id":"e1","type":"Text","conversationId":"Jürgen"}'
MARK = b"\xef\xbb\xbf"
PARTNER = build(SourceSettings("s", "standard-webhooks", ("whsec_" + base64.b64encode(b"key").decode(),)))


def partner(family: str, id_: str = "msg_1", body: bytes = b'{"type":"a"}') -> dict[str, str]:
    mac = hmac.new(b"key", f"{id_}.{AT_S}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {f"{family}-id": id_, f"{family}-timestamp": str(AT_S), f"{family}-signature": signature}


def admits(headers: dict[str, str]) -> bool:
    try:
        PARTNER.verify(Request(Headers(headers.items()), b'{"type":"a"}'), AT_S * 1000)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("family", ["webhook", "svix", "Webhook", "Svix"])
def test_standard_webhooks_under_both_names(family: str) -> None:
    headers = partner(family)
    assert admits(headers)
    assert PARTNER.read(Request(Headers(headers.items()), b'{"type":"a"}')).dedup == b"msg_1"


def test_the_two_families_are_not_mixed() -> None:
    webhook, svix = partner("webhook"), partner("svix")
    assert admits({**svix, **webhook})
    assert not admits({**svix, "webhook-signature": webhook["webhook-signature"]})
    for name in webhook:
        family = {key: value for key, value in webhook.items() if key != name}
        assert not admits({**family, name.replace("webhook", "svix"): webhook[name]})
    # An id that is not signed does not name the event.
    both = Headers({**svix, "webhook-id": "other"}.items())
    assert PARTNER.read(Request(both, b"{}")).dedup == b"msg_1"


GENERIC = build(SourceSettings("s", "generic", dedup="id", type="type", key="conversationId"))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (MARK + TEXT.encode(), "application/json"),
        (MARK + TEXT.encode(), "application/json; charset=utf-8"),
        (MARK + b"\r\n " + TEXT.encode(), None),
        (b"\r\n\t " + TEXT.encode() + b"\n\n", "application/json"),
        (TEXT.encode(), "application/cloudevents+json; charset=UTF-8"),
        (TEXT.encode(), "text/plain"),
        (TEXT.encode(), "text/plain; charset=ISO-8859-1"),
        (TEXT.encode(), "application/json; charset=windows-1252"),
        (TEXT.encode(), "application/json; charset=nonsense"),
        (TEXT.encode(), "application/json; charset="),
        (TEXT.encode(), "application/json;;"),
        (TEXT.encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        (TEXT.encode("latin-1"), 'application/json; charset="latin1"'),
        (TEXT.encode("cp1252"), "application/json;charset=Windows-1252"),
        (TEXT.encode("utf-16"), "application/json"),
        (TEXT.encode("utf-16"), "application/json; charset=utf-16"),
        (TEXT.encode("utf-16-le"), "application/json; charset=utf-16le"),
        (TEXT.encode("utf-16-be"), "application/json; charset=UTF-16BE"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), None),
    ],
)
def test_json_is_read_as_real_senders_write_it(body: bytes, content_type: str | None) -> None:
    headers = [("Content-Type", content_type)] if content_type else []
    for packed, sent in ((False, body), (True, gzip.compress(body))):
        encoding = [("Content-Encoding", "gzip")] if packed else []
        reading = GENERIC.read(Request(Headers([*headers, *encoding]), sent))
        assert (reading.dedup, reading.type, reading.key) == (b"e1", "Text", "Jürgen")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (TEXT.encode("latin-1"), "application/json"),
        (TEXT.encode("utf-16-le"), "application/json"),
        (b"\xff\xfe{", "application/json; charset=utf-16"),
        (MARK * 2 + TEXT.encode(), "application/json"),
        (MARK, "application/json"),
        (TEXT.encode("latin-1"), "application/json; charset=rot13"),
    ],
)
def test_what_is_no_text_by_any_of_these_is_quarantined(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedError):
        GENERIC.read(Request(Headers([("Content-Type", content_type)]), body))


def test_a_mark_does_not_hide_a_repeated_name() -> None:
    with pytest.raises(MalformedError, match="repeated"):
        GENERIC.read(Request(Headers(), MARK + b'{"id":1,"id":2}'))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_reads_json_behind_a_mark_as_without_it(kind: str) -> None:
    verify = None if kind in ("cxone-byoc",) else VerifySettings("none")
    source = build(SourceSettings("s", kind, ("c2VjcmV0",), verify, client_id="c", public_url="https://a.example/"))
    body = json.dumps({"id": "e1", "eventId": "e1", "event_id": "e1", "type": "Text", "payload": {"id": "p"}}).encode()
    plain, marked = (source.read(Request(Headers(), each, path="/posts/1/messages")) for each in (body, MARK + body))
    assert (plain.document, plain.type, plain.key) == (marked.document, marked.type, marked.key)
    if kind != "twilio":
        assert plain.dedup == marked.dedup
