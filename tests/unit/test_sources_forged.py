"""Forged signatures, kind by kind: none is admitted, and each is refused with the same words.

A request as its sender makes it, and a table of what a forger, a broken proxy or a copying mistake would make of it.
The dice-driven counterpart is tests/faults/test_signatures.py.
"""

import base64
import contextlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from longstop import sources
from longstop.model.errors import VerificationError
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import proof_headers, sign
from longstop.model.simulated_request import headers_around, query_around, token_request
from longstop.ports import Source

NOW_S = 1_780_000_000
SECRET, OTHER = "b2YtdGhlLXNlbmRlci1hLXNlY3JldA==", "b2Ytc29tZWJvZHktZWxzZS1hLXNlY3JldA=="
BODY = b'{"id":"a","MessageSid":"SM1"}'
URL = "https://hooks.example/webhooks/s"
HMAC = ("hmac-sha1", "hmac-sha256", "hmac-sha512")

KINDS = ("genesys-open-messaging", "cxone-dfo", "cxone-expert", "github", "shopify", "slack", "stripe", "twilio")
SETTINGS = {
    **{kind: SourceSettings("s", kind, (SECRET,), public_url=URL) for kind in (*KINDS, "standard-webhooks")},
    "cxone-byoc": SourceSettings("s", "cxone-byoc", (SECRET,), client_id="client"),
    "header": SourceSettings("s", "generic", (SECRET,), VerifySettings("header", "X-Key", prefix="Key ")),
    "bearer": SourceSettings("s", "generic", (SECRET,), VerifySettings("bearer")),
    "basic": SourceSettings("s", "generic", (SECRET,), VerifySettings("basic", username="ann")),
    **{scheme: SourceSettings("s", "generic", (SECRET,), VerifySettings(scheme, "X-Sig")) for scheme in HMAC},  # type: ignore[arg-type]
    "base64url": SourceSettings("s", "generic", (SECRET,), VerifySettings("hmac-sha256", "X-Sig", "base64url")),
    "template": SourceSettings(
        "s",
        "generic",
        (SECRET,),
        VerifySettings(
            "hmac-sha256",
            "X-Sig",
            prefix="sha256=",
            content="{id}.{timestamp}.{body}",
            timestamp_header="X-Time",
            id_header="X-Id",
        ),
    ),
    "parts": SourceSettings(
        "s",
        "generic",
        (SECRET,),
        VerifySettings("hmac-sha256", "X-Sig", content="{timestamp}.{body}", signature_part="v1", timestamp_part="t"),
    ),
}
SHARED = ("header", "bearer", "basic", "cxone-byoc")
"""What these show says nothing of the body."""
TIMES = {
    "cxone-expert": "X-Nexus-Timestamp",
    "slack": "X-Slack-Request-Timestamp",
    "standard-webhooks": "webhook-timestamp",
    "template": "X-Time",
}
IDS = {"standard-webhooks": "webhook-id", "template": "X-Id"}


def authentic(settings: SourceSettings, source: Source, secret: str = SECRET) -> Request:
    """The request as the sender makes it under this secret."""
    settings = replace(settings, secrets=(secret,))
    headers = [*headers_around(settings, BODY), *sign(settings, BODY, NOW_S * 1000)]
    asked = token_request(settings)
    if asked is not None:
        issuer = source if secret == SECRET else sources.build(settings)
        answer = issuer.handshake(Request(Headers(), asked[1], path=asked[0]), NOW_S * 1000)
        assert answer is not None
        headers.append(("Authorization", "Bearer " + answer.body.split(b'"')[3].decode()))
    return Request(Headers(headers), BODY, query=query_around(settings, BODY))


def proof_of(settings: SourceSettings) -> str:
    """The header with the secret, the token or the signature."""
    names = proof_headers(settings)
    return names[-1] if settings.kind == "standard-webhooks" else names[0]


def with_header(request: Request, name: str, *values: str) -> Request:
    others = [(key, value) for key, value in request.headers if key.lower() != name.lower()]
    return replace(request, headers=Headers([*others, *((name, value) for value in values)]))


