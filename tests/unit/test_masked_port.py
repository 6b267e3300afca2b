"""A masked field through every route: whoever lacks the scope `bodies` finds its value nowhere, whatever is asked."""

import ast
import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from accounts_at_hand import CLI
from cli_program import TEXT
from fastapi.routing import APIRoute
from guarded_port import USERS, Port
from operators_api import store_at

from longstop.edges.operators.access.current import set_caller
from longstop.edges.operators.api import jobs
from longstop.edges.operators.api.app import PREFIX, ROUTERS
from longstop.edges.operators.api.live import Live
from longstop.model.accounts import Role
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.caller import Caller, CallerKind, Scope
from longstop.model.delivery import Attempt, DeadReason, OutcomeKind, State, Transition, Trigger
from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.listing import EventFilter, Page
from longstop.model.rejection import Rejection, RejectionCount, RejectionReason
from longstop.operating.masking import HIDDEN
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_delivery, make_event

PHONE = "491701234567"
MASKED = f"""{USERS}mask = ["from.address", "text", "header:X-Phone"]
[alerts.channels.team]
kind = "url"
url = "https://alerts.example/"
"""
BODY = json.dumps({"from": {"address": PHONE, "name": "Ada"}, "text": PHONE, "id": 7}).encode()
ID, DELIVERY = event_id(1), delivery_id(event_id(1), 0)
RAW = event_id(2)
API = Path("src/longstop/edges/operators")


HEADERS = Headers([("X-Phone", PHONE), ("Content-Type", "application/json")])


async def kept(port: Port, headers: Headers = HEADERS) -> None:
    """A dead letter whose masked fields stand in whatever else others have a word in."""
    event = make_event(1, body=BODY, key=PHONE, dedup=PHONE.encode(), type="Text", headers=headers)
    raw = make_event(2, body=PHONE.encode(), type="Raw")
    delivery = replace(make_delivery(event), lane=f"shop:{PHONE}")
    await port.store.append([Append(event, (delivery,)), Append(raw, (make_delivery(raw),))])
    claims = (await port.store.lease(LeaseRequest("w", {"crm": 5}, AT_MS + 9, AT_MS + 99))).claims
    for claim in claims:
        error = f"no customer {PHONE}"
        dead = replace(
            claim.delivery, state=State.DEAD, reason=DeadReason.REJECTED, last_error=error, last_status=422,
            ended_at_ms=AT_MS + 20, attempts=1, lease_until_ms=None, worker=None,
        )  # fmt: skip
        attempt = Attempt(1, 1, AT_MS + 10, 5, OutcomeKind.REJECT, 422, error, f"unknown: {PHONE}".encode())
        await port.store.settle([Settlement(dead, attempt)])
    request = Request(headers, BODY, "POST", "192.0.2.7", "", "")
    sample = Rejection(
        event_id(9), "shop", AT_MS, RejectionReason.WRONG_PROOF, 401, ("wrong",), request, len(BODY), True
    )
    why = f"5 of 9 failed, the last: no customer {PHONE}"
    await port.store.change_circuit("crm", 0, Circuit("crm", AT_MS, AT_MS + 9, 9, why))
    # It is an event of its own, which says what opened the circuit.
    await port.parts.alerts().look()
    await port.parts.alerts().send()
    await port.store.record_rejections([RejectionCount("shop", RejectionReason.WRONG_PROOF, 1, AT_MS, AT_MS)], [sample])


