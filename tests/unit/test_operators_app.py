"""The operators' side, called as a server would call it: its two paths, and nothing else."""

import asyncio
from typing import Any

import pytest

from longstop.edges.operators.app import OperatorsApp
from longstop.model.exchange import Answer

METRICS = Answer(200, b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")


def ask(path: str, method: str = "GET", ready: bool = True) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = OperatorsApp(lambda: METRICS, lambda: ready)
    asyncio.run(
        app({"type": "http", "method": method, "path": path, "headers": [(b"host", b"localhost:8081")]}, None, send)
    )
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metrics(method: str) -> None:
    status, headers, body = ask("/metrics", method)
    assert (status, body) == (200, METRICS.body)
    assert headers == {"content-type": METRICS.content_type, "content-length": "5"}


@pytest.mark.parametrize(
    ("ready", "status", "body"), [(True, 200, b'{"status":"ready"}'), (False, 503, b'{"status":"not ready"}')]
)
def test_readyz(ready: bool, status: int, body: bytes) -> None:
    assert (ask("/readyz", ready=ready)[0], ask("/readyz", ready=ready)[2]) == (status, body)


@pytest.mark.parametrize("path", ["/", "", "/metrics/", "/metricsx", "/webhooks/shop", "/healthz"])
def test_there_is_nothing_else(path: str) -> None:
    status, headers, body = ask(path)
    assert (status, body) == (404, b'{"type":"about:blank","title":"Not found","status":404}')
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_looked_at(method: str) -> None:
    status, headers, body = ask("/metrics", method)
    assert (status, body) == (405, b'{"type":"about:blank","title":"Method not allowed","status":405}')
    assert headers["allow"] == "GET, HEAD"


def test_only_http_is_served() -> None:
    with pytest.raises(RuntimeError, match="not websocket"):
        asyncio.run(OperatorsApp(lambda: METRICS, lambda: True)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
