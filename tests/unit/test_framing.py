"""How a request is framed: raw bytes on a real socket, what is answered, kept, and read as the next one.

Behind each row comes one more request, `GET /healthz` with `Connection: close`. So a row whose answers end with 200
goes on being served, and one that does not ends there: no byte of it can be read as a request of somebody else's.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from test_http_server import PATIENCE_S, Served
from test_ingest import SHOP, Gate

from longstop.clock import SystemClock
from longstop.edges.senders_http.app import IngestApp
from longstop.edges.senders_http.head_limits import HEADER_BYTES_MAX, HEADERS_MAX, URL_BYTES_MAX
from longstop.edges.senders_http.parsing import OVERHEAD_BYTES_MAX
from longstop.edges.senders_http.server import SendersServer, bind
from longstop.model.listing import EventFilter, Page
from longstop.model.settings import SourceSettings, VerifySettings
from longstop.model.signing import sign
from longstop.sources import build

NEXT = b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
HELLO = b'{"id": 7}'
HIDDEN = b"POST /webhooks/open HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
SOURCES = {
    "open": SourceSettings("open", "generic"),
    "bearer": SourceSettings("bearer", "generic", secrets=("s",), verify=VerifySettings("bearer")),
    "basic": SourceSettings("basic", "generic", secrets=("s",), verify=VerifySettings("basic", username="u")),
    "header": SourceSettings("header", "generic", secrets=("s",), verify=VerifySettings("header", "X-Key")),
    "shop": SHOP,
}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    gate = Gate()
    gate.ingest._clock = SystemClock()
    gate.ingest._sources = {name: build(settings) for name, settings in SOURCES.items()}
    listening = bind("127.0.0.1", 0)
    app = IngestApp(gate.ingest)
    server = SendersServer(app, listening, SystemClock())
    await server.start()
    yield Served(server, app, gate, listening.getsockname()[1])
    await server.stop()


async def conversation(served: Served, raw: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    client = await served.connect()
    client.write(raw)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(client._reader.read(65_536), PATIENCE_S):
            said += piece
    client.close()
    return said


async def kept(served: Served) -> list[bytes]:
    listing = await served.gate.store.find_events(EventFilter(), Page(limit=1_000, newest_first=False))
    whole = [await served.gate.store.event(each.event.id) for each in listing.rows]
    return [kept.event.body for kept in whole if kept is not None]


def head(*lines: bytes, method: bytes = b"POST", target: bytes = b"/webhooks/open", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/" + version, b"host: h", *lines, b"", b""])


def sized(*lines: bytes, body: bytes = HELLO, **more: bytes) -> bytes:
    return head(b"content-length: %d" % len(body), *lines, **more) + body


def chunked(chunks: bytes, *lines: bytes, **more: bytes) -> bytes:
    return head(b"transfer-encoding: chunked", *lines, **more) + chunks


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


LAST = b"0\r\n\r\n"
WHOLE = chunk(HELLO) + LAST
GET = {"method": b"GET", "target": b"/healthz"}
ONE, NONE = [HELLO], []

ROWS: dict[str, tuple[bytes, list[int], list[bytes]]] = {
    # A length.
    "a body of its length": (sized(), [200, 200], ONE),
    "a length in any spelling": (sized().replace(b"content-length", b"CONTENT-Length"), [200, 200], ONE),
    "a length with zeros before it": (head(b"content-length: 0009") + HELLO, [200, 200], ONE),
    "a length with blanks around it": (head(b"content-length:   9  ") + HELLO, [200, 200], ONE),
    "a length of nothing": (head(b"content-length: 0"), [200, 200], [b""]),
    "no length": (head(), [411], NONE),
    "no length, and a body that looks like a request": (head() + HIDDEN, [411], NONE),
    "two equal lengths": (head(b"content-length: 9", b"content-length: 9") + HELLO, [400], NONE),
    "two lengths": (head(b"content-length: 9", b"content-length: 0") + HELLO, [400], NONE),
    "a list of lengths": (head(b"content-length: 9, 9") + HELLO, [400], NONE),
    "an empty length": (head(b"content-length: ") + HELLO, [400], NONE),
    "a signed length": (head(b"content-length: +9") + HELLO, [400], NONE),
    "a negative length": (head(b"content-length: -9") + HELLO, [400], NONE),
    "a length in hex": (head(b"content-length: 0x9") + HELLO, [400], NONE),
    "a length with a point": (head(b"content-length: 9.0") + HELLO, [400], NONE),
    "a length with an underscore": (head(b"content-length: 0_9") + HELLO, [400], NONE),
    "a length beyond 64 bits": (head(b"content-length: 18446744073709551625") + HELLO, [400], NONE),
    "a length of thousands of zeros": (head(b"content-length: " + b"0" * 5_000 + b"9") + HELLO, [200, 200], ONE),
    "a length over the limit": (head(b"content-length: 99999999") + HELLO, [413], NONE),
    "a byte more than its length": (sized() + b"}", [200, 400], ONE),
    "a body that looks like a request": (sized(body=HIDDEN), [200, 200], [HIDDEN]),
    # Both.
    "a length and chunks": (head(b"content-length: 9", b"transfer-encoding: chunked") + WHOLE, [400], NONE),
    "chunks and a length": (head(b"transfer-encoding: chunked", b"content-length: 9") + WHOLE, [400], NONE),
    "a length and chunks, a request behind": (
        head(b"content-length: 4", b"transfer-encoding: chunked") + LAST + HIDDEN,
        [400],
        NONE,
    ),
    "a length and an unknown coding": (head(b"content-length: 9", b"transfer-encoding: x") + HELLO, [400], NONE),
    "an unknown coding and a length": (head(b"transfer-encoding: x", b"content-length: 9") + HELLO, [400], NONE),
    # A coding.
    "chunks": (chunked(WHOLE), [200, 200], ONE),
    "chunks in any spelling": (head(b"Transfer-ENCODING:  CHUNKED  ") + WHOLE, [200, 200], ONE),
    "packed and chunks": (head(b"transfer-encoding: gzip, chunked") + WHOLE, [501], NONE),
    "packed in one header and chunks in the next": (
        head(b"transfer-encoding: gzip", b"transfer-encoding: chunked") + WHOLE,
        [501],
        NONE,
    ),
    "packed only": (head(b"transfer-encoding: gzip") + WHOLE, [501], NONE),
    "identity": (head(b"transfer-encoding: identity") + WHOLE, [501], NONE),
    "chunks and then packed": (head(b"transfer-encoding: chunked, gzip") + WHOLE, [400], NONE),
    "chunks twice": (head(b"transfer-encoding: chunked, chunked") + WHOLE, [400], NONE),
    "chunks in two headers": (head(*[b"transfer-encoding: chunked"] * 2) + WHOLE, [400], NONE),
    "nearly chunks": (head(b"transfer-encoding: xchunked") + WHOLE, [501], NONE),
    "chunks with a parameter": (head(b"transfer-encoding: chunked;a=b") + WHOLE, [501], NONE),
    "a quoted coding": (head(b'transfer-encoding: "chunked"') + WHOLE, [501], NONE),
    "an empty coding": (head(b"transfer-encoding: ") + WHOLE, [400], NONE),
    "a coding behind a vertical tab": (head(b"transfer-encoding: \x0bchunked") + WHOLE, [400], NONE),
    # Chunks.
    "several chunks": (chunked(chunk(HELLO[:4]) + chunk(HELLO[4:]) + LAST), [200, 200], ONE),
    "a size in capitals and with zeros": (chunked(b"000A\r\n" + HELLO + b" \r\n" + LAST), [200, 200], [HELLO + b" "]),
    "an extension": (chunked(chunk(HELLO, b";a=b;c") + LAST), [200, 200], ONE),
    "a quoted extension": (chunked(chunk(HELLO, b';a="b c"') + LAST), [200, 200], ONE),
    "an extension without a name": (chunked(chunk(HELLO, b";") + LAST), [400], NONE),
    "an extension with a line feed": (chunked(chunk(HELLO, b";a\nb") + LAST), [400], NONE),
    "an extension with a carriage return": (chunked(chunk(HELLO, b';a="\rb"') + LAST), [400], NONE),
    "an extension without end": (chunked(b"9;" + b"a" * 2 * OVERHEAD_BYTES_MAX), [431], NONE),
    "many extensions": (chunked(chunk(b"x", b";" + b"a" * 500) * 1_000), [431], NONE),
    "a size in hex with its sign": (chunked(b"0x9\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a signed size": (chunked(b"+9\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a negative size": (chunked(b"-9\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a size with an underscore": (chunked(b"0_9\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a size before a blank": (chunked(b"9 \r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a size after a blank": (chunked(b" 9\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a size beyond 64 bits": (chunked(b"F" * 17 + b"\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "no size": (chunked(b"\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a size that is none": (chunked(b"g\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a line feed behind the size": (chunked(b"9\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    "a line feed behind the data": (chunked(b"9\r\n" + HELLO + b"\n" + LAST), [400], NONE),
    "more data than its size": (chunked(b"8\r\n" + HELLO + b"\r\n" + LAST), [400], NONE),
    # Trailers.
    "trailers": (chunked(chunk(HELLO) + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n"), [200, 200], ONE),
    "a length as a trailer": (chunked(chunk(HELLO) + b"0\r\ncontent-length: 40\r\n\r\n"), [400], NONE),
    "a close as a trailer": (chunked(chunk(HELLO) + b"0\r\nhost: x\r\nexpect: 100-continue\r\n\r\n"), [200, 200], ONE),
    "too many trailers": (chunked(chunk(HELLO) + b"0\r\n" + b"x: y\r\n" * (HEADERS_MAX + 1) + b"\r\n"), [431], NONE),
    "a trailer without end": (chunked(chunk(HELLO) + b"0\r\nx: " + b"y" * 3 * OVERHEAD_BYTES_MAX), [431], NONE),
    "a trailer without end behind a large body": (
        chunked(chunk(b"x" * 60_000) + b"0\r\nx: " + b"y" * 3 * OVERHEAD_BYTES_MAX),
        [431],
        NONE,
    ),
    "trailers to nowhere": (chunked(b"0\r\n" + b"x: y\r\n" * 9_000, target=b"/nowhere"), [404], NONE),
    # Heads.
    "no host": (head(b"content-length: 9").replace(b"host: h\r\n", b"") + HELLO, [400], NONE),
    "two hosts": (sized(b"host: h"), [400], NONE),
    "two hosts, one empty": (sized(b"Host:"), [400], NONE),
    "an empty host": (sized().replace(b"host: h", b"host:"), [200, 200], ONE),
    "a folded header": (sized(b"x: 1\r\n 2"), [400], NONE),
    "a first header that is folded": (sized().replace(b"host: h", b" host: h"), [400], NONE),
    "a blank before a colon": (sized(b"x : 1"), [400], NONE),
    "a coding with a blank before its colon": (head(b"transfer-encoding : chunked") + WHOLE, [400], NONE),
    "a header without a colon": (sized(b"x"), [400], NONE),
    "a header without a name": (sized(b": x"), [400], NONE),
    "a NUL in a header": (sized(b"x: \0"), [400], NONE),
    "a NUL in a header's name": (sized(b"x\0: 1"), [400], NONE),
    "a carriage return in a header": (sized(b"x: 1\r2"), [400], NONE),
    "a line feed behind a header": (sized().replace(b"host: h\r\n", b"host: h\n"), [400], NONE),
    "line feeds alone": (sized().replace(b"\r\n", b"\n"), [400], NONE),
    "bytes that are no ASCII in a header": (sized(b"x: \xe9\xff"), [200, 200], ONE),
    "bytes that are no ASCII in a header's name": (sized(b"\xe9: 1"), [400], NONE),
    "too many headers": (sized(*[b"x: 1"] * HEADERS_MAX), [431], NONE),
    "too large a header": (sized(b"x: " + b"1" * HEADER_BYTES_MAX), [431], NONE),
    "a head without end": (head(b"x: " + b"1" * 4 * HEADER_BYTES_MAX), [431], NONE),
    "blank lines first": (b"\r\n\r\n\r\n" + sized(), [200, 200], ONE),
    "blank lines between": (sized() + b"\r\n\r\n", [200, 200], ONE),
    "blank lines without end": (b"\r\n" * 2 * HEADER_BYTES_MAX, [400], NONE),
    # Request lines.
    "no version": (b"GET /healthz\r\n\r\n", [505], NONE),
    "version 0.9": (head(version=b"0.9", **GET), [505], NONE),
    "version 1.0": (sized(version=b"1.0"), [200], ONE),
    "version 1.0 without a host": (sized(version=b"1.0").replace(b"host: h\r\n", b""), [200], ONE),
    "version 1.0 in chunks": (chunked(WHOLE, version=b"1.0"), [200], ONE),
    "version 1.2": (sized(version=b"1.2"), [400], NONE),
    "version 2.0": (sized(version=b"2.0"), [505], NONE),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], NONE),
    "a method in small letters": (sized(method=b"post"), [400], NONE),
    "a method that is none": (sized(method=b"STEAL"), [400], NONE),
    "another method": (sized(method=b"PUT"), [405, 200], NONE),
    "a tunnel": (head(method=b"CONNECT", target=b"h:443") + b"\x16\x03\x01", [405], NONE),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), [400], NONE),
    "a target with its host": (sized(target=b"http://other:80/webhooks/open"), [200, 200], ONE),
    "a target that is a star": (head(method=b"OPTIONS", target=b"*"), [404, 200], NONE),
    "a target without a slash": (sized(target=b"webhooks/open"), [400], NONE),
    "a target with a fragment": (sized(target=b"/webhooks/open#x"), [200, 200], ONE),
    "a target with a blank": (sized(target=b"/webhooks/o pen"), [400], NONE),
    "a target that is no ASCII": (sized(target=b"/webhooks/\xc3\xa9"), [400], NONE),
    "a target with a NUL": (sized(target=b"/webhooks/open\0"), [400], NONE),
    "a name with an escaped NUL": (sized(target=b"/webhooks/open%00"), [401, 200], NONE),
    "a name with an escaped slash": (sized(target=b"/webhooks/open%2Fmore"), [404, 200], NONE),
    "a name with escaped letters": (sized(target=b"/webhooks/%6Fpen"), [200, 200], ONE),
    "a name with half an escape": (sized(target=b"/webhooks/open%2"), [401, 200], NONE),
    "a way up": (sized(target=b"/webhooks/../webhooks/open"), [404, 200], NONE),
    "a long target": (sized(target=b"/webhooks/open?" + b"x" * URL_BYTES_MAX), [414], NONE),
    "a target without end": (b"POST /" + b"x" * 4 * HEADER_BYTES_MAX, [431], NONE),
    # Several.
    "a pipeline": (sized() * 3, [200, 200, 200, 200], [HELLO] * 3),
    "a pipeline of both kinds": (chunked(WHOLE) + sized() + head(**GET), [200, 200, 200, 200], [HELLO] * 2),
    "five hundred": (head(**GET) * 500, [200] * 501, NONE),
    "an unwanted body": (sized(target=b"/nowhere", body=HIDDEN), [404, 200], NONE),
    "an unwanted body of a GET": (sized(body=HIDDEN, **GET), [200, 200], NONE),
    "an unwanted body in chunks": (chunked(chunk(HIDDEN) + LAST, target=b"/nowhere"), [404], NONE),
    "a large unwanted body": (sized(target=b"/nowhere", body=HIDDEN * 2_000), [404], NONE),
    "a close, and more": (sized(b"connection: close") + HIDDEN, [200], ONE),
    # Other protocols.
    "an upgrade to HTTP/2": (sized(b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c"), [200, 200], ONE),
    "an upgrade in chunks": (chunked(WHOLE, b"connection: upgrade", b"upgrade: h2c"), [200, 200], ONE),
    "an upgrade of a body that looks like a request": (
        sized(b"connection: upgrade", b"upgrade: h2c", body=HIDDEN),
        [200, 200],
        [HIDDEN],
    ),
    "an upgrade with trailers": (
        chunked(chunk(HELLO) + b"0\r\nx: y\r\n\r\n", b"connection: upgrade", b"upgrade: x"),
        [200, 200],
        ONE,
    ),
    "upgrades, one after the other": (
        sized(b"connection: upgrade", b"upgrade: h2c") * 3 + sized(),
        [200] * 5,
        [HELLO] * 4,
    ),
    "a websocket": (head(b"connection: upgrade", b"upgrade: websocket", **GET), [200, 200], NONE),
    "an upgrade to nowhere": (
        sized(b"connection: upgrade", b"upgrade: h2c", target=b"/nowhere", body=HIDDEN),
        [404, 200],
        NONE,
    ),
    "an upgrade and a close": (sized(b"connection: upgrade, close", b"upgrade: h2c") + HIDDEN, [200], ONE),
    "an upgrade without a length": (head(b"connection: upgrade", b"upgrade: h2c") + HIDDEN, [411], NONE),
    "an upgrade of version 1.0": (sized(b"connection: upgrade", b"upgrade: h2c", version=b"1.0"), [200], ONE),
}


@pytest.mark.parametrize("row", ROWS)
async def test_framing(served: Served, row: str) -> None:
    raw, answered, bodies = ROWS[row]
    said = await conversation(served, raw + NEXT)
    assert [int(status) for status in STATUS.findall(said)] == answered
    assert await kept(served) == bodies
    assert (served.app.bodies.held, len(served.app.bodies)) == (0, 0)


async def test_a_trailer_is_no_header(served: Served) -> None:
    trailers = b"0\r\nauthorization: Bearer x\r\nx-forwarded-for: 203.0.113.9\r\n\r\n"
    await conversation(served, chunked(chunk(HELLO) + trailers) + sized() + NEXT)
    listing = await served.gate.store.find_events(EventFilter(), Page())
    assert [len(each.event.headers) for each in listing.rows] == [2, 2]


@pytest.mark.parametrize("cut", [1, 7, 4096])
async def test_where_the_bytes_are_cut_makes_no_difference(served: Served, cut: int) -> None:
    raw = b"".join(ROWS[name][0] for name in ("a pipeline of both kinds", "upgrades, one after the other", "trailers"))
    client = await served.connect()
    for at in range(0, len(raw), cut):
        client.write(raw[at : at + cut])
        await asyncio.sleep(0)
    client.write(NEXT)
    said = await asyncio.wait_for(client._reader.read(), PATIENCE_S)
    assert [int(status) for status in STATUS.findall(said)] == [200] * 9
    assert await kept(served) == [HELLO] * 7
    client.close()


@pytest.mark.parametrize("name", SOURCES)
async def test_an_upgrade_that_is_offered_loses_no_body_of_any_source(served: Served, name: str) -> None:
    proof = [f"{header}: {text}".encode() for header, text in sign(SOURCES[name], HELLO)]
    offer = [b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"]
    raw = sized(*proof, *offer, b"Upgrade: h2c", target=b"/webhooks/" + name.encode())
    assert STATUS.findall(await conversation(served, raw + NEXT)) == [b"200", b"200"]
    assert await kept(served) == [HELLO]


def test_there_are_enough_of_them() -> None:
    assert len(ROWS) >= 85
