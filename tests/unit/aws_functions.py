"""Functions on an emulator, with a destination: a process of each, as Lambda would start it."""

import http.server
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from longstop.clock import SystemClock
from longstop.stores.aws.setup import Account, Wanted
from longstop.wiring.functions import Functions
from longstop.wiring.role import Role

REGION = "eu-central-1"
KEY = "hunter2-hunter2"
CONFIG = """\
[store]
url = "aws://{region}?table={name}&queue={name}&endpoint={endpoint}&shards=2"

[sources.shop]
kind = "generic"
verify = {{ scheme = "header", header = "X-Shop-Key" }}
secrets = ["hunter2-hunter2"]
dedup = "id"
key = "conversation"
on_unverified = "hold"

[destinations.crm]
url = "{url}"
allow_private = true
ordered = true
concurrency = 2

[[routes]]
from = "shop"
to = ["crm"]
"""
CALL = SimpleNamespace(get_remaining_time_in_millis=lambda: 4_000)
"""A call of which one second is left for what is to be done."""


class Crm(http.server.BaseHTTPRequestHandler):
    """Takes what does not ask to be refused."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(422 if b"refuse" in body else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def crm() -> Iterator[str]:
    """A destination's URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Crm) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture
def configured(
    aws_emulator: Any, aws_credentials: None, crm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A configuration whose table and queue are there; their name."""
    name = f"functions-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "longstop.toml"
    file.write_text(CONFIG.format(region=REGION, name=name, endpoint=aws_emulator.url, url=crm))
    monkeypatch.setitem(os.environ, "LONGSTOP_CONFIG", str(file))
    return name


def post(body: str, key: str) -> dict[str, Any]:
    request = {"method": "POST", "path": "/webhooks/shop", "sourceIp": "192.0.2.1"}
    headers = {"x-shop-key": key, "content-type": "application/json", "content-length": str(len(body))}
    asked = {"version": "2.0", "rawPath": "/webhooks/shop", "rawQueryString": "", "headers": headers}
    return asked | {"requestContext": {"http": request}, "body": body, "isBase64Encoded": False}


@pytest.fixture
def functions(configured: str) -> Iterator[tuple[Functions, Functions, Functions]]:
    """ingest, work and sweep; a process of a function ends without a word, and a test does not."""
    made = Functions(Role.INGEST), Functions(Role.BOTH), Functions(Role.BOTH)
    yield made
    for each in made:
        if each._gateway is not None:
            each._run(each._gateway.stop())
        each._loop.close()


async def init(wanted: Wanted) -> None:
    assert [step.what async for step in Account(wanted, SystemClock()).init() if step.made]
