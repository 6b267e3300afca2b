"""Every route of the operators' port: who may use it, and what the audit log says of it.

The table is held against the API's description: a new route without an entry here is a failure.
"""

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from accounts_at_hand import CLI, PASSWORD
from guarded_port import HOST, SAME, Port
from test_masked_port import DELIVERY, ID, MASKED, RAW, kept

from longstop.edges.desk.behind import jobs_of
from longstop.model.accounts import Role
from longstop.model.caller import Scope
from longstop.model.errors import StoreUnavailableError
from longstop.model.job import JobAction
from longstop.model.listing import DeliveryFilter, Page
from longstop.operating.jobs import JobRequest

SIGNING_IN = "POST /api/v1/session"
"""It answers 401 of itself, whoever asks; so it has a test of its own."""
OPEN, KNOWN, VIEW, REPLAY, ADMIN = "open", "known", "view", "replay", "admin"
WHY: dict[str, Any] = {"why": "a reason"}
ROUTES: dict[str, tuple[str, Any, str | None]] = {
    "GET /readyz": (OPEN, None, None),
    "GET /metrics": (VIEW, None, None),
    "GET /api/v1/openapi.json": (KNOWN, None, None),
    "GET /api/v1/events": (VIEW, None, None),
    "GET /api/v1/events/{id}": (VIEW, None, None),
    "GET /api/v1/events/{id}/body": (VIEW, None, "body.read"),
    "GET /api/v1/events/{id}/curl": (VIEW, None, "body.read"),
    "POST /api/v1/events/{id}/replay": (REPLAY, {}, "delivery.replay"),
    "GET /api/v1/deliveries": (VIEW, None, None),
    "GET /api/v1/deliveries/{id}": (VIEW, None, None),
    "GET /api/v1/deliveries/{id}/attempts": (VIEW, None, None),
    "GET /api/v1/deliveries/{id}/request": (VIEW, None, "body.read"),
    "POST /api/v1/deliveries/{id}/replay": (REPLAY, WHY, "delivery.replay"),
    "POST /api/v1/deliveries/{id}/discard": (REPLAY, WHY, "delivery.discard"),
    "POST /api/v1/deliveries/{id}/expedite": (REPLAY, WHY, "delivery.expedite"),
    "GET /api/v1/dead-letters/groups": (VIEW, None, None),
    "GET /api/v1/keys/{key}": (VIEW, None, None),
    "GET /api/v1/sources": (VIEW, None, None),
    "GET /api/v1/sources/{source}": (VIEW, None, None),
    "GET /api/v1/sources/{source}/rejections": (VIEW, None, "body.read"),
    "POST /api/v1/sources/{source}/test": (VIEW, {}, "source.test"),
    "GET /api/v1/destinations": (VIEW, None, None),
    "GET /api/v1/destinations/{name}": (VIEW, None, None),
    "POST /api/v1/destinations/{name}/pause": (REPLAY, WHY, "destination.pause"),
    "POST /api/v1/destinations/{name}/resume": (REPLAY, None, "destination.resume"),
    "POST /api/v1/destinations/{name}/test": (REPLAY, None, "destination.test"),
    "GET /api/v1/statistics": (VIEW, None, None),
    "GET /api/v1/jobs": (VIEW, None, None),
    "GET /api/v1/jobs/{job}": (VIEW, None, None),
    "POST /api/v1/jobs": (REPLAY, {"action": "replay", "filter": {}}, "job.create"),
    "POST /api/v1/jobs/{job}/pause": (REPLAY, WHY, "job.pause"),
    "POST /api/v1/jobs/{job}/resume": (REPLAY, WHY, "job.resume"),
    "POST /api/v1/jobs/{job}/cancel": (REPLAY, WHY, "job.cancel"),
    "GET /api/v1/status": (VIEW, None, None),
    "GET /api/v1/nodes": (VIEW, None, None),
    "GET /api/v1/settings": (ADMIN, None, "settings.read"),
    "GET /api/v1/stream": (VIEW, None, None),
    "GET /api/v1/session": (OPEN, None, None),
    "POST /api/v1/session": (OPEN, {"name": "boss", "password": PASSWORD}, "login"),
    "DELETE /api/v1/session": (OPEN, None, "logout"),
    "PUT /api/v1/session/password": (VIEW, {"current": PASSWORD, "password": PASSWORD}, "user.password"),
    "GET /api/v1/session/oidc": (OPEN, None, None),
    "GET /api/v1/session/oidc/callback": (OPEN, None, None),
    "GET /api/v1/sessions": (VIEW, None, None),
    "DELETE /api/v1/sessions/{session}": (VIEW, None, "session.revoke"),
    "GET /api/v1/users": (ADMIN, None, None),
    "POST /api/v1/users": (ADMIN, {"name": "new", "role": "view", "password": PASSWORD}, "user.add"),
    "PATCH /api/v1/users/{user}": (ADMIN, {"disabled": True}, "user.disable"),
    "DELETE /api/v1/users/{user}": (ADMIN, None, "user.remove"),
    "GET /api/v1/tokens": (ADMIN, None, None),
    "POST /api/v1/tokens": (ADMIN, {"name": "new", "scopes": ["view"]}, "token.create"),
    "DELETE /api/v1/tokens/{token}": (ADMIN, None, "token.revoke"),
    "GET /api/v1/audit": (VIEW, None, None),
    "GET /api/v1/audit/export": (ADMIN, None, "audit.export"),
    "POST /api/v1/audit/mcp": (VIEW, {"tool": "status"}, "mcp.call"),
    "POST /api/v1/decisions": (REPLAY, {"action": "replay", "ids": [DELIVERY]}, "delivery.replay"),
    "GET /api/v1/alerts": (VIEW, None, None),
    "GET /api/v1/alerts/silences": (VIEW, None, None),
    "POST /api/v1/alerts/silences": (REPLAY, {"kind": "backlog", "for_s": 60}, "alert.silence"),
    "DELETE /api/v1/alerts/silences": (REPLAY, None, "alert.silence"),
    "GET /dlq": (VIEW, None, None),
    "GET /dlq/{id}": (VIEW, None, None),
    "POST /dlq/{id}/retry": (REPLAY, {}, "delivery.replay"),
}
"""Route: the scope that it takes, a body that it takes, and what it is in the audit log (None: nothing is noted)."""
MAY = {
    VIEW: {VIEW},
    "bodies": {VIEW},
    REPLAY: {VIEW, REPLAY},
    ADMIN: {VIEW, REPLAY, ADMIN},
}
"""Caller: the scopes of the routes that he may use."""
NO_MORE = ("nobody", "expired", "revoked", "ended", "disabled", "removed", "idle")


