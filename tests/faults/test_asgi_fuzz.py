"""Ten thousand requests that no sender would send, through the ASGI app onto a real store.

Whatever comes: never a 5xx, never an exception, always an answer that can be read; the memory stays flat; and what
was accepted or quarantined is in the store byte for byte.
"""

import asyncio
import base64
import contextlib
import gc
import hashlib
import hmac
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from longstop.config import parse
from longstop.edges.senders_http.app import IngestApp
from longstop.wiring import Gateway, Parts, Role, opened

EXAMPLES = int(os.environ.get("EXAMPLES", "10000"))
RUN = 1_000
"""Requests in one run of hypothesis. It remembers every one of a run, and that memory is not ours to measure."""
SEED = int(os.environ.get("SEED", "20261122"))
WARM_UP = 0.4
"""This share of the runs fills the caches of SQLite and of the allocator, before memory has to stay flat."""
GROWTH_BYTES_MAX = 50_000_000
SECRET = "fuzz-secret-of-genesys"
CONFIGURATION = """
[sources.open]
kind = "genesys-open-messaging"
secrets = ["${SECRET}"]
max_body = "1MB"

[sources.tutorial]
kind = "genesys-webhook"
verify = { scheme = "none" }
max_body = "1MB"

[sources.plain]
kind = "generic"
verify = { scheme = "none" }
max_body = "4KiB"

[sources.path]
kind = "generic"
verify = { scheme = "none" }
dedup = "data.id"
type = "data.type"
key = "header:X-Key"
max_body = "1MB"

[sources.clever]
kind = "generic"
verify = { scheme = "none" }
dedup = "sort(items)[0].id || join('-', [a, b])"
type = "length(@)"
key = "max_by(items, &n).id"
max_body = "1MB"

[destinations.crm]
url = "http://127.0.0.1:9/"
allow_private = true

[[routes]]
from = "clever"
when = "length(items) > `1` || contains(text, 'x')"
to = ["crm"]

[[routes]]
from = "tutorial"
to = ["crm"]
"""
NAMES = ("open", "tutorial", "plain", "path", "clever")

# -- what is sent -------------------------------------------------------------------------------

HEAVY = (
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"data":{"id":' + b"9" * 5_000 + b"}}",
    b'{"id":"' + b"k" * 100_000 + b'"}',
    b'{"channel":{"id":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
    b"x" * 5_000,
)
ODD = (
    b"",
    b" ",
    b"null",
    b"NaN",
    b'{"id":NaN,"data":{"id":-Infinity}}',
    b'{"id":1e999,"data":{"id":1e400}}',
    b'{"id":"\\ud800","data":{"id":"\\udfff","type":"\\ud800"},"type":"\\udc00"}',
    b'{"id":"\\u0000","data":{"id":"a\\u0000b","type":"\\u0000"},"conversationId":"\\u0000"}',
    b'{"id":"\x00"}',
    b'\xef\xbb\xbf{"id":1}',
    b"\xff\xfe{\x00}\x00",
    b'{"id":"\xff\xc3"}',
    b'{"id":1,"id":2,"data":{"id":1,"id":2},"payload":{"id":1},"payload":{"id":2}}',
    b'{"channel":{"id":"c","time":"t"},"id":"1","id":"2"}',
    b'{"data":{"id":true},"items":[{"id":1,"n":"a"},{"id":2,"n":3}]}',
    b'{"payload":"{\\"id\\":\\"inner\\",\\"id\\":\\"other\\"}"}',
    b'{"payload":"{not json"}',
    b"<?xml version='1.0'?><event id='1'><![CDATA[]]></event>",
    b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n1\r\n--b--\r\n',
    b"id=1&data=%7B%22id%22%3A1%7D",
    b'{"id":' + b"1" * 4_400 + b"}",
)

_texts = st.text(st.characters(codec=None), max_size=12)
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=4,
)
_some = st.one_of(_values, st.sampled_from(["1", 1, "", 10**30, "x" * 2_000]))