Change = Callable[[str], str]
VALUES: dict[str, Change] = {
    "empty": lambda _: "",
    "blank": lambda _: " ",
    "truncated by one": lambda value: value.rstrip("=")[:-1],
    "first half": lambda value: value[: len(value) // 2],
    "without its first character": lambda value: value[1:],
    "extended": lambda value: value + "0",
    "padded otherwise": lambda value: value.rstrip("=") + "=A",
    "doubled": lambda value: value.replace(",", "") * 2,
    "reversed": lambda value: value[::-1],
    "quoted": lambda value: f'"{value}"',
    "in brackets": lambda value: f"[{value}]",
    "behind a NUL": lambda value: "\0" + value,
    "before a NUL": lambda value: value + "\0",
    "before a NUL and more": lambda value: value + "\0x",
    "percent-escaped": lambda value: value.replace("=", "%3D").replace("+", "%2B").replace(" ", "%20") + "%00",
    "in another encoding": lambda value: base64.b64encode(value.encode()).decode(),
    "in hex": lambda value: value.encode().hex(),
    "with its digits exchanged": lambda value: value.translate(str.maketrans("0123456789abcdef", "123456789abcdef0")),
    "with unicode digits": lambda value: (
        value.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")).encode().decode("latin-1")
        if any(character.isdigit() for character in value)
        else ""
    ),
    "with fullwidth letters": lambda value: "".join(chr(ord(one) + 0xFEE0) for one in value).encode().decode("latin-1"),
    "prefix sha1": lambda value: "sha1=" + value.partition("=")[2],
    "prefix sha512": lambda value: "sha512=" + value.partition("=")[2],
    "prefix doubled": lambda value: "sha256=" + value if value.startswith("sha256=") else "v1=v1=" + value,
    "version v0": lambda value: value.replace("v1", "v0") if "v1" in value else "v0=" + value,
    "version v1a": lambda value: value.replace("v1", "v1a") if "v1" in value else "v1a=" + value,
    "null": lambda _: "null",
    "true": lambda _: "true",
    "star": lambda _: "*",
    "very long": lambda value: value.replace(",", "") * 500,
}

TIME_VALUES = {
    "missing sign": f"-{NOW_S}",
    "signed": f"+{NOW_S}",
    "zero": "0",
    "float": f"{NOW_S}.0",
    "exponent": "1.78e9",
    "hex": hex(NOW_S),
    "underscored": "1_780_000_000",
    "leading zero": f"0{NOW_S}",
    "blank inside": "1780 000000",
    "unicode digits": "١٧٨٠٠٠٠٠٠٠".encode().decode("latin-1"),
    "huge": "9" * 400,
    "NaN": "NaN",
    "Infinity": "Infinity",
    "empty": "",
    "another fresh second": str(NOW_S + 1),
    "milliseconds": f"{NOW_S}000",
    "RFC 3339": "2026-05-28T20:26:40Z",
    "NUL": f"{NOW_S}\0",
}


def forgeries(name: str, settings: SourceSettings, source: Source) -> Iterator[tuple[str, Request]]:
    """Requests that are none of the sender's, each with what was done to it."""
    good = authentic(settings, source)
    header = proof_of(settings)
    value = good.headers.get(header) or ""
    yield "another secret", authentic(settings, source, OTHER)
    yield "no proof", with_header(good, header)
    yield "the proof twice", with_header(good, header, value, value)
    yield "a wrong proof beside it", with_header(good, header, value, "x")
    yield "the secret itself", with_header(good, header, SECRET if name != "header" else f"key {SECRET}")
    yield "in a header of another name", with_header(replace(good, headers=_renamed(good, header)), header)
    for what, change in VALUES.items():
        if change(value) != value:
            yield what, with_header(good, header, change(value))
    if name not in SHARED:
        for what, body in _bodies():
            yield what, replace(good, body=body)
        for digest in ("sha1", "sha256", "sha512", "md5"):
            yield f"another way to sign: {digest}", with_header(good, header, *_signed_plainly(value, digest))
    for what, time in TIME_VALUES.items():
        if name in TIMES:
            yield f"time {what}", with_header(good, TIMES[name], time)
        elif name in ("stripe", "parts"):
            yield f"time {what}", with_header(good, header, value.replace(str(NOW_S), time))
    if name in IDS:
        for other in ("another", "", "msg\0", good.headers.get(IDS[name], "") + ".1780000000"):
            yield f"id {other!r}", with_header(good, IDS[name], other)


def _renamed(request: Request, header: str) -> Headers:
    return Headers((f"X-{name}" if name.lower() == header.lower() else name, value) for name, value in request.headers)


def _bodies() -> Iterator[tuple[str, bytes]]:
    yield "another body", BODY.replace(b"a", b"b")
    yield "no body", b""
    yield "a longer body", BODY + b"\n"
    yield "the body behind a mark", b"\xef\xbb\xbf" + BODY
    yield "the body in UTF-16", BODY.decode().encode("utf-16")
    yield "the same JSON with a blank", BODY.replace(b":", b": ")
    yield "the body behind a NUL", b"\0" + BODY


def _signed_plainly(value: str, digest: str) -> Iterator[str]:
    """The body's bare signature under the right secret by another function, or none where that is the right one."""
    made = hmac.new(SECRET.encode(), BODY, digest).hexdigest()
    yield made if made not in value else "0" * len(made)


@pytest.mark.parametrize("name", SETTINGS)
def test_no_forgery_is_admitted_and_all_are_refused_alike(name: str) -> None:
    settings = SETTINGS[name]
    source = sources.build(settings)
    source.verify(authentic(settings, source), NOW_S * 1000)
    said: dict[str, list[str]] = {}
    for what, forged in forgeries(name, settings, source):
        try:
            source.verify(forged, NOW_S * 1000)
        except VerificationError as error:
            said.setdefault(str(error), []).append(what)
            continue
        pytest.fail(f"admitted: {what}")
    assert len(said) == 1
    assert sum(map(len, said.values())) > 30


@pytest.mark.parametrize("name", SETTINGS)
def test_the_case_of_a_headers_name_makes_no_difference(name: str) -> None:
    settings = SETTINGS[name]
    source = sources.build(settings)
    good = authentic(settings, source)
    for change in (str.lower, str.upper, str.title):
        headers = Headers((change(key), value) for key, value in good.headers)
        source.verify(replace(good, headers=headers), NOW_S * 1000)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name not in (*SHARED, "twilio")])
def test_a_body_is_hashed_once_for_each_secret_however_many_signatures_are_sent(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sources.build(replace(SETTINGS[name], secrets=(SECRET, OTHER)))
    good = authentic(SETTINGS[name], source)
    header = proof_of(SETTINGS[name])
    value = good.headers.get(header) or ""
    hashed: list[bytes] = []
    real = hmac.HMAC.update
    monkeypatch.setattr(
        hmac.HMAC, "update", lambda keyed, data: (hashed.append(data) if data == BODY else None) or real(keyed, data)
    )
    separator = " " if name == "standard-webhooks" else ","
    for several in (value, separator.join([value] * 16), "", value[:-1] + "?"):
        hashed.clear()
        with contextlib.suppress(VerificationError):
            source.verify(with_header(good, header, several), NOW_S * 1000)
        assert hashed == [BODY] * 2
