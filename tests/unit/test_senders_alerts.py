"""Alert channels against real servers on loopback: what each service is sent, and what its answers mean."""

import asyncio
import base64
import hmac
import json
import threading
from typing import Any
from urllib.parse import unquote

import pytest
from hostile import OK, FixedClock, Hostile, answering, listening, silent

from longstop import Alert
from longstop.model.alert import Notice, Severity, Status
from longstop.model.alert_channel import ChannelSettings
from longstop.model.delivery import Delivery, Outcome, OutcomeKind, State
from longstop.model.errors import ConfigurationError
from longstop.model.event import Event
from longstop.model.lease import Claim
from longstop.senders.alert_function import FunctionAlerter
from longstop.senders.alerts.post import PostSender

AT_MS = 1_767_225_675_250
SECRET = "CANARY-b7f1"
PATIENCE_S = 20
HOSTILE = 'HTTP 500 <!channel> <https://evil.example|mend> & *b* [a](https://evil.example) \r\n\x1b[31m\u202e "x"'
ALERT = Alert(
    "dead_letters",
    "crm",
    HOSTILE,
    AT_MS,
    kind="dead_letters",
    subject="crm",
    severity=Severity.ERROR,
    since_ms=AT_MS - 60_000,
    facts={"count": 3},
)
OVER = Alert.from_row({**ALERT.row(), "status": "resolved", "why": ""})


def claim_of(body: bytes) -> Claim:
    event = Event("e-1", "longstop", AT_MS, body)
    return Claim(Delivery("d-1", "e-1", "longstop", None, None, AT_MS, "alerts.team", State.LEASED, AT_MS), event)


def notice_of(*alerts: Alert) -> Notice:
    return Notice("n-1", alerts[0].kind, alerts[0].status, alerts)


async def told(hook: Hostile, kind: Any, *alerts: Alert, path: str = "", **given: Any) -> Outcome:
    """What comes of a notice that is sent there."""
    settings = ChannelSettings("team", kind, hook.url() + path, allow_private=True, install="prod", **given)
    sender = PostSender(settings, FixedClock())
    return await asyncio.wait_for(sender.send(claim_of(notice_of(*alerts or (ALERT,)).body()), 1), PATIENCE_S)


def texts(document: object) -> list[str]:
    """Every text somewhere in a document."""
    if isinstance(document, dict):
        return [text for each in document.values() for text in texts(each)]
    if isinstance(document, list):
        return [text for each in document for text in texts(each)]
    return [document] if isinstance(document, str) else []


# -- what is sent -------------------------------------------------------------------------------


async def test_slack_gets_plain_text_in_which_nothing_is_a_mention_or_a_link() -> None:
    async with listening(answering(OK)) as hook:
        assert (await told(hook, "slack")).kind is OutcomeKind.SUCCESS
    document = json.loads(hook.bodies[0])
    header, section = document["blocks"]
    assert header["text"] == {
        "type": "plain_text",
        "text": "[prod] ERROR: Dead letters at crm",
        "emoji": False,
    }
    assert section["text"]["type"] == "plain_text"
    assert "HTTP 500 &lt;!channel&gt; &lt;https://evil.example|mend&gt; &amp; *b*" in section["text"]["text"]
    assert document["mrkdwn"] is False
    assert not [text for text in texts(document) if set(text) & set("<>\r\n\x1b\u202e")]
    assert hook.headers("content-type") == ["application/json"]


