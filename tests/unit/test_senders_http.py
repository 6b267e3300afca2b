"""The HTTP sender against a real server on loopback that misbehaves in every way a destination can."""

import asyncio
import re
import socket
import struct
from typing import Any

import pytest
from hostile import DELIVERY_ID, EVENT_ID, OK, FixedClock, Hostile, answering, claim, listening, post, settings, silent

from longstop.model.delivery import Outcome, OutcomeKind
from longstop.model.errors import ConfigurationError
from longstop.model.settings import DestinationSettings
from longstop.senders.http import ANSWER_BYTES_READ, HttpSender


async def answered(raw: bytes, **given: Any) -> Outcome:
    async with listening(answering(raw)) as hostile:
        return await post(settings(hostile.url(), **given))


# -- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256)) * 3, b"\xff\x00" * 700_000])
async def test_the_body_arrives_exactly_as_it_was_sent(body: bytes) -> None:
    async with listening(answering(OK)) as hostile:
        outcome = await post(settings(hostile.url()), claim(body))
    assert outcome == Outcome(OutcomeKind.SUCCESS, status=200, answer=b"ok")
    assert hostile.bodies == [body]
    assert hostile.headers("content-length") == [str(len(body))]
    assert hostile.headers("transfer-encoding") == []


async def test_every_request_says_what_it_carries() -> None:
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), attempt=3)
    assert hostile.heads[0][0] == "POST /events HTTP/1.1"
    assert hostile.headers("webhook-id") == [EVENT_ID]
    assert hostile.headers("webhook-timestamp") == ["1700000000"]
    assert hostile.headers("idempotency-key") == [DELIVERY_ID]
    assert hostile.headers("longstop-attempt") == ["3"]
    assert hostile.headers("longstop-source") == ["genesys"]
    assert re.fullmatch(r"longstop/\S+", hostile.headers("user-agent")[0])
    assert hostile.headers("host") == [f"127.0.0.1:{hostile.port}"]


async def test_the_idempotency_key_is_the_same_in_every_attempt() -> None:
    async with listening(answering(OK)) as hostile:
        sender = HttpSender(settings(hostile.url()), FixedClock())
        for attempt in (1, 2, 9):
            await sender.send(claim(), attempt)
        await sender.close()
    assert [hostile.headers("idempotency-key", n) for n in range(3)] == [[DELIVERY_ID]] * 3
    assert hostile.connections == 1, "an answer read to its end leaves its connection to the next delivery"


@pytest.mark.parametrize(
    "sent", ["application/json", "text/XML; Charset=ISO-8859-1", 'multipart/form-data; boundary="a b"', "nonsense", ""]
)
async def test_the_content_type_is_the_original_one(sent: str) -> None:
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), claim(headers=[("content-TYPE", sent)]))
    assert [value.strip() for value in hostile.headers("content-type")] == [sent]


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 2_000_000])
async def test_no_content_type_is_made_up(body: bytes) -> None:
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), claim(body, headers=[]))
    assert hostile.headers("content-type") == []


async def test_the_bytes_of_a_content_type_that_is_not_ascii_are_kept() -> None:
    sent = "text/plain; name=café".encode().decode("latin-1")
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), claim(headers=[("Content-Type", sent)]))
    assert hostile.headers("content-type") == [sent]


@pytest.mark.parametrize(
    "hostile_value",
    ["a/b\r\nX-Admin: 1", "a/b\nX-Admin: 1", "a/b\rX", "a/b\x00", "a/b\x7f", "a/\udc80", "a/\xff"],
)
async def test_a_content_type_that_would_break_the_request_is_left_out(hostile_value: str) -> None:
    async with listening(answering(OK)) as hostile:
        outcome = await post(settings(hostile.url()), claim(headers=[("Content-Type", hostile_value)]))
    assert outcome.kind is OutcomeKind.SUCCESS
    assert hostile.headers("content-type") == []
    assert hostile.headers("x-admin") == []


async def test_a_source_name_that_would_break_the_request_is_left_out() -> None:
    async with listening(answering(OK)) as hostile:
        outcome = await post(settings(hostile.url()), claim(source="a\r\nX-Admin: 1"))
    assert outcome.kind is OutcomeKind.SUCCESS
    assert (hostile.headers("longstop-source"), hostile.headers("x-admin")) == ([], [])


