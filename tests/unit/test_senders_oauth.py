"""OAuth 2 client credentials against real token endpoints on loopback: good, slow, broken and hostile ones."""

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from hostile import OK, Hostile, Respond, answering, claim, listening, settings, silent

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.settings import AuthSettings, DestinationSettings
from longstop.senders.http import HttpSender
from longstop.senders.oauth import LIFE_S_DEFAULT, LIFE_S_MAX, PAUSE_S, Token, TokenError, Tokens
from longstop.testing.clock import VirtualClock, run

SECRET = "CANARY-b7f1/+ ä"
ENCODED = "CANARY-b7f1%2F%2B+%C3%A4"
UNAUTHORIZED = b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n"


@dataclass
class SettableClock:
    """A clock beside real sockets, which a virtual loop cannot wait for."""

    ms: int = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a sender does not sleep")


def http(status: int, body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, head, len(body), body)


def granting(*tokens: str, **more: Any) -> Respond:
    """Gives these tokens, one after the other, and then the last one for ever."""
    left = list(tokens)

    async def respond(_: Hostile, writer: asyncio.StreamWriter) -> None:
        token = left.pop(0) if len(left) > 1 else left[0]
        grant = {"access_token": token, "token_type": "bearer", "expires_in": 3600, **more}
        writer.write(http(200, json.dumps({k: v for k, v in grant.items() if v is not None}).encode()))
        await writer.drain()

    return respond


