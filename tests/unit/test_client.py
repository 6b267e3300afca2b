"""longstop.client: what it sends, what it makes of answers, and when it asks again."""

import inspect
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_store import DEAD, HOLDER, QUARANTINED, SCHEDULED, TEXT, dead_id, fill
from operators_api import make_services

from longstop import client as package
from longstop.client import AsyncClient, Client, calls
from longstop.client.calls import ATTEMPTS, WAIT_MAX_S
from longstop.client.errors import ApiError, Problem
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import create_api
from longstop.model.delivery import State
from longstop.model.job import JobState
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import delivery_id, event_id

Handler = Callable[[httpx.Request], httpx.Response]
RESULT = {"id": "1", "event_id": "2", "state": "scheduled", "error": None}


class Waits(list[float]):
    """Takes the place of sleeping."""

    async def later(self, seconds: float) -> None:
        self.append(seconds)


def client_of(handler: Handler, **options: Any) -> tuple[Client, Waits]:
    made, waits = Client("http://127.0.0.1:8081/", transport=httpx.MockTransport(handler), **options), Waits()
    made._sleep = waits.append
    return made, waits


def problem(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json=Problem(type="about:blank", title="T", status=status).model_dump(), headers=headers
    )


@pytest.fixture
async def longstop() -> AsyncIterator[AsyncClient]:
    store = MemoryStore()
    await fill(store)
    services = make_services(store, TEXT)
    transport = httpx.ASGITransport(guarded(create_api(services), services))
    async with AsyncClient("http://localhost", transport=transport) as made:
        yield made


def test_both_clients_can_do_the_same() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in found if not name.startswith("__")}

    assert methods(Client) == methods(AsyncClient)


def test_every_path_of_the_client_is_one_of_the_api() -> None:
    described = create_api(make_services(MemoryStore())).openapi()["paths"]
    known = {(method.upper(), len(path.split("/"))) for path, each in described.items() for method in each}
    arguments = {
        "query": {},
        "to": [],
        "headers": {},
        "body": b"",
        "why": None,
        "limit": 5,
        "destination": None,
        "decision": "replay",
        "filters": {},
    }
    made = 0
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        if name.startswith("_") or name in ("path", "wait_s", "quote", "field", "dataclass"):
            continue
        given = {each: arguments.get(each, "x") for each in inspect.signature(function).parameters}
        call = function(**given)
        made += 1
        assert (call.method, len(call.path.split("/"))) in known, name
    assert made > 20


async def test_what_is_there_comes_as_classes(longstop: AsyncClient) -> None:
    event = await longstop.event(event_id(DEAD))
    assert (event.source, event.deliveries[0].state, event.edits[0].by) == ("shop", State.DEAD, "ann")
    assert await longstop.body(event_id(DEAD)) == b'{"number":2}'
    assert (await longstop.curl(event_id(DEAD))).startswith("curl -X POST")
    assert (await longstop.status()).backlog == 5
    assert {each.name for each in await longstop.destinations()} == {"crm", "billing", "code", None}
    assert (await longstop.destination("code")).paused_by == "ann"
    assert [each.name for each in await longstop.sources()] == ["shop"]
    assert (await longstop.source("shop")).setup
    assert [each.status for each in await longstop.rejections("shop")] == [401]
    (group,) = await longstop.dead_groups("crm", step_s=900, steps=8)
    assert (group.count, sum(group.over_time), len(group.over_time)) == (1, 1, 8)
    assert [each.name for each in await longstop.nodes()] == ["host:1"]
    assert (await longstop.settings()).store
    assert (await longstop.attempts(dead_id()))[0].status == 422


