"""Jobs over the operators' API, on every store: made, counted, looked at, stopped; never of more than was meant."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_store import TEXT, dead_id, fill
from operators_api import STORES, asking, make_services, store_at

from longstop.edges.operators.api.services import Services
from longstop.model.caller import ALL_SCOPES, Caller, CallerKind
from longstop.model.delivery import State
from longstop.operating.job_runner import JobRunner
from longstop.operating.replay import Replay
from longstop.ports import Store

Row = dict[str, Any]
REPLAY: Row = {"action": "replay", "filter": {}, "why": "mended"}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = store_at(request.param, tmp_path)
    await made.open()
    await fill(made)
    yield made
    await made.close()


def replays(services: Services) -> Callable[[str], Replay]:
    return lambda by: services.replay(Caller(by, CallerKind.USER, ALL_SCOPES))


@pytest.fixture
def services(store: Store) -> Services:
    return make_services(store, TEXT)


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(services) as client:
        yield client


async def ask(
    api: httpx.AsyncClient, path: str, code: int = 200, asked: Row | None = None, key: str | None = None
) -> Row:
    headers = {} if key is None else {"Idempotency-Key": key}
    url = f"/api/v1/{path}"
    response = await (api.get(url) if asked is None else api.post(url, json=asked, headers=headers))
    assert response.status_code == code, response.text
    said: Row = response.json()
    return said


async def test_a_job_is_made_and_carried_out(api: httpx.AsyncClient, services: Services) -> None:
    made = await ask(api, "jobs", 202, {**REPLAY, "including_edited": True, "rate": 20})
    assert (made["state"], made["by"], made["why"], made["rate"]) == ("running", "local", "mended", 20)
    assert (made["total"], made["exact"], made["filter"]) == (2, True, {"state": "dead"})
    assert await ask(api, f"jobs/{made['id']}") == made
    assert await ask(api, f"jobs/{made['id'][-8:]}") == made
    runner = JobRunner(services.store, services.clock, replays(services), "host:1", delivers=False)
    assert await runner.carry_out(made["id"], lambda _: None)
    done = await ask(api, f"jobs/{made['id']}")
    assert (done["state"], done["done"], done["failed"], done["eta_s"]) == ("done", 1, 1, None)
    assert "send it with --edit" in done["errors"][0]["error"]
    (action,) = (await services.store.history(dead_id())).actions
    assert (action.by, action.why) == ("local", "mended")


async def test_a_dry_run_says_what_it_would_be_of(api: httpx.AsyncClient, store: Store) -> None:
    asked = {**REPLAY, "including_edited": True, "dry_run": True}
    found = await ask(api, "jobs", 200, asked)
    assert (found["count"], found["exact"], found["destinations"]) == (2, True, {"crm": 1, "quarantine": 1})
    assert (found["keys"], found["sample"][0]["id"]) == (1, dead_id())
    assert (await ask(api, "jobs"))["items"] == []
    delivery = await store.delivery(dead_id())
    assert delivery is not None
    assert delivery.state is State.DEAD


async def test_jobs_are_listed_by_state_and_in_pages(api: httpx.AsyncClient) -> None:
    ids = [(await ask(api, "jobs", 202, REPLAY))["id"] for _ in range(3)]
    await ask(api, f"jobs/{ids[1]}/pause", 200, {"why": "lunch"})
    assert [each["id"] for each in (await ask(api, "jobs"))["items"]] == ids[::-1]
    first = await ask(api, "jobs?limit=2&order=oldest")
    assert [each["id"] for each in first["items"]] == ids[:2]
    rest = await ask(api, f"jobs?limit=2&order=oldest&cursor={first['next']}")
    assert ([each["id"] for each in rest["items"]], rest["next"]) == (ids[2:], None)
    assert [each["id"] for each in (await ask(api, "jobs?state=paused"))["items"]] == [ids[1]]


async def test_people_stop_it_and_let_it_go_on(api: httpx.AsyncClient) -> None:
    id_ = (await ask(api, "jobs", 202, REPLAY))["id"]
    paused = await ask(api, f"jobs/{id_}/pause", 200, {"why": "lunch"})
    assert (paused["state"], paused["paused_by"], paused["state_why"]) == ("paused", "local", "lunch")
    assert "only what runs can be paused" in (await ask(api, f"jobs/{id_}/pause", 409, {}))["detail"]
    assert (await ask(api, f"jobs/{id_}/resume", 200, {}))["state"] == "running"
    assert (await ask(api, f"jobs/{id_}/cancel", 200, {}))["state"] == "cancelled"
    assert "it is over" in (await ask(api, f"jobs/{id_}/resume", 409, {}))["detail"]
    await ask(api, "jobs/019ab0c2-7d1e-7000-8000-0123456789ab", 404)
    await ask(api, "jobs/nonsense/cancel", 404, {})


async def test_with_a_key_one_job_is_made(api: httpx.AsyncClient) -> None:
    first = await ask(api, "jobs", 202, REPLAY, "k1")
    assert await ask(api, "jobs", 202, REPLAY, "k1") == first
    await ask(api, "jobs", 422, {**REPLAY, "rate": 1}, "k1")
    assert len((await ask(api, "jobs"))["items"]) == 1


async def test_of_nothing_it_is_done_at_once(api: httpx.AsyncClient) -> None:
    asked = {"action": "discard", "filter": {"key": "nobody", "state": "held"}, "why": "x"}
    made = await ask(api, "jobs", 202, asked)
    assert (made["total"], made["filter"]) == (0, {"state": "held", "key": "nobody"})


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"action": "replay"}, "body.filter"),
        ({"action": "replay", "filter": {"destnation": "crm"}}, "body.filter.destnation"),
        ({"action": "replay", "filter": {"destination": "crn"}}, "body.filter.destination"),
        ({"action": "replay", "filter": {"since": "soon"}}, "body.filter.since"),
        ({"action": "replay", "filter": {}, "rate": 0}, "body.rate"),
        ({"action": "replay", "filter": {}, "dryrun": True}, "body.dryrun"),
        ({"action": "burn", "filter": {}}, "body.action"),
    ],
)
async def test_what_cannot_be_meant_makes_no_job(api: httpx.AsyncClient, asked: Row, path: str) -> None:
    assert (await ask(api, "jobs", 422, asked))["errors"][0]["path"] == path
    assert (await ask(api, "jobs"))["items"] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"action": "discard", "filter": {}}, "why: found nothing"),
        ({"action": "replay", "filter": {"state": "scheduled"}}, "state: found scheduled"),
        ({"action": "discard", "filter": {}, "why": "x", "rate": 5}, "rate: found a rate for a discard"),
    ],
)
async def test_what_is_no_job_says_why(api: httpx.AsyncClient, asked: Row, said: str) -> None:
    assert said in (await ask(api, "jobs", 422, asked))["detail"]
    assert (await ask(api, "jobs"))["items"] == []


async def test_a_discard_is_counted_before_it_has_a_reason(api: httpx.AsyncClient) -> None:
    counted = await ask(api, "jobs", 200, {"action": "discard", "filter": {}, "dry_run": True})
    assert counted["count"] > 0
    assert (await ask(api, "jobs"))["items"] == []