def believing(*tokens: str) -> Respond:
    """Takes what comes with one of these tokens, and refuses all else."""

    async def respond(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        (sent,) = hostile.headers("authorization")
        writer.write(OK if sent.removeprefix("Bearer ") in tokens else UNAUTHORIZED)
        await writer.drain()

    return respond


@dataclass
class Place:
    """A destination, its token endpoint, and a sender between them."""

    tokens: Hostile
    crm: Hostile
    settings: DestinationSettings
    clock: SettableClock = field(default_factory=SettableClock)

    def __post_init__(self) -> None:
        self.sender = HttpSender(self.settings, self.clock)

    async def send(self) -> Outcome:
        # Far above every deadline in here: a sender that hangs fails the test rather than the run.
        return await asyncio.wait_for(self.sender.send(claim(), 1), 20)

    @property
    def sent(self) -> list[str]:
        """The tokens that the destination got, in order."""
        return [self.crm.headers("authorization", n)[0].removeprefix("Bearer ") for n in range(len(self.crm.heads))]

    @property
    def asked(self) -> int:
        return len(self.tokens.heads)


def oauth(url: str, **given: Any) -> AuthSettings:
    return AuthSettings(
        "oauth2-client-credentials", **{"token_url": url, "client_id": "id:1", "client_secret": SECRET, **given}
    )


@contextlib.asynccontextmanager
async def place(
    tokens: Respond, crm: Respond | None = None, auth: dict[str, Any] | None = None, **given: Any
) -> AsyncIterator[Place]:
    async with listening(tokens) as endpoint, listening(crm or answering(OK)) as destination:
        to = settings(destination.url(), auth=oauth(endpoint.url(), **(auth or {})), **given)
        made = Place(endpoint, destination, to)
        try:
            yield made
        finally:
            await made.sender.close()


# -- the token request ----------------------------------------------------------------------------


async def test_the_client_proves_itself_by_basic() -> None:
    async with place(granting("t1"), auth={"scope": "a b"}) as at:
        outcome = await at.send()
    assert outcome == Outcome(OutcomeKind.SUCCESS, status=200, answer=b"ok")
    assert at.tokens.heads[0][0] == "POST /events HTTP/1.1"
    assert at.tokens.headers("content-type") == ["application/x-www-form-urlencoded"]
    assert parse_qs(at.tokens.bodies[0].decode()) == {"grant_type": ["client_credentials"], "scope": ["a b"]}
    (value,) = at.tokens.headers("authorization")
    # RFC 6749, 2.3.1: form-encoded first, so that the colon in the id is not taken for the one between them.
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == f"id%3A1:{ENCODED}"
    assert at.sent == ["t1"]


async def test_the_client_proves_itself_in_the_form_where_it_is_told_to() -> None:
    async with place(granting("t1"), auth={"credentials": "form"}) as at:
        await at.send()
    assert at.tokens.headers("authorization") == []
    sent = parse_qs(at.tokens.bodies[0].decode())
    assert sent == {"grant_type": ["client_credentials"], "client_id": ["id:1"], "client_secret": [SECRET]}


async def test_the_token_endpoint_gets_no_header_of_the_delivery() -> None:
    async with place(granting("t1"), headers=(("X-Key", "k"),)) as at:
        await at.send()
    assert at.crm.headers("x-key") == ["k"]
    for name in ("x-key", "webhook-id", "idempotency-key", "longstop-source"):
        assert at.tokens.headers(name) == []


# -- one token for all ----------------------------------------------------------------------------


async def test_a_token_is_asked_for_once() -> None:
    async with place(granting("t1", "t2")) as at:
        for _ in range(3):
            await at.send()
    assert (at.asked, at.sent) == (1, ["t1"] * 3)


async def test_however_many_wait_one_request_is_made() -> None:
    async with place(granting("t1", "t2")) as at:
        outcomes = await asyncio.gather(*(at.send() for _ in range(32)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.SUCCESS}
    assert (at.asked, at.sent) == (1, ["t1"] * 32)


async def test_however_many_wait_for_a_failure_one_request_is_made() -> None:
    async with place(answering(http(503, b"", b"Retry-After: 7\r\n"))) as at:
        outcomes = await asyncio.gather(*(at.send() for _ in range(32)))
    error = f"no token: 127.0.0.1:{at.tokens.port} answered HTTP 503"
    assert set(outcomes) == {Outcome(OutcomeKind.RETRY, error=error, retry_after_s=7.0)}
    assert (at.asked, at.sent) == (1, [])


async def test_an_attempt_that_is_cancelled_leaves_the_request_to_the_others() -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def when_told(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await may_answer.wait()
        await granting("t1")(hostile, writer)

    async with place(when_told) as at:
        first = asyncio.create_task(at.send())
        await asked.wait()
        second = asyncio.create_task(at.send())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        may_answer.set()
        assert (await second).kind is OutcomeKind.SUCCESS
    assert at.asked == 1


async def test_closing_breaks_off_a_request_for_a_token() -> None:
    asked = asyncio.Event()

    async def never(hostile: Hostile, _: asyncio.StreamWriter) -> None:
        asked.set()
        await hostile.stopped.wait()

    async with place(never) as at:
        sending = asyncio.create_task(at.send())
        await asked.wait()
        await at.sender.close()
        outcome = await asyncio.wait_for(sending, 20)
        await at.sender.close()
    assert outcome == Outcome(OutcomeKind.RETRY, error="no token: the gateway stopped")


async def expect_within(limit_s: float, error: str, make: Callable[[], AbstractAsyncContextManager[Place]]) -> None:
    """Of three attempts one at least ends so in time: a machine that stands still for a moment does so once."""
    for last in (False, False, True):
        async with make() as at:
            begin = asyncio.get_running_loop().time()
            outcome = await at.send()
            took_s = asyncio.get_running_loop().time() - begin
        expected = Outcome(OutcomeKind.RETRY, error=error.format(crm=at.crm.port, tokens=at.tokens.port))
        if last or (outcome == expected and took_s < limit_s):
            assert outcome == expected
            assert took_s < limit_s
            return


# -- in time --------------------------------------------------------------------------------------


def test_a_token_is_renewed_early_and_nobody_waits() -> None:
    asked: list[float] = []

    async def fetch() -> Token:
        clock = VirtualClock()
        asked.append(clock.now_ms() / 1000)
        asked_at_ms = clock.now_ms()
        await clock.sleep(5)
        return Token.lasting(f"t{len(asked)}", 3600, asked_at_ms)

    async def hours() -> None:
        clock = VirtualClock()
        tokens = Tokens(fetch, clock)
        assert await tokens.token() == "t1"
        assert clock.now_ms() == 5_000
        await clock.sleep(3534.999)
        assert await tokens.token() == "t1"
        await clock.sleep(0.001)
        # A minute before its end: the one in hand is still good, and goes out while the next one is asked for.
        assert await tokens.token() == "t1"
        assert clock.now_ms() == 3_540_000
        await clock.sleep(4)
        assert await tokens.token() == "t1"
        await clock.sleep(1)
        assert await tokens.token() == "t2"
        # Nobody wanted one for hours: it is over, and waited for.
        await clock.sleep(10_000)
        assert await tokens.token() == "t3"
        await tokens.close()

    run(hours, start_ms=0)
    assert asked == [0, 3540, 13545]


def test_an_early_renewal_that_fails_fails_nobody_and_is_not_repeated_at_once() -> None:
    asked: list[float] = []

    async def fetch() -> Token:
        now_ms = VirtualClock().now_ms()
        asked.append(now_ms / 1000)
        if len(asked) > 1:
            raise TokenError("no token: down")
        return Token.lasting("t1", 3600, now_ms)

    async def an_hour() -> None:
        clock = VirtualClock()
        tokens = Tokens(fetch, clock)
        await tokens.token()
        await clock.sleep(3540)
        for _ in range(120):
            assert await tokens.token() == "t1"
            await clock.sleep(0.5)
        for _ in range(2):
            with pytest.raises(TokenError, match="down"):
                await tokens.token()

    run(an_hour, start_ms=0)
    # Every few seconds while one was in hand, and then for whoever needs one.
    assert asked == [0, *range(3540, 3600, PAUSE_S), 3600, 3600]


async def test_a_renewal_that_hangs_takes_no_deliverys_connection() -> None:
    async def once(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        await (granting("t1") if len(hostile.heads) == 1 else silent)(hostile, writer)

    # A connection that is kept open would be there for the next delivery.
    closing = answering(http(200, b"ok", b"Connection: close\r\n"))
    async with place(once, closing, concurrency=1, timeout_ms=3_000) as at:
        await at.send()
        at.clock.ms += 3_590_000
        for _ in range(3):
            assert (await at.send()).kind is OutcomeKind.SUCCESS
    assert (at.asked, at.sent) == (2, ["t1"] * 4)


@pytest.mark.parametrize(
    ("expires_in", "renewed_after_s", "ends_after_s"),
    [
        (3600, 3540, 3600),
        (86_400, 86_340, 86_400),
        (100, 50, 100),
        (1, 0.5, 1),
        (0.5, 0.25, 0.5),
        ("3600", 3540, 3600),
        (None, LIFE_S_DEFAULT - 60, LIFE_S_DEFAULT),
        ("soon", LIFE_S_DEFAULT - 60, LIFE_S_DEFAULT),
        (True, LIFE_S_DEFAULT - 60, LIFE_S_DEFAULT),
        ([], LIFE_S_DEFAULT - 60, LIFE_S_DEFAULT),
        (float("nan"), LIFE_S_DEFAULT - 60, LIFE_S_DEFAULT),
        (float("inf"), LIFE_S_MAX - 60, LIFE_S_MAX),
        (10**400, LIFE_S_MAX - 60, LIFE_S_MAX),
        (0, 0, 0),
        (-5, 0, 0),
    ],
)
async def test_what_an_endpoint_says_of_a_life_is_kept_to(
    expires_in: Any, renewed_after_s: float, ends_after_s: float
) -> None:
    async with place(granting("t1", "t2", expires_in=expires_in)) as at:
        begin = at.clock.ms
        assert (await at.send()).kind is OutcomeKind.SUCCESS
        if renewed_after_s > 0:
            at.clock.ms = begin + int(renewed_after_s * 1000) - 1
            await at.send()
            assert at.asked == 1
        at.clock.ms = begin + int(ends_after_s * 1000)
        await at.send()
        assert at.asked == 2
    assert at.sent[-1] == "t2"


# -- 401 ------------------------------------------------------------------------------------------


async def test_a_401_renews_the_token_and_sends_once_more() -> None:
    async with place(granting("old", "new"), believing("new")) as at:
        outcome = await at.send()
        assert outcome == Outcome(OutcomeKind.SUCCESS, status=200, answer=b"ok")
        await at.send()
    assert (at.asked, at.sent) == (2, ["old", "new", "new"])
    assert at.crm.bodies[0] == at.crm.bodies[1] == b'{"a": 1}'
    assert at.crm.headers("idempotency-key", 0) == at.crm.headers("idempotency-key", 1)
    assert at.crm.headers("longstop-attempt", 1) == ["1"]


async def test_a_large_body_goes_out_whole_the_second_time_too() -> None:
    body = b"\xff\x00" * 700_000
    async with place(granting("old", "new"), believing("new")) as at:
        outcome = await asyncio.wait_for(at.sender.send(claim(body), 1), 20)
    assert outcome.kind is OutcomeKind.SUCCESS
    assert at.crm.bodies == [body, body]


async def test_a_second_401_is_the_destinations_word() -> None:
    async with place(granting("t1", "t2", "t3"), believing()) as at:
        outcome = await at.send()
    assert (outcome.kind, outcome.status, outcome.error) == (OutcomeKind.REJECT, 401, "HTTP 401")
    assert (at.asked, at.sent) == (2, ["t1", "t2"])


async def test_however_many_get_a_401_for_one_token_it_is_renewed_once() -> None:
    gate = asyncio.Barrier(32)

    async def together(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        (sent,) = hostile.headers("authorization")
        if sent == "Bearer old":
            await gate.wait()
        writer.write(OK if sent == "Bearer new" else UNAUTHORIZED)
        await writer.drain()

    async with place(granting("old", "new", "one too many"), together) as at:
        outcomes = await asyncio.gather(*(at.send() for _ in range(32)))
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.SUCCESS}
    assert (at.asked, sorted(at.sent)) == (2, ["new"] * 32 + ["old"] * 32)


async def test_a_late_401_for_an_old_token_leaves_the_new_one_alone() -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def respond(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        (sent,) = hostile.headers("authorization")
        if len(hostile.heads) == 1:
            arrived.set()
            await may_answer.wait()
        writer.write(OK if sent == "Bearer new" else UNAUTHORIZED)
        await writer.drain()

    async with place(granting("old", "new", "one too many"), respond) as at:
        late = asyncio.create_task(at.send())
        await arrived.wait()
        assert (await at.send()).kind is OutcomeKind.SUCCESS
        may_answer.set()
        assert (await late).kind is OutcomeKind.SUCCESS
    assert (at.asked, at.sent) == (2, ["old", "old", "new", "new"])


async def test_a_401_whose_body_never_ends_does_not_keep_the_second_try_waiting() -> None:
    async def respond(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        if hostile.headers("authorization") == ["Bearer new"]:
            writer.write(OK)
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 401 X\r\nContent-Length: 100000\r\n\r\n")
        await hostile.drip(writer)

    async with place(granting("old", "new"), respond, timeout_ms=3_000) as at:
        assert (await at.send()).kind is OutcomeKind.SUCCESS


async def test_the_second_try_has_no_deadline_of_its_own() -> None:
    async def respond(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        if hostile.headers("authorization") == ["Bearer new"]:
            await silent(hostile, writer)
        writer.write(UNAUTHORIZED)
        await writer.drain()

    # Not rejected: what answered 401 was the old token.
    error = "timed out after 0.5 s while waiting for the answer (127.0.0.1:{crm})"
    await expect_within(0.95, error, lambda: place(granting("old", "new"), respond, timeout_ms=500))


async def test_a_401_and_no_new_token_is_a_retry() -> None:
    answers = [http(200, b'{"access_token": "t1", "token_type": "Bearer"}'), http(500, b"")]

    async def once(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()

    async with place(once, believing()) as at:
        outcome = await at.send()
    error = f"no token: 127.0.0.1:{at.tokens.port} answered HTTP 500"
    assert outcome == Outcome(OutcomeKind.RETRY, error=error)


# -- endpoints that give none ---------------------------------------------------------------------

Said = Callable[[Place], str]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (http(401, b'{"error": "invalid_client"}'), "HTTP 401 (invalid_client); mend the auth of destination crm"),
        (http(400, b'{"error": "invalid_scope"}'), "HTTP 400 (invalid_scope); mend the auth of destination crm"),
        (http(400, b'{"error": "CANARY-b7f1"}'), "HTTP 400; mend the auth of destination crm"),
        (http(403, b"CANARY-b7f1"), "HTTP 403; mend the auth of destination crm"),
        (http(404, b"CANARY-b7f1"), "HTTP 404"),
        (http(500, b'{"error": ["invalid_client"]}'), "HTTP 500"),
        (http(200, b"CANARY-b7f1"), "what is no JSON object"),
        (http(200, b""), "what is no JSON object"),
        (http(200, b'["CANARY-b7f1"]'), "what is no JSON object"),
        (http(200, b"[" * 60_000), "what is no JSON object"),
        (http(200, b"\xff\xfe"), "what is no JSON object"),
        (http(200, b"{}"), "without an access_token that can be sent"),
        (http(200, b'{"access_token": ""}'), "without an access_token that can be sent"),
        (http(200, b'{"access_token": 5}'), "without an access_token that can be sent"),
        (http(200, b'{"access_token": "CANARY-b7f1\\r\\nX-Admin: 1"}'), "without an access_token that can be sent"),
        (http(200, b'{"access_token": "CANARY-b7f1 \xc3\xa4"}'), "without an access_token that can be sent"),
        (http(200, b'{"access_token": "CANARY-b7f1", "token_type": "mac"}'), "with a token_type that is not Bearer"),
        (http(200, b'{"access_token": "CANARY-b7f1", "token_type": 1}'), "with a token_type that is not Bearer"),
        (http(200, b'{"x": "' + b"CANARY-b7f1" * 6_000 + b'"}'), "more than 64 KiB"),
    ],
)
async def test_an_answer_without_a_token_is_a_retry_that_says_so(raw: bytes, said: str) -> None:
    async with place(answering(raw)) as at:
        outcome = await at.send()
    error = f"no token: 127.0.0.1:{at.tokens.port} answered {said}"
    assert outcome == Outcome(OutcomeKind.RETRY, error=error)
    assert at.crm.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_token_request_is_not_redirected(status: int) -> None:
    async with listening(granting("t1")) as elsewhere:
        location = b"Location: %s\r\n" % elsewhere.url().encode()
        async with place(answering(http(status, b"", location))) as at:
            outcome = await at.send()
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == (
        f"no token: 127.0.0.1:{at.tokens.port} answered HTTP {status}; "
        "redirects are not followed: name the endpoint itself in auth.token_url"
    )
    assert (elsewhere.connections, at.crm.connections) == (0, 0)


async def test_a_token_endpoint_that_is_down_is_a_retry() -> None:
    async with listening(silent) as gone, listening(answering(OK)) as crm:
        gone_at = gone.port
    at = Place(gone, crm, settings(crm.url(), auth=oauth(gone.url())))
    outcome = await at.send()
    await at.sender.close()
    error = f"no token: connecting to 127.0.0.1:{gone_at} failed: Connection refused"
    assert outcome == Outcome(OutcomeKind.RETRY, error=error)


async def hanging_up(_: Hostile, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (hanging_up, "{} closed the connection without an answer"),
        (answering(b"SSH-2.0\r\n"), "{} answered what is not HTTP"),
    ],
)
async def test_a_token_endpoint_that_is_no_such_thing_is_a_retry(respond: Respond, said: str) -> None:
    async with place(respond) as at:
        outcome = await at.send()
    assert outcome == Outcome(OutcomeKind.RETRY, error=f"no token: {said.format(f'127.0.0.1:{at.tokens.port}')}")


async def dripping(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"access_token": "')
    await hostile.drip(writer)


@pytest.mark.parametrize("respond", [silent, dripping])
async def test_a_slow_token_endpoint_costs_an_attempt_its_deadline_and_no_more(respond: Respond) -> None:
    error = "timed out after 0.4 s while waiting for a token of 127.0.0.1:{tokens} (127.0.0.1:{crm})"
    await expect_within(0.75, error, lambda: place(respond, timeout_ms=400))


async def test_an_endless_answer_is_cut() -> None:
    async def endless(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await hostile.flood(writer)

    async with place(endless) as at:
        outcome = await at.send()
    assert outcome.error == f"no token: 127.0.0.1:{at.tokens.port} answered more than 64 KiB"
    assert at.tokens.sent < 32 * 1024 * 1024


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "[::ffff:127.0.0.1]"])
async def test_a_token_endpoint_at_a_private_address_is_not_dialled(host: str) -> None:
    async with listening(granting("t1")) as endpoint:
        sender = HttpSender(
            settings("http://203.0.113.1/", auth=oauth(endpoint.url(host)), allow_private=False), SettableClock()
        )
        outcome = await asyncio.wait_for(sender.send(claim(), 1), 20)
        await sender.close()
    assert outcome.kind is OutcomeKind.RETRY
    assert (outcome.error or "").startswith("no token: address ")
    assert (outcome.error or "").endswith(
        "is private; set allow_private = true on destination crm if it is meant to be reached"
    )
    assert endpoint.connections == 0


async def test_a_proxy_of_the_environment_is_not_asked_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answering(OK)) as proxy, place(granting("t1")) as at:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outcome = await at.send()
    assert outcome.kind is OutcomeKind.SUCCESS
    assert proxy.connections == 0


# -- secrets stay secret --------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", ["basic", "form"])
@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense CANARY-b7f1\r\n\r\n",
        http(400, b'{"error": "invalid_client", "error_description": "CANARY-b7f1"}'),
        http(200, b'{"access_token": "CANARY-b7f1"}'),
    ],
)
async def test_no_outcome_repr_or_log_shows_a_secret(
    raw: bytes, credentials: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with place(answering(raw), answering(UNAUTHORIZED), {"credentials": credentials}) as at:
        outcome = await at.send()
    assert outcome.kind in (OutcomeKind.RETRY, OutcomeKind.REJECT)
    shown = f"{outcome!r} {at.settings!r} {at.sender!r} {Token('CANARY-b7f1', 0, 0)!r} {caplog.text}"
    assert "CANARY-b7f1" not in shown
    assert ENCODED not in shown


async def test_a_failure_carries_no_request_along() -> None:
    """The library's errors hold the request with its headers, and whoever logs a traceback prints what is chained."""
    seen: list[BaseException] = []
    async with place(answering(b"nonsense\r\n\r\n")) as at:
        try:
            await at.sender._auth.headers(claim(), "0")
        except TokenError as error:
            seen.append(error)
    (error,) = seen
    assert (error.__cause__, error.__context__) == (None, None)
