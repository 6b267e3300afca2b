"""The real functions on an emulator: each does all of its work within the policy that the template gives its role."""

import http.server
import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_policies import ARNS, Asked, allows, recorded

from longstop.clock import SystemClock
from longstop.stores.aws.setup import Account, Wanted
from longstop.stores.aws.setup.access import statements
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
BODIES = (
    ('{"id": 1, "conversation": "a"}', KEY, 200),
    ('{"id": 1, "conversation": "a"}', KEY, 200),
    ('{"id": 2, "conversation": "a"}', KEY, 200),
    ('{"id": 3, "conversation": "b", "refuse": true}', KEY, 200),
    ("not JSON", KEY, 400),
    ('{"id": 4}', "not the key", 401),
)
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


def refused(role: str, asked: list[Asked]) -> set[tuple[str, str, str]]:
    policy = statements(role, ARNS)
    return {(each.action, each.resource, str(each.context)) for each in asked if not allows(policy, each)}


@pytest.fixture
def functions(configured: str) -> Iterator[tuple[Functions, Functions, Functions]]:
    """ingest, work and sweep; a process of a function ends without a word, and a test does not."""
    made = Functions(Role.INGEST), Functions(Role.BOTH), Functions(Role.BOTH)
    yield made
    for each in made:
        if each._gateway is not None:
            each._run(each._gateway.stop())
        each._loop.close()


def test_each_function_works_within_its_role(
    functions: tuple[Functions, Functions, Functions], configured: str, aws_emulator: Any
) -> None:
    ingest, work, sweep = functions
    ingest._run(_init(Wanted(REGION, configured, configured, endpoint=aws_emulator.url)))
    calls: dict[str, list[Asked]] = {}
    with recorded() as calls["ingest"]:
        for body, key, status in BODIES:
            assert ingest.ingest(post(body, key), CALL)["statusCode"] == status
    with recorded() as calls["work"]:
        message = {"messageId": "1", "body": json.dumps({"delivery": "x", "destination": "crm"})}
        for _ in range(2):
            assert work.work({"Records": [message]}, CALL) == {"batchItemFailures": []}
    with recorded() as calls["sweep"]:
        sweep.sweep({}, CALL)
    for role, asked in calls.items():
        assert len(asked) > 50
        assert not refused(role, asked), role


async def _init(wanted: Wanted) -> None:
    assert [step.what async for step in Account(wanted, SystemClock()).init() if step.made]
