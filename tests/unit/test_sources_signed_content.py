"""What is signed cannot be divided in another way: no request verifies as another event under the same signature."""

import base64
import hashlib
import hmac
import itertools
import re
from collections.abc import Iterator

import pytest

from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.sources import build
from longstop.sources.signed_content import is_fresh_time

NOW_S = 1_780_000_000
SECRET = "secret-of-the-sender"
TEMPLATES = [
    "{id}.{timestamp}.{body}",
    "{id}{timestamp}{body}",
    "{timestamp}{id}{body}",
    "{timestamp}.{id}.{body}",
    "{body}{id}{timestamp}",
    "{body}.{timestamp}.{id}",
    "{body}.{id}",
    "v0:{id}:{timestamp}:{body}",
    "{id}::{body}",
    "{timestamp}.{body}",
    "{timestamp}{body}",
    "{body}{timestamp}",
]

BODIES = [b'{"a":1.5}', b"a=1", b"5.5", b"178", b"-1", b""]
IDS = ["m-1", "m.1780000001", "a:", "178", "x178000"]


def source_of(template: str) -> SourceSettings:
    verify = VerifySettings(
        "hmac-sha256",
        "X-Sig",
        content=template,
        timestamp_header="X-Time" if "{timestamp}" in template else None,
        id_header="X-Id" if "{id}" in template else None,
    )
    return SourceSettings("s", "generic", (SECRET,), verify)


def request(text: bytes, id_: bytes, time: bytes, body: bytes) -> Request:
    signature = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    pairs = [("X-Sig", signature), ("X-Id", id_.decode("latin-1")), ("X-Time", time.decode("latin-1"))]
    return Request(Headers((name, value) for name, value in pairs if value), body)


def admits(settings: SourceSettings, sent: Request, now_s: int = NOW_S) -> bool:
    try:
        build(settings).verify(sent, now_s * 1000)
    except VerificationError:
        return False
    return True


def divisions(text: bytes, pieces: list[str]) -> Iterator[dict[str, bytes]]:
    """Everything that these pieces of a template, names and texts by turns, can make up the text of."""
    if not pieces:
        if not text:
            yield {}
        return
    first, *others = pieces
    if first in ("{id}", "{timestamp}", "{body}"):
        for end in range(len(text) + 1) if others else [len(text)]:
            for found in divisions(text[end:], others):
                yield {first: text[:end], **found}
    elif text.startswith(first.encode()):
        yield from divisions(text[len(first) :], others)


def divided(text: bytes, way: dict[str, bytes]) -> Request:
    return request(text, way.get("{id}", b""), way.get("{timestamp}", b""), way["{body}"])


def time_of(way: dict[str, bytes]) -> int:
    """The seconds at which the time in it would be fresh."""
    time = way.get("{timestamp}", b"")
    if time[:4] == b"2026":
        return NOW_S
    return (int(time) // 1000 if len(time) == 13 else int(time)) if time.isdigit() else NOW_S


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("time", ["1780000000", "1780000000123", "2026-05-28T20:26:40Z", "2026-05-28T20:26:40.5+00:00"])
def test_of_all_ways_to_divide_a_signed_text_one_at_most_is_admitted(template: str, time: str) -> None:
    """Whatever the clock says: each is judged at its own time."""
    settings = source_of(template)
    pieces = [piece for piece in re.split(r"(\{\w+\})", template) if piece]
    for body, id_ in itertools.product(BODIES, IDS):
        text = template.replace("{id}", id_).replace("{timestamp}", time).encode().replace(b"{body}", body)
        ways = [way for way in divisions(text, pieces) if admits(settings, divided(text, way), time_of(way))]
        assert len(ways) <= 1


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_real_senders_write_is_admitted(template: str) -> None:
    settings = source_of(template)
    time = str(NOW_S)
    for id_ in ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "0b0ae6f1-5f0c-4d1c-9b7e-0b0ae6f15f0c", "12345"):
        for body in (b'{"a":"x.y:z"}', b"[1]", b"<event/>"):
            text = template.replace("{id}", id_).replace("{timestamp}", time).encode().replace(b"{body}", body)
            assert admits(settings, request(text, id_.encode(), time.encode(), body))


def test_an_id_of_standard_webhooks_holds_no_full_stop() -> None:
    settings = SourceSettings("s", "standard-webhooks", ("whsec_" + base64.b64encode(b"key").decode(),))

    def signed(text: bytes, id_: str, time: str, body: bytes) -> Request:
        signature = base64.b64encode(hmac.new(b"key", text, hashlib.sha256).digest()).decode()
        headers = [("webhook-id", id_), ("webhook-timestamp", time), ("webhook-signature", f"v1,{signature}")]
        return Request(Headers(headers), body)

    text = b"msg_1.%d.1780000002.{}" % NOW_S
    assert admits(settings, signed(text, "msg_1", str(NOW_S), b"1780000002.{}"))
    # The same text as another id and another time, and the same the other way about.
    assert not admits(settings, signed(text, f"msg_1.{NOW_S}", "1780000002", b"{}"), NOW_S + 2)
    for id_ in ("", "a b", 'a"b', "a{b", "x" * 257, "ä"):
        text = f"{id_}.{NOW_S}.{{}}".encode("latin-1")
        assert not admits(settings, signed(text, id_, str(NOW_S), b"{}"))


@pytest.mark.parametrize(
    ("time", "fresh"),
    [
        ("1780000000", True),
        ("1780000300", True),
        ("1780000301", False),
        ("1780000000123", True),
        ("1780000300000", True),
        ("1780000300001", False),
        ("2026-05-28T20:26:40Z", True),
        ("2026-05-28T20:26:40.123456789Z", True),
        ("2026-05-28T13:26:40-07:00", True),
        ("2026-05-28T20:31:41Z", False),
        ("2026-05-28T20:26:40", False),
        ("2026-05-28 20:26:40Z", False),
        ("2026-05-28", False),
        ("2026-13-28T20:26:40Z", False),
        ("0001-01-01T00:00:00+23:59", False),
        ("9999-12-31T23:59:59-23:59", False),
        ("178000000000", False),
        ("", False),
        ("-1780000000", False),
        ("9" * 5000, False),
    ],
)
def test_times_as_senders_write_them(time: str, fresh: bool) -> None:
    assert is_fresh_time(time.encode(), NOW_S * 1000, 300_000) is fresh