@pytest.fixture
async def port() -> Port:
    made = Port(MASKED)
    await kept(made)
    return made


async def shown_by(port: Port, caller: str) -> dict[str, str]:
    """What a caller's requests have."""
    if caller == "nobody":
        return {}
    if caller in MAY:
        return await port.token(Scope(caller))
    if caller in ("expired", "revoked"):
        now_ms = port.clock.ms
        token, text = await port.parts.accounts(CLI).create_token("old", frozenset({Scope.ADMIN}), now_ms + 1)
        port.clock.ms += 1 if caller == "expired" else 0
        if caller == "revoked":
            await port.parts.accounts(CLI).revoke_token(token.id)
        return {"authorization": f"Bearer {text}"}
    gone = f"gone-{caller}"
    shown = await port.user(gone, Role.ADMIN)
    if caller == "ended":
        (session,) = (await port.store.sessions(gone, Page())).rows
        await port.store.end_sessions([session.id])
    elif caller == "idle":
        port.clock.ms += port.services.config.operators.session_idle_ms
    else:
        accounts = port.parts.accounts(CLI)
        await (accounts.remove_user(gone) if caller == "removed" else accounts.change_user(gone, disabled=True))
    return shown


async def path_of(port: Port, route: str) -> str:
    """The path of a route, with something there that it is about."""
    path = route.partition(" ")[2]
    if "{session}" in path:
        await port.user("away", Role.VIEW)
        (session,) = (await port.store.sessions("away", Page())).rows
        path = path.replace("{session}", session.id)
    if "{user}" in path:
        await port.parts.accounts(CLI).add_user("victim", Role.VIEW, PASSWORD)
    if "{token}" in path:
        token, _ = await port.parts.accounts(CLI).create_token("victim", frozenset({Scope.VIEW}))
        path = path.replace("{token}", token.id)
    if "{job}" in path:
        path = path.replace("{job}", await a_job(port, paused=path.endswith("/resume")))
    if path == "/api/v1/alerts/silences" and route.startswith("DELETE"):
        path += "?kind=backlog"
    id_ = RAW if "/events/" in path and path.endswith("/replay") else ID
    values = {"id": id_ if "events" in path else DELIVERY, "key": "k", "source": "shop", "name": "crm"}
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{user}", "victim")


