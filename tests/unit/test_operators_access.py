"""The operators' port, attacked: forged requests, cookies, scopes, headers, and what is never in an answer."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from accounts_at_hand import CLI, PASSWORD
from api_store import dead_id, fill
from fastapi.routing import APIRoute
from guarded_port import HOST, SAME, USERS, Port, cookie_in

from longstop.edges.operators.access import guard
from longstop.edges.operators.access.cookies import PLAIN
from longstop.edges.operators.access.guarding import guarded
from longstop.edges.operators.api.app import PREFIX, ROUTERS
from longstop.model.accounts import Role
from longstop.model.audit import AuditAction
from longstop.model.caller import Scope
from longstop.model.delivery import State
from longstop.model.errors import StoreUnavailableError
from longstop.model.listing import Page
from longstop.operating.access import FIRST_USER

VIEW, BODIES, REPLAY, ADMIN = Scope.VIEW, Scope.BODIES, Scope.REPLAY, Scope.ADMIN
ANYTHING = "/api/v1/status"


# -- who is known -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ANYTHING, "/api/v1/users", "/api/v1/nothing", "/dlq", "/dlq/1", "/metrics", "/mcp"])
@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer longstop_00000000000000000000000000000000_" + "A" * 43},
        {"authorization": "Basic YWRhOmFkYQ=="},
        {"cookie": f"{PLAIN}=x"},
        {"cookie": f"{PLAIN}=00000000-0000-7000-8000-000000000000.{'A' * 43}"},
    ],
    ids=range(6),
)
async def test_who_is_not_known_is_told_how_to_be(path: str, shown: dict[str, str]) -> None:
    answer = await Port().ask("GET", path, shown)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert FIRST_USER in answer.json()["detail"]


@pytest.mark.parametrize(("path", "status"), [("/readyz", 200), ("/api/v1/session", 200), ("/", 404), ("/login", 404)])
async def test_the_ways_in_are_open(path: str, status: int) -> None:
    assert (await Port().ask("GET", path)).status_code == status


async def test_what_is_told_to_who_is_not_known() -> None:
    assert (await Port().ask("GET", "/api/v1/session")).json() == {
        "authenticated": False, "required": True, "user": None, "role": None, "scopes": [], "oidc": False,
        "version": None, "console": {"name": None, "colour": "grey"},
    }  # fmt: skip


async def test_a_cookie_and_a_token_are_good_for_what_they_may() -> None:
    port = Port()
    ada, ci = await port.user(), await port.token(VIEW)
    for shown in (ada, ci):
        assert (await port.ask("GET", ANYTHING, shown)).status_code == 200
        assert (await port.ask("GET", "/metrics", shown)).status_code == 200
    told = (await port.ask("GET", "/api/v1/session", ada)).json()
    assert (told["user"], told["role"], told["scopes"]) == ("ada", "replay", ["bodies", "replay", "view"])
    assert (await port.ask("GET", "/api/v1/session", ci)).json()["role"] is None


async def test_a_token_that_is_wrong_is_not_made_up_for_by_a_cookie() -> None:
    port = Port()
    ada, ci = await port.user(), await port.token(VIEW)
    assert (await port.ask("GET", ANYTHING, {**ada, "authorization": "Bearer x"})).status_code == 401
    assert (await port.ask("GET", ANYTHING, {**ada, "authorization": "Basic x"})).status_code == 401
    told = (await port.ask("GET", "/api/v1/session", {**ada, **ci})).json()
    assert told["user"] == "ci"


async def test_of_two_cookies_none_is_taken() -> None:
    port = Port()
    ada = await port.user()
    for both in (f"{PLAIN}=x; {ada['cookie']}", f"{ada['cookie']}; {PLAIN}=x", f"{ada['cookie']}; {ada['cookie']}"):
        assert (await port.ask("GET", ANYTHING, {**ada, "cookie": both})).status_code == 401
    assert (await port.ask("GET", ANYTHING, {**ada, "cookie": f"a=b; {ada['cookie']}; c=d"})).status_code == 200


# -- scopes -------------------------------------------------------------------------------------

ADMINS = [
    ("GET", "/api/v1/users", None),
    ("POST", "/api/v1/users", {"name": "eve", "role": "admin", "password": PASSWORD}),
    ("PATCH", "/api/v1/users/ada", {"role": "admin"}),
    ("DELETE", "/api/v1/users/ada", None),
    ("GET", "/api/v1/tokens", None),
    ("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["admin"]}),
    ("DELETE", "/api/v1/tokens/019ab0c2-7d1e-7000-8000-0123456789ab", None),
    ("GET", "/api/v1/audit/export", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMINS, ids=range(len(ADMINS)))
async def test_only_an_admin_manages_who_may_what(method: str, path: str, body: Any) -> None:
    port = Port()
    shown = [await port.user("ada"), await port.user("vic", Role.VIEW), await port.token(REPLAY, BODIES)]
    for each in shown:
        answer = await port.ask(method, path, each, json=body)
        assert (answer.status_code, answer.json()["scope"]) == (403, "admin")
    boss = await port.user("boss", Role.ADMIN)
    assert (await port.ask(method, path, boss, json=body)).status_code in (200, 201, 204, 404)


async def test_every_route_asks_for_a_scope() -> None:
    """A caller who may nothing at all is refused everywhere but where he is told who he is."""
    port = Port()
    nobody = await port.token(VIEW)
    (token,) = (await port.store.tokens(Page())).rows
    port.store._tokens[token.id] = replace(token, scopes=frozenset())
    routes = [each for router in ROUTERS for each in router(port.services).routes if isinstance(each, APIRoute)]
    assert len(routes) > 40
    answered = {}
    for route in routes:
        path = PREFIX + route.path.replace("{key:path}", "k")
        for method in route.methods:
            answer = await port.ask(method, path, nobody, json={})
            answered[f"{method} {route.path}"] = answer.status_code
    refused = {name for name, status in answered.items() if status == 403}
    assert set(answered) - refused == {
        "GET /session", "POST /session", "DELETE /session", "GET /session/oidc", "GET /session/oidc/callback",
    }  # fmt: skip


async def test_whoever_may_look_may_count_what_it_would_be() -> None:
    """The console says how many match before it says that replaying them takes another scope."""
    port = Port()
    await fill(port.store)
    shown = await port.user("vic", Role.VIEW)
    for path, asked in (
        ("/api/v1/jobs", {"action": "replay", "filter": {}}),
        ("/api/v1/decisions", {"action": "discard", "ids": [dead_id()], "why": "x"}),
    ):
        counted = await port.ask("POST", path, shown, json={**asked, "dry_run": True})
        assert counted.status_code == 200, counted.text
        assert counted.json().get("survey", counted.json())["count"] == 1
        for more in ({}, {"dry_run": False}):
            refused = await port.ask("POST", path, shown, json={**asked, **more})
            assert (refused.status_code, refused.json()["scope"]) == (403, "replay")
    assert (await port.store.find_jobs(None, Page())).rows == ()
    found = await port.store.delivery(dead_id())
    assert found is not None
    assert found.state is State.DEAD


# -- forged requests ----------------------------------------------------------------------------

MAKE_USER = ("POST", "/api/v1/users")
FORGED = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "x"},
    {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-origin", "origin": "null"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"origin": f"http://{HOST}.evil.example"},
    {"origin": f"http://evil.example/{HOST}"},
    {"origin": f"ftp://{HOST}"},
    {"referer": f"http://{HOST}/"},
    {},
]


@pytest.mark.parametrize("said", FORGED, ids=str)
@pytest.mark.parametrize("body", [b"{}", b"name=x", b'{"name": "eve", "role": "admin", "password": "a good password"}'])
async def test_no_page_of_another_origin_does_anything_with_a_cookie(said: dict[str, str], body: bytes) -> None:
    port = Port()
    boss = {"cookie": (await port.user("boss", Role.ADMIN))["cookie"]}
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        headers = {**boss, **said, "content-type": content_type}
        assert (await port.ask(*MAKE_USER, headers, content=body)).status_code == 403
    assert [each.name for each in (await port.store.users(Page())).rows] == ["boss"]


@pytest.mark.parametrize(
    "said",
    [SAME, {"origin": f"http://{HOST}"}, {"origin": f"http://{HOST.upper()}"}, {**SAME, "origin": f"http://{HOST}"}],
)
async def test_the_consoles_own_requests_are_done(said: dict[str, str]) -> None:
    port = Port()
    boss = {**said, "cookie": (await port.user("boss", Role.ADMIN))["cookie"]}
    body = {"name": "eve", "role": "view", "password": PASSWORD}
    assert (await port.ask(*MAKE_USER, boss, json=body)).status_code == 201


async def test_a_program_that_shows_a_token_needs_no_origin() -> None:
    port = Port()
    body = {"name": "eve", "role": "view", "password": PASSWORD}
    assert (await port.ask(*MAKE_USER, await port.token(ADMIN), json=body)).status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("dest", ["document", "iframe", "image", "script", "empty", "embed"])
async def test_no_page_of_another_origin_loads_anything(site: str, dest: str) -> None:
    for port in (Port(), Port("")):
        ada = await port.user() if port.services.access else {}
        said = {**ada, "sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": dest}
        for path in (ANYTHING, "/metrics", "/dlq", "/api/v1/session"):
            assert (await port.ask("GET", path, said)).status_code == 403
        opened = (await port.ask("GET", "/", said)).status_code
        assert opened == (404 if dest == "document" else 403), "a link to the console may be followed"
        assert (await port.ask("POST", "/", said)).status_code == 403


@pytest.mark.parametrize("said", [*FORGED[:4], *FORGED[5:12]], ids=str)
async def test_without_authentication_nobody_elses_page_does_anything_either(said: dict[str, str]) -> None:
    answer = await Port("").ask("DELETE", "/api/v1/session", said)
    assert answer.status_code == 403


async def test_without_authentication_a_program_on_this_machine_may() -> None:
    port = Port("")
    assert (await port.ask("GET", ANYTHING)).status_code == 200
    assert (await port.ask("DELETE", "/api/v1/session")).status_code == 204
    told = (await port.ask("GET", "/api/v1/session")).json()
    assert (told["authenticated"], told["required"], told["user"]) == (True, False, "local")
    assert (await port.ask("POST", "/api/v1/session", SAME, json={"name": "a", "password": "b"})).status_code == 409


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example"]
)
async def test_a_name_that_leads_here_is_no_name_of_ours(host: str) -> None:
    for port in (Port(), Port("")):
        for path in ("/", ANYTHING, "/metrics", "/api/v1/session"):
            assert (await port.ask("GET", path, {"host": host})).status_code == 421
    named = Port(f'{USERS}url = "https://ops.example"\nallowed_hosts = ["10.0.0.5"]\n')
    assert (await named.ask("GET", "/readyz", {"host": "ops.example"})).status_code == 200
    assert (await named.ask("GET", "/readyz", {"host": "10.0.0.5:9090"})).status_code == 200


@pytest.mark.parametrize("host", ["10.1.2.3", "10.1.2.3:8081", "[fd00::7]:8081", "169.254.0.9:9"])
async def test_a_probe_asks_by_an_address(host: str) -> None:
    """No page can have one lead here. Where nobody is asked who he is, it says no more than whether it is ready."""
    asking, open_ = Port(), Port("")
    shown = {**await asking.token(Scope.VIEW), "host": host}
    for port, path, expected in (
        (asking, "/readyz", 200),
        (asking, "/metrics", 200),
        (asking, ANYTHING, 200),
        (open_, "/readyz", 200),
        (open_, "/metrics", 421),
        (open_, ANYTHING, 421),
        (open_, "/", 421),
    ):
        assert (await port.ask("GET", path, shown)).status_code == expected, path
    assert (await asking.ask("GET", ANYTHING, {"host": host})).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "0.0.0.0:8081", "[::]", "10.1.2", "0x0a010203", "10.1.2.3.evil.example"])
async def test_what_is_no_address_is_no_way_in(host: str) -> None:
    for path in ("/readyz", ANYTHING):
        assert (await Port().ask("GET", path, {"host": host})).status_code == 421


async def test_a_page_that_is_served_by_an_address_is_another_site_all_the_same() -> None:
    port = Port()
    ada = await port.user()
    said = {**ada, "host": "10.1.2.3:8081", "origin": "http://10.1.2.3", "sec-fetch-site": "same-site"}
    assert (await port.ask("DELETE", "/api/v1/session", said)).status_code == 403


async def test_nobody_is_signed_in_by_a_page_of_somebody_else() -> None:
    port = Port()
    await port.user()
    login = {"name": "ada", "password": PASSWORD}
    for said in FORGED[:-2]:
        assert (await port.ask("POST", "/api/v1/session", said, json=login)).status_code == 403
    form = {**SAME, "content-type": "text/plain"}
    assert (await port.ask("POST", "/api/v1/session", form, content=json.dumps(login))).status_code == 422


# -- cookies ------------------------------------------------------------------------------------


async def test_what_a_cookie_is_like() -> None:
    port = Port()
    await port.user()
    answer = await port.ask("POST", "/api/v1/session", SAME, json={"name": "ada", "password": PASSWORD})
    attributes = answer.headers["set-cookie"].split("; ")
    assert attributes[0].startswith(f"{PLAIN}=")
    assert attributes[1:] == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]
    assert answer.json()["user"] == "ada"
    assert cookie_in(answer) not in answer.text
    ended = await port.ask("DELETE", "/api/v1/session", await port.signed_in())
    assert ended.headers["set-cookie"] == f"{PLAIN}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"


async def test_over_tls_it_is_this_hosts_alone_and_secure() -> None:
    port = Port(f'{USERS}url = "https://ops.example"\n')
    await port.parts.accounts(CLI).add_user("ada", Role.VIEW, PASSWORD)
    said = {**SAME, "host": "ops.example", "origin": "https://ops.example"}
    answer = await port.ask("POST", "/api/v1/session", said, json={"name": "ada", "password": PASSWORD})
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-longstop=")
    assert attributes == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict", "Secure"]
    plain = {**said, "cookie": f"{PLAIN}={cookie_in(answer)}"}
    assert (await port.ask("GET", ANYTHING, plain)).status_code == 401, "under another name it is nothing"
    assert (
        await port.ask("GET", ANYTHING, {**said, "cookie": f"__Host-longstop={cookie_in(answer)}"})
    ).status_code == 200


async def test_a_planted_session_is_worth_nothing_after_the_login() -> None:
    port = Port()
    planted = await port.user("mallory", Role.VIEW)
    own = {**SAME, "cookie": planted["cookie"]}
    await port.parts.accounts(CLI).add_user("ada", Role.VIEW, PASSWORD)
    answer = await port.ask("POST", "/api/v1/session", own, json={"name": "ada", "password": PASSWORD})
    assert cookie_in(answer) not in planted["cookie"]
    assert (await port.ask("GET", ANYTHING, planted)).status_code == 401
    made_up = f"{PLAIN}=00000000-0000-7000-8000-000000000000.{'A' * 43}"
    answer = await port.ask(
        "POST", "/api/v1/session", {**SAME, "cookie": made_up}, json={"name": "ada", "password": PASSWORD}
    )
    assert cookie_in(answer) not in made_up


# -- sessions, users, tokens --------------------------------------------------------------------


async def test_sessions_are_ones_own_and_an_admins_are_all() -> None:
    port = Port()
    ada, boss, ci = await port.user("ada"), await port.user("boss", Role.ADMIN), await port.token(VIEW)
    await port.signed_in("ada")
    of_ada = (await port.ask("GET", "/api/v1/sessions", ada)).json()["items"]
    assert [(each["user"], each["current"]) for each in of_ada] == [("ada", False), ("ada", True)]
    assert len((await port.ask("GET", "/api/v1/sessions", boss)).json()["items"]) == 3
    assert (await port.ask("GET", "/api/v1/sessions", ci)).json()["items"] == []
    of_boss = next(
        each["id"]
        for each in (await port.ask("GET", "/api/v1/sessions", boss)).json()["items"]
        if each["user"] == "boss"
    )
    assert (await port.ask("DELETE", f"/api/v1/sessions/{of_boss}", ada)).status_code == 404
    assert (await port.ask("DELETE", f"/api/v1/sessions/{of_ada[0]['id']}", ada)).status_code == 204
    assert (await port.ask("DELETE", f"/api/v1/sessions/{of_ada[1]['id']}", boss)).status_code == 204
    assert (await port.ask("GET", ANYTHING, ada)).status_code == 401


async def test_a_token_named_like_a_user_is_not_that_user() -> None:
    port = Port()
    await port.user("ci")
    ci = await port.token(VIEW)
    assert (await port.ask("GET", "/api/v1/sessions", ci)).json()["items"] == []
    change = {"current": PASSWORD, "password": "another good password"}
    assert (await port.ask("PUT", "/api/v1/session/password", ci, json=change)).status_code == 403


async def test_a_person_changes_his_own_password() -> None:
    port = Port()
    ada = await port.user()
    new = {"current": "wrong", "password": "another good password"}
    assert (await port.ask("PUT", "/api/v1/session/password", ada, json=new)).status_code == 401
    new["current"] = PASSWORD
    assert (
        await port.ask("PUT", "/api/v1/session/password", ada, json={**new, "password": "short"})
    ).status_code == 422
    assert (await port.ask("PUT", "/api/v1/session/password", ada, json=new)).status_code == 204
    assert (await port.ask("GET", ANYTHING, ada)).status_code == 401
    login = {"name": "ada", "password": "another good password"}
    assert (await port.ask("POST", "/api/v1/session", SAME, json=login)).status_code == 200


async def test_there_is_always_an_admin_left() -> None:
    port = Port()
    boss = await port.user("boss", Role.ADMIN)
    for method, body in (("PATCH", {"role": "view"}), ("PATCH", {"disabled": True}), ("DELETE", None)):
        assert (await port.ask(method, "/api/v1/users/BOSS", boss, json=body)).status_code == 409
    assert (await port.ask("GET", ANYTHING, boss)).status_code == 200


async def test_a_token_is_in_one_answer_and_in_no_other() -> None:
    port = Port()
    boss = await port.user("boss", Role.ADMIN)
    made = (await port.ask("POST", "/api/v1/tokens", boss, json={"name": "ci", "scopes": ["replay"]})).json()
    assert (made["name"], made["scopes"]) == ("ci", ["replay"])
    secret = made["token"][-43:]
    assert (await port.ask("GET", ANYTHING, {"authorization": f"Bearer {made['token']}"})).status_code == 200
    for path in ("/api/v1/tokens", "/api/v1/audit", "/api/v1/audit/export", "/api/v1/settings"):
        text = (await port.ask("GET", path, boss)).text
        assert secret not in text
        assert secret[:6] not in text
    assert (await port.ask("DELETE", f"/api/v1/tokens/{made['id']}", boss)).status_code == 204
    assert (await port.ask("GET", ANYTHING, {"authorization": f"Bearer {made['token']}"})).status_code == 401


async def test_nobody_writes_to_the_audit_log() -> None:
    port = Port()
    boss = await port.user("boss", Role.ADMIN)
    entry = (await port.ask("GET", "/api/v1/audit", boss)).json()["items"][0]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/api/v1/audit", f"/api/v1/audit/{entry['id']}", "/api/v1/audit/export"):
            assert (await port.ask(method, path, boss, json=entry)).status_code in (404, 405)
    assert (entry["action"], entry["by"], entry["from"]) == ("login", "boss", "127.0.0.1")
    viewed = (await port.ask("GET", "/api/v1/audit", await port.user("vic", Role.VIEW))).json()["items"]
    assert {each["from"] for each in viewed} == {None}


async def test_the_audit_log_is_asked_by_who_what_and_when_and_exported() -> None:
    port = Port()
    boss = await port.user("boss", Role.ADMIN)
    port.clock.ms += 60_000
    await port.user("ada")
    asked = await port.ask("GET", "/api/v1/audit?action=login&by=ada", boss)
    assert [each["by"] for each in asked.json()["items"]] == ["ada"]
    assert (await port.ask("GET", "/api/v1/audit?action=nonsense", boss)).status_code == 422
    since = (await port.ask("GET", "/api/v1/audit?since=30s&order=oldest", boss)).json()["items"]
    assert [each["action"] for each in since] == ["user.add", "login"]
    exported = await port.ask("GET", "/api/v1/audit/export", boss)
    assert exported.headers["content-disposition"] == 'attachment; filename="audit.ndjson"'
    lines = [json.loads(line)["action"] for line in exported.text.splitlines()]
    assert lines == ["user.add", "login", "user.add", "login", "audit.export"]


# -- limits -------------------------------------------------------------------------------------


async def test_who_tries_too_often_is_told_when_to_come_back() -> None:
    port = Port()
    await port.user()
    tries = [await port.ask("POST", "/api/v1/session", SAME, json={"name": "ada", "password": "no"}) for _ in range(12)]
    assert [each.status_code for each in tries] == [401] * 10 + [429] * 2
    assert tries[-1].headers["retry-after"] == "30"
    assert tries[0].json()["detail"] == "the name or the password is wrong"


async def test_behind_a_proxy_each_client_has_its_own_tries() -> None:
    port = Port(f'[server]\ntrusted_proxies = ["10.0.0.0/8"]\n{USERS}')
    await port.user()

    async def tried(forwarded: str, peer: str) -> int:
        said = {**SAME, "x-forwarded-for": forwarded}
        body = {"name": f"n{forwarded}", "password": "no"}
        return (await port.ask("POST", "/api/v1/session", said, client=peer, json=body)).status_code

    for _ in range(2):
        for place in range(10):
            assert await tried(f"203.0.113.9, 10.0.0.{place}", "10.0.0.1") == 401 or place > 8
    assert await tried("203.0.113.9", "10.0.0.1") == 429
    assert await tried("203.0.113.7", "10.0.0.1") == 401
    assert await tried("203.0.113.9", "198.51.100.5") == 401, "who is no proxy of ours is not believed"


async def test_the_first_login_says_how_the_first_user_is_made() -> None:
    answer = await Port().ask("POST", "/api/v1/session", SAME, json={"name": "ada", "password": PASSWORD})
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        f"there is no user yet; on the gateway's machine: {FIRST_USER}",
    )


@pytest.mark.parametrize("path", ["/api/v1/session", "/api/v1/users"])
async def test_who_is_not_known_may_not_send_much(path: str) -> None:
    port = Port()
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(1_000):
            sent += 1
            yield b" " * 65_536

    answer = await port.ask("POST", path, {**SAME, "content-type": "application/json"}, content=endless())
    assert answer.status_code in (400, 401, 413, 422)
    assert sent < 10


# -- what goes on -------------------------------------------------------------------------------


async def test_an_answer_that_goes_on_ends_with_the_session() -> None:
    port = Port()
    ada = await port.user()
    sent: list[Any] = []
    over = asyncio.Event()

    async def stream(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            port.clock.ms += guard.LOOK_AGAIN_S * 1000
            if len(sent) == 5:
                await port.parts.accounts(CLI).change_user("ada", disabled=True)
            await send({"type": "http.response.body", "body": b"data", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        over.set()

    async def receive() -> Any:
        if sent:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    port.app = guarded(stream, port.services)
    headers = [(name.encode(), text.encode()) for name, text in {**ada, "host": HOST}.items()]
    scope = {"type": "http", "method": "GET", "path": "/api/v1/stream", "headers": headers, "client": ("::1", 1)}
    await port.app(scope, receive, send)
    assert over.is_set()
    assert [each.get("body") for each in sent[1:]] == [b"data"] * 4 + [b""]
    assert sent[-1]["more_body"] is False


# -- headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/readyz", "/metrics", ANYTHING, "/api/v1/nothing", "/api/v1/session"])
@pytest.mark.parametrize("host", [HOST, "evil.example"])
async def test_every_answer_is_inert(path: str, host: str) -> None:
    for text in (USERS, ""):
        answer = await Port(text).ask("GET", path, {"host": host})
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        said = {name: answer.headers[name] for name in answer.headers}
        assert said["x-content-type-options"] == "nosniff"
        assert said["referrer-policy"] == "no-referrer"
        assert said["cross-origin-resource-policy"] == "same-origin"
        assert said["cross-origin-opener-policy"] == "same-origin"
        assert said["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in said


async def test_no_secret_is_in_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    port = Port()
    ada = await port.user()
    login = {"name": "ada", "password": "CANARY-password"}
    await port.ask("POST", "/api/v1/session", SAME, json=login)
    await port.ask("POST", "/api/v1/session", SAME, json={"name": "CANARY-name", "password": "x"})
    await port.ask("GET", ANYTHING, {"authorization": "Bearer CANARY-token"})
    await port.ask("GET", ANYTHING, {**SAME, "cookie": f"{PLAIN}=CANARY-cookie"})
    await port.ask("POST", "/api/v1/session", SAME, json={"name": 5, "password": ["CANARY-list"]})
    out = "".join(capsys.readouterr()) + repr(await port.noted())
    assert "login_failed" in out
    assert "CANARY" not in out
    assert ada["cookie"].partition(".")[2] not in out
    assert AuditAction.LOGIN_FAILED in [each.action for each in await port.noted()]


# -- a store that is away -----------------------------------------------------------------------


async def test_while_the_store_is_away_the_console_and_the_probes_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port()
    ada = await port.user()

    async def away(_id: str) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(port.store, "session", away)
    for path, status in (("/readyz", 200), ("/", 404), ("/login", 404), (ANYTHING, 503), ("/metrics", 503)):
        answer = await port.ask("GET", path, ada)
        assert answer.status_code == status, path
        assert ("retry-after" in answer.headers) == (status == 503)


# -- answers that are kept ----------------------------------------------------------------------


async def test_an_answer_is_kept_for_who_may_see_it() -> None:
    """Two tokens of one name, one in the place of the other, are one caller; with other scopes they are not."""
    port = Port()
    path, keyed = "/api/v1/destinations/crm/pause", {"idempotency-key": "k"}
    first = await port.ask("POST", path, {**await port.token(REPLAY, BODIES), **keyed}, json={})
    again = await port.ask("POST", path, {**await port.token(REPLAY, BODIES), **keyed}, json={})
    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    other = await port.ask("POST", path, {**await port.token(ADMIN), **keyed}, json={})
    assert other.status_code == 422


# -- an Idempotency-Key where there is a secret -----------------------------------------------------


async def test_a_token_is_made_once_and_never_kept_as_text() -> None:
    port = Port()
    boss = {**await port.user("boss", Role.ADMIN), "idempotency-key": "k"}
    asked = {"name": "ci", "scopes": ["view"]}
    first = await port.ask("POST", "/api/v1/tokens", boss, json=asked)
    again = await port.ask("POST", "/api/v1/tokens", boss, json=asked)
    assert (first.status_code, again.status_code) == (201, 409)
    assert "was shown then and never again" in again.json()["detail"]
    assert len((await port.store.tokens(Page())).rows) == 1
    assert first.json()["token"] not in repr(port.store._keyed), "what is kept would be good for a day"


async def test_a_user_is_made_once_and_no_digest_of_his_password_is_kept() -> None:
    port = Port()
    boss = {**await port.user("boss", Role.ADMIN), "idempotency-key": "k"}
    asked = {"name": "eve", "role": "view", "password": PASSWORD}
    answers = [
        await port.ask("POST", "/api/v1/users", boss, json={**asked, **change})
        for change in ({}, {}, {"password": "another password"}, {"role": "admin"})
    ]
    assert [each.status_code for each in answers] == [201, 201, 201, 422]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert await port.signed_in("eve"), "by the first one"
    (kept,) = port.store._keyed.values()
    assert PASSWORD not in repr(kept) + repr(kept.answer.body)
