"""The operators' server: a head without end, what it says in the log, and that it leaves signals alone."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from test_http_server import Client

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