_inner = st.dictionaries(st.sampled_from(["id", "type", "time", "eventType", "n"]), _some, max_size=3)
_outer = st.sampled_from(
    ["id", "type", "eventType", "conversationId", "text", "items", "a", "b", "channel", "data", "payload"]
)
_events = st.dictionaries(_outer, st.one_of(_some, _inner, st.lists(_inner, max_size=3)), max_size=5)
# allow_nan: json writes NaN and Infinity, which are no JSON; lone surrogates are written as escapes.
_json = st.one_of(_events, _events, _values).map(lambda value: json.dumps(value).encode())
_torn = st.tuples(_json, st.integers(0, 60), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)
_bodies = st.integers(0, 99).flatmap(
    lambda draw: (
        st.sampled_from(HEAVY)
        if draw == 57
        else st.sampled_from(ODD)
        if draw < 20
        else _torn
        if draw < 35
        else st.binary(max_size=300)
        if draw < 45
        else _json
    )
)
_header_names = st.one_of(
    st.sampled_from(
        [b"x-key", b"x-hub-signature-256", b"content-type", b"content-encoding", b"authorization", b"expect", b"cookie"]
    ),
    st.binary(min_size=1, max_size=20).map(bytes.lower),
)
_headers = st.lists(st.tuples(_header_names, st.binary(max_size=60)), max_size=4)
_bombs = st.sampled_from(
    [
        [(b"x-long", b"v" * 40_000)],
        [(b"x-%d" % number, b"v") for number in range(150)],
        [(b"x-key", b"k" * 30_000)],
        [(b"x-key", b"one"), (b"x-key", b"two")],
    ]
)
_lengths = st.sampled_from(
    [b"right"] * 8 + [b"none", b"chunked", b"0", b"-1", b"", b"1e9", b"9" * 5_000, b"99999999999", b"\xb2"]
)
_paths = st.one_of(
    st.sampled_from([f"/webhooks/{name}" for name in NAMES]),
    st.sampled_from(
        [
            "/webhooks/nobody",
            "/webhooks/",
            "/webhooks",
            "/",
            "",
            "/healthz",
            "/webhooks/open/../plain",
            "/webhooks/\x00",
            "/webhooks/plain/",
            "/webhooks//plain",
            "/webhooks/\ud800",
            "/webhooks/" + "a" * 5_000,
        ]
    ),
    _texts.map(lambda text: f"/webhooks/{text}"),
)
# Not 0 or 19: hypothesis draws the ends of a range more often than the middle.
_rarely = st.integers(0, 19).map(lambda draw: draw == 13)


@dataclass(frozen=True, repr=False)
class Sent:
    """One request, as an ASGI server would hand it over."""

    path: str
    method: str
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]
    breaks_off: bool

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)

    def __repr__(self) -> str:
        headers = [(_brief(name), _brief(value)) for name, value in self.headers]
        pieces = ", ".join(_brief(piece) for piece in self.pieces)
        return f"Sent({self.path[:80]!r}, {self.method!r}, {headers}, [{pieces}], breaks_off={self.breaks_off})"


def _brief(data: bytes) -> str:
    return repr(data) if len(data) <= 200 else f"{data[:40]!r}…({len(data)} bytes)"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """Requests: mostly to sources that exist, mostly signed where they have to be."""
    body = draw(_bodies)
    path = draw(_paths) if draw(_rarely) else f"/webhooks/{draw(st.sampled_from(NAMES))}"
    headers = list(draw(_bombs) if draw(_rarely) else draw(_headers))
    if path == "/webhooks/open" and not draw(_rarely):
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
        headers = [each for each in headers if each[0] != b"x-hub-signature-256"]
        headers.append((b"x-hub-signature-256", b"sha256=" + base64.b64encode(digest)))
    length = draw(_lengths)
    if length == b"chunked":
        headers.append((b"transfer-encoding", b"chunked"))
    elif length != b"none":
        headers.append((b"content-length", b"%d" % len(body) if length == b"right" else length))
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    method = (
        draw(st.sampled_from(["GET", "PUT", "HEAD", "OPTIONS", "post", "\x00", "PATCH"])) if draw(_rarely) else "POST"
    )
    return Sent(path, method, headers, pieces, breaks_off=draw(_rarely) and draw(_rarely))


# -- the app, and what is asked of it -----------------------------------------------------------


