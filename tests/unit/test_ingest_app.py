"""The app that senders post to, called as a server would call it: paths, limits, and every answer's shape."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_ingest import SHOP, Gate

from longstop.edges.senders_http.app import HEADER_BYTES_MAX, HEADERS_MAX, IngestApp
from longstop.group_commit import GroupCommit
from longstop.model.signing import sign
from longstop.sources import build
from longstop.stores.sqlite import SqliteStore
from longstop.testing.clock import run

GOOD = b'{"id": 1}'
LIMIT = 64


class Call:
    """One request, and what came back."""

    def __init__(self, answer: list[dict[str, Any]], reads: int) -> None:
        self.messages = answer
        self.reads = reads
        """How often the app asked for more of the body."""
        self.status = answer[0]["status"] if answer else None
        self.headers = {name.decode(): value.decode() for name, value in answer[0]["headers"]} if answer else {}
        self.body = json.loads(answer[1]["body"]) if answer else None


async def ask(
    app: Callable[..., Any], path: str, body: bytes = b"", chunks: list[dict[str, Any]] | None = None, **scope: Any
) -> Call:
    """Call the app; `chunks` are raw messages of the body, `scope` goes over what a plain signed POST has."""
    base = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    signed = [(name.lower().encode(), value.encode()) for name, value in sign(SHOP, body)]
    plain = {"type": "http", "method": "POST", "path": path, "headers": base + signed, "http_version": "1.1"}
    queue = list(chunks if chunks is not None else [{"type": "http.request", "body": body}])
    reads = len(queue)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        assert queue, "the app asks for more than there is"
        return queue.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(plain | scope, receive, send)
    return Call(sent, reads - len(queue))


def called(
    path: str, body: bytes = GOOD, gate: Gate | None = None, app: dict[str, Any] | None = None, **more: Any
) -> Call:
    """The same in a loop of its own, on a gateway of its own."""

    async def once() -> Call:
        return await ask(IngestApp((gate or Gate()).ingest, **(app or {})), path, body, **more)

    return run(once)


# -- paths --------------------------------------------------------------------------------------------

MOUNTED = {"prefix": "", "health": False}


@pytest.mark.parametrize(
    ("app", "root", "path", "status"),
    [
        ({}, "", "/webhooks/shop", 200),
        ({}, "", "/webhooks/shop/", 200),
        ({}, "", "/webhooks", 404),
        ({}, "", "/webhooks/", 404),
        ({}, "", "/webhooks/shop/more", 404),
        ({}, "", "/webhooks//shop", 404),
        ({}, "", "/webhooksx/shop", 404),
        ({}, "", "/shop", 404),
        ({}, "", "/", 404),
        ({}, "", "/webhooks/unknown", 401),
        ({}, "", "/webhooks/..", 401),
        # Behind a proxy that strips a prefix, and behind one that does not.
        ({}, "/api", "/api/webhooks/shop", 200),
        ({}, "/api", "/webhooks/shop", 200),
        # Mounted in an application: Starlette since 0.33 leaves the mount point in `path`, older ones took it out.
        (MOUNTED, "/webhooks", "/webhooks/shop", 200),
        (MOUNTED, "/webhooks", "/shop", 200),
        (MOUNTED, "/api/webhooks", "/api/webhooks/shop", 200),
        (MOUNTED, "/webhooks", "/webhooks/", 404),
        (MOUNTED, "", "/shop", 200),
        (MOUNTED, "", "/healthz", 401),
    ],
)
def test_paths(app: dict[str, Any], root: str, path: str, status: int) -> None:
    assert called(path, app=app, root_path=root).status == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post"])
def test_only_post_is_taken(method: str) -> None:
    call = called("/webhooks/shop", method=method)
    assert (call.status, call.headers["allow"], call.reads) == (405, "POST", 0)
    assert call.body == {"type": "about:blank", "title": "Method not allowed", "status": 405}


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405)])
def test_healthz(method: str, status: int) -> None:
    call = called("/healthz", method=method, headers=[])
    assert call.status == status
    assert call.body == {"status": "ok"} if status == 200 else call.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("starts", [True, False], ids=["starting", "stopping"])
async def test_a_balancer_that_is_told_to_send_elsewhere_is_not_counted_as_refused(
    starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, refused = Gate(), list[object]()
    app = IngestApp(gate.ingest)
    monkeypatch.setattr(gate.ingest, "refused", lambda *told, **_: refused.append(told))
    gate.ingest.accepting, app.is_stopping = not starts, not starts
    call = await ask(app, "/healthz", method="GET", headers=[])
    assert (call.status, call.body["status"]) == (503, "starting" if starts else "stopping")
    assert refused == []
    await ask(app, "/healthy", method="GET", headers=[])
    assert len(refused) == 1


def test_only_http_is_served() -> None:
    with pytest.raises(RuntimeError, match="serves http only, not websocket"):
        called("/webhooks/shop", type="websocket")


# -- answers ------------------------------------------------------------------------------------------


def test_accepted_and_duplicate() -> None:
    async def twice() -> list[Call]:
        app = IngestApp(Gate().ingest)
        return [await ask(app, "/webhooks/shop", GOOD) for _ in range(2)]

    first, second = run(twice)
    assert (first.status, first.headers["content-type"]) == (200, "application/json")
    assert first.headers["content-length"] == str(len(first.messages[1]["body"]))
    assert first.body == {"status": "accepted", "id": first.body["id"]}
    assert second.body == {"status": "duplicate", "id": first.body["id"]}


def test_quarantine_gives_the_id_and_the_reason() -> None:
    call = called("/webhooks/shop", b"{")
    assert (call.status, call.headers["content-type"]) == (400, "application/problem+json")
    assert set(call.body) == {"type", "title", "status", "detail", "id"}
    assert (call.body["type"], call.body["title"], call.body["status"]) == ("about:blank", "Unreadable", 400)


def test_an_unknown_source_is_answered_as_a_wrong_signature_byte_for_byte() -> None:
    wrong = [(b"content-length", b"9"), (b"x-signature", b"00" * 32)]
    known, unknown = (called(f"/webhooks/{name}", headers=wrong) for name in ("shop", "unknown"))
    assert known.messages == unknown.messages
    assert (known.status, known.body["title"]) == (401, "Not verified")


def test_unavailable_says_when_to_come_back() -> None:
    gate = Gate()
    gate.store.fail("append")
    call = called("/webhooks/shop", gate=gate)
    assert (call.status, call.headers["retry-after"], call.body["title"]) == (503, "1", "Not accepting now")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "\\ud800", "type": "\\udfff", "conversation": "\\ud800"}',
        b'{"id": "a\\u0000b", "type": "\\u0000"}',
        b'{"id": 1e999, "type": -0.0}',
        b'{"id": 12345678901234567890123, "type": 99999999999999999999}',
        b'{"id": "1", "id": "2"}',
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe",
        b"",
        b"null",
        b'{"id": NaN}',
    ],
)
def test_no_body_breaks_it(body: bytes, tmp_path: Path) -> None:
    async def posted() -> Call:
        gate = Gate()
        store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
        await store.open()
        gate.ingest._appends = GroupCommit(store.append)
        call = await ask(IngestApp(gate.ingest), "/webhooks/shop", body)
        kept = await store.event(call.body["id"])
        assert kept is not None
        assert kept.event.body == body
        await store.close()
        return call

    assert run(posted).status in (200, 400)


# -- limits -------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Gate:
    """A gateway whose source takes LIMIT bytes."""
    gate = Gate()
    gate.ingest._sources = {"shop": build(replace(SHOP, max_body_bytes=LIMIT))}
    return gate


def of_size(size: int) -> bytes:
    return b'{"id": 1}'.ljust(size)


def test_a_body_at_the_limit_is_taken(small: Gate) -> None:
    assert called("/webhooks/shop", of_size(LIMIT), small).status == 200


def test_a_body_that_says_it_is_over_the_limit_is_refused_before_it_is_read(small: Gate) -> None:
    call = called("/webhooks/shop", of_size(LIMIT + 1), small)
    assert (call.status, call.reads, call.headers["connection"]) == (413, 0, "close")
    assert call.body["detail"] == f"the body is over this source's limit of {LIMIT} bytes"


def test_a_body_in_chunks_is_counted_and_cut_at_the_limit(small: Gate) -> None:
    chunked = [(b"transfer-encoding", b"chunked")]
    chunks = [{"type": "http.request", "body": b"x" * 20, "more_body": True} for _ in range(100)]
    call = called("/webhooks/shop", b"", small, chunks=chunks, headers=chunked)
    assert (call.status, call.reads) == (413, 4)


@pytest.mark.parametrize("came", [b"", GOOD[:-1], GOOD + b" "])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_what_is_not_what_was_announced_is_neither_accepted_nor_judged(came: bytes, in_pieces: bool) -> None:
    """A server that loses a body, or a part of it: 503, because a retry can save it. 400 would be final, 200 a lie."""
    gate = Gate()
    announced = [(b"content-length", b"%d" % len(GOOD)), (b"x-signature", sign(SHOP, came)[0][1].encode())]
    chunks = [{"type": "http.request", "body": came, "more_body": in_pieces}]
    chunks += [{"type": "http.request"}] * in_pieces
    call = called("/webhooks/shop", gate=gate, chunks=chunks, headers=announced)
    assert (call.status, call.headers["retry-after"], "append" in gate.store.calls) == (503, "5", False)
    assert call.body["detail"] == f"{len(came)} bytes of the body came, and 9 were announced; send it again"


def test_chunks_are_one_body() -> None:
    chunks = [{"type": "http.request", "body": bytes([each]), "more_body": True} for each in GOOD]
    chunked = [(b"transfer-encoding", b"chunked"), (b"x-signature", sign(SHOP, GOOD)[0][1].encode())]
    assert called("/webhooks/shop", chunks=[*chunks, {"type": "http.request"}], headers=chunked).status == 200


def test_a_length_is_required_in_http_1_only() -> None:
    signature = [(b"x-signature", sign(SHOP, GOOD)[0][1].encode())]
    call = called("/webhooks/shop", headers=signature)
    assert (call.status, call.body["title"], call.reads) == (411, "Length required", 0)
    assert call.headers["connection"] == "close"
    assert called("/webhooks/shop", headers=signature, http_version="2").status == 200


@pytest.mark.parametrize(
    "headers",
    [[(b"x", b"1")] * (HEADERS_MAX + 1), [(b"x", b"1" * HEADER_BYTES_MAX)]],
    ids=["too many", "too large"],
)
def test_headers_over_the_limit(headers: list[tuple[bytes, bytes]]) -> None:
    call = called("/webhooks/shop", headers=headers)
    assert (call.status, call.headers["connection"], call.reads) == (431, "close", 0)
    assert f"at most {HEADERS_MAX} of {HEADER_BYTES_MAX} bytes" in call.body["detail"]


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_sender_that_leaves_before_its_body_is_whole_gets_no_answer_and_leaves_nothing(before: int) -> None:
    gate = Gate()
    chunks = [{"type": "http.request", "body": GOOD, "more_body": True}] * before + [{"type": "http.disconnect"}]
    assert called("/webhooks/shop", gate=gate, chunks=chunks).messages == []
    assert "append" not in gate.store.calls


async def test_a_request_that_is_given_up_leaves_no_trace_in_the_app() -> None:
    app, never = IngestApp(Gate().ingest), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await never.wait()
        return {}

    sent: list[Any] = []
    scope = {"type": "http", "method": "POST", "path": "/webhooks/shop", "headers": [(b"content-length", b"9")]}
    task = asyncio.create_task(app(scope, receive, sent.append))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sent == []