@pytest.fixture(params=["memory", "sqlite"])
async def port(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store = store_at(request.param, tmp_path)
    await store.open()
    made = Port(MASKED, store=store)
    await kept(made)
    yield made
    await store.close()


def keyed(text: str) -> str:
    """The configuration of a source whose key and dedup key are taken from a masked field."""
    return text.replace('kind = "generic"', 'kind = "generic"\nkey = "from.address"\ndedup = "from.address"')


async def every_answer(port: Port, shown: dict[str, str]) -> dict[str, str]:
    """What every GET answers, with ids where there are places for them, and with what asks for more."""
    values = {"id": DELIVERY, "name": "shop", "key:path": PHONE}
    (told,) = (await port.store.find_events(EventFilter(type="circuit.firing"), Page())).rows
    answers: dict[str, str] = {}
    for router in ROUTERS:
        for route in router(port.services).routes:
            # The stream has no end, and a test of its own.
            if not isinstance(route, APIRoute) or "GET" not in route.methods or route.path == "/stream":
                continue
            path = PREFIX + route.path
            for name, value in values.items():
                path = path.replace(f"{{{name}}}", value)
            others = [path.replace(DELIVERY, each) for each in (ID, RAW, told.event.id)]
            for each in (path, *others, path.replace("/shop", "/crm")):
                for query in ("", "?view=json", "?state=dead", "?order=oldest"):
                    answer = await port.ask("GET", each + query, shown)
                    answers[each + query] = answer.text + repr(answer.headers)
    return answers


async def test_the_value_of_a_masked_field_is_in_no_answer(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_port.TEXT", keyed(TEXT))
    hidden = Port(MASKED, store=port.store)
    for shown in (
        await hidden.token(Scope.VIEW),
        await hidden.token(Scope.REPLAY),
        await hidden.user("vic", Role.VIEW),
    ):
        answers = await every_answer(hidden, shown)
        # The one who asks for a key has said it himself.
        found = {path for path, text in answers.items() if PHONE in text and PHONE not in path}
        assert found == set()
        assert sum(HIDDEN in text for text in answers.values()) > 10, "what is hidden is shown as hidden"


async def test_a_masked_header_is_in_no_answer_also_where_it_is_sent_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of these a destination gets what the sender said: they stand in `curl` and `request`, too."""
    monkeypatch.setattr("guarded_port.TEXT", keyed(TEXT))
    names = ("Content-Type", "Content-Encoding", "traceparent", "tracestate", "X-Phone")
    asked = ", ".join(f'"header:{name}"' for name in names)
    port = Port(MASKED.replace('"header:X-Phone"', asked))
    parent = f"00-{PHONE}{'0' * 20}-00{PHONE}00-01"
    values = (f"application/json; x={PHONE}", PHONE, parent, f"x={PHONE}", PHONE)
    await kept(port, Headers(zip(names, values, strict=True)))
    answers = await every_answer(port, await port.token(Scope.VIEW))
    assert {path for path, text in answers.items() if PHONE in text and PHONE not in path} == set()
    shown = await every_answer(port, await port.token(Scope.BODIES))
    assert PHONE in shown[f"{PREFIX}/events/{ID}/curl"]


async def test_what_is_decided_tells_nothing_that_is_masked(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_port.TEXT", keyed(TEXT))
    hidden = Port(MASKED, store=port.store)
    shown = await hidden.token(Scope.REPLAY)
    everything = {"action": "replay", "filter": {}, "dry_run": True}
    asked: list[tuple[str, Any]] = [
        ("/api/v1/sources/shop/test", {"rejection": event_id(9)}),
        (f"/api/v1/events/{ID}/replay", {"dry_run": True}),
        ("/api/v1/decisions", {"action": "replay", "ids": [ID], "dry_run": True}),
        ("/api/v1/jobs", everything),
        (f"/dlq/{DELIVERY}/retry", {}),
        (f"/api/v1/deliveries/{DELIVERY}/discard", {"why": "x"}),
        ("/api/v1/decisions", {"action": "replay", "ids": [ID]}),
        ("/api/v1/jobs", {**everything, "dry_run": False, "why": "x"}),
        ("/api/v1/destinations/crm/resume", {}),
        ("/api/v1/destinations/crm/pause", {}),
        ("/api/v1/destinations/crm/test", {}),
    ]
    for path, body in asked:
        answer = await hidden.ask("POST", path, shown, json=body)
        assert answer.is_success, (path, answer.text)
        assert PHONE not in answer.text, path


async def test_whoever_has_the_scope_sees_everything(port: Port) -> None:
    answers = await every_answer(port, await port.token(Scope.BODIES))
    assert sum(PHONE in text for text in answers.values()) > 20
    assert not any(HIDDEN in text for text in answers.values())


async def test_a_body_is_shown_with_its_fields_hidden(port: Port) -> None:
    shown = await port.token(Scope.VIEW)
    body = await port.ask("GET", f"/api/v1/events/{ID}/body", shown)
    assert body.json() == {"from": {"address": HIDDEN, "name": "Ada"}, "text": HIDDEN, "id": 7}
    assert body.headers["content-disposition"] == f'attachment; filename="{ID}.bin"'
    viewed = (await port.ask("GET", f"/api/v1/events/{ID}/body?view=json", shown)).json()
    assert (viewed["masked"], json.loads(viewed["text"])["text"]) == (True, HIDDEN)
    refused = await port.ask("GET", f"/api/v1/events/{RAW}/body", shown)
    assert (refused.status_code, refused.json()["scope"]) == (403, "bodies")


async def test_what_all_are_told_is_masked_whoever_listens_first(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guarded_port.TEXT", keyed(TEXT))
    hidden = Port(MASKED, store=port.store)
    live = Live(hidden.services, {"job": partial(jobs.latest, hidden.services)})
    set_caller({}, Caller("boss", CallerKind.USER, frozenset(Scope)))
    heard = live.listen()
    assert await anext(heard) == b": listening\n\n"
    await port.store.change_circuit("crm", 1, None)
    await hidden.parts.replay(CLI).replay([await port.store.delivery(DELIVERY)], why="once more")
    now_ms = hidden.clock.ms
    (claim,) = (await port.store.lease(LeaseRequest("w", {"crm": 5}, now_ms, now_ms + 9))).claims
    again = claim.delivery.after(Transition(Trigger.RETRY, now_ms, due_at_ms=now_ms + 9_000_000))
    error = f"no customer {PHONE}"
    attempt = Attempt(2, 2, now_ms + 1, 5, OutcomeKind.RETRY, 503, error, PHONE.encode())
    await port.store.settle([Settlement(replace(again, last_error=error), attempt)])
    told = b""
    while b"no customer" not in told:
        told += await asyncio.wait_for(anext(heard), 60)
    await live.stop()
    assert b"no customer #" in told
    assert PHONE.encode() not in told


async def test_an_event_says_how_large_it_is_all_the_same(port: Port) -> None:
    row = (await port.ask("GET", f"/api/v1/events/{ID}", await port.token(Scope.VIEW))).json()
    assert row["body_size"] == row["size"] == len(BODY)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        *((path, f"contains={text}") for path in ("deliveries", "events") for text in (PHONE, PHONE[:3])),
        *(("deliveries", f"error={text}") for text in (PHONE, "customer%20491")),
    ],
)
async def test_nobody_asks_for_it_piece_by_piece(port: Port, path: str, query: str) -> None:
    for shown in (await port.token(Scope.VIEW), await port.token(Scope.REPLAY)):
        answer = await port.ask("GET", f"/api/v1/{path}?{query}", shown)
        assert (answer.status_code, answer.json()["scope"]) == (403, "bodies")
    assert (await port.ask("GET", f"/api/v1/{path}?{query}", await port.token(Scope.BODIES))).status_code == 200


async def test_whoever_edits_may_see_what_he_edits(port: Port) -> None:
    for dry_run in (True, False):
        body = {"body": "{}", "dry_run": dry_run}
        answer = await port.ask("POST", f"/api/v1/events/{ID}/replay", await port.token(Scope.REPLAY), json=body)
        assert (answer.status_code, answer.json()["scope"]) == (403, "bodies")
    allowed = await port.ask(
        "POST", f"/api/v1/events/{ID}/replay", await port.token(Scope.REPLAY, Scope.BODIES), json={"body": "{}"}
    )
    assert allowed.status_code == 202


async def test_what_is_sent_again_by_one_who_may_not_see_it_goes_where_it_belongs(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = keyed(TEXT).replace("allow_private = true", "allow_private = true\nordered = true")
    monkeypatch.setattr("guarded_port.TEXT", text)
    hidden = Port(MASKED, store=port.store)
    shown = await hidden.token(Scope.REPLAY)
    for path in (f"events/{ID}/replay", f"deliveries/{DELIVERY}/replay"):
        plan = await hidden.ask("POST", f"/api/v1/events/{ID}/replay", shown, json={"dry_run": True})
        assert PHONE not in plan.text
        answer = await hidden.ask("POST", f"/api/v1/{path}", shown, json={"why": "the CRM is back"})
        assert answer.status_code == 202, answer.text
        assert PHONE not in answer.text
        assert (await port.store.delivery(DELIVERY)).lane == f"shop:{PHONE}", "its own, and not one of what is hidden"
        await hidden.ask("POST", f"/api/v1/deliveries/{DELIVERY}/discard", shown, json={"why": "once more"})


async def test_where_nothing_is_masked_a_viewer_sees_bodies() -> None:
    port = Port(USERS)
    await kept(port)
    answer = await port.ask("GET", f"/api/v1/events/{ID}/body", await port.token(Scope.VIEW))
    assert answer.content == BODY


async def test_every_look_at_a_body_and_every_change_is_noted(port: Port) -> None:
    boss = await port.user("boss", Role.ADMIN)
    looks = ("body", "body?view=json", "curl")
    for path in (*(f"events/{ID}/{each}" for each in looks), f"deliveries/{DELIVERY}/request"):
        await port.ask("GET", f"/api/v1/{path}", boss)
    for path, body in (
        (f"deliveries/{DELIVERY}/replay", {"why": "a reason"}),
        (f"deliveries/{DELIVERY}/expedite", {}),
        (f"deliveries/{DELIVERY}/discard", {"why": "given up"}),
        ("destinations/crm/pause", {"why": "away"}),
        ("destinations/crm/resume", {}),
        ("destinations/crm/test", {}),
        (f"events/{RAW}/replay", {"body": "{}"}),
    ):
        assert (await port.ask("POST", f"/api/v1/{path}", boss, json=body)).status_code in (200, 202), path
    told = [(each.action.value, each.target.id, each.why) for each in (await port.noted())][2:]
    test = [each.details["event"] for each in await port.noted() if each.action == "destination.test"]
    assert len(test) == 1
    assert told == [
        ("body.read", ID, None),
        ("body.read", ID, None),
        ("body.read", ID, None),
        ("body.read", ID, None),
        ("delivery.replay", DELIVERY, "a reason"),
        ("delivery.expedite", DELIVERY, None),
        ("delivery.discard", DELIVERY, "given up"),
        ("destination.pause", "crm", "away"),
        ("destination.resume", "crm", None),
        ("destination.test", "crm", None),
        ("event.edit", RAW, None),
    ]


async def test_looking_at_a_list_is_not_noted(port: Port) -> None:
    shown = await port.token(Scope.VIEW)
    before = len(await port.noted())
    for path in ("events", "deliveries", f"events/{ID}", "dead-letters/groups", "status"):
        assert (await port.ask("GET", f"/api/v1/{path}", shown)).status_code == 200
    assert len(await port.noted()) == before


def test_no_route_takes_a_body_from_anywhere_but_from_bodies() -> None:
    """`.body` of an event, in the code of the operators' side: each place is one that was thought about.

    Its length is told to everybody, a curl command is made of what was shown, and whoever edits has the scope.
    """
    found = set()
    for path in (each for room in ("operators", "desk", "mcp") for each in sorted((API.parent / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "body" and isinstance(node.ctx, ast.Load):
                owner = ast.unparse(node.value)
                if owner.rpartition(".")[2] in ("event", "parent", "old", "kept"):
                    found.add((str(path.relative_to(API.parent)), ast.unparse(node)))
    assert found == {
        ("operators/api/curl.py", "event.body"),
        ("desk/lookups.py", "kept.event.body"),
        ("operators/api/replays.py", "plan.parent.body"),
        ("operators/api/replays.py", "plan.append.event.body"),
    }