@dataclass
class Bench:
    """The app on a store, a second look into that store, and what was counted."""

    loop: asyncio.AbstractEventLoop
    app: IngestApp
    reader: Parts
    statuses: Counter[int] = field(default_factory=Counter)
    kept: int = 0

    def serve(self, sent: Sent) -> None:
        """Send one request and check what comes of it."""
        self.loop.run_until_complete(self._serve(sent))

    async def _serve(self, sent: Sent) -> None:
        status, headers, body = await self._exchange(sent)
        self.statuses[status] += 1
        if sent.breaks_off and status == 0:
            return
        if status == 503:
            # Its length was announced, and is another.
            lengths = [text for name, text in sent.headers if name.lower() == b"content-length"]
            assert b"were announced" in body, body
            assert lengths[0] != b"%d" % len(b"".join(sent.pieces))
            return
        assert 200 <= status < 500, (status, body)
        assert int(headers[b"content-length"]) == len(body)
        answer = json.loads(body)
        if status == 200 and "id" in answer:
            assert answer["status"] in ("accepted", "duplicate")
        if "id" in answer and answer.get("status") != "duplicate":
            await self._check_kept(answer["id"], sent)

    async def _exchange(self, sent: Sent) -> tuple[int, dict[bytes, bytes], bytes]:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": sent.method,
            "path": sent.path,
            "root_path": "",
            "headers": sent.headers,
            "client": ("127.0.0.1", 50_000),
        }
        last = len(sent.pieces) - 1
        coming: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": place < last}
            for place, piece in enumerate(sent.pieces)
        ]
        if sent.breaks_off:
            coming[-1] = {"type": "http.disconnect"}
        messages = iter(coming)
        said: list[Any] = []

        async def receive() -> Any:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            said.append(message)

        await self.app(scope, receive, send)
        if not said:
            return 0, {}, b""
        assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
        return said[0]["status"], dict(said[0]["headers"]), said[1]["body"]

    async def _check_kept(self, id_: str, sent: Sent) -> None:
        found = await self.reader.store.event(id_)
        assert found is not None, "answered with an id that is not in the store"
        assert found.event.body == sent.body
        wire = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found.event.headers]
        credentials = (b"authorization", b"cookie")
        assert wire == [(name, b"(not kept)" if name.lower() in credentials else text) for name, text in sent.headers]
        self.kept += 1


def rss_bytes() -> int:
    """How much memory this process has resident."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """The app in this process, on SQLite in a folder of its own."""
    logging = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    config = parse(CONFIGURATION, where="fuzz", environ={"SECRET": SECRET}, base=tmp_path)
    gateway = Gateway(config, Role.INGEST)
    with contextlib.closing(uvloop.new_event_loop()) as loop:
        loop.run_until_complete(gateway.start())
        looking = opened(config)
        made = Bench(loop, IngestApp(gateway.ingest), loop.run_until_complete(looking.__aenter__()))
        yield made
        loop.run_until_complete(looking.__aexit__(None, None, None))
        loop.run_until_complete(gateway.stop())
    structlog.configure(**logging)


def _run(bench: Bench, of: int) -> None:
    """One run of hypothesis. The same seed makes the same requests."""

    @seed(of)
    @settings(max_examples=RUN, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def fuzz(sent: Sent) -> None:
        bench.serve(sent)

    fuzz()


@pytest.mark.timeout(300)
def test_no_request_brings_the_app_down(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    runs = max(4, EXAMPLES // RUN)
    resident = []
    for number in range(runs):
        _run(bench, SEED + number)
        resident.append(rss_bytes())
    growth = resident[-1] - resident[round(runs * WARM_UP)]
    told = ", ".join(f"{times} × {status or 'broken off'}" for status, times in sorted(bench.statuses.items()))
    with capsys.disabled():
        print(
            f"\n{bench.statuses.total()} requests: {told}; {bench.kept} kept as sent; {growth / 1e6:+.1f} MB resident"
        )
    assert bench.statuses.total() >= runs * RUN
    assert bench.kept > EXAMPLES / 4, "too few were accepted to say anything"
    assert {200, 400, 401, 405, 411, 413, 431} <= bench.statuses.keys()
    assert growth < GROWTH_BYTES_MAX