async def a_job(port: Port, paused: bool) -> str:
    service = jobs_of(port.services, CLI)
    job = await service.create(JobRequest(JobAction.REPLAY, DeliveryFilter()))
    if paused:
        await service.pause(job.id)
    return job.id


def plain(path: str) -> str:
    """A path of the description, with the names of its places as they are in the table."""
    for before, name in (("jobs", "job"), ("tokens", "token"), ("sessions", "session")):
        path = path.replace(f"/{before}/{{id}}", f"/{before}/{{{name}}}")
    return path.replace("/sources/{name}", "/sources/{source}").replace("/users/{name}", "/users/{user}")


async def test_every_route_of_the_description_is_in_the_table(port: Port) -> None:
    described = (await port.ask("GET", "/api/v1/openapi.json", await port.token(Scope.VIEW))).json()
    routes = {f"{method.upper()} {plain(path)}" for path, methods in described["paths"].items() for method in methods}
    assert routes == {each for each in ROUTES if not each.endswith(("/readyz", "/metrics", "/openapi.json"))}


@pytest.mark.parametrize("route", [each for each in ROUTES if each != SIGNING_IN])
async def test_a_route_is_for_whom_it_is_for(port: Port, route: str) -> None:
    needs, body, _ = ROUTES[route]
    path = await path_of(port, route)
    for caller, scopes in MAY.items():
        answer = await answered(port, route, path, await port.token(Scope(caller)), body)
        if needs in scopes or needs in (OPEN, KNOWN):
            assert answer.status_code not in ((401, 500) if needs != OPEN else (500,)), caller
            assert answer.status_code != 403 or "signed in" in answer.text, (caller, answer.text)
        else:
            assert (answer.status_code, answer.json()["scope"]) == (403, needs), caller
    for caller in NO_MORE:
        answer = await answered(port, route, path, await shown_by(port, caller), body)
        assert (answer.status_code == 401) == (needs != OPEN), caller


async def answered(port: Port, route: str, path: str, shown: dict[str, str], body: Any) -> httpx.Response:
    """The answer; of the stream, which never ends, its beginning."""
    if route.endswith("/stream"):
        return await beginning(port, path, shown)
    return await port.ask(route.partition(" ")[0], path, shown, json=body)


async def beginning(port: Port, path: str, shown: dict[str, str]) -> httpx.Response:
    """What has come of an answer when its first piece is there, and the asker goes."""
    sent: list[Any] = []
    begun = asyncio.Event()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            begun.set()

    headers = [(name.encode(), text.encode()) for name, text in {**shown, "host": HOST}.items()]
    about = {"method": "GET", "path": path, "query_string": b"", "client": ("127.0.0.1", 4711), "headers": headers}
    asking = asyncio.create_task(port.app({"type": "http", **about}, receive, send))
    await begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    body = b"".join(each.get("body", b"") for each in sent)
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=body)


async def test_the_stream_is_a_stream_for_who_may_look(port: Port) -> None:
    answer = await beginning(port, "/api/v1/stream", await port.token(Scope.VIEW))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert answer.content.startswith(b": listening")