async def test_lists_go_on_by_themselves(longstop: AsyncClient) -> None:
    ids = [each.id async for each in longstop.deliveries(page_size=2)]
    assert len(ids) == len(set(ids)) == 7
    dead = [each.id async for each in longstop.deliveries(state="dead", page_size=1)]
    assert set(dead) == {dead_id(), delivery_id(event_id(QUARANTINED), 0)}
    assert [each.id async for each in longstop.events(unrouted=True)] == [event_id(5)]
    assert [each.id async for each in longstop.conversation("talk/1", page_size=1)] == [event_id(HOLDER), event_id(7)]


async def test_a_job_is_made_by_filter_and_can_be_stopped(longstop: AsyncClient) -> None:
    plan = await longstop.plan_job("replay", including_edited=True, destination="crm", reason=None)
    assert (plan.count, plan.destinations) == (1, {"crm": 1}), "one was edited"
    assert await longstop.jobs() == []
    made = await longstop.make_job("replay", why="INC-7", rate=20, including_edited=True, destination="crm")
    assert (made.state, made.total, made.rate, made.why) == (JobState.RUNNING, 1, 20, "INC-7")
    assert made.filter == {"state": "dead", "destination": "crm"}
    assert (await longstop.pause_job(made.id, "slow")).state is JobState.PAUSED
    assert [each.id for each in await longstop.jobs(state="paused")] == [made.id]
    assert (await longstop.resume_job(made.id)).state is JobState.RUNNING
    assert (await longstop.cancel_job(made.id)).state is JobState.CANCELLED
    assert (await longstop.job(made.id[-8:])).state is JobState.CANCELLED


async def test_what_is_decided(longstop: AsyncClient) -> None:
    assert (await longstop.plan_replay(event_id(DEAD), to=["billing"])).would[0].changed
    assert (await longstop.replay_event(event_id(DEAD), body=b"{}", why="x")).event is not None
    assert (await longstop.replay(dead_id(), why="x")).state is State.SCHEDULED
    assert (await longstop.discard(delivery_id(event_id(SCHEDULED), 0), why="x")).state is State.DISCARDED
    assert (await longstop.expedite(delivery_id(event_id(HOLDER), 0))).error is None
    assert (await longstop.pause("crm", "x")).changed
    assert (await longstop.resume("crm")).pause_ended
    assert (await longstop.test_destination("code")).state is State.SCHEDULED
    tried = await longstop.test_source("shop", b"{}", {"X-Shop-Key": "hunter2-hunter2"})
    assert tried.verified


async def test_what_is_refused_is_an_exception_of_its_kind(longstop: AsyncClient) -> None:
    with pytest.raises(package.NotThereError, match="no event or delivery"):
        await longstop.event(event_id(99))
    with pytest.raises(package.ConflictError, match="only what waits can be expedited"):
        await longstop.expedite(dead_id())
    with pytest.raises(package.InvalidError) as refused:
        await longstop.discard(dead_id(), why="")
    assert [each.path for each in refused.value.problem.errors or []] == ["body.why"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, package.UnauthorizedError),
        (403, package.ForbiddenError),
        (404, package.NotThereError),
        (409, package.ConflictError),
        (422, package.InvalidError),
        (429, package.RateLimitedError),
        (503, package.UnavailableError),
        (500, ApiError),
    ],
)
def test_every_status_is_an_exception(status: int, kind: type[ApiError]) -> None:
    longstop, _ = client_of(lambda _: problem(status))
    with pytest.raises(ApiError) as refused:
        longstop.status()
    assert (type(refused.value), refused.value.status) == (kind, status)


def test_what_is_unavailable_is_asked_again_with_the_same_key() -> None:
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        assert json.loads(request.content) == {"why": "x"}
        return httpx.Response(202, json=RESULT) if len(keys) == 3 else problem(503, **{"retry-after": "7"})

    longstop, waits = client_of(handler)
    assert longstop.replay("1", "x").id == "1"
    assert (len(keys), len(set(keys)), waits) == (3, 1, [7.0, 7.0])
    other, _ = client_of(lambda request: (keys.append(request.headers["idempotency-key"]), problem(404))[1])
    with pytest.raises(package.NotThereError):
        other.replay("1", "x")
    assert keys[-1] != keys[0]


