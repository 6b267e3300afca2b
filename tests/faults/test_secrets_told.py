"""A canary in every secret there is, and then everything read that tells something: none is found.

Fault 35: the log at its finest, metrics, every GET of the API, statistics, the audit log's export, the stream, answers
that refuse, the command line, the database itself and a backup of it. A program that notes one secret is found out.
"""

import contextlib
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator

import pytest

from acceptance.harness import (
    BEARER_TOKEN,
    GENESYS_SECRET,
    HMAC_SECRET,
    LIMIT_S,
    Answer,
    Headers,
    Process,
    Reply,
    Site,
    free_port,
    wait_until,
)

PASSWORD, WRONG = "canary-password-7f3a", "canary-wrong-password-7f3a"
CANARIES = {
    "a destination's header": "canary-destination-7f3a",
    "a destination's URL": "canary-in-url-7f3a",
    "an OAuth client's secret": "canary-oauth-7f3a",
    "the identity provider's client secret": "canary-oidc-7f3a",
    "a Slack channel's URL": "canary-slack-7f3a",
    "a PagerDuty routing key": "canary-pagerduty-7f3a",
    "a sender's credential": "canary-sender-7f3a",
}
SENDER = CANARIES["a sender's credential"]
SECRETS = {
    "a password": PASSWORD,
    "a wrong password": WRONG,
    "a source's secret": HMAC_SECRET,
    "a source's token": BEARER_TOKEN,
    "another source's secret": GENESYS_SECRET,
    **CANARIES,
}
MORE = """
[operators]
auth = "users"
url = "https://longstop.example.com"
[operators.oidc]
issuer = "https://127.0.0.1:{closed}/"
client_id = "longstop"
client_secret = "${{CANARY_OIDC}}"
roles = {{ on-call = "replay" }}
[destinations.billing]
url = "http://127.0.0.1:{closed}/hook/${{CANARY_URL}}?token=${{CANARY_URL}}"
allow_private = true
headers = {{ X-Api-Key = "${{CANARY_HEADER}}" }}
retry = {{ attempts = 2, first = "10ms", cap = "10ms" }}
[destinations.oauth]
url = "http://127.0.0.1:{closed}/in"
allow_private = true
retry = {{ attempts = 2, first = "10ms", cap = "10ms" }}
auth = {{ scheme = "oauth2-client-credentials", token_url = "http://127.0.0.1:{closed}/token", client_id = "me", client_secret = "${{CANARY_OAUTH}}" }}
[[routes]]
from = "shop"
to = ["billing", "oauth"]
[alerts.channels.team]
kind = "slack"
allow_private = true
url = "http://127.0.0.1:{closed}/services/${{CANARY_SLACK}}"
[alerts.channels.night]
kind = "pagerduty"
allow_private = true
url = "http://127.0.0.1:{closed}/v2/enqueue"
routing_key = "${{CANARY_PAGERDUTY}}"
"""  # noqa: E501 (an inline table is one line)
INDISCREET = """
import structlog
from longstop.operating import access
by_token = access.Access.by_token
async def noting(self, token, address):
    structlog.get_logger("planted").warning("login_failed", why=token)
    return await by_token(self, token, address)
access.Access.by_token = noting
"""
SILENT_S = 3.0
"""A stream that has told nothing for so long has told all."""


