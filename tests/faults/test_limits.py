"""Senders that want too much of the real server: endless, packed, slow, smuggled. Spoken to on raw sockets.

Each is cut with a clear answer, the memory stays where it was, and the next honest request is served.
"""

import contextlib
import gzip
import json
import os
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.harness import BEARER_TOKEN, LIMIT_S, Process, Site, hex_signature

MEGABYTE = 1_000_000
GROWTH_BYTES_MAX = 40 * MEGABYTE
MAX_BODY = 2 * MEGABYTE
SMALL = f"""
[sources.small]
kind = "generic"
verify = {{ scheme = "bearer" }}
secrets = ["${{BEARER_TOKEN}}"]
max_body = {MAX_BODY}
dedup = "id"
"""
IMPATIENT = """
from longstop.edges.senders_http import body_limits, connection
connection.HEAD_WITHIN_S = 2.0
body_limits.BODY_WINDOW_S = 2.0
"""
"""For two tests that are slow on purpose; and long enough for the others, on a machine that is busy."""
HEAD = f"POST /webhooks/small HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {BEARER_TOKEN}\r\n".encode()


class Wire:
    """One connection to the gateway."""

    def __init__(self, site: Site) -> None:
        self._socket = socket.create_connection(("127.0.0.1", site.port), LIMIT_S)

    def send(self, data: bytes) -> bool:
        """Whether the other side still takes it."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of all that comes until the other side closes; 0 where nothing does."""
        said = b""
        with contextlib.suppress(OSError):
            while piece := self._socket.recv(65_536):
                said += piece
        self._socket.close()
        if not said:
            return 0, {}, b""
        head, _, body = said.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body


def rss_bytes(process: Process) -> int:
    """How much memory a process has resident."""
    return int(Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(process: Process) -> int:
    """The most memory that a process ever had resident."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("limits"))
    made.configure(more=SMALL)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def gateway(site: Site) -> Process:
    """One gateway for all of these: each has to leave it as it was."""
    return site.start("ingest", prelude=IMPATIENT).ready()


@pytest.fixture(autouse=True)
def unharmed(site: Site, gateway: Process) -> Iterator[int]:
    """Afterwards the gateway is alive, answers, has grown by little, and has logged no error."""
    assert site.post("shop", b'{"id": "before"}').status == 200
    before = rss_bytes(gateway)
    yield before
    assert site.post("shop", b'{"id": "before"}').json["status"] == "duplicate"
    assert rss_bytes(gateway) - before < GROWTH_BYTES_MAX
    assert "Traceback" not in gateway.err


def problem(answer: tuple[int, dict[str, str], bytes]) -> str:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json"
    said = json.loads(body)
    assert said["status"] == status
    return str(said["title"])


def test_a_gigabyte_that_says_so_is_refused_before_it_is_read(site: Site) -> None:
    wire = Wire(site)
    wire.send(HEAD + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 1000)
    answer = wire.answer()
    assert (answer[0], problem(answer)) == (413, "Body too large")


def test_a_gigabyte_in_chunks_is_refused_at_the_limit(site: Site, gateway: Process, unharmed: int) -> None:
    wire = Wire(site)
    wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b"x" * MEGABYTE)
    sent = 0
    for _ in range(1_000):
        if not wire.send(chunk):
            break
        sent += MEGABYTE
        assert rss_bytes(gateway) - unharmed < GROWTH_BYTES_MAX
    assert sent < 200 * MEGABYTE, "it went on reading"
    status = wire.answer()[0]
    assert status in (413, 0)


def test_the_answer_to_a_body_just_over_the_limit_can_be_read(site: Site) -> None:
    for body in (b"x" * (MAX_BODY + 1), b"x" * MAX_BODY):
        wire = Wire(site)
        wire.send(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        answer = wire.answer()
        assert answer[0] == (413 if len(body) > MAX_BODY else 400)


def test_a_bomb_is_refused_and_memory_stays_flat(site: Site, gateway: Process) -> None:
    before = peak_bytes(gateway)
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(1_000)) + packer.flush()
    assert len(bomb) < MAX_BODY
    for _ in range(5):
        answer = site.post("small", bomb, {"Authorization": f"Bearer {BEARER_TOKEN}", "Content-Encoding": "gzip"})
        assert (answer.status, answer.json["title"]) == (413, "Body too large")
    # The peak, because a bomb that went off is swept away again at once.
    assert peak_bytes(gateway) - before < GROWTH_BYTES_MAX


def test_what_is_packed_is_read_verified_and_kept_as_sent(site: Site) -> None:
    body = gzip.compress(b'{"id": "packed", "type": "order", "customer": "c-1"}')
    headers = {**hex_signature(body), "Content-Encoding": "gzip"}
    answer = site.post("shop", body, headers)
    assert (answer.status, answer.json["status"]) == (200, "accepted")
    event = site.event(answer.json["id"])
    assert (event["type"], event["key"], event["dedup"]) == ("order", "c-1", "packed")
    assert site.cli("events", "show", answer.json["id"], "--raw").out == body
    assert site.post("shop", body, headers).json["status"] == "duplicate"
    unpacked = {**hex_signature(gzip.decompress(body)), "Content-Encoding": "gzip"}
    assert site.post("shop", body, unpacked).status == 401


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b'{"id": 1}'),
        ("gzip", gzip.compress(b'{"id": 1}')[:-4]),
        ("gzip", gzip.compress(b'{"id": 1}') + b"more"),
        ("gzip", gzip.compress(b"") * 1_000),
        ("gzip", b""),
        ("br", b'{"id": 1}'),
        ("gzip, gzip", gzip.compress(gzip.compress(b'{"id": 1}'))),
        ("\xff", b'{"id": 1}'),
    ],
)
def test_what_cannot_be_unpacked_is_quarantined_as_sent(site: Site, coding: str, body: bytes) -> None:
    answer = site.post("shop", body, {**hex_signature(body), "Content-Encoding": coding})
    assert (answer.status, answer.json["title"]) == (400, "Unreadable")
    assert site.cli("events", "show", answer.json["id"], "--raw").out == body


def test_a_slow_body_is_cut_with_408(site: Site) -> None:
    wire = Wire(site)
    wire.send(HEAD + b"Content-Length: 100\r\n\r\n{")
    answer = wire.answer()
    assert (answer[0], problem(answer), answer[1]["connection"]) == (408, "Body too slow", "close")


def test_a_slow_head_is_cut(site: Site) -> None:
    wire = Wire(site)
    wire.send(b"POST /webhooks/small HTTP/1.1\r\nHost:")
    assert wire.answer()[0] == 408


@pytest.mark.parametrize(
    "lines",
    [
        b"".join(b"X-%d: v\r\n" % number for number in range(1_000)),
        b"X-Long: " + b"v" * 100_000 + b"\r\n",
        b"X" * 200_000,
    ],
)
def test_header_bombs_are_431(site: Site, lines: bytes) -> None:
    wire = Wire(site)
    wire.send(HEAD + lines + b"Content-Length: 2\r\n\r\n{}")
    assert wire.answer()[0] == 431


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 40\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: -2\r\n",
    ],
)
def test_a_body_of_two_lengths_is_refused_and_nothing_is_smuggled(site: Site, framing: bytes) -> None:
    before = len(site.ask("events", "list", "--limit", "1000").rows)
    wire = Wire(site)
    hidden = HEAD + b'Content-Length: 16\r\n\r\n{"id":"smuggled"}'
    wire.send(HEAD + framing + b"\r\n0\r\n\r\n" + hidden)
    assert wire.answer()[0] == 400
    assert len(site.ask("events", "list", "--limit", "1000").rows) == before
