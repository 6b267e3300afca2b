"""What the API shows of statistics: series over time, and of each source when it was heard of; on every store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from operators_api import NOW_MS, STORES, asking, make_services, store_at

from longstop.client.places import Source
from longstop.client.statistics import Statistics
from longstop.model.silence import MINUTE_MS
from longstop.model.statistics import Series, increments, latency_bin
from longstop.model.times import rfc3339
from longstop.ports import Store
from longstop.testing.builders import make_append

START_MS = NOW_MS // 60_000 * 60_000
QUIET_MS = 6 * MINUTE_MS


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = store_at(request.param, tmp_path)
    await made.open()
    for minutes_ago in range(20, 4, -1):
        at_ms = START_MS - minutes_ago * 60_000
        grown = {
            (Series.ACCEPTED.value, "shop", ""): 10,
            (Series.DUPLICATE.value, "shop", ""): 2,
            (Series.DELIVERED.value, "shop", "crm"): 7,
            (Series.DELIVERED.value, "shop", "lake"): 3,
            (latency_bin(4), "shop", "crm"): 7,
        }
        await made.add_statistics(increments(grown, at_ms))
    yield made
    await made.close()


@pytest.fixture
async def api(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(make_services(store)) as client:
        yield client


async def get(api: httpx.AsyncClient, code: int = 200, **query: Any) -> dict[str, Any]:
    response = await api.get("/api/v1/statistics", params=query)
    assert response.status_code == code, response.text
    said: dict[str, Any] = response.json()
    return said


async def test_all_series_of_the_last_hour_unless_told(api: httpx.AsyncClient) -> None:
    said = await get(api)
    Statistics.model_validate(said)
    assert [each["name"] for each in said["series"]] == [each.value for each in Series]
    assert said["from"] == rfc3339((NOW_MS - 3_600_000) // 60_000 * 60_000)
    accepted = said["series"][0]
    assert (len(accepted["points"]), sum(accepted["points"])) in ((60, 160), (61, 160))
    assert (accepted["source"], accepted["destination"]) == (None, None)


async def test_steps_filters_and_lines_by_destination(api: httpx.AsyncClient) -> None:
    since = rfc3339(START_MS - 20 * 60_000)
    asked = {"series": "delivered,latency", "from": since, "to": rfc3339(START_MS), "step": 600}
    said = await get(api, **asked, by="destination")
    assert (said["from"], said["to"], said["step_s"]) == (since, rfc3339(START_MS), 600)
    crm, lake, latency = said["series"]
    assert (crm["destination"], crm["points"], lake["destination"], lake["points"]) == (
        "crm",
        [70, 42],
        "lake",
        [30, 18],
    )
    assert (latency["destination"], latency["points"][0]["p50"]) == ("crm", pytest.approx(0.175))
    assert (await get(api, **asked, destination="lake"))["series"][0]["points"] == [30, 18]
    assert (await get(api, **asked, source="nobody"))["series"][0]["points"] == [0, 0]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"series": "accepted,nonsense"}, "query.series"),
        ({"step": 90}, "query.step"),
        ({"step": 0}, "query.step"),
        ({"from": "nonsense"}, "query.from"),
        ({"from": "30d"}, "query.step"),
        ({"from": "1h", "to": "2h"}, "query.from"),
        ({"by": "type"}, "query.by"),
    ],
)
async def test_what_cannot_be_told_is_a_problem(query: dict[str, Any], path: str, api: httpx.AsyncClient) -> None:
    assert (await get(api, 422, **query))["errors"][0]["path"] == path


async def test_a_source_says_when_it_was_heard_of_and_whether_it_is_silent(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.append([make_append(1, received_at_ms=NOW_MS - QUIET_MS)])
    row = (await api.get("/api/v1/sources")).json()["items"][0]
    Source.model_validate(row)
    assert (row["last_event_at"], row["usual_gap_s"]) == (rfc3339(NOW_MS - QUIET_MS), 60)
    assert (row["silent"], row["duplicates"]) == (True, 32)
    assert (await api.get("/api/v1/sources/shop")).json()["silent"] is True
