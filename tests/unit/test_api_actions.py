"""What the operators' API decides, on every store; and that an Idempotency-Key has it decided once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_store import DEAD, HELD, HOLDER, QUARANTINED, RETRIED, SCHEDULED, TEXT, UNROUTED, dead_id, fill
from operators_api import NOW_MS, STORES, asking, make_services, store_at

from longstop.edges.operators.api.owed import OWED_MAX, Owed
from longstop.edges.operators.api.services import Services
from longstop.model.delivery import State
from longstop.model.errors import StoreUnavailableError
from longstop.model.event import Origin
from longstop.model.keyed_request import KEPT_FOR_MS, KeyedRequest
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import delivery_id, event_id

Row = dict[str, Any]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = store_at(request.param, tmp_path)
    await made.open()
    await fill(made)
    yield made
    await made.close()


@pytest.fixture
def services(store: Store) -> Services:
    return make_services(store, TEXT)


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(services) as client:
        yield client


async def post(api: httpx.AsyncClient, path: str, code: int, asked: Row | None = None, key: str | None = None) -> Row:
    headers = {} if key is None else {"Idempotency-Key": key}
    response = await api.post(f"/api/v1/{path}", json=asked, headers=headers)
    assert response.status_code == code, response.text
    said: Row = response.json()
    return said


async def standing(store: Store, id_: str) -> State:
    found = await store.delivery(id_)
    assert found is not None
    return found.state


def of(number: int) -> str:
    return delivery_id(event_id(number), 0)


# -- one delivery ---------------------------------------------------------------------------------


async def test_a_dead_delivery_is_sent_again(api: httpx.AsyncClient, store: Store) -> None:
    result = await post(api, f"deliveries/{dead_id()}/replay", 202, {"why": "mended"})
    assert result == {"id": dead_id(), "event_id": event_id(DEAD), "state": "scheduled", "error": None}
    assert [(each.by, each.why) for each in (await store.history(dead_id())).actions] == [("local", "mended")]
    again = await post(api, f"deliveries/{dead_id()}/replay", 409)
    assert "it is scheduled; only what has ended is sent again" in again["detail"]


async def test_a_delivery_is_discarded_for_a_reason(api: httpx.AsyncClient, store: Store) -> None:
    assert (await post(api, f"deliveries/{dead_id()}/discard", 422, {}))["errors"][0]["path"] == "body.why"
    for nothing in ("", " \n\u00a0"):
        await post(api, f"deliveries/{dead_id()}/discard", 422, {"why": nothing})
    assert await standing(store, dead_id()) is State.DEAD
    assert (await post(api, f"deliveries/{dead_id()}/discard", 200, {"why": "old"}))["state"] == "discarded"
    await post(api, f"deliveries/{dead_id()}/discard", 409, {"why": "old"})


async def test_a_delivery_that_waits_is_expedited(api: httpx.AsyncClient, store: Store) -> None:
    assert (await post(api, f"deliveries/{of(SCHEDULED)}/expedite", 202))["state"] == "scheduled"
    found = await store.delivery(of(SCHEDULED))
    assert found is not None
    assert found.due_at_ms == NOW_MS
    await post(api, f"deliveries/{dead_id()}/expedite", 409)
    await post(api, f"deliveries/{event_id(99)}/expedite", 404)


# -- one event ------------------------------------------------------------------------------------


async def test_an_event_is_sent_again_to_its_own(api: httpx.AsyncClient, store: Store) -> None:
    plan = await post(api, f"events/{event_id(DEAD)}/replay", 200, {"dry_run": True})
    assert plan["would"] == [{"destination": "crm", "lane": None, "changed": False}]
    assert await standing(store, dead_id()) is State.DEAD
    sent = await post(api, f"events/{event_id(DEAD)}/replay", 202, {})
    assert ([each["id"] for each in sent["items"]], sent["event"]) == ([dead_id()], None)
    under_way = await post(api, f"events/{event_id(DEAD)}/replay", 409, {})
    assert "for crm it is scheduled" in under_way["detail"]


async def test_an_event_is_sent_to_another_destination(api: httpx.AsyncClient, store: Store) -> None:
    asked = {"to": ["billing", "crm"], "why": "both"}
    plan = await post(api, f"events/{event_id(DEAD)}/replay", 200, {**asked, "dry_run": True})
    assert plan["would"] == [
        {"destination": "crm", "lane": None, "changed": False},
        {"destination": "billing", "lane": f"shop:order-{DEAD}", "changed": True},
    ]
    sent = await post(api, f"events/{event_id(DEAD)}/replay", 202, asked)
    assert await standing(store, dead_id()) is State.SCHEDULED
    assert (sent["event"]["parent"], sent["event"]["made_by"]["why"]) == (event_id(DEAD), "both")
    assert [each["destination"] for each in sent["event"]["deliveries"]] == ["billing"]
    kept = await store.event(sent["event"]["id"])
    assert kept is not None
    assert kept.event.body == b'{"number":2}'
    unknown = await post(api, f"events/{event_id(DEAD)}/replay", 422, {"to": ["crn"]})
    assert unknown["errors"][0] == {
        "path": "body.to.0",
        "found": "crn",
        "expected": "expected one of: crm, billing, code",
        "hint": None,
    }
    waits = await post(api, f"events/{event_id(RETRIED)}/replay", 409, {"to": ["code"]})
    assert "for code it is scheduled" in waits["detail"]


async def test_an_event_is_sent_edited(api: httpx.AsyncClient, store: Store) -> None:
    asked = {"body": '{"type": "order.mended", "key": "k"}', "why": "typo"}
    plan = await post(api, f"events/{event_id(DEAD)}/replay", 200, {**asked, "dry_run": True})
    assert (plan["type"], plan["key"], plan["replaces"]) == ("order.mended", "k", [dead_id()])
    assert '-  "number": 2' in plan["diff"]
    sent = await post(api, f"events/{event_id(DEAD)}/replay", 202, asked)
    assert sent["event"]["type"] == "order.mended"
    replaced = await store.delivery(dead_id())
    assert replaced is not None
    assert replaced.replaced_by == sent["event"]["id"]
    elsewhere = await post(api, f"events/{event_id(DEAD)}/replay", 202, {**asked, "to": ["code"]})
    assert [each["destination"] for each in elsewhere["event"]["deliveries"]] == ["code"]
    binary = await post(api, f"events/{event_id(DEAD)}/replay", 202, {"body_base64": "eyJrZXkiOiAiYjY0In0="})
    assert binary["event"]["key"] == "b64"


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"body": "{}", "body_base64": "e30="}, "body.body_base64"),
        ({"body_base64": "é"}, "body.body_base64"),
        ({"to": "crm"}, "body.to"),
        ({"why": "\ud800"}, "body.why"),
    ],
)
async def test_an_event_is_not_sent_as_nobody_can_mean(api: httpx.AsyncClient, asked: Row, where: str) -> None:
    path, headers = f"/api/v1/events/{event_id(DEAD)}/replay", {"content-type": "application/json"}
    # In ASCII: half of a pair has no encoding.
    response = await api.post(path, content=json.dumps(asked), headers=headers)
    assert response.status_code == 422
    assert [each["path"] for each in response.json()["errors"]] == [where]


async def test_what_cannot_be_read_is_not_sent(api: httpx.AsyncClient, store: Store) -> None:
    events = (await store.counts()).events
    unreadable = await post(api, f"events/{event_id(DEAD)}/replay", 422, {"body": '{"id": []}'})
    assert "dedup" in unreadable["detail"]
    assert "JSON" in (await post(api, f"events/{event_id(QUARANTINED)}/replay", 409, {}))["detail"]
    assert "no route" in (await post(api, f"events/{event_id(UNROUTED)}/replay", 409, {}))["detail"]
    assert (await store.counts()).events == events


async def test_a_quarantined_event_is_mended(api: httpx.AsyncClient, store: Store) -> None:
    sent = await post(api, f"events/{event_id(QUARANTINED)}/replay", 202, {"body": '{"wanted": true}', "to": ["crm"]})
    assert [each["destination"] for each in sent["event"]["deliveries"]] == ["crm"]
    replaced = await store.delivery(of(QUARANTINED))
    assert replaced is not None
    assert replaced.replaced_by == sent["event"]["id"]


# -- places ---------------------------------------------------------------------------------------


async def test_a_destination_is_paused_and_goes_on(api: httpx.AsyncClient, store: Store) -> None:
    paused = await post(api, "destinations/crm/pause", 200, {"why": "it moves"})
    assert (paused["paused"], paused["changed"], paused["paused_by"]) == (True, True, "local")
    assert (await post(api, "destinations/crm/pause", 200))["changed"] is False
    resumed = await post(api, "destinations/crm/resume", 200)
    assert (resumed["pause_ended"], resumed["circuit_closed"]) == (True, True)
    assert "crm" not in {each.destination for each in (*await store.pauses(), *await store.circuits())}
    assert (await post(api, "destinations/crm/resume", 200))["changed"] is False
    await post(api, "destinations/crn/pause", 404)
    await post(api, "destinations/crn/resume", 404)


async def test_people_hear_of_a_circuit_that_was_closed(store: Store) -> None:
    heard: list[Any] = []

    async def alert(change: Any) -> None:
        heard.append(change)

    async with asking(make_services(store, TEXT, alert=alert)) as api:
        await post(api, "destinations/crm/resume", 200)
    assert [each.why for each in heard] == ["local resumed it"]


async def test_a_destination_is_tried(api: httpx.AsyncClient, store: Store) -> None:
    result = await post(api, "destinations/code/test", 202, {})
    kept = await store.event(result["event_id"])
    assert kept is not None
    assert (kept.event.origin, kept.event.type, kept.event.source) == (Origin.TRIAL, "longstop.trial", "(trial)")
    assert [(each.id, each.destination, each.state) for each in kept.deliveries] == [
        (result["id"], "code", State.SCHEDULED)
    ]
    assert [each["name"] for each in (await api.get("/api/v1/sources")).json()["items"]] == ["shop"]
    await post(api, "destinations/crn/test", 404)


async def test_a_request_is_tried_at_a_source(api: httpx.AsyncClient, store: Store) -> None:
    events = (await store.counts()).events
    headers = {"X-Shop-Key": "hunter2-hunter2"}
    good = await post(api, "sources/shop/test", 200, {"body": '{"wanted": true, "key": "k"}', "headers": headers})
    assert (good["verdict"], good["verified"], good["would_answer"], good["key"]) == ("accepted", True, 200, "k")
    assert good["destinations"] == ["crm", "billing"]
    unproven = await post(api, "sources/shop/test", 200, {"body": "{}"})
    assert (unproven["verdict"], unproven["verified"], unproven["would_answer"]) == ("refused", False, 401)
    unreadable = await post(api, "sources/shop/test", 200, {"body_base64": "eyJpZCI6IFtdfQ==", "headers": headers})
    assert (unreadable["verdict"], unreadable["verified"]) == ("quarantined", True)
    await post(api, "sources/shopp/test", 404, {})
    assert (await store.counts()).events == events


# -- once -----------------------------------------------------------------------------------------


async def test_the_same_request_is_answered_again_and_not_done_again(api: httpx.AsyncClient, store: Store) -> None:
    path = f"/api/v1/deliveries/{of(SCHEDULED)}/expedite"
    first = await api.post(path, json={"why": "x"}, headers={"Idempotency-Key": "k-1"})
    second = await api.post(path, json={"why": "x"}, headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len((await store.history(of(SCHEDULED))).actions) == 1
    await post(api, f"deliveries/{of(SCHEDULED)}/expedite", 202, {"why": "x"}, "k-2")
    assert len((await store.history(of(SCHEDULED))).actions) == 2


async def test_a_key_stands_for_one_request(api: httpx.AsyncClient, store: Store) -> None:
    await post(api, f"deliveries/{of(SCHEDULED)}/expedite", 202, {"why": "x"}, "k")
    for path, asked in (
        (f"deliveries/{of(SCHEDULED)}/expedite", {"why": "y"}),
        (f"deliveries/{of(HOLDER)}/expedite", {"why": "x"}),
    ):
        assert "used for another request" in (await post(api, path, 422, asked, "k"))["detail"]
    assert (await store.history(of(HOLDER))).actions == ()


@pytest.mark.parametrize("key", ["", "a b", "é", "k" * 201])
async def test_a_key_is_a_word(api: httpx.AsyncClient, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = await api.post(f"/api/v1/deliveries/{of(SCHEDULED)}/expedite", headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "header.Idempotency-Key"


async def test_a_refusal_is_kept_too(api: httpx.AsyncClient) -> None:
    first = await api.post(f"/api/v1/deliveries/{dead_id()}/expedite", headers={"Idempotency-Key": "k"})
    second = await api.post(f"/api/v1/deliveries/{dead_id()}/expedite", headers={"Idempotency-Key": "k"})
    assert first.status_code == second.status_code == 409
    assert (first.content, second.headers["content-type"]) == (second.content, "application/problem+json")


async def test_of_a_race_one_is_carried_out(api: httpx.AsyncClient, store: Store) -> None:
    path = f"/api/v1/events/{event_id(DEAD)}/replay"
    asked = {"body": '{"key": "once"}'}
    responses = await asyncio.gather(*(api.post(path, json=asked, headers={"Idempotency-Key": "k"}) for _ in range(8)))
    statuses = [each.status_code for each in responses]
    assert set(statuses) <= {202, 409}
    assert 202 in statuses
    kept = await store.event(event_id(DEAD))
    assert kept is not None
    # The first of them is the store's own.
    assert len(kept.edits) == 2


async def test_what_a_crash_left_is_not_done_again(
    api: httpx.AsyncClient, store: Store, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway ends between the deed and its record: the key stays taken until its day is over."""

    async def crash(*_given: Any) -> None:
        raise RuntimeError("killed")

    path, asked = f"deliveries/{of(SCHEDULED)}/expedite", {"why": "x"}
    with monkeypatch.context() as killed:
        killed.setattr(store, "answer_keyed", crash)
        await post(api, path, 500, asked, "k")
    told = await post(api, path, 409, asked, "k")
    assert "ask with another key" in told["detail"]
    assert len((await store.history(of(SCHEDULED))).actions) == 1
    monkeypatch.setattr(services.clock, "now_ms", lambda: NOW_MS + KEPT_FOR_MS)
    await post(api, path, 202, asked, "k")


