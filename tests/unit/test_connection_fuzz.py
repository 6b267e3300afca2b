"""Whatever bytes come on a connection, in whatever pieces: nothing is raised, every answer is whole and none says that
something is wrong here.

The app's own part of this is fuzzed in tests/faults/test_asgi_fuzz.py; here it is the connection that is spoken to,
without a network.
"""

import asyncio
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_ingest import SHOP, Gate

from longstop.edges.senders_http.app import IngestApp
from longstop.edges.senders_http.connection import Connection
from longstop.edges.senders_http.server import SendersServer
from longstop.model.signing import sign
from longstop.testing.clock import VirtualClock, run

EXAMPLES = 1_500
NOT_IMPLEMENTED = (501, 505)
"""A coding of the body, a version of HTTP: these are the sender's."""
BODY = b'{"id": 1, "type": "t"}'
SIGNED = "".join(f"{name}: {text}\r\n" for name, text in sign(SHOP, BODY)).encode()
POST = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%scontent-length: %d\r\n\r\n%s" % (SIGNED, len(BODY), BODY)
CHUNKED = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%stransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
    *(SIGNED, len(BODY)),
    BODY,
)
WORDS = [
    *(POST, CHUNKED, b"GET /healthz HTTP/1.1\r\n\r\n", b"HEAD /healthz HTTP/1.0\r\n\r\n", b"POST / HTTP/1.1\r\n"),
    *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT h:1 HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"),
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\0", b": ", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"1;x=y\r\nz\r\n"),
    *(b"content-length: 3\r\n", b"content-length: 0\r\n", b"content-length: 99999999999999999999\r\n", b"x: \xff\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip\r\n", b"connection: close\r\n", b"host: h\r\n"),
    *(
        b"expect: 100-continue\r\n",
        b"upgrade: websocket\r\nconnection: upgrade\r\n",
        b"GET /webhooks/%c3%28 HTTP/1.1\r\n",
    ),
    *(b"POST /webhooks/shop?%00=\xc3 HTTP/1.1\r\n", b"GET http://h:99999/ HTTP/1.1\r\n\r\n", b"a" * 9_000),
]
VALID = st.sampled_from([POST, CHUNKED, POST.replace(b"host: h", b"connection: close"), WORDS[2], WORDS[3]])


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A request of which something is missing, and something else may stand there."""
    request = draw(VALID)
    start = draw(st.integers(0, len(request)))
    end = draw(st.just(len(request)) | st.integers(start, len(request)))
    return request[:start] + draw(st.sampled_from([b"", b"", *WORDS])) + request[end:]


STREAMS = st.lists(
    st.one_of(VALID, mangled(), st.sampled_from(WORDS), st.binary(max_size=20)), min_size=1, max_size=8
).map(b"".join)
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[a-z-]+: [^\r\n]*\r\n)*)\r\n")
LENGTH = re.compile(rb"content-length: (\d+)\r\n")


class Wire:
    """The transport: keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def write(self, data: bytes) -> None:
        assert not self.closed, "written to what is closed"
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def write_eof(self) -> None:
        """Nothing more is written; it may be read from."""

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Not minded here: what comes all the same has to do no harm."""

    resume_reading = pause_reading


async def spoken(pieces: list[bytes]) -> tuple[bytes, IngestApp]:
    """What is answered to these pieces, one after the other."""
    app, wire = IngestApp(Gate().ingest), Wire()
    server = SendersServer(app, None, VirtualClock())
    connection = Connection(server)
    connection.connection_made(wire)
    for piece in pieces:
        if wire.closed:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    while server.tasks or server._turns:
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert (app.bodies.held, len(app.bodies)) == (0, 0), "a body is held of a connection that is gone"
    return wire.written, app


def statuses(written: bytes) -> list[int]:
    """Of every answer; what is no answer fails."""
    found = []
    while written:
        answer = ANSWER.match(written)
        assert answer is not None, written[:200]
        found.append(int(answer[1]))
        length = LENGTH.search(answer[2])
        # The answer to a HEAD tells a length and has no body.
        body = int(length[1]) if length else 0
        written = written[answer.end() :]
        written = written if written.startswith(b"HTTP/1.1 ") else written[body:]
    return found


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(STREAMS, st.lists(st.integers(0, 40_000), max_size=6))
def test_no_bytes_do_harm(stream: bytes, cuts: list[int]) -> None:
    ends = sorted({cut for cut in cuts if cut < len(stream)} | {len(stream)})
    pieces = [stream[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    written, _ = run(spoken(pieces))
    assert all(status < 500 or status in NOT_IMPLEMENTED for status in statuses(written)), written[:500]


def test_what_is_right_is_accepted() -> None:
    written, _ = run(spoken([POST + CHUNKED + POST[:30], POST[30:]]))
    assert statuses(written) == [200, 200, 200]