async def test_a_compressed_body_goes_out_compressed_and_says_so() -> None:
    gzipped = b"\x1f\x8b\x08\x00not really"
    encodings = [("Content-Encoding", "gzip"), ("content-encoding", "br")]
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), claim(gzipped, headers=encodings))
    assert hostile.bodies == [gzipped]
    assert hostile.headers("content-encoding") == ["gzip, br"]


async def test_only_the_content_headers_of_the_event_are_passed_on() -> None:
    received = [("Authorization", "Bearer of the sender"), ("Cookie", "a=b"), ("X-Hub-Signature-256", "sha256=x")]
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url()), claim(headers=received))
    assert [hostile.headers(name) for name, _ in received] == [[], [], []]


async def test_configured_headers_are_sent_and_take_the_place_of_the_defaults() -> None:
    configured = (("X-Key", "one"), ("X-Key", "two"), ("user-agent", "mine"), ("Content-Type", "a/b"))
    async with listening(answering(OK)) as hostile:
        await post(settings(hostile.url(), headers=configured))
    assert hostile.headers("x-key") == ["one", "two"]
    assert hostile.headers("user-agent") == ["mine"]
    assert hostile.headers("content-type") == ["a/b"]


# -- what the answer means ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, OutcomeKind.SUCCESS),
        (202, OutcomeKind.SUCCESS),
        (204, OutcomeKind.SUCCESS),
        (299, OutcomeKind.SUCCESS),
        (304, OutcomeKind.RETRY),
        (400, OutcomeKind.REJECT),
        (401, OutcomeKind.REJECT),
        (404, OutcomeKind.REJECT),
        (408, OutcomeKind.RETRY),
        (410, OutcomeKind.REJECT),
        (425, OutcomeKind.RETRY),
        (429, OutcomeKind.RETRY),
        (500, OutcomeKind.RETRY),
        (503, OutcomeKind.RETRY),
        (999, OutcomeKind.RETRY),
    ],
)
async def test_the_status_decides(status: int, kind: OutcomeKind) -> None:
    outcome = await answered(b"HTTP/1.1 %d Word\r\nContent-Length: 0\r\n\r\n" % status)
    assert (outcome.kind, outcome.status) == (kind, status)
    assert outcome.error == (None if kind is OutcomeKind.SUCCESS else f"HTTP {status}")


async def test_the_destination_s_own_list_of_retried_statuses_is_used() -> None:
    raw = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    assert (await answered(raw, retried_statuses=frozenset({404}))).kind is OutcomeKind.RETRY


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"120", 120.0),
        (b"0", 0.0),
        (b"31536000", 31_536_000.0),
        (b"Tue, 14 Nov 2023 22:14:20 GMT", 59.001),
        (b"Tue, 14 Nov 2023 22:13:20 GMT", None),
        (b"-5", None),
        (b"soon", None),
        (b"1e9", None),
        (b"Fri, 31 Dec 9999 23:59:59 -0000", 251_702_300_798.001),
        (b"9" * 4000, None),
    ],
)
async def test_retry_after_is_read(header: bytes, seconds: float | None) -> None:
    outcome = await answered(b"HTTP/1.1 503 X\r\nRetry-After: " + header + b"\r\nContent-Length: 0\r\n\r\n")
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.retry_after_s == (None if seconds is None else pytest.approx(seconds, abs=0.01))


