"""The operators' server: a head without end, what it says in the log, and that it leaves signals alone."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from test_http_server import Client

from longstop.edges.operators import connection
from longstop.edges.operators.app import OperatorsApp
from longstop.edges.operators.server import HEAD_BYTES_MAX, OperatorsServer
from longstop.edges.senders_http.server import bind
from longstop.model.exchange import Answer

BEFORE = signal.getsignal(signal.SIGTERM)
METRICS = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def up() -> Answer:
    return Answer(200, b"up 1\n")


class Served:
    def __init__(self, server: OperatorsServer, port: int) -> None:
        self.server, self.port = server, port

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))


@pytest.fixture
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    listening = bind("127.0.0.1", 0, "server.admin_port")
    app: Any = getattr(request, "param", None) or OperatorsApp(up, lambda: ())
    server = OperatorsServer(app, listening)
    await server.start()
    yield Served(server, listening.getsockname()[1])
    await server.stop()


async def test_it_serves_and_keeps_the_connection(served: Served) -> None:
    client = await served.connect()
    for _ in range(2):
        client.write(METRICS)
        assert (await client.answer())[::2] == (200, b"up 1\n")
    client.close()


async def test_a_head_without_end_is_refused(served: Served) -> None:
    client = await served.connect()
    start = b"GET /metrics HTTP/1.1\r\nHost: h\r\nX: "
    # Not a byte more than it takes: what is left unread would turn the close into a reset.
    client.write(start + b"x" * (HEAD_BYTES_MAX + 1 - len(start)))
    assert (await client.answer())[0] == 400
    client.close()


async def test_signals_are_the_process_s_own(served: Served) -> None:
    client = await served.connect()
    client.write(METRICS)
    await client.answer()
    assert signal.getsignal(signal.SIGTERM) is BEFORE
    client.close()


async def fails(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("served", [fails], indirect=True)
async def test_what_the_server_logs_stands_in_the_gateway_s_log(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logged:
        client = await served.connect()
        client.write(METRICS)
        assert (await client.answer())[0] == 500
        client.close()
        client = await served.connect()
        client.write(b"nonsense\r\n\r\n")
        await client.closed()
        client.close()
    assert [(each["event"], each["log_level"]) for each in logged] == [
        ("operators_server_failed", "error"),
        ("operators_server", "warning"),
    ]
    assert logged[0]["said"] == "Exception in ASGI application"
    assert logged[0]["exc_info"][0] is ZeroDivisionError
    assert "".join(capfd.readouterr()) == ""
    assert not logging.getLogger("uvicorn.error").propagate


def test_it_is_said_once(served: Served) -> None:
    handlers = logging.getLogger("uvicorn.error").handlers
    assert len([each for each in handlers if type(each).__module__.startswith("longstop")]) == 1


# -- what strangers do to a port ----------------------------------------------------------------

POST = b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /metrics HTTP/1.1\r\nHost:", POST + b"{", METRICS + b"GET /me"],
    ids=["nothing", "a head", "a body", "a next head"],
)
async def test_a_request_that_does_not_come_ends_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.3)
    monkeypatch.setattr(connection, "BODY_WITHIN_S", 0.3)
    client = await served.connect()
    client.write(sent)
    if sent.startswith(METRICS):
        assert (await client.answer())[0] == 200
    if sent.startswith(POST):
        assert (await client.answer())[0] == 404
    assert await client.closed()


async def test_bytes_that_dribble_bring_no_more_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 1.5)
    client = await served.connect()

    async def dribble() -> None:
        for byte in METRICS[:-2] + b"X: " + b"x" * 10_000:
            client.write(bytes([byte]))
            await asyncio.sleep(0.01)

    dribbling = asyncio.ensure_future(dribble())
    assert await client.closed()
    dribbling.cancel()


async def test_connections_without_a_request_give_way_to_who_asks(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 5)
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 1000)
    idle = [await served.connect() for _ in range(40)]
    client = await served.connect()
    client.write(METRICS)
    assert (await client.answer())[0] == 200
    for each in idle[:36]:
        assert await each.closed()
    for each in (*idle, client):
        each.close()


class _Waiting:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Semaphore(0), asyncio.Event()

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        self.begun.release()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


WAITING = _Waiting()


@pytest.mark.parametrize("served", [WAITING], indirect=True)
async def test_a_request_gives_way_to_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 2)
    asking = [await served.connect() for _ in range(2)]
    for each in asking:
        each.write(METRICS)
        await WAITING.begun.acquire()
    assert await (await served.connect()).closed()
    WAITING.go.set()
    for each in asking:
        assert (await each.answer())[0] == 204
        each.close()


async def _endless(_scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await asyncio.sleep(0)


async def test_an_answer_that_nobody_reads_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_WITHIN_S", 0.05)
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        streaming = asyncio.ensure_future(_endless(scope, receive, send))
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()
        streaming.cancel()

    listening = bind("127.0.0.1", 0, "server.admin_port")
    server = OperatorsServer(app, listening)
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1], limit=1024)
    writer.write(METRICS)
    await asyncio.wait_for(ended.wait(), 20)
    writer.close()
    await server.stop()