def test_it_is_asked_so_often_and_no_more() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return problem(503, **{"retry-after": "86400"})

    longstop, waits = client_of(handler)
    with pytest.raises(package.UnavailableError):
        longstop.status()
    assert (len(asked), waits) == (ATTEMPTS, [WAIT_MAX_S] * (ATTEMPTS - 1))


@pytest.mark.parametrize(("told", "waited"), [("nonsense", [0.5, 1.0, 2.0]), ("-5", [0.0, 0.0, 0.0])])
def test_a_retry_after_that_says_nothing(told: str, waited: list[float]) -> None:
    longstop, waits = client_of(lambda _: problem(429, **{"retry-after": told}))
    with pytest.raises(package.RateLimitedError):
        longstop.status()
    assert waits == waited


def test_a_gateway_that_does_not_answer_is_named() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    longstop, waits = client_of(handler)
    with pytest.raises(package.UnreachableError, match=r"nothing answers at http://127\.0\.0\.1:8081: Conn"):
        longstop.status()
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("body", ["<html>", "{}", "[]", '{"id": 1}'])
def test_an_answer_of_somebody_else_is_said_to_be_one(body: str) -> None:
    for status in (200, 502):
        longstop, _ = client_of(lambda _, status=status: httpx.Response(status, text=body))  # type: ignore[misc]
        with pytest.raises(ApiError, match="does something stand in front of it"):
            longstop.delivery("1")


def test_the_token_comes_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return problem(404)

    monkeypatch.setenv("LONGSTOP_TOKEN", "from-environment")
    for options in ({}, {"token": "given"}, {"token": ""}):
        longstop, _ = client_of(handler, **options)
        with pytest.raises(package.NotThereError):
            longstop.status()
    assert seen == ["Bearer from-environment", "Bearer given", None]


def test_an_id_is_one_segment_of_a_path() -> None:
    paths: list[bytes] = []
    longstop, _ = client_of(lambda request: (paths.append(request.url.raw_path), problem(404))[1])
    with pytest.raises(package.NotThereError):
        longstop.event("../users?x=1#")
    assert paths == [b"/api/v1/events/..%2Fusers%3Fx%3D1%23"]


def test_the_stream_comes_as_messages() -> None:
    wire = b': listening\n\nevent: counts\ndata: {"backlog": 0}\n\nid: a-1\nevent: activity\ndata: {"what": "dead"}\n\n'

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["last-event-id"] == "a-0"
        assert dict(request.url.params) == {"destination": "crm"}
        return httpx.Response(200, content=wire)

    longstop, _ = client_of(handler)
    told = list(longstop.stream(destination="crm", after="a-0"))
    assert [(each.event, each.id, each.data) for each in told] == [
        ("counts", None, {"backlog": 0}),
        ("activity", "a-1", {"what": "dead"}),
    ]
    full, _ = client_of(lambda _: problem(429))
    with pytest.raises(package.RateLimitedError):
        next(iter(full.stream()))


def test_the_gateway_does_without_httpx() -> None:
    """The API's own answers are made of these classes; httpx is imported when a client is made."""
    import subprocess
    import sys

    code = "import sys; import longstop.edges.operators.api.app; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False).returncode == 0


def test_what_goes_unencrypted_to_this_machine_passes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    from longstop.client import transport

    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert transport.settings("http://127.0.0.1:8081", "token", 1.0)["trust_env"] is False
    assert transport.settings("https://gateway.example", "token", 1.0)["trust_env"] is True
    assert transport.settings("https://gateway.example", "token", 1.0)["follow_redirects"] is False


def test_a_redirect_is_told_and_not_followed() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://evil.example/"})

    longstop, _ = client_of(handler, token="secret")
    with pytest.raises(ApiError, match="leads elsewhere, where the token is not sent"):
        longstop.status()
    assert len(asked) == 1
