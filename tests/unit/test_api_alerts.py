"""`/api/v1/alerts`: what is on, and silences that are made, listed and ended."""

from collections.abc import AsyncIterator

import httpx
import pytest
from operators_api import NOW_MS, asking, make_services

from longstop.model.alert import Severity
from longstop.model.alert_book import AlertBook, Standing
from longstop.stores.memory import MemoryStore

SILENCES = "/api/v1/alerts/silences"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def api(store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(make_services(store)) as client:
        yield client


async def test_what_is_on(api: httpx.AsyncClient, store: MemoryStore) -> None:
    standing = Standing("backlog", "crm", NOW_MS - 1_000, "<b>5 wait</b>", Severity.WARNING, {"waiting": 5})
    await store.keep_alert_book(AlertBook(standing={standing.key: standing}))
    (row,) = (await api.get("/api/v1/alerts")).json()["items"]
    assert (row["key"], row["title"], row["why"]) == ("backlog:crm", "What waits for crm is old", "<b>5 wait</b>")
    assert (row["facts"], row["silenced_until"]) == ({"waiting": 5}, None)


async def test_a_silence_is_made_listed_and_ended(api: httpx.AsyncClient) -> None:
    asked = {"kind": "backlog", "subject": "crm", "for_s": 7200, "why": "a deployment"}
    made = await api.post(SILENCES, json=asked)
    assert made.status_code == 201
    row = {
        "kind": "backlog",
        "subject": "crm",
        "until": "2026-01-01T03:00:00.000Z",
        "by": "local",
        "why": "a deployment",
        "at": "2026-01-01T01:00:00.000Z",
    }
    assert made.json() == row
    assert (await api.get(SILENCES)).json()["items"] == [row]
    assert (await api.delete(SILENCES, params={"kind": "backlog"})).status_code == 404
    ended = await api.delete(SILENCES, params={"kind": "backlog", "subject": "crm"})
    assert ended.json() == {"kind": "backlog", "subject": "crm", "ended": True}
    assert (await api.get(SILENCES)).json()["items"] == []


@pytest.mark.parametrize(
    "changed",
    [{"kind": "nonsense"}, {"kind": "test"}, {"for_s": 0}, {"for_s": 1e12}, {"for_s": None}, {"why": "x" * 1001}],
)
async def test_what_cannot_be_meant(api: httpx.AsyncClient, changed: dict[str, object]) -> None:
    answer = await api.post(SILENCES, json={"kind": "backlog", "for_s": 60, **changed})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == f"body.{next(iter(changed))}"
