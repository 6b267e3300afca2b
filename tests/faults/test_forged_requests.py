"""Pages of other sites that have a browser ask the operators' port to replay, to discard and to pause: nothing is done.

Fault 34, against the real program, with users and without. That a refusal says something is shown by a program that
compares nothing, of which the same requests are found to have been carried out.
"""

import json
from typing import Any

import pytest

from acceptance.harness import Headers, Reply, Site, wait_until

PASSWORD = "a long one for tests"
UNGUARDED = """
from longstop.edges.operators.access import guard
from longstop.edges.operators.hosts import OwnHosts
guard.refusal = lambda *given, **named: None
guard.shows_origin = lambda headers: True
OwnHosts.refusal = lambda *given: None
"""
FORGED: dict[str, Headers] = {
    "a form of another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "a form of a neighbouring port": {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
    "fetch with no-cors": {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "no-cors",
        "Origin": "https://evil.example",
    },
    "a page in a sandbox": {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    "a sandbox in an old browser": {"Origin": "null"},
    "an old browser": {"Origin": "https://evil.example"},
    "an old browser, another port": {"Origin": "http://127.0.0.1:3000"},
    "a name that was rebound": {
        "Host": "evil.example",
        "Origin": "http://evil.example",
        "Sec-Fetch-Site": "same-origin",
    },
    "a name that was rebound, in an old browser": {"Host": "evil.example:8081", "Origin": "http://evil.example:8081"},
    "two hosts in one": {"Host": "evil.example@127.0.0.1", "Sec-Fetch-Site": "same-origin"},
    "an address that was typed in": {"Sec-Fetch-Site": "none"},
}
TYPES = {
    "text/plain": '{"why": "forged"}',
    "application/x-www-form-urlencoded": "why=forged",
    "multipart/form-data; boundary=x": '--x\r\nContent-Disposition: form-data; name="why"\r\n\r\nforged\r\n--x--\r\n',
    "application/json": '{"why": "forged"}',
    "": "",
}
"""What a form may send without being asked first, and two that it may not."""


class Target:
    """A gateway with one dead delivery, and what a browser on its operator's machine adds to whatever page asks."""

    def __init__(self, site: Site, users: bool, plant: str = "") -> None:
        self.site = site
        site.configure(more='\n[operators]\nauth = "users"\n' if users else "")
        if users:
            added = site.cli("users", "add", "ann", "--role", "admin", "--password-file", "-", stdin=PASSWORD.encode())
            assert added.exit == 0, added.err
        site.destination.script = lambda _arrival: Reply(422)
        site.start("serve", prelude=plant).ready()
        event = site.accept("shop", b'{"id": "o1", "customer": "c1"}')
        self.delivery: str = site.wait_for_state(event, "dead")["id"]
        self.ambient: Headers = self._signed_in() if users else {}
        self.before = self.asked_for()
        one = f"/api/v1/deliveries/{self.delivery}"
        self.paths = {
            f"/dlq/{self.delivery}/retry": None,
            f"{one}/replay": None,
            f"{one}/discard": None,
            f"/api/v1/events/{event}/replay": {},
            "/api/v1/jobs": {"action": "replay", "filter": {}, "why": "forged"},
            "/api/v1/destinations/crm/pause": None,
            "/api/v1/destinations/crm/test": None,
            "/mcp": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        }

    def _signed_in(self) -> Headers:
        body = json.dumps({"name": "ann", "password": PASSWORD}).encode()
        said = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        answer = self.site.request("POST", "/api/v1/session", body, said, self.site.admin_port)
        assert answer.status == 200, answer
        return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}

    def asked_for(self) -> list[Any]:
        """What the audit log has of decisions, and how the delivery stands."""
        decided = [each["action"] for each in self.site.ask("audit").rows if each["action"] != "login"]
        return [decided, self.site.ask("dead", "list").rows, self.site.ask("jobs", "list").rows]

    def forge(self, path: str, said: Headers, content_type: str) -> int:
        """Have the operator's browser post this; the status of the answer."""
        asked = self.paths[path]
        body = TYPES[content_type] if asked is None else json.dumps(asked)
        typed = {"Content-Type": content_type} if content_type else {}
        headers = {**self.ambient, **typed, **said}
        answer = self.site.request("POST", path, body.encode(), headers, self.site.admin_port)
        assert "access-control-allow-origin" not in answer.headers
        return answer.status


@pytest.fixture(params=[True, False], ids=["users", "nobody is asked"])
def target(request: pytest.FixtureRequest, site: Site) -> Target:
    return Target(site, request.param)


def test_no_forged_request_is_carried_out(target: Target) -> None:
    for name, said in FORGED.items():
        for path in target.paths:
            for content_type in TYPES:
                status = target.forge(path, said, content_type)
                assert status in (403, 421) or (path == "/mcp" and status in (404, 405)), (name, path, content_type)
    assert target.asked_for() == target.before


def test_no_forged_request_is_asked_for_first_either(target: Target) -> None:
    said = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Access-Control-Request-Method": "POST"}
    for path in target.paths:
        answer = target.site.request("OPTIONS", path, b"", {**target.ambient, **said}, target.site.admin_port)
        assert answer.status in (403, 404, 405), path
        assert not any(name.startswith("access-control-") for name in answer.headers), path


def test_the_operators_own_request_is_carried_out(target: Target) -> None:
    own = {"Origin": f"http://127.0.0.1:{target.site.admin_port}", "Sec-Fetch-Site": "same-origin"}
    assert target.forge(f"/dlq/{target.delivery}/retry", own, "application/json") == 202
    wait_until(lambda: target.asked_for() != target.before, "the replay to be in the audit log")


@pytest.mark.parametrize("users", [True, False], ids=["users", "nobody is asked"])
def test_a_program_that_does_not_look_where_requests_come_from_is_found(site: Site, users: bool) -> None:
    target = Target(site, users, UNGUARDED)
    status = target.forge(f"/dlq/{target.delivery}/retry", FORGED["a form of another site"], "application/json")
    assert status == 202
    wait_until(lambda: target.asked_for() != target.before, "the forged replay to be in the audit log")