async def test_the_first_two_kibibytes_of_the_answer_are_kept() -> None:
    body = bytes(range(256)) * 12
    outcome = await answered(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert outcome.answer == body[:2048]


async def test_a_compressed_answer_is_not_unpacked() -> None:
    bomb = b"\x1f\x8b\x08\x00 as it came"
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    assert (await answered(head % len(bomb) + bomb)).answer == bomb


# -- answers that never end, break or lie ---------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(b"200 OK", OutcomeKind.SUCCESS), (b"500 X", OutcomeKind.RETRY), (b"404 X", OutcomeKind.REJECT)],
)
async def test_an_endless_answer_is_cut_and_judged_by_its_status(status: bytes, kind: OutcomeKind) -> None:
    async def endless(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        await hostile.flood(writer)

    async with listening(endless) as hostile:
        outcome = await post(settings(hostile.url()))
    assert (outcome.kind, outcome.answer) == (kind, b"x" * 2048)
    # What the sockets' buffers hold comes on top; what matters is that it ended, long before any deadline.
    assert ANSWER_BYTES_READ <= hostile.sent + 8192 < 32 * 1024 * 1024


@pytest.mark.parametrize("begun", [b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nX-Slow: "])
async def test_a_dripping_head_is_cut_at_the_deadline(begun: bytes) -> None:
    async def dripping(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await hostile.drip(writer)

    async with listening(dripping) as hostile:
        # The limit of a header line would end it too, but only after 80 s of dripping.
        outcome = await post(settings(hostile.url(), timeout_ms=500))
    error = f"timed out after 0.5 s while waiting for the answer (127.0.0.1:{hostile.port})"
    assert outcome == Outcome(OutcomeKind.RETRY, error=error)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(b"200 OK", OutcomeKind.SUCCESS, None), (b"503 X", OutcomeKind.RETRY, "HTTP 503")],
)
async def test_a_dripping_body_is_cut_at_the_deadline_and_the_status_stands(
    status: bytes, kind: OutcomeKind, error: str | None
) -> None:
    async def dripping(hostile: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + status + b"\r\nRetry-After: 7\r\nContent-Length: 100000\r\n\r\nbegun ")
        await hostile.drip(writer)

    async with listening(dripping) as hostile:
        outcome = await post(settings(hostile.url(), timeout_ms=500))
    assert (outcome.kind, outcome.error, outcome.retry_after_s) == (kind, error, 7.0)
    assert outcome.answer.startswith(b"begun ")


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_reset_in_the_body_leaves_the_status_standing(status: int, framing: bytes) -> None:
    async def reset(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\n%s\r\n\r\n5\r\nhello\r\n" % (status, framing))
        await writer.drain()
        # With no time to linger, closing sends a reset instead of a tidy end.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with listening(reset) as hostile:
        outcome = await post(settings(hostile.url()))
    assert outcome.status == status
    assert outcome.kind is (OutcomeKind.SUCCESS if status == 200 else OutcomeKind.RETRY)


# -- connections that fail ------------------------------------------------------------------------


async def test_a_destination_that_says_nothing_is_timed_out() -> None:
    async with listening(silent) as hostile:
        outcome = await post(settings(hostile.url(), timeout_ms=500))
    assert outcome == Outcome(
        OutcomeKind.RETRY,
        error=f"timed out after 0.5 s while waiting for the answer (127.0.0.1:{hostile.port})",
    )


async def test_a_tls_handshake_that_never_comes_is_timed_out_as_connecting() -> None:
    async with listening(silent) as hostile:
        outcome = await post(settings(hostile.url(scheme="https"), timeout_ms=500))
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == f"timed out after 0.5 s while connecting (127.0.0.1:{hostile.port})"


async def test_a_refused_connection_is_a_retry() -> None:
    async with listening(silent) as gone:
        pass
    outcome = await post(settings(gone.url()))
    assert outcome == Outcome(
        OutcomeKind.RETRY, error=f"connecting to 127.0.0.1:{gone.port} failed: Connection refused"
    )


async def test_a_connection_closed_without_an_answer_is_a_retry_and_not_tried_twice() -> None:
    async def hang_up(_: Hostile, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(hang_up) as hostile:
        outcome = await post(settings(hostile.url()))
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == f"127.0.0.1:{hostile.port} closed the connection without an answer"
    assert hostile.connections == 1


async def test_a_plain_server_behind_an_https_url_is_a_retry() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await post(settings(f"https://127.0.0.1:{port}/"))
    server.close()
    assert outcome.kind is OutcomeKind.RETRY
    assert (outcome.error or "").startswith(f"TLS with 127.0.0.1:{port} failed: ")


async def test_a_name_that_cannot_be_resolved_is_a_retry() -> None:
    # A label of 64 letters: no resolver is asked, and none would know it.
    outcome = await post(settings(f"http://{'a' * 64}.invalid/"))
    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error


async def test_an_error_names_no_secret_of_the_url() -> None:
    async with listening(silent) as gone:
        pass
    urls = [gone.url("user:hunter2@127.0.0.1") + "?token=hunter2", f"http://u:hunter2@{'a' * 64}.invalid/hunter2"]
    for url in urls:
        outcome = await post(settings(url, headers=(("X-Key", "hunter2"),)))
        assert outcome.error
        assert "hunter2" not in outcome.error
    async with listening(answering(b"nonsense\r\n\r\n")) as hostile:
        outcome = await post(settings(hostile.url("u:hunter2@127.0.0.1") + "?t=hunter2"))
    assert "hunter2" not in (outcome.error or "")


async def test_a_cancelled_send_is_cancelled() -> None:
    arrived = asyncio.Event()

    async def arriving(hostile: Hostile, _: asyncio.StreamWriter) -> None:
        arrived.set()
        await hostile.stopped.wait()

    async with listening(arriving) as hostile:
        sender = HttpSender(settings(hostile.url()), FixedClock())
        sending = asyncio.create_task(sender.send(claim(), 1))
        await arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await sender.close()


async def test_closing_twice_or_before_the_first_delivery_is_nothing() -> None:
    sender = HttpSender(settings("http://127.0.0.1:9/"), FixedClock())
    await sender.close()
    await sender.close()


# -- where it does not go -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with listening(answering(OK)) as elsewhere:
        location = elsewhere.url().encode()
        raw = b"HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, location)
        outcome = await answered(raw)
    assert (outcome.kind, outcome.status) == (OutcomeKind.RETRY, status)
    assert elsewhere.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answering(OK)) as proxy, listening(answering(OK)) as hostile:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outcome = await post(settings(hostile.url()))
    assert outcome.kind is OutcomeKind.SUCCESS
    assert (proxy.connections, hostile.connections) == (0, 1)


async def test_a_cookie_is_not_kept() -> None:
    raw = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with listening(answering(raw)) as hostile:
        # By name: a library's jar keeps no cookies for bare addresses anyhow.
        sender = HttpSender(settings(hostile.url("localhost")), FixedClock())
        await sender.send(claim(), 1)
        await sender.send(claim(), 2)
        await sender.close()
    assert len(hostile.heads) == 2
    assert hostile.headers("cookie") == []


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", {"127.0.0.1"}),
        ("localhost", {"127.0.0.1", "::1"}),
        ("0x7f000001", {"127.0.0.1"}),
        ("0.0.0.0", {"0.0.0.0"}),
        ("[::ffff:127.0.0.1]", {"::ffff:127.0.0.1", "::ffff:7f00:1"}),
    ],
)
async def test_a_private_address_is_not_dialled_however_it_is_written(host: str, addresses: set[str]) -> None:
    async with listening(answering(OK)) as hostile:
        outcome = await post(settings(hostile.url(host), allow_private=False))
    assert (outcome.kind, outcome.status) == (OutcomeKind.RETRY, None)
    assert hostile.connections == 0
    said = re.fullmatch(
        r"address (\S+) of host (\S+) is private; set allow_private = true on destination crm "
        r"if it is meant to be reached",
        outcome.error or "",
    )
    assert said, outcome.error
    assert said[1] in addresses


# -- settings that cannot be sent -----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://h/",
        "h:80/x",
        "/x",
        "http://",
        "http://h:99999999/",
        "http://[::1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        None,
    ],
)
def test_a_url_that_cannot_be_posted_to_is_refused_without_being_shown(url: str | None) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(DestinationSettings(name="crm", url=url), FixedClock())
    (problem,) = refused.value.problems
    assert problem.startswith("destinations.crm.url: ")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("X-Key", "hunter2\r\nX-Admin: 1", "control character"),
        ("X Key", "hunter2", "not a header name"),
        ("", "hunter2", "not a header name"),
        ("Webhook-Id", "hunter2", "set by Longstop"),
        ("transfer-encoding", "chunked", "set by Longstop"),
        ("Authorization", "Bearer hunter2", "given twice"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_by_name(name: str, value: str, said: str) -> None:
    given = settings("http://user:hunter2@h/", headers=(("X-Fine", "yes"), (name, value)))
    with pytest.raises(ConfigurationError) as refused:
        HttpSender(given, FixedClock())
    (problem,) = refused.value.problems
    assert problem.startswith(f"destinations.crm.headers: {name!r} ")
    assert said in problem
    assert "hunter2" not in problem
