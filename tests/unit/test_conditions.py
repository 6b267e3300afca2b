"""What conditions of routes see of an event: from the configuration and a request to the destinations."""

import json
from pathlib import Path
from typing import Any

import pytest

from longstop.config import parse
from longstop.config.values import condition_names
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.routing import Target
from longstop.wiring.parts import parts, reader

TEXT = """
[store]
url = "memory://"
[sources.code]
kind = "github"
secrets = ["s"]
[sources.chat]
kind = "genesys-open-messaging"
secrets = ["0123456789abcdef"]
[sources.team]
kind = "slack"
secrets = ["s"]
[sources.any]
kind = "generic"
verify = { scheme = "none" }
type = "header:X-Kind"
[destinations.crm]
url = "https://crm.example/"
"""
ISSUE = {"action": "opened", "repository": {"full_name": "a/b"}}
CHAT = {"id": "1", "type": "Text", "channel": {"id": "c", "from": {"id": "x"}, "messageId": "m"}}
SLACK = {"type": "event_callback", "event_id": "E", "event": {"type": "message", "channel": "C1"}}


def wanted(source: str, when: str, document: Any, *headers: tuple[str, str]) -> bool:
    """Whether a route from every source with this condition wants what the source's sender posts."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    config = parse(
        f'{TEXT}[[routes]]\nfrom = "*"\nwhen = {json.dumps(when)}\nto = ["crm"]\n',
        where="longstop.toml",
        environ={},
        base=Path("/"),
    )
    made = parts(config)
    request = Request(Headers(headers), body)
    reading = made.sources[source].read(request)
    return list(made.router.destinations(source, reading, request.headers)) == ["crm"]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("type == 'issues.opened'", True),
        ("type == 'opened'", False),
        ("action == 'opened'", True),
        ("starts_with(type, 'issues.')", True),
        ("key == 'a/b'", True),
        ("source == 'code'", True),
        ("source == 'chat'", False),
        ("""headers."x-github-event" == 'issues'""", True),
        ("""longstop.headers."x-github-event" == 'issues'""", True),
        ("longstop.type == 'issues.opened' && action == 'opened'", True),
        ("longstop.body.action == 'opened'", True),
    ],
)
def test_github_s_type_is_in_a_header_and_is_seen(when: str, expected: bool) -> None:
    headers = (("X-GitHub-Event", "issues"), ("X-GitHub-Delivery", "1"))
    assert wanted("code", when, ISSUE, *headers) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [("type == 'Text'", True), ("type == 'Receipt'", False), ("longstop.type == 'Text'", False), ("!type", False)],
)
def test_open_messaging_bodies_have_a_type_of_their_own(when: str, expected: bool) -> None:
    assert wanted("chat", when, CHAT) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [("type == 'event_callback'", True), ("event.type == 'message'", True), ("event.channel == 'C1'", True)],
)
def test_slack_bodies_have_an_event_of_their_own(when: str, expected: bool) -> None:
    assert wanted("team", when, SLACK) is expected


@pytest.mark.parametrize(
    ("body", "when", "expected"),
    [
        (b"not json", "type == 'k'", True),
        (b"not json", "longstop.type == 'k'", True),
        (b"[1, 2, 3]", "length(@) == `3`", True),
        (b"[1, 2, 3]", "[0] == `1`", True),
        (b"[1, 2, 3]", "length(longstop.body) == `3` && longstop.type == 'k'", True),
        (b'{"a": 1}', "length(@) == `1`", True),
        (b'{"type": null}', "type == 'k'", False),
        (b'{"longstop": {"type": "mine"}}', "longstop.type == 'k'", True),
        (b'{"longstop": {"type": "mine"}}', "longstop.body.longstop.type == 'mine'", True),
    ],
)
def test_bodies_of_any_kind(body: bytes, when: str, expected: bool) -> None:
    assert wanted("any", when, body, ("X-Kind", "k")) is expected


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("a.b", set()),
        ("type == 'key'", {"type"}),
        ("!(a || [?type=='x']) && headers.\"a\"", {"type", "headers"}),
        ("longstop.key", {"longstop", "key"}),
        ("contains(['a'], source)", {"source"}),
    ],
)
def test_the_names_in_a_condition_are_found(expression: str, names: set[str]) -> None:
    assert condition_names(expression) == names


async def test_what_is_read_by_another_process_goes_where_it_would_have_gone() -> None:
    text = TEXT.replace('url = "https://crm.example/"', 'url = "https://crm.example/"\nordered = true')
    route = '[[routes]]\nfrom = ["code"]\nwhen = "type == \'issues.opened\'"\nto = ["crm"]\norder_with = "repository"\n'
    config = parse(text + route, where="longstop.toml", environ={}, base=Path("/"))
    request = Request(Headers([("X-GitHub-Event", "issues"), ("X-GitHub-Delivery", "1")]), json.dumps(ISSUE).encode())
    reading_process, made = reader(config), parts(config)
    try:
        reading, destinations = await reading_process.read("code", request, 20.0)
    finally:
        await reading_process.close()
    here = made.sources["code"].read(request)
    assert destinations == made.router.destinations("code", here, request.headers)
    assert destinations == {"crm": Target(lane="@repository:a/b")}
    assert reading.type == "issues.opened"