class World:
    """A gateway that has been given every secret, and has done something with each."""

    def __init__(self, site: Site, plant: str = "") -> None:
        self.site = site
        site.configure(attempts=2, more=MORE.format(closed=free_port()))
        added = site.cli("users", "add", "ann", "--role", "admin", "--password-file", "-", stdin=PASSWORD.encode())
        assert added.exit == 0, added.err
        site.destination.script = lambda _arrival: Reply(422, b'{"error": "no such customer"}')
        self.program: Process = site.start("serve", "--log-level", "debug", prelude=plant).ready()
        self.cookie = self._signed_in()
        self.token = self._token()
        self.secrets = {**SECRETS, "a session's cookie": self.cookie.partition("=")[2], "a token": self.token}
        self.told: dict[str, bytes] = {}
        self._live()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Headers | None = None) -> Answer:
        shown = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        typed = {"Content-Type": "application/json"} if body else {}
        answer = self.site.request(method, path, body, {**typed, **shown}, self.site.admin_port)
        if "set-cookie" not in answer.headers:
            self.told[f"{method} {path} ({len(self.told)})"] = repr(answer.headers).encode() + answer.body
        return answer

    def _signed_in(self) -> str:
        body = json.dumps({"name": "ann", "password": PASSWORD}).encode()
        said = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
        answer = self.site.request("POST", "/api/v1/session", body, said, self.site.admin_port)
        assert answer.status == 200, answer
        return answer.headers["set-cookie"].partition(";")[0]

    def _token(self) -> str:
        body = json.dumps({"name": "ci", "scopes": ["view", "bodies", "replay", "admin"]}).encode()
        said = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin", "Cookie": self.cookie}
        answer = self.site.request("POST", "/api/v1/tokens", body, said, self.site.admin_port)
        assert answer.status == 201, answer
        return str(answer.json["token"])

    def _live(self) -> None:
        """Have each secret used, and used wrongly."""
        sent = {
            "Authorization": f"Bearer {SENDER}",
            "Cookie": SENDER,
        }
        self.events = [
            self.site.accept("shop", b'{"id": "o%d", "customer": "c"}' % number, **sent) for number in range(3)
        ]
        for source in ("shop", "tutorial", "genesys"):
            assert self.site.post(source, b"{}", {**sent, "X-Signature": "sha256=00"}).status == 401
        wait_until(lambda: len(self.site.ask("dead", "list").rows) >= 9, "everything to be dead")
        assert self.ask("POST", "/api/v1/alerts/test", b"{}").status < 500
        same = {"Sec-Fetch-Site": "same-origin"}
        for wrong in (
            {"name": "ann", "password": WRONG},
            {"name": "ann", "password": [WRONG]},
            {"name": "ann", "password": WRONG, "otp": WRONG},
            {"name": {"password": WRONG}, "password": WRONG},
        ):
            assert self.ask("POST", "/api/v1/session", json.dumps(wrong).encode(), same).status in (401, 422, 429)
        for wrong in (
            {"name": "eve", "password": WRONG[:7], "role": "no"},
            {"name": "eve", "password": [WRONG], "role": 1},
        ):
            assert self.ask("POST", "/api/v1/users", json.dumps(wrong).encode()).status == 422
        assert self.ask("PATCH", "/api/v1/users/ann", json.dumps({"passwort": WRONG}).encode()).status == 422
        for shown in (f"Bearer {self.token}x", f"Basic {WRONG}", f"Bearer {WRONG}"):
            assert self.ask("GET", "/api/v1/status", headers={"Authorization": shown}).status == 401
        assert self.ask("GET", "/api/v1/status", headers={"Cookie": self.cookie + "x"}).status == 401
        self.ask("GET", f"/api/v1/session/oidc?token={self.token}", headers={})
        self.ask("GET", f"/api/v1/session/oidc/callback?code={WRONG}&state={WRONG}", headers={})
        self.ask("GET", f"/api/v1/nowhere?token={self.token}&password={PASSWORD}", headers={})

    def read_everything(self) -> Iterator[tuple[str, bytes]]:
        """What tells something, by its name."""
        yield "the log", (self.program.err + self.program.out).encode()
        yield "metrics", self.ask("GET", "/metrics").body
        for path in self._paths():
            answer = self.ask("GET", path)
            assert answer.status < 500 or "oidc" in path, (path, answer)
        yield "the stream", self._stream()
        yield from self.told.items()
        for words in COMMANDS:
            ran = self.site.cli(*words)
            yield " ".join(words), ran.out + ran.err.encode()
        assert self.site.cli("backup", "copy.db").exit == 0
        for file in sorted(self.site.folder.iterdir()):
            if file.is_file() and file != self.site.config:
                yield file.name, file.read_bytes()

    def _paths(self) -> list[str]:
        described = self.ask("GET", "/api/v1/openapi.json").json["paths"]
        named = {"id": self.events[0], "key": "c", "name": "shop"}
        found = [path for path, each in described.items() if "get" in each and not path.endswith("/stream")]
        paths = [re.sub(r"\{(\w+)\}", lambda part: urllib.parse.quote(named.get(part[1], "x")), path) for path in found]
        more = ["destinations/crm", "destinations/billing", "destinations/oauth", "sources/genesys/rejections"]
        series = "statistics?series=accepted,refused,failed_attempts,dead&from=1h&to=0s&step=60&by=destination"
        return [*paths, *(f"/api/v1/{each}" for each in [*more, series, "events?contains=o1"])]

    def _stream(self) -> bytes:
        """What the stream tells while something happens."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.site.admin_port, timeout=LIMIT_S)
        connection.request("GET", "/api/v1/stream", headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        self.site.cli("replay", "--all", "--no-wait", "--why", "again")
        told = b""
        while b"replayed" not in told:
            told += (piece := response.read1(65_536))
            assert piece, "the stream has ended"
        connection.sock.settimeout(SILENT_S)
        with contextlib.suppress(TimeoutError):
            while len(told) < 100_000:
                told += response.read1(65_536)
        connection.close()
        return told

    def found(self) -> list[tuple[str, str]]:
        """Which secret stands where."""
        return [
            (name, where) for where, text in self.read_everything() for name, secret in self._shapes() if secret in text
        ]

    def _shapes(self) -> Iterator[tuple[str, bytes]]:
        for name, secret in self.secrets.items():
            shapes: list[Callable[[str], str]] = [str, urllib.parse.quote, lambda text: text.encode().hex()]
            for shape in shapes:
                yield name, shape(secret).encode()


COMMANDS = [
    ["status", "--json"],
    ["check"],
    ["events", "list", "--json"],
    ["dead", "list", "--json"],
    ["dead", "summary", "--json"],
    ["audit", "--json"],
    ["users", "list", "--json"],
    ["tokens", "list", "--json"],
    ["sources", "rejections", "shop", "--json"],
    ["sources", "show", "shop"],
    ["jobs", "list", "--json"],
    ["alerts", "list", "--json"],
]


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets come by variables, as the documentation has it: what stands in the file is no secret."""
    names = ("HEADER", "URL", "OAUTH", "OIDC", "SLACK", "PAGERDUTY")
    for name, canary in zip(names, CANARIES.values(), strict=False):
        monkeypatch.setenv(f"CANARY_{name}", canary)


def test_no_secret_is_told_anywhere(site: Site) -> None:
    world = World(site)
    found = world.found()
    assert found == [], "\n".join(sorted({f"{name}: {where}" for name, where in found}))
    assert any("/api/v1/settings" in name for name in world.told)
    assert any("audit/export" in name for name in world.told)


def test_a_program_that_notes_a_token_is_found(site: Site) -> None:
    world = World(site, INDISCREET)
    assert ("a token", "the log") in world.found()


def test_what_is_looked_for_would_be_found(site: Site) -> None:
    """A canary that a sender puts where nothing is secret stands in what is read: the search does find."""
    world = World(site)
    world.secrets = {"no secret": "no such customer"}
    where = {place for _, place in world.found()}
    assert {"copy.db", "longstop.db"} & where
    assert any(each.startswith("GET /api/v1/events/") for each in where)
