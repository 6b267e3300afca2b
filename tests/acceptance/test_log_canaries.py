"""The log of a run in which everything goes wrong: no body, no secret, no query string is in it, and no line in it is
anybody's but ours, whatever others wrote.
"""

import json
import re
import urllib.parse

import pytest

from acceptance.destination import Arrival
from acceptance.harness import (
    BEARER_TOKEN,
    GENESYS_SECRET,
    HMAC_SECRET,
    Process,
    Reply,
    Site,
    free_port,
    hex_signature,
    wait_until,
)

pytestmark = pytest.mark.any_store

BODY, QUERY, HEADER, ANSWER, LOCATION = (
    f"canary-{name}-7f3a" for name in ("body", "query", "header", "answer", "location")
)
CREDENTIAL = "canary-credential-7f3a"
"""Of the gateway's own, at a destination."""
SECRETS = (BEARER_TOKEN, GENESYS_SECRET, HMAC_SECRET, CREDENTIAL)
FORGED = (
    'x\r\n{"event": "forged", "level": "critical"}\n2026-01-01 00:00:00Z [critical ] forged \x1b[2J\x1b]0;t\x07\u202e'
)
BARE = "x\x1b[2J\x1b]0;t\x07\u202e"
"""Without a blank or a quote: a renderer of ours may show such a text as it stands."""
PEOPLE = """
import longstop.telemetry.logs as logs
configure = logs.configure_logs
logs.configure_logs = lambda level: configure(level, json=False)
"""
MORE = """
[destinations.down]
url = "http://127.0.0.1:{port}/in?token={query}"
allow_private = true
headers = {{ X-Api-Key = "{credential}" }}
retry = {{ attempts = 2, first = "10ms" }}

[[routes]]
from = "shop"
to = ["down"]
"""


def order(number: int, **more: object) -> bytes:
    return json.dumps({"id": f"o{number}", "type": FORGED, "customer": FORGED, "note": BODY, **more}).encode()


def replies(arrival: Arrival) -> Reply:
    """Every way in which a destination can fail, in turn."""
    number = json.loads(arrival.body)["id"]
    if number == "o1":
        return Reply(422, body=ANSWER.encode(), headers={"X-Why": HEADER})
    if number == "o2":
        return Reply(302, body=ANSWER.encode(), headers={"Location": f"http://127.0.0.1:1/{LOCATION}?{QUERY}"})
    if number == "o3":
        return Reply(503, body=ANSWER.encode(), headers={"Retry-After": HEADER})
    return Reply()


def misbehave(site: Site) -> None:
    """Whatever senders and people can do wrong, with a canary wherever they have the word."""
    for number in range(5):
        site.accept("shop", order(number), Cookie=HEADER)
    wrong = {"X-Signature": HEADER, "Authorization": f"Bearer {HEADER}", "X-Forwarded-For": "x"}
    for path in ("shop", "genesys", "tutorial", "sh0p", "admin", urllib.parse.quote(FORGED, safe="")):
        answer = site.request("POST", f"/webhooks/{path}?token={QUERY}", order(9), wrong)
        assert answer.status in (401, 404), path
    site.request("POST", f"/elsewhere?{QUERY}", order(9), {})
    for method in ("GET", "PUT"):
        site.request(method, f"/webhooks/shop?{QUERY}", b"", {})
    for body in (BODY.encode(), b"\xff" + BODY.encode(), b'{"id": {"deep": "' + BODY.encode() + b'"}}', b"[" * 100_000):
        assert site.request("POST", f"/webhooks/shop?{QUERY}", body, hex_signature(body)).status in (200, 400)
    site.request("POST", f"/metrics?{QUERY}", BODY.encode(), {"Authorization": HEADER}, site.admin_port)
    site.request("GET", f"/nowhere?{QUERY}", b"", {"Host": "evil.example"}, site.admin_port)


@pytest.fixture(params=["json", "people"])
def told(request: pytest.FixtureRequest, site: Site) -> Process:
    more = MORE.format(port=free_port(), query=QUERY, credential=CREDENTIAL)
    site.configure(attempts=3, more=more)
    site.destination.script = replies
    program = site.start("serve", "--log-level", "debug", prelude=PEOPLE if request.param == "people" else "").ready()
    misbehave(site)
    wait_until(lambda: program.err.count("exhausted") >= 5, "what is for the destination that is down to be dead")
    assert site.cli("pause", "crm", "--why", BARE).exit == 0
    wait_until(lambda: "paused" in program.err, "the pause to be told")
    program.stop()
    return program


def test_no_body_no_secret_no_query_string_is_in_the_log_and_every_line_is_ours(told: Process) -> None:
    program = told
    everything = program.err + program.out
    found = [each for each in (BODY, QUERY, HEADER, ANSWER, LOCATION, *SECRETS) if each in everything]
    assert found == []
    for name in ("delivered", "retrying", "dead", "refused", "quarantined", "paused", "stopping"):
        assert name in program.err, f"a run without {name} shows nothing"
    text = re.sub("\x1b\\[(?:[0-2]|3[1-6])m", "", program.err)
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    for line in text.splitlines():
        ours = re.match(r'\{"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \[|  |warning: ', line)
        assert ours, line
        assert not line.startswith(("2026-01-01 00:00:00Z", '{"event": "forged"')), line
    if text.startswith("{"):
        rows = [json.loads(line) for line in text.splitlines()]
        assert all({"event", "level", "timestamp"} <= row.keys() for row in rows)
        of_deliveries = [row for row in rows if row["event"] in ("delivered", "retrying", "dead")]
        assert all(row["delivery_id"] and row["event_id"] for row in of_deliveries)
        assert all(row["event_id"] for row in rows if row["event"] == "quarantined")


def test_neither_is_any_of_it_in_the_metrics(site: Site) -> None:
    site.configure(attempts=3)
    site.destination.script = replies
    site.serve()
    misbehave(site)
    wait_until(lambda: b'outcome="reject"} 1.0' in site.look("/metrics").body, "attempts to be counted")
    text = site.look("/metrics").body.decode()
    assert [each for each in (BODY, QUERY, HEADER, ANSWER, LOCATION, "forged", *SECRETS) if each in text] == []
    labels = set(re.findall(r'(?:source|destination)="([^"]*)"', text))
    assert labels <= {"shop", "genesys", "tutorial", "anything", "crm", "(unknown)", ""}, "no name of a stranger's"
