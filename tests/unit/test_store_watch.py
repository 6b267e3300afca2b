"""What a store warns of is known to the whole gateway, told once in the log, and gone when it is over."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from services import on_virtual_time
from test_readiness import TEXT

from longstop import config
from longstop.edges.desk.lookups import status_of
from longstop.model.errors import StoreUnavailableError
from longstop.model.store_health import StoreHealth, StoreWarning, StoreWarningKind
from longstop.operating.store_watch import EVERY_S, StoreWatch
from longstop.stores.memory import MemoryStore
from longstop.telemetry.meter import Meter
from longstop.telemetry.metrics import Here, Metrics, Names
from longstop.telemetry.store_facts import StoreFactsReader
from longstop.testing.builders import AT_MS
from longstop.testing.clock import VirtualClock
from longstop.wiring.gateway import Gateway
from longstop.wiring.parts import parts

HELD = StoreWarning(StoreWarningKind.OLD_SNAPSHOT, "a session holds it", {"pid": "7", "state": "idle"}, AT_MS)


@dataclass
class Warned(MemoryStore):
    """A store that warns."""

    found: StoreHealth = field(default_factory=StoreHealth)
    away: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    async def health(self, now_ms: int) -> StoreHealth:
        if self.away:
            raise StoreUnavailableError("it is away")
        return self.found


@on_virtual_time
async def test_a_warning_is_told_when_it_begins_and_when_it_is_over() -> None:
    store = Warned(StoreHealth((HELD,)))
    watch = StoreWatch(store, VirtualClock())
    with structlog.testing.capture_logs() as logs:
        for store.found in (StoreHealth((HELD,)), StoreHealth((HELD,)), StoreHealth()):
            await watch.look()
    assert [(each["event"], each["warning"]) for each in logs] == [
        ("store_warning", "old_snapshot"),
        ("store_warning_over", "old_snapshot"),
    ]
    assert logs[0]["text"] == HELD.text


@on_virtual_time
async def test_what_was_known_stands_while_the_store_is_away() -> None:
    store = Warned(StoreHealth((HELD,)))
    watch = StoreWatch(store, VirtualClock())
    await watch.look()
    store.away = True
    await watch.look()
    assert watch.warnings == (HELD,)


@on_virtual_time
async def test_a_gateway_looks_again_and_again() -> None:
    gateway = Gateway(config.parse(TEXT, where="test", environ={}, base=Path()), clock=VirtualClock())
    await gateway.start()
    assert gateway.store_warnings() == ()

    async def health(_: int) -> StoreHealth:
        return StoreHealth((HELD,))

    gateway._parts.store.health = health  # type: ignore[method-assign]
    gateway._signals.store_watch._ledger = gateway._parts.store
    await VirtualClock().sleep(EVERY_S + 1)
    assert gateway.store_warnings() == (HELD,)
    assert gateway.why_not_ready() == []
    await gateway.stop()


@on_virtual_time
async def test_status_shows_it() -> None:
    made = parts(config.parse(TEXT, where="test", environ={}, base=Path()), VirtualClock())
    made.store = Warned(StoreHealth((HELD,)))
    (row,) = (await status_of(made))["warnings"]
    assert json.loads(json.dumps(row)) == {
        "kind": "old_snapshot", "text": HELD.text, "since": "2026-01-01T00:00:00.000Z", "details": dict(HELD.details),
    }  # fmt: skip


@on_virtual_time
async def test_the_metrics_have_every_kind_from_the_start_and_the_age_where_there_is_one() -> None:
    store = Warned(StoreHealth((HELD,), oldest_snapshot_ms=90_500))
    clock = VirtualClock()
    metrics = Metrics(Meter(), Names(), Here(ready=lambda: True), StoreFactsReader(store, clock), clock)
    told = (await metrics.answer()).body.decode()
    assert 'longstop_store_warning{kind="old_snapshot"} 1.0' in told
    assert 'longstop_store_warning{kind="durability_relaxed"} 0.0' in told
    assert "longstop_store_oldest_snapshot_age_seconds 90.5" in told
