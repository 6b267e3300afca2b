"""The operators' side, called as a server would call it: its two paths, and nothing else."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from longstop.clock import SystemClock
from longstop.edges.operators.access.cookies import Cookies
from longstop.edges.operators.access.guard import Guard
from longstop.edges.operators.app import OperatorsApp
from longstop.edges.operators.hosts import OwnHosts
from longstop.edges.senders_http.proxies import TrustedProxies
from longstop.model.exchange import Answer
from longstop.model.store_health import StoreWarning, StoreWarningKind
from longstop.testing.builders import AT_MS

OWN = [(b"host", b"localhost:8081")]
METRICS = Answer(200, b"up 1\n", "text/plain; version=0.0.4; charset=utf-8")


async def metrics() -> Answer:
    return METRICS


def ask(
    path: str, method: str = "GET", why: Sequence[str] = (), warnings: Sequence[StoreWarning] = ()
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = OperatorsApp(metrics, lambda: why, warnings=lambda: warnings)
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
    ("why", "status", "said"),
    [
        ([], 200, {"status": "ready"}),
        (["the store is lost", "a \x1b"], 503, {"status": "not ready", "why": ["the store is lost", "a \x1b"]}),
    ],
)
def test_readyz(why: list[str], status: int, said: dict[str, object]) -> None:
    found, headers, body = ask("/readyz", why=why)
    assert (found, json.loads(body)) == (status, said)
    assert body.isascii()
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(("why", "status"), [([], 200), (["stopping"], 503)])
def test_readyz_warns_of_what_is_no_reason(why: list[str], status: int) -> None:
    warning = StoreWarning(StoreWarningKind.OLD_SNAPSHOT, "somebody holds it", {"pid": "7"}, AT_MS)
    found, _, body = ask("/readyz", why=why, warnings=[warning])
    row = {
        "kind": "old_snapshot",
        "text": "somebody holds it",
        "since": "2026-01-01T00:00:00.000Z",
        "details": {"pid": "7"},
    }
    assert (found, json.loads(body)["warnings"]) == (status, [row])


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
        asyncio.run(
            Guard(None, None, OwnHosts(), TrustedProxies(), Cookies(encrypted=False, lifetime_ms=1), SystemClock())(
                {"type": "websocket"},
                None,  # type: ignore[arg-type]
                None,  # type: ignore[arg-type]
            )
        )


def ask_as(host: str | None, method: str = "GET", **more: str) -> int:
    """The status of a request by this name."""
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    headers += [(name.encode(), text.encode()) for name, text in more.items()]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = OperatorsApp(metrics, lambda: ())
    hosts = OwnHosts(["Ops.example.net", "192.0.2.7", "2001:db8::1"])
    guard = Guard(app, None, hosts, TrustedProxies(), Cookies(encrypted=False, lifetime_ms=1), SystemClock())
    asyncio.run(guard({"type": "http", "method": method, "path": "/metrics", "headers": headers}, None, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:8081", "127.0.0.1", "127.0.0.1:1", "127.8.9.1", "[::1]", "[::1]:8081", "localhost:"),
        *("ops.example.net", "OPS.example.net:80", "192.0.2.7:8081", "[2001:db8::1]:8081"),
    ],
)
def test_it_answers_to_its_own_names(host: str) -> None:
    assert ask_as(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8081", "localhost.evil.example", "127.0.0.1.evil.example", "localhost:80:80"),
        *(
            "evil.example#localhost",
            "localhost@evil.example",
            "[::1]evil",
            "[::2]",
            "0.0.0.0",
            "",
            ":8081",
            "localhost ",
        ),
        *("2130706433", "127.1", "0x7f.0.0.1", "\xe9", "localhost,evil.example"),
    ],
)
def test_and_to_no_other(host: str) -> None:
    """DNS rebinding: a page's own name leads here, and the browser hands the page what is answered."""
    assert ask_as(host) == 421


def test_who_names_nobody_is_not_understood() -> None:
    assert ask_as(None) == 400


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("GET", "https://evil.example", 200),
        ("HEAD", "null", 200),
        ("POST", "https://evil.example", 403),
        ("POST", "null", 403),
        ("DELETE", "http://localhost:9999", 403),
        ("POST", "ftp://localhost:8081", 403),
        # It gets as far as the answer of the path itself.
        ("POST", "http://localhost:8081", 405),
        ("POST", "https://LOCALHOST:8081", 405),
    ],
)
def test_pages_of_other_sites_change_nothing(method: str, origin: str, status: int) -> None:
    assert ask_as("localhost:8081", method, origin=origin) == status
