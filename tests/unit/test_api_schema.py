"""The API against its own description: schemathesis makes requests of every operation, sensible and not.

No answer may be a 5xx, and each has to be one that the description has: its status, its media type, its fields. The
requests are the same each time, but with another API_SEED. Half of them are about things that are there.
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_store import DEAD, HELD, QUARANTINED, RETRIED, SCHEDULED, TEXT, UNROUTED, fill
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from operators_api import make_services

from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import create_api
from longstop.edges.operators.app import OperatorsApp
from longstop.edges.operators.server import OperatorsServer
from longstop.edges.senders_http.server import bind
from longstop.model.exchange import Answer
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import delivery_id, event_id

try:
    import schemathesis
    from schemathesis import checks
except ImportError:
    if os.environ.get("LONGSTOP_CI"):
        raise
    pytest.skip("not installed: schemathesis (the extra `dev`)", allow_module_level=True)

EXAMPLES = int(os.environ.get("API_EXAMPLES", "40"))
"""Requests of each operation."""
SEED = int(os.environ.get("API_SEED", "20261128"))
ENDLESS = {"/api/v1/stream"}
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
NUMBERS = (SCHEDULED, DEAD, RETRIED, QUARANTINED, UNROUTED, HELD)
THERE = {
    "id": [*map(event_id, NUMBERS), *(delivery_id(event_id(number), 0) for number in NUMBERS)],
    "name": ["shop", "crm", "billing", "code", "quarantine", "(unknown)"],
    "key": ["talk/1", "order-2"],
}
"""What stands in the paths of half of the requests."""

DESCRIBED = create_api(make_services(MemoryStore(), TEXT)).openapi()
SCHEMA = schemathesis.openapi.from_dict(DESCRIBED)
OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in SCHEMA.get_all_operations()
    if found.ok().path not in ENDLESS
}


async def _no_metrics() -> Answer:
    return Answer(200, b"")


class _Gateway(threading.Thread):
    """The operators' side on a port, over a store with something of everything, in a loop of its own."""

    def __init__(self, file: Path) -> None:
        super().__init__(daemon=True)
        self.file = file
        self.ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.over = asyncio.Event()
        self.url = ""

    def run(self) -> None:
        self.loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        store = SqliteStore(self.file)
        await store.open()
        await fill(store)
        services = make_services(store, TEXT)
        api = create_api(services)
        listening = bind("127.0.0.1", 0)
        app = OperatorsApp(_no_metrics, lambda: [], api=api)
        server = OperatorsServer(guarded(app, services), listening, api.state.live.stop)
        await server.start()
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.ready.set()
        await self.over.wait()
        await server.stop()
        await store.close()

    def __enter__(self) -> "_Gateway":
        self.start()
        assert self.ready.wait(30)
        return self

    def __exit__(self, *_error: object) -> None:
        self.loop.call_soon_threadsafe(self.over.set)
        self.join(30)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Gateway]:
    with _Gateway(tmp_path_factory.mktemp("api") / "store.db") as made:
        yield made


def test_every_operation_is_tried() -> None:
    paths = {f"{method.upper()} {path}" for path, each in DESCRIBED["paths"].items() for method in each}
    assert paths - set(OPERATIONS) == {f"GET {path}" for path in ENDLESS}


@pytest.mark.parametrize("name", OPERATIONS)
def test_its_answers_are_as_described(name: str, gateway: _Gateway) -> None:
    operation = OPERATIONS[name]

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def run(case: Any, data: st.DataObject) -> None:
        for part in case.path_parameters or {}:
            if part in THERE and data.draw(st.booleans(), label="there"):
                case.path_parameters[part] = data.draw(st.sampled_from(THERE[part]))
        case.call_and_validate(base_url=gateway.url, checks=CHECKS)

    run()


def test_a_wrong_answer_would_be_found(gateway: _Gateway) -> None:
    """The check checks: an answer without a field that the description has is one of its failures."""
    case = OPERATIONS["GET /api/v1/nodes"].Case()
    good = httpx.get(f"{gateway.url}/api/v1/nodes")
    case.validate_response(good, checks=CHECKS)
    for broken in (httpx.Response(200, json={"items": [{"name": "x"}], "next": None}), httpx.Response(418, json={})):
        broken.request, broken.elapsed = good.request, good.elapsed
        with pytest.raises(checks.FailureGroup):
            case.validate_response(broken, checks=CHECKS)