async def test_a_store_that_could_not_leaves_the_key_free(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_given: Any) -> None:
        raise StoreUnavailableError("the disk is full")

    path = f"deliveries/{of(SCHEDULED)}/expedite"
    with monkeypatch.context() as broken:
        broken.setattr(store, "act", unavailable)
        await post(api, path, 503, None, "k")
    await post(api, path, 202, None, "k")


@pytest.mark.parametrize("gone", ["begin_keyed", "act", "answer_keyed"])
async def test_a_store_that_goes_away_in_the_middle_leaves_no_key_taken(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """From then on nothing of it works, also what was to free the key; what was done before it went is there."""
    does, away, path = getattr(store, gone), False, f"deliveries/{dead_id()}/replay"

    def going(method: Any) -> Any:
        async def unavailable(*given: Any) -> Any:
            nonlocal away
            if method == does and not away:
                away = True
                # What was begun may have come to its end, and only that is not told.
                if gone == "begin_keyed":
                    await method(*given)
            if away:
                raise StoreUnavailableError("the disk is gone")
            return await method(*given)

        return unavailable

    with monkeypatch.context() as broken:
        for name in ("begin_keyed", "act", "answer_keyed", "drop_keyed"):
            broken.setattr(store, name, going(getattr(store, name)))
        first = await api.post(f"/api/v1/{path}", json={"why": "x"}, headers={"Idempotency-Key": "k"})
        done = gone == "answer_keyed"
        assert first.status_code == (202 if done else 503), "what was done is not said to have failed"
        again = await api.post(f"/api/v1/{path}", json={"why": "x"}, headers={"Idempotency-Key": "k"})
        assert again.status_code == 503, "while it is away"
    last = await api.post(f"/api/v1/{path}", json={"why": "x"}, headers={"Idempotency-Key": "k"})
    assert (last.status_code, last.headers.get("idempotent-replayed")) == (202, "true" if done else None)
    found = await store.delivery(dead_id())
    assert found is not None
    assert (found.state, found.round) == (State.SCHEDULED, 2), "once"


async def test_only_so_much_is_owed_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    owed = Owed(store)
    requests = [KeyedRequest("ann", f"k-{number}", b"", NOW_MS, NOW_MS + 9_000) for number in range(OWED_MAX + 1)]

    async def unavailable(*_given: Any) -> None:
        raise StoreUnavailableError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "drop_keyed", unavailable)
        for each in requests:
            await store.begin_keyed(each)
            await owed.tell(each, None)
    await owed.catch_up()
    assert [await store.begin_keyed(each) for each in requests] == [requests[0], *[None] * OWED_MAX]


async def test_a_held_delivery_says_what_it_waits_for(api: httpx.AsyncClient) -> None:
    assert (await post(api, f"deliveries/{of(HELD)}/expedite", 202))["state"] == "scheduled"
    row = (await api.get(f"/api/v1/deliveries/{of(HELD)}")).json()
    assert row["held_by"] == of(HOLDER)


async def test_the_dead_letter_queue_as_tutorials_have_it(api: httpx.AsyncClient, store: Store) -> None:
    listed = (await api.get("/dlq")).json()
    assert {each["id"] for each in listed["items"]} == {dead_id(), of(QUARANTINED)}
    (first,) = (await api.get("/dlq", params={"limit": 1})).json()["items"]
    assert first["id"] == of(QUARANTINED)
    assert (await api.get(f"/dlq/{dead_id()}")).json()["last_status"] == 422
    response = await api.post(f"/dlq/{dead_id()}/retry")
    assert (response.status_code, response.json()["state"]) == (202, "scheduled")
    assert await standing(store, dead_id()) is State.SCHEDULED
    assert (await api.get("/dlq/nonsense!")).headers["content-type"] == "application/problem+json"
