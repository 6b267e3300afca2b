"""What the operators' API shows, on every store: each resource, its rows field by field, its filters and pages."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_store import DEAD, HELD, HOLDER, QUARANTINED, RETRIED, SCHEDULED, TEXT, UNROUTED, dead_id, fill
from operators_api import NOW_MS, STORES, asking, make_services, store_at
from pydantic import BaseModel

from longstop.client import models, places
from longstop.model.delivery import State
from longstop.model.times import rfc3339
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append

Row = dict[str, Any]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = store_at(request.param, tmp_path)
    await made.open()
    await fill(made)
    yield made
    await made.close()


@pytest.fixture
async def api(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(make_services(store, TEXT)) as client:
        yield client


async def get(api: httpx.AsyncClient, path: str, code: int = 200, /, **query: Any) -> Row:
    response = await api.get(f"/api/v1/{path}", params=query)
    assert response.status_code == code, response.text
    said: Row = response.json()
    return said


async def ids(api: httpx.AsyncClient, path: str, **query: Any) -> set[str]:
    return {each["id"] for each in (await get(api, path, **query))["items"]}


def has_fields_of(row: Row, model: type[BaseModel]) -> bool:
    return list(row) == list(model.model_fields)


# -- events ---------------------------------------------------------------------------------------


async def test_events_are_listed_newest_first_and_by_filters(api: httpx.AsyncClient) -> None:
    listed = [each["id"] for each in (await get(api, "events"))["items"]]
    assert listed == sorted(listed, reverse=True)
    assert len(listed) == 8
    assert (await get(api, "events", order="oldest"))["items"][0]["id"] == event_id(SCHEDULED)
    assert await ids(api, "events", key=f"order-{DEAD}") == {event_id(DEAD)}
    assert await ids(api, "events", unrouted="true") == {event_id(UNROUTED)}
    assert await ids(api, "events", contains='"number":3') == {event_id(RETRIED)}
    assert await ids(api, "events", type="other") == set()
    assert len(await ids(api, "events", source="shop", since="2h")) == 8
    assert await ids(api, "events", until=rfc3339(AT_MS)) == set()


async def test_one_event_whole_by_any_of_its_ids(api: httpx.AsyncClient) -> None:
    event = await get(api, f"events/{event_id(DEAD)}")
    assert has_fields_of(event, models.EventDetail)
    assert event["edits"][0]["why"] == "typo"
    assert event["deliveries"][0]["state"] == "dead"
    assert (event["content_type"], event["body_size"]) == ("application/json", 12)
    assert "body" not in event
    assert (await get(api, f"events/{dead_id()}"))["id"] == event_id(DEAD)
    retried = await get(api, f"events/{event_id(RETRIED)}")
    (history,) = retried["history"]
    assert has_fields_of(history["attempts"][0], models.Attempt)
    assert history["attempts"][0]["frames"] == ["a.py:1 in f", "b.py:2 in g"]
    assert history["actions"] == [{"action": "expedite", "at": rfc3339(AT_MS), "by": "ann", "why": "now"}]


async def test_no_credential_is_shown(api: httpx.AsyncClient) -> None:
    told = json.dumps(
        [
            await get(api, f"events/{event_id(SCHEDULED)}"),
            await get(api, f"events/{event_id(SCHEDULED)}/curl"),
            await get(api, f"deliveries/{delivery_id(event_id(SCHEDULED), 0)}/request"),
            await get(api, "destinations"),
            await get(api, "sources"),
            await get(api, "sources/shop"),
            await get(api, "settings"),
            await get(api, "status"),
        ]
    )
    assert "hunter2" not in told
    assert "(not shown)" in told


async def test_an_id_that_is_short_or_unknown(api: httpx.AsyncClient) -> None:
    assert (await get(api, f"events/{event_id(DEAD)[:-1]}"))["id"] == event_id(DEAD)
    several = await get(api, "events/019b", 409)
    assert "give more of it" in several["detail"]
    assert "no event or delivery" in (await get(api, f"events/{event_id(99)}", 404))["detail"]
    assert 'found "nonsense!"' in (await get(api, "events/nonsense!", 404))["detail"]
    assert "no delivery" in (await get(api, f"deliveries/{event_id(DEAD)}", 404))["detail"]


async def test_a_body_comes_as_an_attachment_that_is_inert(api: httpx.AsyncClient) -> None:
    response = await api.get(f"/api/v1/events/{event_id(HELD)}/body")
    assert response.content == b"\xff\x00 no text"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == f'attachment; filename="{event_id(HELD)}.bin"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    shown = await get(api, f"events/{event_id(HELD)}/body", view="json")
    assert shown == {"text": None, "base64": "/wAgbm8gdGV4dA==", "masked": False}
    assert (await get(api, f"events/{event_id(DEAD)}/body", view="json"))["text"] == '{"number":2}'


async def test_an_event_as_curl(api: httpx.AsyncClient) -> None:
    text = (await get(api, f"events/{event_id(DEAD)}/curl"))["text"]
    assert text == (
        "curl -X POST 'http://127.0.0.1:9/hook?…' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        "  -H Content-Encoding: \\\n"
        f"  -H 'webhook-id: {event_id(DEAD)}' \\\n"
        f"  -H 'Idempotency-Key: {dead_id()}' \\\n"
        "  -H 'Longstop-Source: shop' \\\n"
        """  --data-raw '{"number":2}'"""
    )
    binary = (await get(api, f"events/{event_id(HELD)}/curl", destination="billing"))["text"]
    assert binary.startswith("echo /wAgbm8gdGV4dA== | base64 -d | curl ")
    assert "no delivery" in (await get(api, f"events/{event_id(UNROUTED)}/curl", 404))["detail"]
    await get(api, f"events/{event_id(RETRIED)}/curl", 409)


async def test_a_request_as_its_destination_gets_it(api: httpx.AsyncClient) -> None:
    told = await get(api, f"deliveries/{dead_id()}/request")
    assert (told["method"], told["url"], told["attempt"]) == ("POST", "http://127.0.0.1:9/hook?…", 1)
    assert told["body"] == {"text": '{"number":2}', "base64": None, "masked": False}
    headers = {each["name"]: each["value"] for each in told["headers"]}
    sent_s = str(int(datetime.fromisoformat(told["at"]).timestamp()))
    assert headers | {"User-Agent": None} == {
        "User-Agent": None,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "webhook-id": event_id(DEAD),
        "webhook-timestamp": sent_s,
        "Idempotency-Key": dead_id(),
        "Longstop-Attempt": "1",
        "Longstop-Source": "shop",
        "Authorization": None,
    }
    assert "no attempt 9" in (await get(api, f"deliveries/{dead_id()}/request", 404, attempt=9))["detail"]
    waiting = await get(api, f"deliveries/{delivery_id(event_id(SCHEDULED), 0)}/request")
    assert (waiting["attempt"], waiting["at"]) == (1, None)
    assert {"name": "webhook-timestamp", "value": None} in waiting["headers"]
    called = await get(api, f"deliveries/{delivery_id(event_id(RETRIED), 0)}/request", 409)
    assert "no URL" in called["detail"]


# -- deliveries -----------------------------------------------------------------------------------


async def test_deliveries_by_every_filter(api: httpx.AsyncClient) -> None:
    def of(*numbers: int) -> set[str]:
        return {delivery_id(event_id(number), 0) for number in numbers}

    every = of(SCHEDULED, DEAD, RETRIED, QUARANTINED, HOLDER, HELD, 20)
    assert await ids(api, "deliveries") == every
    assert await ids(api, "deliveries", state="dead") == of(DEAD, QUARANTINED)
    assert await ids(api, "deliveries", state="held") == of(HELD)
    assert await ids(api, "deliveries", state="scheduled", destination="billing") == of(HOLDER, HELD)
    assert await ids(api, "deliveries", destination="quarantine") == of(QUARANTINED)
    assert await ids(api, "deliveries", reason="rejected", status="422", error="HTTP 422") == of(DEAD)
    assert await ids(api, "deliveries", key="talk/1", source="shop", type="order.paid") == of(HOLDER, HELD)
    assert await ids(api, "deliveries", contains="no text") == of(HELD)
    assert await ids(api, "deliveries", state="dead", since=rfc3339(AT_MS + 1)) == of(DEAD)
    assert await ids(api, "deliveries", since="2h", until="30m") == every


async def test_a_delivery_says_what_it_waits_for(api: httpx.AsyncClient) -> None:
    rows = {row["id"]: row for row in (await get(api, "deliveries"))["items"]}
    assert all(has_fields_of(row, models.Delivery) for row in rows.values())
    held = rows[delivery_id(event_id(HELD), 0)]
    assert (held["waits_for"], held["held_by"]) == ("held", delivery_id(event_id(HOLDER), 0))
    scheduled = rows[delivery_id(event_id(SCHEDULED), 0)]
    assert (scheduled["waits_for"], scheduled["waits_until"]) == ("circuit", rfc3339(NOW_MS + 60_000))
    assert rows[dead_id()]["ended_at"] == rows[dead_id()]["dead_at"]
    one = await get(api, f"deliveries/{delivery_id(event_id(RETRIED), 0)[:-1]}")
    assert has_fields_of(one, models.DeliveryDetail)
    assert [each["by"] for each in one["actions"]] == ["ann"]
    attempts = await get(api, f"deliveries/{one['id']}/attempts")
    assert [each["answer"] for each in attempts["items"]] == ["sorry \\xff"]


async def test_pages_go_on_until_the_last(api: httpx.AsyncClient, store: Store) -> None:
    await store.append([make_append(number) for number in range(100, 130)])
    for order in ("newest", "oldest"):
        seen: list[str] = []
        query: Row = {"limit": 7, "order": order}
        while True:
            page = await get(api, "deliveries", **query)
            seen += [row["id"] for row in page["items"]]
            if page["next"] is None:
                break
            assert len(page["items"]) == 7
            query["cursor"] = page["next"]
        assert seen == sorted(seen, reverse=order == "newest")
        assert len(seen) == len(set(seen)) == 37


async def test_a_search_that_takes_too_long_says_how_far_it_came(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longstop.model.listing import Listing

    async def find(*_asked: object) -> Listing[Any]:
        return Listing((), event_id(DEAD), AT_MS)

    monkeypatch.setattr(store, "find_deliveries", find)
    page = await get(api, "deliveries", contains="x")
    assert page["items"] == []
    assert page["next"]
    assert page["searched_to"] == rfc3339(AT_MS)


@pytest.mark.parametrize(
    ("path", "query", "where"),
    [
        ("deliveries", {"state": "lost"}, "query.state"),
        ("deliveries", {"limit": "0"}, "query.limit"),
        ("deliveries", {"limit": "501"}, "query.limit"),
        ("deliveries", {"cursor": "!"}, "query.cursor"),
        ("deliveries", {"cursor": "bm9uc2Vuc2U"}, "query.cursor"),
        ("deliveries", {"since": "yesterday"}, "query.since"),
        ("deliveries", {"destination": "crn"}, "query.destination"),
        ("deliveries", {"source": "shopp"}, "query.source"),
        ("events", {"contains": ""}, "query.contains"),
        ("events", {"source": "shopp"}, "query.source"),
        ("dead-letters/groups", {"destination": "crn"}, "query.destination"),
        ("dead-letters/groups", {"step": "1000"}, "query.step"),
        ("dead-letters/groups", {"steps": "0"}, "query.steps"),
        ("dead-letters/groups", {"steps": "201"}, "query.steps"),
        ("dead-letters/groups", {"step": "86400", "steps": "32"}, "query.steps"),
        (f"events/{event_id(DEAD)}/body", {"view": "html"}, "query.view"),
    ],
)
async def test_a_value_that_cannot_be_meant(api: httpx.AsyncClient, path: str, query: Row, where: str) -> None:
    problem = await get(api, path, 422, **query)
    assert [each["path"] for each in problem["errors"]] == [where]
    assert problem["errors"][0]["expected"]


async def test_the_dead_by_what_they_died_of(api: httpx.AsyncClient) -> None:
    groups = (await get(api, "dead-letters/groups"))["items"]
    assert all(has_fields_of(group, models.DeadGroup) for group in groups)
    assert {(group["destination"], group["reason"], group["count"]) for group in groups} == {
        ("crm", "rejected", 1),
        (None, "malformed", 1),
    }
    (group,) = (await get(api, "dead-letters/groups", destination="quarantine"))["items"]
    assert group["sample"] == [delivery_id(event_id(QUARANTINED), 0)]


async def test_when_the_dead_of_a_cause_died(api: httpx.AsyncClient) -> None:
    told = await get(api, "dead-letters/groups", destination="crm", step=1_800, steps=4)
    assert told["step_s"] == 1_800
    (group,) = told["items"]
    died, began = (datetime.fromisoformat(text).timestamp() for text in (group["first_at"], told["from"]))
    assert began % 1_800 == 0
    assert [place for place, n in enumerate(group["over_time"]) if n] == [(died - began) // 1_800]
    assert len((await get(api, "dead-letters/groups"))["items"][0]["over_time"]) == 24


async def test_a_conversation_is_read_from_its_beginning(api: httpx.AsyncClient) -> None:
    talk = await get(api, "keys/talk/1")
    assert talk["key"] == "talk/1"
    assert [each["id"] for each in talk["items"]] == [event_id(HOLDER), event_id(HELD)]
    assert has_fields_of(talk["items"][0], models.EventWithHistory)
    retried = await get(api, f"keys/order-{RETRIED}")
    assert retried["items"][0]["history"][0]["attempts"][0]["status"] == 503
    assert (await get(api, "keys/nobody"))["items"] == []


# -- places ---------------------------------------------------------------------------------------


async def test_sources(api: httpx.AsyncClient) -> None:
    (shop,) = (await get(api, "sources"))["items"]
    assert has_fields_of(shop, places.Source)
    assert (shop["events"], shop["refused"], shop["held"]) == (8, {"no_proof": 3}, 1)
    assert shop["last_event_at"] == rfc3339(AT_MS)
    assert shop["url"].endswith("/webhooks/shop")
    assert shop["first_event"] == "longstop send shop FILE"
    detail = await get(api, "sources/shop")
    assert has_fields_of(detail, places.SourceDetail)
    assert detail["settings"]["headers"] == ["X-Shop-Key"]
    assert "/webhooks/shop" in detail["setup"][0]
    assert "expected one of: shop" in (await get(api, "sources/shopp", 404))["detail"]


async def test_refused_requests(api: httpx.AsyncClient) -> None:
    (rejection,) = (await get(api, "sources/shop/rejections"))["items"]
    assert has_fields_of(rejection, places.Rejection)
    assert (rejection["problems"], rejection["body"]) == (["no X-Shop-Key"], None)
    assert (await get(api, "sources/(unknown)/rejections"))["items"] == []


async def test_destinations(api: httpx.AsyncClient) -> None:
    rows = {row["name"]: row for row in (await get(api, "destinations"))["items"]}
    assert all(has_fields_of(row, places.Destination) for row in rows.values())
    assert {name: row["state"] for name, row in rows.items()} == {
        "crm": "open",
        "billing": "closed",
        "code": "paused",
        None: "closed",
    }
    assert rows["crm"]["url"] == "http://127.0.0.1:9/hook?…"
    assert rows["code"]["handler"] == "builtins:print"
    assert (rows["billing"]["counts"]["held"], rows["billing"]["counts"]["scheduled"]) == (1, 2)
    assert rows["code"]["paused_why"] == "moving"
    code = await get(api, "destinations/code")
    assert has_fields_of(code, places.DestinationDetail)
    assert [each["event_id"] for each in code["recent_attempts"]] == [event_id(RETRIED)]
    assert (await get(api, "destinations/quarantine"))["counts"]["dead"] == 1
    assert "expected one of: billing, code, crm" in (await get(api, "destinations/crn", 404))["detail"]


async def test_status_and_nodes(api: httpx.AsyncClient, store: Store) -> None:
    status = await get(api, "status")
    assert set(status) == set(places.Status.model_fields)
    assert (status["ready"], status["why_not"], status["accepting"]) == (True, [], True)
    assert status["backlog"] == status["counts"]["scheduled"] == 5
    assert status["sources"] == [{"source": "shop", "events": 8}]
    (node,) = (await get(api, "nodes"))["items"]
    assert has_fields_of(node, places.Node)
    async with asking(make_services(store, TEXT, why_not_ready=lambda: ["stopping"])) as stopping:
        said = await get(stopping, "status")
    assert (said["ready"], len(said["why_not"])) == (False, 1)


async def test_settings_are_those_in_force(api: httpx.AsyncClient) -> None:
    settings = await get(api, "settings")
    shop = settings["configuration"]["sources"][0]
    assert (shop["secrets"], shop["verify"]["header"]) == (["(not shown)"], "X-Shop-Key")
    crm = settings["configuration"]["destinations"][0]
    assert (crm["url"], crm["retry"]["factor"]) == ("(not shown)", 2.0)
    assert settings["configuration"]["targets"]["crm"] == "http://127.0.0.1:9/hook?…"


def test_every_state_can_be_asked_for() -> None:
    from typing import get_args

    from longstop.edges.operators.api.queries import Standing

    assert set(get_args(Standing)) == {*(state.value for state in State), "held"}


async def test_a_list_that_follows_what_is_written_says_so(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longstop.model.listing import Listing

    assert not (await get(api, "deliveries"))["may_lag"]

    async def find(*_asked: object) -> Listing[Any]:
        return Listing((), None, may_lag=True)

    monkeypatch.setattr(store, "find_deliveries", find)
    assert (await get(api, "deliveries"))["may_lag"]
