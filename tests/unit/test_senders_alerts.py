"""The ways in which people are told: the hook, against a real server on loopback, and a function."""

import asyncio
import json
import threading
from typing import Any

import pytest
from hostile import OK, answering, listening, silent

from longstop import Alert
from longstop.model.errors import ConfigurationError
from longstop.model.settings import AlertSettings
from longstop.senders.alert_function import FunctionAlerter
from longstop.senders.alert_hook import HookAlerter

ALERT = Alert("circuit_closed", "crm", "its probes succeeded", 1_767_225_675_250, open_s=75.25)
SECRET = "CANARY-b7f1"
PATIENCE_S = 20


async def told(url: str, **given: Any) -> str | None:
    settings = AlertSettings(url, **{"allow_private": True, **given})
    return await asyncio.wait_for(HookAlerter(settings).tell(ALERT), PATIENCE_S)


# -- the hook -----------------------------------------------------------------------------------


async def test_an_alert_is_one_post_of_json() -> None:
    async with listening(answering(OK)) as hook:
        assert await told(hook.url(), headers=(("Authorization", f"Bearer {SECRET}"), ("X-Team", "night"))) is None
    assert hook.heads[0][0] == "POST /events HTTP/1.1"
    assert json.loads(hook.bodies[0]) == ALERT.document()
    assert hook.headers("content-type") == ["application/json"]
    assert hook.headers("authorization") == [f"Bearer {SECRET}"]
    assert hook.headers("x-team") == ["night"]
    assert hook.headers("user-agent")[0].startswith("longstop/")


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_2xx_has_taken_it(status: int) -> None:
    async with listening(answering(b"HTTP/1.1 %d Fine\r\nContent-Length: 0\r\n\r\n" % status)) as hook:
        assert await told(hook.url()) is None


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_any_other_status_has_not(status: int) -> None:
    answer = b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(SECRET), SECRET.encode())
    async with listening(answering(answer)) as hook:
        assert await told(hook.url()) == f"127.0.0.1:{hook.port} answered HTTP {status}"


async def test_a_redirect_is_not_followed() -> None:
    async with listening(answering(OK)) as elsewhere:
        moved = b"HTTP/1.1 307 Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % elsewhere.url().encode()
        async with listening(answering(moved)) as hook:
            assert await told(hook.url()) == f"127.0.0.1:{hook.port} answered HTTP 307"
    assert elsewhere.connections == 0


async def test_one_that_hangs_is_given_up_after_its_timeout() -> None:
    async with listening(silent) as hook:
        error = await told(hook.url(), timeout_ms=50)
    assert error == f"timed out after 0.05 s while waiting for the answer (127.0.0.1:{hook.port})"


async def test_a_body_without_end_keeps_nobody() -> None:
    async def endless(hook: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await hook.flood(writer)

    async with listening(endless) as hook:
        assert await told(hook.url()) is None


async def test_private_addresses_are_refused_unless_they_are_allowed() -> None:
    async with listening(answering(OK)) as hook:
        error = await told(hook.url("localhost"), allow_private=False)
    assert hook.connections == 0
    assert error is not None
    assert error.endswith(
        "of host localhost is private; set allow_private = true on [alerts] if it is meant to be reached"
    )


@pytest.mark.parametrize("raw", [OK, b"no HTTP\r\n\r\n", b""])
async def test_no_error_and_no_repr_shows_a_secret(raw: bytes) -> None:
    async with listening(answering(raw) if raw else silent) as hook:
        url = f"{hook.url()}/{SECRET}?token={SECRET}"
        settings = AlertSettings(url, 100, allow_private=True, headers=(("Authorization", SECRET),))
        assert SECRET not in f"{await HookAlerter(settings).tell(ALERT)} {settings!r}"
    settings = AlertSettings(url, 100, allow_private=True, headers=(("Authorization", SECRET),))
    assert "connecting to" in (said := await HookAlerter(settings).tell(ALERT) or "")
    assert SECRET not in said


@pytest.mark.parametrize("url", ["http://127.1/", "ftp://a.example/", "nonsense"])
def test_a_url_that_cannot_be_posted_to_is_found_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        HookAlerter(AlertSettings(url))
    assert raised.value.problems == (
        "alerts.url: not a URL that can be posted to; expected http(s)://HOST[:PORT][/PATH]",
    )


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
