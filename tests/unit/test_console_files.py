"""The console's files, called as a server would call it: what is served, as what, and nothing else."""

import asyncio
import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from longstop.edges.operators.app import OperatorsApp
from longstop.edges.operators.console import CONTENT_SECURITY_POLICY, PAGES, ConsoleApp
from longstop.model.exchange import Answer

PAGE = b"<!doctype html><title>Longstop</title>" + b" " * 500
SCRIPT = b"console.log(1);" * 100
ROUTES = Path(__file__).parents[2] / "console" / "src" / "routes.ts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_bytes(PAGE)
    (built / "assets" / "index-abc.js").write_bytes(SCRIPT)
    (built / "built-from").write_text("a hash")
    (tmp_path / "secret.js").write_text("not yours")
    return built


def ask(
    folder: Path, path: str, method: str = "GET", accepts: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if accepts is None else [(b"accept-encoding", accepts)]
    asyncio.run(ConsoleApp(folder)({"type": "http", "method": method, "path": path, "headers": headers}, None, send))
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("path", ["/", "", "/events", "/events/019a", "/conversations/a/b", "/dead-letters"])
def test_every_page_is_the_same_file_and_asked_for_anew(folder: Path, path: str) -> None:
    status, headers, body = ask(folder, path)
    assert (status, body) == (200, PAGE)
    assert headers["cache-control"] == "no-cache"
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_a_file_with_a_hash_in_its_name_is_kept(folder: Path) -> None:
    status, headers, body = ask(folder, "/assets/index-abc.js")
    assert (status, body) == (200, SCRIPT)
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/assets/index-abc.js"])
def test_the_policy_allows_no_script_but_its_own(folder: Path, path: str) -> None:
    _, headers, _ = ask(folder, path)
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


@pytest.mark.parametrize(
    ("accepts", "packed"),
    [(b"gzip, deflate, br", True), (b"GZIP", True), (b"gzip;q=0", False), (b"br", False), (None, False)],
)
def test_it_is_compressed_for_whom_that_helps(folder: Path, accepts: bytes | None, packed: bool) -> None:
    _, headers, body = ask(folder, "/assets/index-abc.js", accepts=accepts)
    assert headers.get("content-encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(body) if packed else body) == SCRIPT
    assert int(headers["content-length"]) == len(body)
    assert headers["vary"] == "accept-encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../secret.js",
        "/../secret.js",
        "/assets/..%2f..%2fsecret.js",
        "//etc/passwd.js",
        "/assets",
        "/assets/",
        "/built-from",
        "/assets/none.js",
        "/favicon.ico",
        "/eventsx",
        "/assets/index-abc.js\0",
    ],
)
def test_nothing_else_is_served(folder: Path, path: str) -> None:
    status, _, body = ask(folder, path)
    if status == 200:
        assert body == PAGE, "a path that begins like a page's is a page; no other file"
    else:
        assert status == 404
    assert b"not yours" not in body
    assert b"a hash" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_looked_at(folder: Path, method: str) -> None:
    status, headers, _ = ask(folder, "/", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_without_a_console_a_page_says_how_to_have_one(tmp_path: Path) -> None:
    status, headers, body = ask(tmp_path / "static", "/dead-letters")
    assert status == 503
    assert b"make console" in body
    assert b"LONGSTOP_CONSOLE" in body
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_the_pages_are_those_that_the_console_has() -> None:
    lists = re.search(r"const LISTS.*?\{(.*?)\n\};", ROUTES.read_text(), re.DOTALL)
    assert lists is not None
    named = {name.strip("'") for name in re.findall(r"^  ('[^']*'|\w+):", lists[1], re.MULTILINE)}
    assert named == PAGES


def test_the_operators_side_has_it_beside_what_else_it_serves(folder: Path) -> None:
    async def metrics() -> Answer:
        return Answer(200, b"up 1\n")

    async def api(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = OperatorsApp(metrics, tuple, api=api, console=ConsoleApp(folder))

    def status(path: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(app({"type": "http", "method": "GET", "path": path, "headers": []}, None, send))
        return int(sent[0]["status"])

    asked = {path: status(path) for path in ("/", "/metrics", "/readyz", "/api/v1/status", "/dlq/x", "/nothing")}
    assert asked == {"/": 200, "/metrics": 200, "/readyz": 200, "/api/v1/status": 204, "/dlq/x": 204, "/nothing": 404}