@pytest.mark.parametrize("caller", ["nobody", *MAY, *NO_MORE[1:]])
async def test_signing_in_is_by_the_password_and_by_nothing_else(port: Port, caller: str) -> None:
    """Whoever asks, and whatever he shows: the right password signs its owner in, and a wrong one nobody."""
    path = await path_of(port, SIGNING_IN)
    await port.parts.accounts(CLI).add_user("boss", Role.VIEW, PASSWORD)
    shown = {**await shown_by(port, caller), **SAME}
    wrong = await port.ask("POST", path, shown, json={"name": "boss", "password": "not the password"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    assert (await port.ask("POST", path, shown, json={})).status_code == 422
    right = await port.ask("POST", path, shown, json={"name": "boss", "password": PASSWORD})
    told = right.json()
    assert (right.status_code, told["user"], told["role"]) == (200, "boss", "view"), "not the caller's own role"
    cookie = {**SAME, "cookie": right.headers["set-cookie"].partition(";")[0]}
    assert (await port.ask("GET", "/api/v1/status", cookie)).status_code == 200
    assert (await port.ask("GET", "/api/v1/users", cookie)).status_code == 403


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "QUERY"])
async def test_no_other_method_is_a_way_around(port: Port, method: str) -> None:
    for route, (needs, _, _) in ROUTES.items():
        path = re.sub(r"\{\w+\}", ID, route.partition(" ")[2])
        answer = await port.ask(method, path)
        assert needs == OPEN or answer.status_code == 401
        assert answer.status_code != 200 or (path, method) == ("/readyz", "HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/users",
        "/api//v1/users",
        "/API/v1/users",
        "/api/v1/../v1/users",
        "/x/../api/v1/users",
        "/api/v1/users/",
        "/api/v1/users%2f",
        "/api%2fv1%2fusers",
        "/%61pi/v1/users",
        "/api/v1/users;x",
        "/api/v1/users%00",
        "/api/v1/session/../users",
        "/api/v1/session/",
        "/api/v1/session/oidc/callback/../../../users",
        "/./dlq",
        "/dlq/",
        "/dlq%3f",
        "/metrics/",
        "/metrics%2f",
        "/readyz/../metrics",
        "/api/v1/openapi.json/",
        "/dlq/../metrics",
        "/mcp/x",
        "\\\\api\\\\v1\\\\users",
        "/api/v1/users%20",
        "/api/v1/session%2f..%2fusers",
    ],
)
async def test_no_spelling_of_a_path_is_a_way_around(port: Port, path: str) -> None:
    await port.user("boss", Role.ADMIN)
    answer = await port.ask("GET", path)
    assert answer.status_code in (401, 404)
    assert "boss" not in answer.text


@pytest.mark.parametrize("route", ROUTES)
async def test_what_is_done_is_noted_before_it_is_done(port: Port, route: str) -> None:
    (_, body, action), method = ROUTES[route], route.partition(" ")[0]
    path, boss = await path_of(port, route), await port.user("boss", Role.ADMIN)
    before = len(await port.noted())
    answer = await answered(port, route, path, boss, body)
    noted = (await port.noted())[before:]
    assert [each.action.value for each in noted] == ([] if action is None else [action])
    if action is None:
        assert method == "GET", "what changes something is noted"
        return
    assert answer.status_code in (200, 201, 202, 204, 404, 409), answer.text
    assert (noted[0].by, noted[0].by_kind, noted[0].address) == ("boss", "user", "127.0.0.1")


@pytest.mark.parametrize("route", [each for each, (_, _, action) in ROUTES.items() if action and action != "logout"])
async def test_what_cannot_be_noted_is_not_done(port: Port, route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (_, body, _), method = ROUTES[route], route.partition(" ")[0]
    path, boss = await path_of(port, route), await port.user("boss", Role.ADMIN)
    before = repr(await everything(port))

    async def fail(_entries: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(port.store, "note", fail)
    answer = await port.ask(method, path, boss, json=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert repr(await everything(port)) == before


async def everything(port: Port) -> list[Any]:
    """What people can change."""
    store = port.store
    sessions = [replace(each, seen_at_ms=0) for each in (await store.sessions(None, Page())).rows]
    return [
        await store.counts(), await store.delivery(DELIVERY), await store.pauses(), (await store.alert_book()).silences,
        sessions, (await store.users(Page(newest_first=False))).rows, (await store.tokens(Page())).rows,
        (await store.find_jobs(None, Page())).rows,
    ]  # fmt: skip


async def test_who_takes_all_of_a_body_away_in_a_dry_run_has_seen_it(port: Port) -> None:
    asked = {"body": "{}", "dry_run": True}
    answer = await port.ask("POST", f"/api/v1/events/{ID}/replay", await port.user("boss", Role.ADMIN), json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["diff"]
    assert [each.action.value for each in await port.noted()][-1] == "body.read"
