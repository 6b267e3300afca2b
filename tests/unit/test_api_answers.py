"""Long answers are made a little at a time: in the event loop that accepts, nobody waits for a page of 500 rows."""

import asyncio
import json
from typing import Any

import fastapi.routing
import pytest
from operators_api import asking, make_services
from pydantic import BaseModel

from longstop.clock import SystemClock
from longstop.edges.operators.api import answers
from longstop.edges.operators.api.answers import as_json, list_of
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import make_append
from longstop.testing.tasks import end_tasks


class Thing(BaseModel):
    number: int


async def test_others_have_their_turn_while_an_answer_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "TURN_S", 0.0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    rows = as_json(Thing, ({"number": number, "unknown": "x"} for number in range(100)))
    answer = await list_of(SystemClock(), "items", rows, {"next": None})
    await end_tasks([beside])
    assert json.loads(bytes(answer.body)) == {"items": [{"number": number} for number in range(100)], "next": None}
    assert turns >= 100


@pytest.mark.parametrize(("rows", "around"), [(0, {}), (0, {"a": "}"}), (2, {}), (2, {"a": '"{', "b": 1})])
async def test_what_is_around_the_rows_is_there_as_well(rows: int, around: dict[str, Any]) -> None:
    answer = await list_of(SystemClock(), "items", as_json(Thing, [{"number": 7}] * rows), around)
    assert json.loads(bytes(answer.body)) == {"items": [{"number": 7}] * rows, **around}
    assert answer.headers["content-type"] == "application/json"


async def test_no_list_that_has_pages_is_made_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI makes an answer of a model and a dict at once; what has a `limit`, and statistics, come otherwise."""
    at_once: list[str] = []
    real = fastapi.routing.serialize_response

    async def noted(**given: Any) -> Any:
        at_once.append(path)
        return await real(**given)

    monkeypatch.setattr(fastapi.routing, "serialize_response", noted)
    store = MemoryStore()
    await store.append([make_append(1)])
    async with asking(make_services(store)) as api:
        path = "/api/v1/status"
        assert (await api.get(path)).status_code == 200
        assert at_once == [path], "it is noted"
        described = (await api.get("/api/v1/openapi.json")).json()["paths"]
        paths = [
            path
            for path, methods in described.items()
            if any(each["name"] == "limit" for each in methods.get("get", {}).get("parameters", []))
        ]
        assert len(paths) > 8
        at_once.clear()
        for path in [*paths, "/api/v1/statistics"]:
            answer = await api.get(path.replace("{name}", "shop").replace("{key}", "k1"))
            assert answer.status_code == 200, (path, answer.text)
    assert at_once == []
