"""Every POST of the API takes an Idempotency-Key: the same request twice is carried out once."""

from typing import Any

import pytest
from accounts_at_hand import CLI, PASSWORD
from api_store import DEAD, SCHEDULED, dead_id, fill
from guarded_port import SAME, Port

from longstop.edges.operators.api.app import PREFIX, create_api
from longstop.model.accounts import Role
from longstop.model.listing import Page
from longstop.testing.builders import delivery_id, event_id

WAITS = delivery_id(event_id(SCHEDULED), 0)
JOB = {"action": "replay", "filter": {}, "rate": 1, "why": "mended"}
ASKED: dict[str, tuple[str, Any]] = {
    "/alerts/silences": ("/alerts/silences", {"kind": "backlog", "for_s": 60}),
    "/audit/mcp": ("/audit/mcp", {"tool": "status"}),
    "/decisions": ("/decisions", {"action": "expedite", "ids": [WAITS]}),
    "/deliveries/{id}/discard": (f"/deliveries/{dead_id()}/discard", {"why": "a test"}),
    "/deliveries/{id}/expedite": (f"/deliveries/{WAITS}/expedite", {}),
    "/deliveries/{id}/replay": (f"/deliveries/{dead_id()}/replay", {}),
    "/destinations/{name}/pause": ("/destinations/crm/pause", {}),
    "/destinations/{name}/resume": ("/destinations/crm/resume", {}),
    "/destinations/{name}/test": ("/destinations/crm/test", {}),
    "/dlq/{id}/retry": (f"/dlq/{dead_id()}/retry", {}),
    "/events/{id}/replay": (f"/events/{event_id(DEAD)}/replay", {"body": "{}"}),
    "/jobs": ("/jobs", JOB),
    "/jobs/{id}/cancel": ("/jobs/JOB/cancel", {}),
    "/jobs/{id}/pause": ("/jobs/JOB/pause", {}),
    "/jobs/{id}/resume": ("/jobs/JOB/resume", {}),
    "/session": ("/session", {"name": "boss", "password": PASSWORD}),
    "/sources/{name}/test": ("/sources/shop/test", {"body": "{}"}),
    "/tokens": ("/tokens", {"name": "ci", "scopes": ["view"]}),
    "/users": ("/users", {"name": "eve", "role": "view", "password": PASSWORD}),
}
"""For each route that is posted to: a path, and a body with which something is done."""
TOLD_ONCE = {"/session", "/tokens"}
"""Their answers hold a secret, of which nothing is kept."""


def posted_to(port: Port) -> dict[str, Any]:
    paths = create_api(port.services).openapi()["paths"]
    return {path.removeprefix(PREFIX): each["post"] for path, each in paths.items() if "post" in each}


def test_every_post_is_described_as_taking_a_key() -> None:
    described = posted_to(Port())
    assert set(described) == set(ASKED), "one that is missing here is not tried below"
    taking = {
        path
        for path, each in described.items()
        if ("header", "Idempotency-Key") in {(known["in"], known["name"]) for known in each.get("parameters", ())}
    }
    assert taking == set(described)


@pytest.fixture
async def port() -> Port:
    made = Port()
    await fill(made.store)
    return made


async def post(port: Port, who: dict[str, str], path: str, asked: Any, key: str) -> Any:
    whole = path if path.startswith("/dlq") else PREFIX + path
    return await port.ask("POST", whole, {**who, "idempotency-key": key}, json=asked)


@pytest.mark.parametrize("route", ASKED)
async def test_the_same_request_twice_is_carried_out_once(port: Port, route: str) -> None:
    boss = await port.user("boss", Role.ADMIN)
    path, asked = ASKED[route]
    if "JOB" in path:
        job = (await post(port, boss, "/jobs", JOB, "job")).json()["id"]
        path = path.replace("JOB", job)
        if route.endswith("resume"):
            await post(port, boss, f"/jobs/{job}/pause", {}, "pause")
    first = await post(port, boss, path, asked, "k")
    assert first.status_code < 300, first.text
    noted = await port.noted()
    again = await post(port, boss, path, asked, "k")
    if route in TOLD_ONCE:
        assert (again.status_code, "Idempotency-Key was used first" in again.json()["detail"]) == (409, True)
    else:
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "set-cookie" not in again.headers
    assert await port.noted() == noted, "what is done is in the audit log first"


# -- signing in -----------------------------------------------------------------------------------


async def sessions(port: Port) -> int:
    return len((await port.store.sessions(None, Page())).rows)


async def test_who_signs_in_twice_under_one_key_has_one_session(port: Port) -> None:
    await port.user("ada")
    login = {"name": "ada", "password": PASSWORD}
    first = await post(port, SAME, "/session", login, "k")
    again = await post(port, SAME, "/session", login, "k")
    assert (first.status_code, again.status_code, await sessions(port)) == (200, 409, 2), "and the one of before"
    secret = first.headers["set-cookie"].partition(".")[2].partition(";")[0]
    kept = repr(port.store._keyed) + repr([each.answer.body for each in port.store._keyed.values()])
    assert secret not in kept, "what is kept would be good for a day"
    assert PASSWORD not in kept
    await port.parts.accounts(CLI).change_user("ada", password="another good password")
    changed = await post(port, SAME, "/session", {**login, "password": "another good password"}, "k")
    assert changed.status_code == 409, "it is the same request: of the password not even a digest is kept"
    assert (await post(port, SAME, "/session", {**login, "password": "another good password"}, "k-2")).is_success


async def test_who_does_not_know_the_password_takes_no_key(port: Port) -> None:
    """A stranger writes nothing to the disk, and the key of somebody else tells him nothing."""
    await port.user("ada")
    wrong = {"name": "ada", "password": "not the password"}
    for key in ("k", "k", "k-2"):
        assert (await post(port, SAME, "/session", wrong, key)).status_code == 401
    assert not port.store._keyed
    assert (await post(port, SAME, "/session", {**wrong, "password": PASSWORD}, "k")).status_code == 200
    assert (await post(port, SAME, "/session", wrong, "k")).status_code == 401
