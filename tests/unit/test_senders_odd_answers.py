"""Odd answers: a complete head decides, whatever stands behind it; floods are cut by what they send."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hostile import OK, FixedClock, Hostile, answering, claim, listening, post, settings
from yarl import URL

import longstop
from longstop.model.alert import Alert, Notice, Status
from longstop.model.alert_channel import ChannelSettings
from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.settings import AuthSettings
from longstop.senders.alerts.post import PostSender
from longstop.senders.connection import ANSWER_BYTES_READ, Progress
from longstop.senders.http import HttpSender
from longstop.senders.response_head import Head, NotHttpError, head_of
from longstop.senders.response_limits import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    INTERIM_MAX,
    LimitedConnector,
    ResponseLimits,
)

LINE = b"HTTP/1.1 200 OK\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NOT_HTTP = "answered what is not HTTP"
TALKED_FIRST = "it talked before it was asked"
TAKEN_BYTES_MAX = 24 * 1024 * 1024
"""What a flood may have got rid of when it is cut: mostly what the sockets' buffers hold."""

TAKEN = {
    "garbage behind it": OK + b"\x00garbage\r\n\r\n",
    "another answer behind it": OK + b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n",
    "204 with a body": NO_CONTENT + b"Content-Length: 5\r\n\r\nhello",
    "204 with a body and no length": NO_CONTENT + b"Content-Type: text/html\r\n\r\n<html>\r\n\r\n",
    "204 with chunks": NO_CONTENT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "shorter than its length": LINE + b"Content-Length: 50\r\n\r\nok",
    "longer than its length": LINE + b"Content-Length: 2\r\n\r\nok, and more",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\nok",
    "a length that is none": LINE + b"Content-Length: two\r\n\r\nok",
    "two lengths": LINE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    "no length": LINE + b"\r\nok",
    "an encoding that it has not": LINE + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "a transfer coding nobody knows": LINE + b"Transfer-Encoding: gzip\r\n\r\nok",
    "a coding and a length": LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "line feeds only": LINE.replace(b"\r", b"") + b"Content-Length: 2\n\nok",
    "a header without a colon": LINE + b"nonsense\r\nContent-Length: 2\r\n\r\nok",
    "a NUL in a header": LINE + b"\x00: x\r\nContent-Length: 2\r\n\r\nok",
    "a folded header": LINE + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    "a header longer than the library takes": LINE + b"X: " + b"y" * 20_000 + b"\r\n\r\nok",
    "more headers than the library takes": LINE + b"X: y\r\n" * 10_000 + b"\r\n",
    "line breaks before it": b"\r\n\r\n" + OK,
    "interim answers before it": CONTINUE * INTERIM_MAX + OK,
}
UNDECIDED = {
    "a status of two digits": (b"HTTP/1.1 99 X\r\n\r\n", None, NOT_HTTP),
    "a status that begins with zero": (b"HTTP/1.1 000 X\r\n\r\n", None, NOT_HTTP),
    "a status beyond HTTP's": (b"HTTP/1.1 999 X\r\n\r\n", 999, "HTTP 999"),
    "a protocol nobody asked for": (b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\nhello", 101, "HTTP 101"),
    "304 with a body": (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\nhello", 304, "HTTP 304"),
    "500 with a broken header": (b"HTTP/1.1 500 X\r\nnonsense\r\nRetry-After: 9\r\n\r\n", 500, "HTTP 500"),
    "HTTP/0.9": (b"<html>ok</html>", None, NOT_HTTP),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", None, NOT_HTTP),
    "a version nobody knows": (b"HTTP/9.9 200 OK\r\n\r\n", None, NOT_HTTP),
    "a status that is no number": (b"HTTP/1.1 abc\r\n\r\n", None, NOT_HTTP),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", None, NOT_HTTP),
    "half a head": (LINE + b"A: b", None, "closed the connection without an answer"),
    "only an interim answer": (CONTINUE, None, "closed the connection without an answer"),
    "too many interim answers": (CONTINUE * (INTERIM_MAX + 1) + OK, None, "sent more than 16 interim answers (1xx)"),
    "a head too long": (LINE + b"X: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\n", None, "a head of more than 64 KiB"),
    "line breaks without end": (b"\r\n" * HEAD_BYTES_MAX + OK, None, "a head of more than 64 KiB"),
}


def ending(raw: bytes) -> Callable[[Hostile, asyncio.StreamWriter], Awaitable[None]]:
    async def respond(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return respond


@pytest.mark.parametrize("odd", TAKEN)
async def test_a_complete_head_that_says_2xx_has_taken_the_event(odd: str) -> None:
    async with listening(ending(TAKEN[odd])) as hostile:
        outcome = await post(settings(hostile.url()))
    assert (outcome.kind, outcome.error) == (OutcomeKind.SUCCESS, None)


@pytest.mark.parametrize("odd", UNDECIDED)
async def test_what_is_no_answer_of_this_kind_is_tried_again(odd: str) -> None:
    raw, status, said = UNDECIDED[odd]
    async with listening(ending(raw)) as hostile:
        outcome = await post(settings(hostile.url()))
    assert (outcome.kind, outcome.status) == (OutcomeKind.RETRY, status)
    assert said in (outcome.error or "")
    assert outcome.retry_after_s == (9.0 if b"Retry-After" in raw else None)


async def test_chunks_that_are_none_leave_the_status_standing() -> None:
    raw = LINE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok"
    async with listening(ending(raw)) as hostile:
        outcome = await post(settings(hostile.url(), timeout_ms=1_000))
    assert (outcome.kind, outcome.status) == (OutcomeKind.SUCCESS, 200)


async def test_an_odd_401_ends_a_token_too() -> None:
    async def tokens(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 X\r\nContent-Length: 20\r\n\r\n{"access_token":"t"}')
        await writer.drain()

    async with listening(tokens) as endpoint, listening(ending(b"HTTP/1.1 401 X\r\nnonsense\r\n\r\n")) as crm:
        outcome = await post(settings(crm.url(), auth=oauth(endpoint.url())))
    assert (outcome.kind, outcome.status) == (OutcomeKind.REJECT, 401)
    assert (len(endpoint.heads), len(crm.heads)) == (2, 2)


def oauth(url: str) -> AuthSettings:
    return AuthSettings("oauth2-client-credentials", token_url=url, client_id="id", client_secret="s")


# -- the connection afterwards --------------------------------------------------------------------


async def deliveries(raw: bytes, number: int = 3) -> tuple[list[Outcome], int]:
    """What so many deliveries one after the other came to, and how many connections they took."""
    async with listening(answering(raw)) as hostile:
        sender = HttpSender(settings(hostile.url()), FixedClock())
        outcomes = []
        for _ in range(number):
            outcomes.append(await asyncio.wait_for(sender.send(claim(), 1), 20))
            # What stands behind an answer has come by then.
            await asyncio.sleep(0)
        await sender.close()
        return outcomes, hostile.connections


@pytest.mark.parametrize(
    "odd",
    ["garbage behind it", "another answer behind it", "204 with a body", "204 with chunks", "longer than its length"],
)
async def test_a_connection_with_bytes_behind_an_answer_is_not_used_again(odd: str) -> None:
    outcomes, connections = await deliveries(TAKEN[odd])
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.SUCCESS] * 3
    assert connections == 3


async def test_an_announced_body_that_cannot_be_is_not_waited_for_on_the_next_connection() -> None:
    """The body of a 204 comes in a packet of its own: the next answer must not begin with it."""

    async def late(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(NO_CONTENT + b"Content-Length: 5\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"hello")
        await writer.drain()

    async with listening(late) as hostile:
        sender = HttpSender(settings(hostile.url()), FixedClock())
        outcomes = [await asyncio.wait_for(sender.send(claim(), 1), 20) for _ in range(3)]
        await sender.close()
    assert [(outcome.kind, outcome.status) for outcome in outcomes] == [(OutcomeKind.SUCCESS, 204)] * 3
    assert hostile.connections == 3


async def test_bytes_that_come_while_nothing_was_asked_end_the_connection() -> None:
    told = asyncio.Event()

    async def talkative(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        await told.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        await writer.drain()

    async with listening(talkative) as hostile:
        sender = HttpSender(settings(hostile.url()), FixedClock())
        first = await asyncio.wait_for(sender.send(claim(), 1), 20)
        told.set()
        # It notices when its connection is closed, which reading shows it.
        await asyncio.wait(hostile.tasks, timeout=20)
        second = await asyncio.wait_for(sender.send(claim(), 2), 20)
        await sender.close()
    assert [first.kind, second.kind] == [OutcomeKind.SUCCESS] * 2
    assert hostile.connections == 2


async def test_a_connection_that_is_clean_is_used_again_by_many_at_once() -> None:
    async with listening(answering(OK)) as hostile:
        sender = HttpSender(settings(hostile.url(), concurrency=4), FixedClock())
        for _ in range(20):
            outcomes = await asyncio.gather(*(sender.send(claim(), 1) for _ in range(8)))
            assert {outcome.kind for outcome in outcomes} == {OutcomeKind.SUCCESS}
        await sender.close()
    assert hostile.connections <= 5


async def test_who_talks_before_being_asked_does_not_speak_http() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        writer.write_eof()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    sender = HttpSender(settings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), FixedClock())
    outcomes = [await asyncio.wait_for(sender.send(claim(), 1), 20) for _ in range(5)]
    await sender.close()
    server.close()
    # Where the words come just after the request they are an answer to it; never are they taken twice.
    said = [outcome.error for outcome in outcomes if outcome.kind is not OutcomeKind.SUCCESS]
    assert all(TALKED_FIRST in (error or "") for error in said), said


# -- floods ---------------------------------------------------------------------------------------

FLOODS = {
    "interim answers": (b"", CONTINUE * 300, "sent more than 16 interim answers (1xx)"),
    "large interim answers": (b"", b"HTTP/1.1 103 X\r\nA: " + b"x" * 8000 + b"\r\n\r\n", "a head of more than 64 KiB"),
    "line breaks": (b"", b"\r\n" * 4000, "a head of more than 64 KiB"),
    "a head": (LINE, b"X: y\r\n" * 1000, "a head of more than 64 KiB"),
    "one header": (LINE + b"X: ", b"y" * 8000, "a head of more than 64 KiB"),
    "a status line": (b"HTTP/1.1 200 ", b"O" * 8000, "a head of more than 64 KiB"),
    "chunk extensions": (LINE + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 8000, None),
    "chunks of one byte": (LINE + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1500, None),
    "trailers": (LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000, None),
    "a body": (LINE + b"\r\n", b"x" * 8000, None),
    "a packed body": (LINE + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08", b"\x00" * 8000, None),
    "what stands behind an answer": (OK, b"x" * 8000, None),
    "answers": (b"", OK * 300, None),
}
"""How it begins, what is then sent for ever, and what an attempt says of it; None: its status was known."""


def flooding(name: str) -> Callable[[Hostile, asyncio.StreamWriter], Awaitable[None]]:
    begun, again, _ = FLOODS[name]

    async def respond(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        while not hostile.stopped.is_set():
            writer.write(again)
            await writer.drain()
            hostile.sent += len(again)

    return respond


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_cut_by_what_it_sends_and_not_by_the_deadline(name: str) -> None:
    async with listening(flooding(name)) as hostile:
        outcome = await post(settings(hostile.url(), timeout_ms=60_000))
        await asyncio.wait(hostile.tasks, timeout=20)
        assert all(task.done() for task in hostile.tasks), "its connection is closed"
    assert hostile.sent < TAKEN_BYTES_MAX
    said = FLOODS[name][2]
    if said is None:
        assert (outcome.kind, outcome.status) == (OutcomeKind.SUCCESS, 200)
    else:
        assert (outcome.kind, outcome.status) == (OutcomeKind.RETRY, None)
        assert said in (outcome.error or "")


@pytest.mark.parametrize("name", FLOODS)
async def test_the_alert_hook_is_cut_alike(name: str) -> None:
    notice = Notice("n-1", "circuit", Status.RESOLVED, (Alert("circuit_closed", "crm", "why", 0, open_s=1.0),))
    made = claim(notice.body())
    async with listening(flooding(name)) as hostile:
        channel = ChannelSettings("url", "url", hostile.url(), timeout_ms=60_000, allow_private=True)
        hook = PostSender(channel, FixedClock())
        error = (await asyncio.wait_for(hook.send(made, 1), 20)).error
    assert hostile.sent < TAKEN_BYTES_MAX
    said = FLOODS[name][2]
    assert error is None if said is None else said in (error or "")


@pytest.mark.parametrize("name", FLOODS)
async def test_the_token_endpoint_is_cut_alike(name: str) -> None:
    async with listening(flooding(name)) as endpoint, listening(answering(OK)) as crm:
        outcome = await post(settings(crm.url(), auth=oauth(endpoint.url()), timeout_ms=60_000))
    assert endpoint.sent < TAKEN_BYTES_MAX
    assert crm.heads == []
    assert outcome.kind is OutcomeKind.RETRY
    assert (outcome.error or "").startswith("no token: ")
    assert (FLOODS[name][2] or "") in (outcome.error or "")


# -- reading a head -------------------------------------------------------------------------------


def heads() -> list[tuple[bytes, Any]]:
    return [
        (b"", None),
        (b"HTT", None),
        (LINE, None),
        (LINE + b"\r\nrest", Head(200, None, len(LINE) + 2, reusable=True)),
        (LINE + b"RETRY-after:  7 \r\n\r\n", Head(200, "7", len(LINE) + 20, reusable=True)),
        (NO_CONTENT + b"Content-Length: 0\r\n\r\n", Head(204, None, len(NO_CONTENT) + 21, reusable=True)),
        (NO_CONTENT + b"Content-Length: 1\r\n\r\n", Head(204, None, len(NO_CONTENT) + 21, reusable=False)),
        (b"XTTP", NotHttpError),
        (b"HTTP/1.1 2000 X\r\n", NotHttpError),
        (b"HTTP/1.1200 X\r\n", NotHttpError),
    ]


@pytest.mark.parametrize(("raw", "expected"), heads())
def test_a_head_is_read(raw: bytes, expected: Any) -> None:
    if expected is NotHttpError:
        with pytest.raises(NotHttpError):
            head_of(raw)
    else:
        assert head_of(raw) == expected


@pytest.mark.parametrize("raw", [raw for raw, expected in heads() if isinstance(expected, Head)])
def test_it_is_the_same_in_however_many_pieces_it_comes(raw: bytes) -> None:
    whole = head_of(raw)
    found = next(head for end in range(1, len(raw) + 1) if (head := head_of(raw[:end], searched=end - 1)))
    assert found == whole


def test_the_limits_leave_room_for_what_is_read_of_a_body() -> None:
    assert BODY_BYTES_MAX >= 2 * ANSWER_BYTES_READ


# -- one connection, without sockets --------------------------------------------------------------


class Handler:
    """The library's side of a connection."""

    should_close = False

    def __init__(self) -> None:
        self.fed: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.fed.append(data)

    def force_close(self) -> None:
        self.should_close = True


class Transport:
    """The socket's side of a connection."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


def connection() -> tuple[ResponseLimits, Any, Any]:
    handler, transport = Handler(), Transport()
    return ResponseLimits(handler, transport), handler, transport  # type: ignore[arg-type]


def progress() -> Progress:
    return Progress(URL("http://crm.example/"))


def test_a_head_is_handed_on_by_itself_so_that_what_stands_behind_it_cannot_spoil_it() -> None:
    limits, handler, _ = connection()
    limits.begin(progress())
    limits.data_received(CONTINUE + OK + b"garbage")
    assert handler.fed == [OK[:-2], b"okgarbage"]


@pytest.mark.parametrize("odd", [*TAKEN, *UNDECIDED])
def test_the_answer_is_the_same_in_whatever_pieces_it_comes(odd: str) -> None:
    raw = TAKEN.get(odd) or UNDECIDED[odd][0]

    def answered(*pieces: bytes) -> tuple[Any, ...]:
        limits, handler, _ = connection()
        asking = progress()
        limits.begin(asking)
        for piece in pieces:
            limits.data_received(piece)
        return asking.status, asking.retry_after, asking.fault, b"".join(handler.fed)

    whole = answered(raw)
    step = max(1, len(raw) // 200)
    for cut in range(1, len(raw), step):
        assert answered(raw[:cut], raw[cut:]) == whole, cut
    if len(raw) < 2_000:
        assert answered(*(bytes([byte]) for byte in raw)) == whole


def test_a_late_end_of_one_answer_is_not_the_end_of_the_next() -> None:
    limits, handler, transport = connection()
    first, second = progress(), progress()
    limits.begin(first)
    limits.data_received(OK)
    limits.begin(second)
    limits.end(first)
    limits.data_received(OK)
    assert (second.status, transport.aborted, len(handler.fed)) == (200, False, 4)


def test_what_was_not_asked_for_ends_the_connection() -> None:
    limits, handler, transport = connection()
    asking = progress()
    limits.begin(asking)
    limits.data_received(OK)
    limits.end(asking)
    limits.data_received(b"HTTP/1.1 2")
    assert transport.aborted
    assert not limits.begin(progress())
    assert b"".join(handler.fed) == OK


def test_a_connection_that_the_library_would_close_takes_no_other_request() -> None:
    limits, handler, _ = connection()
    handler.force_close()
    assert not limits.begin(progress())


@pytest.mark.parametrize("when", ["before the connection was counted", "after it"])
async def test_who_talks_first_is_refused_at_once(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the turns of the loop fall: a connection is handed out only after its peer has talked."""
    early = when.startswith("before")
    patched = aiohttp.TCPConnector if early else LimitedConnector
    original = patched._create_connection

    async def later(self: Any, *given: Any) -> Any:
        handler = await original(self, *given)
        while not (handler.should_close if early else handler.transport is None or handler.transport.is_closing()):
            await asyncio.sleep(0)
        return handler

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()

    monkeypatch.setattr(patched, "_create_connection", later)
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    outcome = await post(settings(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout_ms=60_000))
    server.close()
    assert outcome.kind is OutcomeKind.RETRY
    assert TALKED_FIRST in (outcome.error or "")


def test_there_is_one_way_to_call_anybody() -> None:
    """A session that is made elsewhere, or a request that goes out by another way, would have no limits."""
    folder = Path(longstop.__file__).parent
    words = ("ClientSession(", "TCPConnector(", ".post(", ".request(", "urlopen", "http.client", "httpx")
    # What it asks of the identity provider has a time and a number of bytes of its own (test_oidc.py).
    allowed = {"senders/connection.py", "senders/response_limits.py", "identity/oidc.py"}
    # The show and the command line play the sender, and the client the operator, against the gateway itself. The API's
    # routes take requests, and make none.
    ours = ("demo/", "edges/cli/send.py", "testing/", "client/", "edges/operators/api/")
    found = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if any(word in file.read_text() for word in words)
    }
    assert {name for name in found if not name.startswith(ours)} <= allowed
