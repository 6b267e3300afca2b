"""The real server on a loopback socket, spoken to byte by byte: what a slow, large or rude sender gets."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from test_ingest import SHOP, Gate

from longstop.clock import SystemClock
from longstop.edges.senders_http import connection
from longstop.edges.senders_http import server as http_server
from longstop.edges.senders_http.app import IngestApp
from longstop.edges.senders_http.descriptors import CONNECTIONS_MAX, raise_descriptor_limit
from longstop.edges.senders_http.head_limits import HEADER_BYTES_MAX, HEADERS_MAX
from longstop.edges.senders_http.server import ListenError, SendersServer, bind
from longstop.edges.senders_http.thread_switching import HURRIED_S, ThreadSwitching
from longstop.model.signing import sign

BODY = b'{"id": 1}'
SIGNED = "\r\n".join(f"{name}: {value}" for name, value in sign(SHOP, BODY)).encode()
POST = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%s\r\ncontent-length: %d\r\n\r\n%s" % (SIGNED, len(BODY), BODY)
REQUEST_LINE = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n"
PATIENCE_S = 20


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await asyncio.wait_for(self._writer.drain(), PATIENCE_S)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self._reader.read(), PATIENCE_S) == b""
        return True

    def close(self) -> None:
        self._writer.close()


class Served:
    """A gateway on a port of its own."""

    def __init__(self, server: SendersServer, app: IngestApp, gate: Gate, port: int) -> None:
        self.server, self.app, self.gate, self.port = server, app, gate, port

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    # The gateway's clock is virtual elsewhere; here nothing but ids and times depends on it.
    gate = Gate()
    gate.ingest._clock = SystemClock()
    listening = bind("127.0.0.1", 0)
    app = IngestApp(gate.ingest)
    server = SendersServer(app, listening, SystemClock())
    await server.start()
    yield Served(server, app, gate, listening.getsockname()[1])
    await server.stop()


async def test_requests_of_one_connection_are_answered_in_turn(served: Served) -> None:
    client = await served.connect()
    for expected in ("accepted", "duplicate"):
        client.write(POST)
        status, _, body = await client.answer()
        assert (status, json.loads(body)["status"]) == (200, expected)
    client.write(POST + POST)
    assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
    client.close()


async def test_headers_reach_the_event_in_the_order_sent(served: Served) -> None:
    client = await served.connect()
    client.write(POST.replace(b"host: h", b"host: h\r\nx-b: 1\r\nx-a: \xe9\r\nx-b: 2"))
    _, _, body = await client.answer()
    kept = await served.gate.store.event(json.loads(body)["id"])
    sent = [(name, value) for name, value in kept.event.headers if name.startswith("x-") and name != "x-signature"]
    assert sent == [("x-b", "1"), ("x-a", "\xe9"), ("x-b", "2")]
    client.close()


@pytest.mark.parametrize("start", [b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\nx-slow: ", b"P", b""])
async def test_a_head_that_does_not_end_is_cut(served: Served, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.3)
    client = await served.connect()
    client.write(start)
    if start:
        assert (await client.answer())[0] == 408
    assert await client.closed()


async def test_a_head_that_drips_is_cut_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.2)
    client = await served.connect()
    answer = asyncio.create_task(client.answer())
    client.write(b"POST /webhooks/shop HTTP/1.1\r\n")
    while not answer.done():
        client.write(b"x: 1\r\n")
        await asyncio.wait([answer], timeout=0.01)
    assert (await answer)[0] == 408


async def test_the_second_head_of_a_connection_is_timed_as_the_first(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await served.connect()
    client.write(POST)
    assert (await client.answer())[0] == 200
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.05)
    client.write(b"POST /webh")
    assert (await client.answer())[0] == 408
    assert await client.closed()


@pytest.mark.parametrize(
    "head",
    [
        b"x: %s\r\n\r\n" % (b"1" * (HEADER_BYTES_MAX + 1)),
        b"x: 1\r\n" * (HEADERS_MAX + 1) + b"\r\n",
        # Not a byte more than it takes: what is left unread would turn the close into a reset.
        (b"x: " + b"1" * 2 * HEADER_BYTES_MAX)[: 2 * HEADER_BYTES_MAX + 1 - len(REQUEST_LINE)],
    ],
    ids=["a large header", "many headers", "a line without end"],
)
async def test_a_head_over_the_limit_is_431(served: Served, head: bytes) -> None:
    client = await served.connect()
    client.write(REQUEST_LINE + head)
    assert (await client.answer())[0] == 431
    assert await client.closed()


@pytest.mark.parametrize("chunked", [False, True])
async def test_the_answer_to_an_upload_that_is_too_large_can_be_read(served: Served, chunked: bool) -> None:
    client = await served.connect()
    size, piece = 20 * 1024 * 1024, b"x" * 65_536
    length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
    client.write(b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n" + length + b"\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(size // len(piece)):
            client.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await client.drain()
    status, headers, body = await client.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert json.loads(body)["title"] == "Body too large"
    client.close()


async def test_two_lengths_are_refused_and_nothing_is_smuggled(served: Served) -> None:
    client = await served.connect()
    both = b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"
    client.write(b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n" + both + b"0\r\n\r\n" + POST)
    status, _, _ = await client.answer()
    assert status in (400, 401)
    assert await client.closed()
    assert "append" not in served.gate.store.calls


async def test_a_stop_answers_what_is_in_flight_and_takes_no_more(served: Served) -> None:
    gate = served.gate.store.stall("append")
    client = await served.connect()
    client.write(POST)
    while "append" not in served.gate.store.calls:
        await asyncio.sleep(0.001)
    stopping = asyncio.create_task(served.server.stop())
    await asyncio.wait([stopping], timeout=0.3)
    assert not stopping.done()
    with pytest.raises(ConnectionError):
        await served.connect()
    gate.set()
    assert (await client.answer())[0] == 200
    await asyncio.wait_for(stopping, PATIENCE_S)
    assert await client.closed()


def test_a_port_that_is_taken_is_a_plain_error() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            bind("127.0.0.1", port)
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; is another Longstop running? "
        "Stop it, or choose another server.port"
    )


def test_it_names_the_setting_that_has_to_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_family(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(http_server.socket, "socket", no_such_family)
    with pytest.raises(ListenError, match=r"^cannot listen on ::1:8081: Address family .* another server\.admin_port$"):
        bind("::1", 8081, "server.admin_port")


async def idle_ones(served: Served, count: int, known: int = 0) -> list[Client]:
    """Connections that wait, the first of them known by a request that was accepted."""
    clients = []
    for number in range(count):
        client = await served.connect()
        client.write(POST if number < known else b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        assert (await client.answer())[0] == 200
        clients.append(client)
    return clients


async def test_one_address_has_a_share_of_the_connections_and_strangers_go_first(served: Served) -> None:
    served.server._connections_max = 8
    known, first, *others = await idle_ones(served, 4, known=1)
    one_more = await served.connect()
    assert await first.closed()
    for each in (known, *others, one_more):
        each.write(POST)
        assert (await each.answer())[0] == 200
        each.close()


async def test_who_is_being_served_is_not_closed_for_others_who_get_503(served: Served) -> None:
    served.server._connections_max = 4
    go_on = served.gate.store.stall("append")
    busy = [await served.connect() for _ in range(2)]
    for each in busy:
        each.write(POST)
    while len(served.server.tasks) < 2:
        await asyncio.sleep(0.001)
    refused = await served.connect()
    status, headers, _ = await refused.answer()
    assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "5")
    assert await refused.closed()
    go_on.set()
    assert [(await each.answer())[0] for each in busy] == [200, 200]
    for each in busy:
        each.close()


async def test_bodies_that_do_not_come_to_an_end_do_not_shut_others_out(served: Served) -> None:
    """Those without a signature first; then the oldest of those that have one, which may be any."""
    served.server._connections_max = 6
    unsigned = POST.replace(SIGNED, b"x: y")
    heads = [POST[:-1], unsigned[:-1], POST[:-1]]
    unfinished = []
    for number, head in enumerate(heads):
        unfinished.append(await served.connect())
        unfinished[-1].write(head)
        while len(served.app.bodies) <= number:
            await asyncio.sleep(0.001)
    for gone in (unfinished[1], unfinished[0]):
        client = await served.connect()
        client.write(POST)
        assert (await client.answer())[0] == 200
        assert await gone.closed()
    unfinished[2].write(POST[-1:])
    assert (await unfinished[2].answer())[0] == 200
    for client in unfinished:
        client.close()


async def test_others_make_room_where_all_connections_are_taken(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "ADDRESS_SHARE", 0.5)
    served.server._connections_max = 3
    first, *others = await idle_ones(served, 3)
    one_more = await served.connect()
    one_more.write(POST)
    assert (await one_more.answer())[0] == 200
    assert await first.closed()
    assert served.server._per_address == {"127.0.0.1": 3}
    for each in (*others, one_more):
        each.close()


async def test_nothing_is_counted_of_connections_that_are_gone(served: Served) -> None:
    for client in await idle_ones(served, 3):
        client.close()
    async with asyncio.timeout(PATIENCE_S):
        while served.server._connections:
            await asyncio.sleep(0.001)
    assert served.server._per_address == {}


def test_there_are_descriptors_for_all_connections() -> None:
    resource = pytest.importorskip("resource")
    most = raise_descriptor_limit()
    assert 0 < most <= CONNECTIONS_MAX
    assert 2 * most <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def test_an_answer_has_the_time(served: Served) -> None:
    client = await served.connect()
    client.write(POST)
    _, headers, _ = await client.answer()
    told = parsedate_to_datetime(headers["date"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < PATIENCE_S
    client.close()


async def test_a_stop_does_not_wait_for_who_never_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "DRAIN_WITHIN_S", 0.05)
    served.gate.store.stall("append")
    client = await served.connect()
    client.write(POST)
    while not served.server.tasks:
        await asyncio.sleep(0.001)
    await asyncio.wait_for(served.server.stop(), PATIENCE_S)
    assert await client.closed()
    assert not served.server.tasks


async def test_threads_switch_sooner_only_while_turns_are_asked_for() -> None:
    usual_s = sys.getswitchinterval()
    switching = ThreadSwitching(asyncio.get_running_loop())
    try:
        switching.hurry()
        assert sys.getswitchinterval() == pytest.approx(min(usual_s, HURRIED_S))
        switching._look()
        assert sys.getswitchinterval() == pytest.approx(HURRIED_S), "one was asked for since the last look"
        switching._look()
        assert sys.getswitchinterval() == pytest.approx(usual_s)
        switching.hurry()
    finally:
        switching.calm()
    assert sys.getswitchinterval() == pytest.approx(usual_s)
