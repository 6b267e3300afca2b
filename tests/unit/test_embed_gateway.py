"""The gateway inside an application: decorator, lifespan and mount, as the design shows them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from longstop import Alert, Event, Longstop, Reject, RetryLater
from longstop.model.delivery import DeadReason, Delivery, State
from longstop.model.errors import ConfigurationError
from longstop.stores.sqlite import SqliteStore

CONFIG = """
[store]
url = "sqlite:///store.db"

[sources.shop]
kind = "generic"
verify = { scheme = "none" }
dedup = "id"

[[routes]]
from = "shop"
to = ["crm"]
"""
PATIENCE_S = 20


@pytest.fixture
def gateway(tmp_path: Path) -> Longstop:
    (tmp_path / "longstop.toml").write_text(CONFIG)
    return Longstop(tmp_path / "longstop.toml")


def application(gateway: Longstop) -> FastAPI:
    app = FastAPI(lifespan=gateway.lifespan)
    app.mount("/webhooks", gateway.ingest)
    return app


async def post(app: FastAPI, body: bytes = b'{"id": 1}', path: str = "/webhooks/shop") -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, content=body)


async def kept(tmp_path: Path, event_id: str) -> Delivery:
    """The event's only delivery, as another process sees it once the gateway has stopped."""
    store = SqliteStore(tmp_path / "store.db", watch_s=None)
    await store.open()
    found = await store.event(event_id)
    await store.close()
    assert found is not None
    (delivery,) = found.deliveries
    return delivery


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_event_that_is_posted_reaches_the_handler(kind: str, gateway: Longstop, tmp_path: Path) -> None:
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    events: list[Event] = []

    def took(event: Event) -> None:
        events.append(event)
        loop.call_soon_threadsafe(called.set)

    async def took_async(event: Event) -> None:
        took(event)

    handler: Any = took_async if kind == "async" else took
    assert gateway.handler("crm")(handler) is handler
    app = application(gateway)
    async with app.router.lifespan_context(app):
        answer = await post(app)
        assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
        assert (await post(app)).json() == {"status": "duplicate", "id": answer.json()["id"]}
        assert (await post(app, path="/webhooks/unknown")).status_code == 401
        assert (await post(app, path="/webhooks/healthz")).status_code == 401
        await asyncio.wait_for(called.wait(), PATIENCE_S)
    (event,) = events
    assert (event.id, event.body, event.source) == (answer.json()["id"], b'{"id": 1}', "shop")
    assert (await kept(tmp_path, event.id)).state is State.DELIVERED


@pytest.mark.parametrize(
    ("error", "state", "reason", "said"),
    [
        (RetryLater(after=60, why="busy"), State.SCHEDULED, None, "busy"),
        (Reject("not ours"), State.DEAD, DeadReason.REJECTED, "not ours"),
        (ValueError("oops"), State.SCHEDULED, None, "ValueError: oops"),
    ],
)
async def test_what_a_handler_raises_decides(
    error: Exception, state: State, reason: DeadReason | None, said: str, gateway: Longstop, tmp_path: Path
) -> None:
    called = asyncio.Event()

    @gateway.handler("crm")
    async def fails(event: Event) -> None:
        called.set()
        raise error

    app = application(gateway)
    async with app.router.lifespan_context(app):
        event_id = (await post(app)).json()["id"]
        await asyncio.wait_for(called.wait(), PATIENCE_S)
    delivery = await kept(tmp_path, event_id)
    assert (delivery.state, delivery.reason, delivery.last_error) == (state, reason, said)
    if isinstance(error, RetryLater):
        assert delivery.due_at_ms >= delivery.received_at_ms + 60_000


def test_a_destination_has_one_handler(gateway: Longstop) -> None:
    gateway.handler("crm")(print)
    with pytest.raises(ValueError, match="destination 'crm' has a handler already"):
        gateway.handler("crm")(print)


async def test_before_it_runs_and_after_it_stopped_it_says_what_is_missing(gateway: Longstop) -> None:
    gateway.handler("crm")(print)
    app = application(gateway)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the gateway is not running; pass lifespan="):
            await post(app)
        async with gateway.lifespan():
            assert (await post(app)).status_code == 200
    await gateway.stop()


async def test_it_runs_once_at_a_time(gateway: Longstop) -> None:
    gateway.handler("crm")(print)
    async with gateway.lifespan():
        with pytest.raises(RuntimeError, match="running already"):
            await gateway.start()


async def test_a_destination_that_neither_file_nor_code_knows_is_a_configuration_error(gateway: Longstop) -> None:
    with pytest.raises(ConfigurationError, match="crm"):
        await gateway.start()
    await gateway.stop()


async def test_what_a_slow_handler_had_begun_is_finished_before_the_stop(gateway: Longstop, tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    @gateway.handler("crm")
    async def slow(event: Event) -> None:
        begun.set()
        await go_on.wait()

    app = application(gateway)
    await gateway.start()
    event_id = (await post(app)).json()["id"]
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    stopping = asyncio.create_task(gateway.stop())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await asyncio.wait_for(stopping, PATIENCE_S)
    assert (await kept(tmp_path, event_id)).state is State.DELIVERED


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_functions_hear_of_a_circuit_that_opens_and_closes(kind: str, gateway: Longstop, tmp_path: Path) -> None:
    with (tmp_path / "longstop.toml").open("a") as file:
        file.write(
            '\n[destinations.crm]\nretry = { first = "1ms" }\nbreaker = { failures = 1, probe = "1ms", probes = 1 }\n'
        )
    loop, alerts = asyncio.get_running_loop(), asyncio.Queue[Alert]()
    works = False

    @gateway.handler("crm")
    async def crm(event: Event) -> None:
        if not works:
            raise ConnectionError("down")

    async def told_async(alert: Alert) -> None:
        alerts.put_nowait(alert)

    def told(alert: Alert) -> None:
        loop.call_soon_threadsafe(alerts.put_nowait, alert)

    function: Any = told_async if kind == "async" else told

    hung: list[Alert] = []
    go_on = asyncio.Event()

    @gateway.on_alert
    async def hangs(alert: Alert) -> None:
        hung.append(alert)
        await go_on.wait()

    assert gateway.on_alert(function) is function
    app = application(gateway)
    async with app.router.lifespan_context(app):
        await post(app)
        opened = await asyncio.wait_for(alerts.get(), PATIENCE_S)
        works = True
        closed = await asyncio.wait_for(alerts.get(), PATIENCE_S)
        assert hung == [opened], "one that hangs does not hold up the others"
        go_on.set()
    assert hung == [opened, closed]
    assert (opened.alert, opened.destination, opened.why) == ("circuit_opened", "crm", "1 event in a row failed")
    assert (closed.alert, closed.open_s) == ("circuit_closed", (closed.at_ms - opened.at_ms) / 1000)
