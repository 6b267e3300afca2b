"""The senders' connection: requests in order, bodies in pieces, and what is said when something is wrong in between."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs
from test_http_server import BODY, PATIENCE_S, POST, SIGNED, Client, Served, served
from test_ingest import SHOP

from longstop.edges.senders_http import body_limits, connection
from longstop.model.signing import sign

__all__ = ["served"]

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
HEAD = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%s\r\n" % SIGNED
SIZED = HEAD + b"content-length: %d\r\n" % len(BODY)


async def is_closed(client: Client) -> bool:
    return await asyncio.wait_for(client.closed(), PATIENCE_S)


async def test_what_is_answered_by_its_head_alone_waits_for_its_turn(served: Served) -> None:
    go_on = served.gate.store.stall("append")
    client = await served.connect()
    client.write(POST + HEALTH + b"POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}" + POST)
    await called(served)
    go_on.set()
    said = [await client.answer() for _ in range(4)]
    assert [status for status, _, _ in said] == [200, 200, 404, 200]
    assert [json.loads(body).get("status") for _, _, body in said] == ["accepted", "ok", 404, "duplicate"]
    client.close()


async def called(served: Served) -> None:
    """Returns when the store was asked to keep something."""
    async with asyncio.timeout(PATIENCE_S):
        while "append" not in served.gate.store.calls:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_may_come_in_pieces(served: Served, chunked: bool) -> None:
    client = await served.connect()
    client.write(HEAD + b"transfer-encoding: chunked\r\n\r\n" if chunked else SIZED + b"\r\n")
    for byte in BODY:
        client.write(b"1\r\n%c\r\n" % byte if chunked else b"%c" % byte)
        await asyncio.sleep(0)
    client.write(b"0\r\n\r\n" if chunked else b"")
    status, _, answer = await client.answer()
    assert (status, json.loads(answer)["status"]) == (200, "accepted")
    assert (await served.gate.store.event(json.loads(answer)["id"])).event.body == BODY
    assert (served.app.bodies.held, len(served.app.bodies)) == (0, 0)
    client.close()


async def test_a_sender_that_leaves_in_its_body_leaves_nothing_held(served: Served) -> None:
    client = await served.connect()
    client.write(SIZED + b"\r\n" + BODY[:-1])
    async with asyncio.timeout(PATIENCE_S):
        while not served.app.bodies.held:
            await asyncio.sleep(0.001)
        client.close()
        while served.app.bodies.held or len(served.app.bodies):
            await asyncio.sleep(0.001)
    assert "append" not in served.gate.store.calls


async def test_too_much_of_unfinished_bodies_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limits, "UNFINISHED_BYTES_MAX", len(BODY) - 2)
    client = await served.connect()
    client.write(SIZED + b"\r\n" + BODY[:-4])
    async with asyncio.timeout(PATIENCE_S):
        while not served.app.bodies.held:
            await asyncio.sleep(0.001)
    client.write(BODY[-4:-1])
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (503, "close")
    assert int(headers["retry-after"]) > 0
    assert served.app.bodies.held == 0


async def test_a_sender_that_waits_to_be_asked_for_its_body_is_asked(served: Served) -> None:
    client = await served.connect()
    client.write(SIZED + b"expect: 100-continue\r\n\r\n")
    assert (await client.answer())[0] == 100
    client.write(BODY)
    assert (await client.answer())[0] == 200
    client.write(b"POST /nowhere HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert (await client.answer())[0] == 404
    client.close()


@pytest.mark.parametrize(
    "request_", [POST.replace(b"HTTP/1.1", b"HTTP/1.0"), POST.replace(b"host: h", b"host: h\r\nconnection: close")]
)
async def test_who_wants_no_more_is_closed_after_the_answer(served: Served, request_: bytes) -> None:
    client = await served.connect()
    client.write(request_ + POST)
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await is_closed(client)
    assert served.gate.store.calls["append"] == 1


async def test_what_follows_a_refused_body_is_not_served(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.gate.ingest.source("shop"), "max_body_bytes", 4)
    signed = "".join(f"{name}: {value}\r\n" for name, value in sign(SHOP, b"{}")).encode()
    small = b"POST /webhooks/shop HTTP/1.1\r\nhost: h\r\n%scontent-length: 2\r\n\r\n{}" % signed
    client = await served.connect()
    client.write(HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\n%b\r\n0\r\n\r\n" % BODY + small)
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (413, "close")
    await served.server.stop()
    assert "append" not in served.gate.store.calls
    client.close()


async def test_to_a_head_request_only_the_head_is_said(served: Served) -> None:
    client = await served.connect()
    client.write(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
    head = await asyncio.wait_for(client._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 15\r\n" in head
    following = await asyncio.wait_for(client._reader.readexactly(8), PATIENCE_S)
    assert following == b"HTTP/1.1"
    client.close()


@pytest.mark.parametrize(("rest", "said"), [(b"nonsense\r\n\r\n", 400), (b"POST /webhooks/shop HTTP/1.1\r\nx", 408)])
async def test_what_cannot_be_read_is_refused_after_what_came_before_it(
    served: Served, monkeypatch: pytest.MonkeyPatch, rest: bytes, said: int
) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.05)
    go_on = served.gate.store.stall("append")
    client = await served.connect()
    client.write(POST + rest)
    await called(served)
    go_on.set()
    assert (await client.answer())[0] == 200
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (said, "close")
    assert await is_closed(client)


@pytest.mark.parametrize("step", ["begin", "finish"])
async def test_a_fault_of_ours_is_500_and_not_the_sender_s(
    served: Served, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(served.app, step, fail)
    client = await served.connect()
    client.write(POST)
    assert (await client.answer())[0] == 500
    monkeypatch.undo()
    client.write(POST)
    assert (await client.answer())[0] == 200
    client.close()


@pytest.mark.parametrize("step", ["on_header", "on_body", "_head_came", "_request_came", "_take"])
async def test_so_is_one_in_the_connection_itself(served: Served, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    right = getattr(connection.Connection, step)

    def fail_once(self: connection.Connection, *given: object) -> None:
        monkeypatch.setattr(connection.Connection, step, right)
        raise ZeroDivisionError

    monkeypatch.setattr(connection.Connection, step, fail_once)
    client = await served.connect()
    with capture_logs() as logged:
        client.write(POST)
        status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (500, "close")
    assert [(each["event"], type(each["exc_info"])) for each in logged] == [("request_failed", ZeroDivisionError)]
    client.close()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"nonsense\r\n\r\n", ("unreadable", 400)),
        (HEAD.replace(b"host: h\r\n", b"") + b"\r\n", ("unreadable", 400)),
        (HEAD + b"transfer-encoding: gzip\r\n\r\n", ("unreadable", 501)),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 200_000, ("refused", 431)),
    ],
)
async def test_what_is_refused_here_is_told_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, raw: bytes, told: tuple[str, int]
) -> None:
    heard: list[tuple[str, int]] = []
    monkeypatch.setattr(served.app, "unreadable", lambda status: heard.append(("unreadable", status)))
    monkeypatch.setattr(served.app, "refused", lambda _, error: heard.append(("refused", error.status)))
    client = await served.connect()
    client.write(raw)
    assert (await client.answer())[0] == told[1]
    assert heard == [told]
    client.close()


async def test_an_idle_connection_is_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.05)
    client = await served.connect()
    client.write(POST)
    assert (await client.answer())[0] == 200
    assert await is_closed(client)


async def test_one_that_was_idle_for_less_is_kept(served: Served) -> None:
    client = await served.connect()
    client.write(HEALTH)
    assert (await client.answer())[0] == 200
    (kept,) = served.server._connections
    kept._close_idle()
    client.write(HEALTH)
    assert (await client.answer())[0] == 200
    client.close()


async def test_a_stop_closes_who_is_idle_and_waits_for_who_is_not(served: Served) -> None:
    go_on = served.gate.store.stall("append")
    idle, busy = await served.connect(), await served.connect()
    idle.write(HEALTH)
    assert (await idle.answer())[0] == 200
    busy.write(POST)
    await called(served)
    stopping = asyncio.create_task(served.server.stop())
    assert await is_closed(idle)
    assert not stopping.done()
    go_on.set()
    status, headers, _ = await busy.answer()
    assert (status, headers["connection"]) == (200, "close")
    await asyncio.wait_for(stopping, PATIENCE_S)


async def test_a_stop_waits_a_moment_for_who_has_just_connected(served: Served) -> None:
    new, silent = await served.connect(), await served.connect()
    new.write(HEALTH[:4])
    client = await served.connect()
    client.write(HEALTH)
    assert (await client.answer())[0] == 200, "all three are known to the server by now"
    for each in served.server._connections:
        # As long as the test takes, on a machine however slow.
        each.idle_since_s += PATIENCE_S
    stopping = asyncio.create_task(served.server.stop())
    assert await is_closed(client), "it has been served, and comes again elsewhere"
    new.write(HEALTH[4:])
    status, headers, _ = await new.answer()
    assert (status, headers["connection"]) == (200, "close")
    silent.write(POST)
    assert (await silent.answer())[0] == 200
    await asyncio.wait_for(stopping, PATIENCE_S)


async def test_a_stop_waits_no_longer_than_that_for_who_says_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "NEW_WITHIN_S", 0.05)
    silent, client = await served.connect(), await served.connect()
    client.write(HEALTH)
    assert (await client.answer())[0] == 200
    await asyncio.wait_for(served.server.stop(), PATIENCE_S)
    assert await is_closed(silent)


async def test_who_drains_takes_every_request_and_sends_their_senders_elsewhere(served: Served) -> None:
    kept, asking = await served.connect(), await served.connect()
    kept.write(POST)
    status, headers, _ = await kept.answer()
    assert (status, headers.get("connection")) == (200, None)
    served.server.drain()
    kept.write(POST + POST)
    answers = [await kept.answer(), await kept.answer()]
    assert [(status, headers.get("connection")) for status, headers, _ in answers] == [(200, None), (200, "close")]
    assert await is_closed(kept)
    asking.write(HEALTH)
    status, headers, body = await asking.answer()
    assert (status, headers["connection"], body) == (503, "close", b'{"status":"stopping"}')