async def test_teams_gets_an_adaptive_card_whose_texts_are_runs_without_markdown() -> None:
    async with listening(answering(OK)) as hook:
        assert (await told(hook, "teams")).kind is OutcomeKind.SUCCESS
    document = json.loads(hook.bodies[0])
    assert document["type"] == "message"
    (attachment,) = document["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    body = attachment["content"]["body"]
    assert {each["type"] for each in body} == {"RichTextBlock"}, "a TextBlock reads Markdown"
    runs = [run for each in body for run in each["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert runs[0]["text"] == "[prod] ERROR: Dead letters at crm"
    assert runs[0]["color"] == "Attention"
    assert "<!channel>" in runs[1]["text"]
    assert "\x1b" not in runs[1]["text"]


async def test_a_chat_gets_one_message_for_all_and_it_is_no_larger_than_it_takes() -> None:
    long = Alert.from_row({**ALERT.row(), "why": "ж" * 5_000})
    for kind in ("slack", "teams"):
        async with listening(answering(OK)) as hook:
            assert (await told(hook, kind, *[long] * 20)).kind is OutcomeKind.SUCCESS
        (body,) = hook.bodies
        assert len(json.dumps(json.loads(body), ensure_ascii=False).encode()) < 40_000
        assert all(len(text) <= 3_000 for text in texts(json.loads(body)))
    assert len(json.loads(body)["attachments"][0]["content"]["body"]) == 21


async def test_pagerduty_gets_a_trigger_and_a_resolve_under_one_key() -> None:
    async with listening(answering(OK)) as hook:
        await told(hook, "pagerduty", key=SECRET)
        await told(hook, "pagerduty", OVER, key=SECRET)
    trigger, resolve = (json.loads(body) for body in hook.bodies)
    assert trigger["routing_key"] == SECRET
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == "prod:dead_letters:crm"
    payload = trigger["payload"]
    assert payload["summary"].startswith("[prod] Dead letters at crm: HTTP 500 <!channel>")
    assert (payload["severity"], payload["source"], payload["class"]) == ("error", "prod", "dead_letters")
    assert payload["timestamp"] == "2026-01-01T00:01:15.250Z"
    assert payload["custom_details"]["facts"] == {"count": 3}
    assert resolve == {"routing_key": SECRET, "event_action": "resolve", "dedup_key": "prod:dead_letters:crm"}


@pytest.mark.parametrize("severity", list(Severity))
async def test_pagerduty_knows_every_severity_and_no_field_is_longer_than_it_takes(severity: Severity) -> None:
    alert = Alert.from_row({**ALERT.row(), "why": "x" * 5_000, "subject": "y" * 400, "severity": severity})
    async with listening(answering(OK)) as hook:
        await told(hook, "pagerduty", alert, key=SECRET)
    trigger = json.loads(hook.bodies[0])
    assert trigger["payload"]["severity"] in ("info", "warning", "error", "critical")
    assert len(trigger["payload"]["summary"]) <= 1024
    assert len(trigger["dedup_key"]) <= 255


async def test_opsgenie_gets_an_alert_and_its_close_under_one_alias() -> None:
    async with listening(answering(OK)) as hook:
        await told(hook, "opsgenie", key=SECRET)
        await told(hook, "opsgenie", OVER, key=SECRET)
    assert hook.headers("authorization") == [f"GenieKey {SECRET}"]
    made = json.loads(hook.bodies[0])
    assert (made["alias"], made["priority"], made["message"]) == (
        "prod:dead_letters:crm",
        "P2",
        "[prod] Dead letters at crm",
    )
    path = hook.heads[1][0].split()[1]
    assert unquote(path) == "/events/prod:dead_letters:crm/close?identifierType=alias"


async def test_services_of_incidents_get_a_request_for_each_alert() -> None:
    other = Alert.from_row({**ALERT.row(), "subject": "lake"})
    async with listening(answering(OK)) as hook:
        assert (await told(hook, "pagerduty", ALERT, other, key="k")).kind is OutcomeKind.SUCCESS
    assert [json.loads(body)["dedup_key"] for body in hook.bodies] == [
        "prod:dead_letters:crm",
        "prod:dead_letters:lake",
    ]


async def test_any_url_gets_the_alerts_document_with_an_id_that_stays() -> None:
    other = Alert.from_row({**ALERT.row(), "subject": "lake"})
    async with listening(answering(OK)) as hook:
        headers = (("Authorization", f"Bearer {SECRET}"), ("X-Team", "night"))
        assert (await told(hook, "url", ALERT, other, headers=headers)).kind is OutcomeKind.SUCCESS
    assert [json.loads(body) for body in hook.bodies] == [
        {**ALERT.document(), "id": "n-1"},
        {**other.document(), "id": "n-1.1"},
    ]
    assert hook.headers("webhook-id") == ["n-1.1"]
    assert hook.headers("authorization") == [f"Bearer {SECRET}"]
    assert hook.headers("x-team") == ["night"]
    assert hook.headers("user-agent")[0].startswith("longstop/")
    assert hook.headers("webhook-signature") == []


async def test_where_there_is_a_secret_it_is_signed_as_standard_webhooks_says() -> None:
    key = base64.b64encode(b"shared").decode()
    async with listening(answering(OK)) as hook:
        await told(hook, "url", key=f"whsec_{key}")
    (timestamp,) = hook.headers("webhook-timestamp")
    content = b"n-1." + timestamp.encode() + b"." + hook.bodies[0]
    expected = base64.b64encode(hmac.digest(b"shared", content, "sha256")).decode()
    assert hook.headers("webhook-signature") == [f"v1,{expected}"]


# -- what answers mean --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_2xx_has_taken_it(status: int) -> None:
    async with listening(answering(b"HTTP/1.1 %d Fine\r\nContent-Length: 0\r\n\r\n" % status)) as hook:
        assert await told(hook, "url") == Outcome(OutcomeKind.SUCCESS, status=status)


@pytest.mark.parametrize("status", [307, 400, 404, 408, 429, 500, 503])
async def test_any_other_status_has_not_and_what_the_service_says_of_it_is_kept(status: int) -> None:
    answer = b"HTTP/1.1 %d No\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\nno_active" % status
    async with listening(answering(answer)) as hook:
        outcome = await told(hook, "slack")
    final = status in (400, 404)
    assert outcome.kind is (OutcomeKind.REJECT if final else OutcomeKind.RETRY)
    assert (outcome.status, outcome.error) == (status, f"127.0.0.1:{hook.port} answered HTTP {status}")
    assert (outcome.answer, outcome.retry_after_s) == (b"no_active", 7.0)


async def test_one_that_fails_ends_the_attempt() -> None:
    async with listening(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as hook:
        assert (await told(hook, "url", ALERT, ALERT)).kind is OutcomeKind.RETRY
    assert len(hook.bodies) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with listening(answering(OK)) as elsewhere:
        moved = b"HTTP/1.1 307 Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % elsewhere.url().encode()
        async with listening(answering(moved)) as hook:
            assert (await told(hook, "url")).error == f"127.0.0.1:{hook.port} answered HTTP 307"
    assert elsewhere.connections == 0


async def test_one_that_hangs_is_given_up_after_its_timeout() -> None:
    async with listening(silent) as hook:
        outcome = await told(hook, "url", timeout_ms=500)
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == f"timed out after 0.5 s while waiting for the answer (127.0.0.1:{hook.port})"


async def test_a_body_without_end_keeps_nobody() -> None:
    async def endless(hook: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\n\r\n")
        await hook.flood(writer)

    async with listening(endless) as hook:
        outcome = await told(hook, "url")
    assert (outcome.status, len(outcome.answer) <= 2048) == (500, True)


async def test_private_addresses_are_refused_unless_they_are_allowed() -> None:
    async with listening(answering(OK)) as hook:
        for name, label in (("url", "[alerts]"), ("team", "[alerts.channels.team]")):
            sender = PostSender(ChannelSettings(name, "url", hook.url("localhost")), FixedClock())
            outcome = await sender.send(claim_of(notice_of(ALERT).body()), 1)
            assert outcome.error is not None
            assert outcome.error.endswith(f"set allow_private = true on {label} if it is meant to be reached")
    assert hook.connections == 0


@pytest.mark.parametrize("body", [b"", b"{}", b'{"alerts":[]}', b"not json"])
async def test_what_is_no_notice_is_refused_for_good(body: bytes) -> None:
    sender = PostSender(ChannelSettings("team", "slack", "https://a.example"), FixedClock())
    assert (await sender.send(claim_of(body), 1)).kind is OutcomeKind.REJECT


@pytest.mark.parametrize("kind", ["slack", "teams", "pagerduty", "opsgenie", "url"])
@pytest.mark.parametrize("raw", [OK, b"no HTTP\r\n\r\n", b""])
async def test_no_error_and_no_repr_shows_a_secret(kind: Any, raw: bytes) -> None:
    secrets = {"key": "Q0FOQVJZLWI3ZjE=", "headers": (("Authorization", SECRET),), "timeout_ms": 100}
    async with listening(answering(raw) if raw else silent) as hook:
        outcome = await told(hook, kind, path=f"/{SECRET}?token={SECRET}", **secrets)
        settings = ChannelSettings("team", kind, f"{hook.url()}/{SECRET}", **secrets)
    assert SECRET not in f"{outcome!r} {settings!r}"
    assert "Q0FOQ" not in f"{outcome!r} {settings!r}"


@pytest.mark.parametrize("url", ["http://127.1/", "ftp://a.example/", "nonsense"])
def test_a_url_that_cannot_be_posted_to_is_found_at_the_start(url: str) -> None:
    problem = "not a URL that can be posted to; expected http(s)://HOST[:PORT][/PATH]"
    for name, path in (("url", "alerts.url"), ("team", "alerts.channels.team.url")):
        with pytest.raises(ConfigurationError) as raised:
            PostSender(ChannelSettings(name, "url", url), FixedClock())
        assert raised.value.problems == (f"{path}: {problem}",)


def test_what_is_over_says_so() -> None:
    assert OVER.status is Status.RESOLVED
    assert OVER.text == "No dead letters at crm any more."


# -- a function ---------------------------------------------------------------------------------


async def test_an_async_function_is_called_in_the_loop() -> None:
    called: list[tuple[Alert, int]] = []

    async def told(alert: Alert) -> None:
        called.append((alert, threading.get_ident()))

    assert await FunctionAlerter(told, 1_000).tell(ALERT) is None
    assert called == [(ALERT, threading.get_ident())]


async def test_any_other_is_called_in_a_thread() -> None:
    called: list[tuple[Alert, int]] = []
    alerter = FunctionAlerter(lambda alert: called.append((alert, threading.get_ident())), 1_000)
    assert await alerter.tell(ALERT) is None
    await alerter.close()
    assert called[0][0] == ALERT
    assert called[0][1] != threading.get_ident()


async def test_what_it_raises_is_said() -> None:
    def fails(_: Alert) -> None:
        raise ValueError("no mail server")

    assert await FunctionAlerter(fails, 1_000).tell(ALERT) == "ValueError: no mail server"


async def test_one_that_hangs_is_given_up() -> None:
    async def hangs(_: Alert) -> None:
        await asyncio.Event().wait()

    assert await FunctionAlerter(hangs, 50).tell(ALERT) == "timeout: the handler was not done after 0.05 s"
