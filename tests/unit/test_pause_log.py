"""The log tells of pauses: those that are there at the start, and what changes."""

import asyncio
from typing import Any

import pytest
import structlog
from services import on_virtual_time
from structlog.testing import capture_logs

from longstop.delivering import pause_log
from longstop.delivering.pause_log import LOOK_S, PauseLog
from longstop.model.action import Pause
from longstop.model.errors import StoreUnavailableError
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock


@pytest.fixture(autouse=True)
def fresh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    # A gateway embedded in an earlier test may have bound the module's own for good.
    monkeypatch.setattr(pause_log, "log", structlog.get_logger())


@on_virtual_time
async def test_each_pause_is_told_once_and_again_when_its_reason_changes() -> None:
    store, clock = MemoryStore(), VirtualClock()
    await store.pause(Pause("crm", AT_MS, "ann", "migration"))
    with capture_logs() as logged:
        task = asyncio.create_task(PauseLog(store, clock).run())
        await clock.sleep(LOOK_S * 3.5)
        await store.pause(Pause("crm", AT_MS + 9, "bob", "until 15:00"))
        await clock.sleep(LOOK_S * 3)
        await store.resume("crm")
        await clock.sleep(LOOK_S * 3)
        task.cancel()
    told: list[tuple[Any, ...]] = [(each["event"], each.get("by"), each.get("why")) for each in logged]
    assert told == [("paused", "ann", "migration"), ("paused", "bob", "until 15:00"), ("resumed", None, None)]
    assert {each["destination"] for each in logged} == {"crm"}
    assert {each.get("since") for each in logged[:2]} == {"2026-01-01T00:00:00.000Z"}


@on_virtual_time
async def test_a_store_that_cannot_say_is_asked_again() -> None:
    store, clock = MemoryStore(), VirtualClock()
    await store.pause(Pause("crm", AT_MS, "ann"))
    asked = store.pauses

    async def fails() -> Any:
        store.pauses = asked  # type: ignore[method-assign]
        raise StoreUnavailableError("locked")

    store.pauses = fails  # type: ignore[method-assign]
    with capture_logs() as logged:
        task = asyncio.create_task(PauseLog(store, clock).run())
        await clock.sleep(LOOK_S * 1.5)
        task.cancel()
    assert [each["event"] for each in logged] == ["pauses_unknown", "paused"]
    assert "locked" in logged[0]["error"]
