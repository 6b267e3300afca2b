"""The examples run: each is started as it stands, on a store and a port of the test's own, and given an event."""

import asyncio
import importlib
import importlib.util
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from longstop import Event, Longstop, Reject, RetryLater
from longstop.config import load
from longstop.model.settings import SourceSettings
from longstop.model.signing import sign
from longstop.testing import payloads
from longstop.testing.builders import make_event

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "an-example-secret-of-no-value"
WITHIN_S = 20
"""How long an event may take before the test gives up; it takes a few milliseconds."""
ENVIRON = {"GENESYS_WEBHOOK_SECRET": SECRET, "GENESYS_WEBHOOK_LOGIN": f"genesys:{SECRET}", "ORDERS_TOKEN": "a-token"}


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_every_configuration_is_without_fault(path: Path) -> None:
    assert load(path, environ=ENVIRON, more_in_code=True).warnings == ()


# -- genesys-to-crm -----------------------------------------------------------------------------


@pytest.fixture
def destination() -> Iterator[Any]:
    made = module(EXAMPLES / "genesys-to-crm/destination.py").Destination(0)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def client(gateway: Longstop) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=gateway.ingest), base_url="http://gateway")


def signed(name: str) -> tuple[bytes, dict[str, str]]:
    body = payloads.load(name)
    proof = sign(SourceSettings("genesys", "genesys-open-messaging", (SECRET,)), body)
    return body, {"Content-Type": "application/json", **dict(proof)}


async def test_a_message_reaches_the_crm_once_though_it_is_sent_twice(
    destination: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENESYS_WEBHOOK_SECRET", SECRET)
    text = (EXAMPLES / "genesys-to-crm/longstop.toml").read_text()
    assert ":9000/" in text
    (tmp_path / "longstop.toml").write_text(text.replace(":9000/", f":{destination.server_port}/"))
    gateway = Longstop(tmp_path / "longstop.toml")
    body, headers = signed("genesys_open_messaging_text")
    async with gateway.lifespan(), client(gateway) as sender:
        answers = [await sender.post("/genesys", content=body, headers=headers) for _ in range(2)]
        taken = await asyncio.to_thread(destination.taken.get, timeout=WITHIN_S)
    assert [answer.json() for answer in answers] == [
        {"status": "accepted", "id": taken},
        {"status": "duplicate", "id": taken},
    ]
    assert destination.seen == {taken}


@pytest.mark.parametrize(("take", "status"), [(False, 422), (True, 200)])
def test_the_crm_takes_receipts_only_when_told_to(destination: Any, take: bool, status: int) -> None:
    destination.take_receipts = take
    answer = httpx.post(
        f"http://127.0.0.1:{destination.server_port}/events",
        content=payloads.load("genesys_open_messaging_receipt_failed"),
        headers={"webhook-id": "e", "Longstop-Attempt": "1"},
    )
    assert answer.status_code == status
    assert destination.seen == ({"e"} if take else set())


# -- handlers -----------------------------------------------------------------------------------


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name in ("handlers.py", "handlers.toml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("handlers", None)
    yield importlib.import_module("handlers")
    sys.modules.pop("handlers", None)


def notes() -> list[tuple[str, str, str]]:
    with closing(sqlite3.connect("notes.db")) as database:
        return list(database.execute("SELECT * FROM notes"))


def test_a_note_is_taken_once(handlers: ModuleType) -> None:
    event = make_event(body=b'{"conversationId": "c-1", "text": "Hello"}')
    handlers.take_note(event)
    handlers.take_note(event)
    assert notes() == [(event.id, "c-1", "Hello")]


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"text": "Hello"}'])
def test_what_can_never_be_noted_is_rejected(handlers: ModuleType, body: bytes) -> None:
    with pytest.raises(Reject):
        handlers.take_note(make_event(body=body))


def test_notes_that_cannot_be_written_now_are_for_later(
    handlers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "DATABASE", str(tmp_path / "no such folder" / "notes.db"))
    with pytest.raises(RetryLater) as raised:
        handlers.take_note(make_event(body=b'{"conversationId": "c-1"}'))
    assert raised.value.after == 5


async def test_the_handler_is_what_the_configuration_delivers_to(
    handlers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = threading.Event()
    take_note = handlers.take_note

    def and_tell(event: Event) -> None:
        take_note(event)
        noted.set()

    monkeypatch.setattr(handlers, "take_note", and_tell)
    gateway = Longstop("handlers.toml")
    async with gateway.lifespan(), client(gateway) as sender:
        answer = await sender.post("/hello", content=b'{"id": "1", "conversationId": "c-1", "text": "Hello"}')
        assert await asyncio.to_thread(noted.wait, WITHIN_S)
    assert notes() == [(answer.json()["id"], "c-1", "Hello")]
