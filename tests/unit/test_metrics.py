"""The metrics: there from the start, true whoever changed what they tell, bounded, and there though the store hangs."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from services import FAILED, Works, on_virtual_time, settle_down

from longstop.model.action import Pause
from longstop.model.breaker import BreakerPolicy, CircuitChange
from longstop.model.job import JobAction, JobState
from longstop.model.node import GONE_AFTER_MS, Node
from longstop.model.rejection import UNKNOWN, RejectionReason
from longstop.model.spool import SpoolFacts
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.telemetry import families
from longstop.telemetry.meter import Meter
from longstop.telemetry.metrics import Here, Metrics, Names
from longstop.telemetry.store_facts import FRESH_S, PATIENCE_S, StoreFactsReader
from longstop.testing.builders import make_append
from longstop.testing.clock import VirtualClock
from longstop.testing.fakes import FaultyStore, ScriptedSender
from longstop.testing.store_contract.jobs import make_job

OPEN = "longstop_circuit_open"
CHANGES = "longstop_circuit_changes_total"
NAMES = Names(("shop", "quiet"), ("crm", "lake"), (("shop", "crm"), ("shop", "lake")))

Sample = tuple[str, ...]


def made(
    names: Names = NAMES,
    is_open: Callable[[str], bool] = lambda _: False,
    store: Store | None = None,
    meter: Meter | None = None,
    **here: Any,
) -> Metrics:
    asked = Here(ready=here.pop("ready", lambda: True), is_open=is_open, **here)
    return Metrics(
        meter or Meter(), names, asked, StoreFactsReader(store or MemoryStore(), VirtualClock()), VirtualClock()
    )


async def told(metrics: Metrics) -> Mapping[Sample, float]:
    """The samples: (name, values of labels by their names' order) to value."""
    text = (await metrics.answer()).body.decode()
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@on_virtual_time
async def test_every_destination_is_there_from_the_start() -> None:
    found = await told(made(is_open=lambda name: name == "lake"))
    assert {key: number for key, number in found.items() if "circuit" in key[0]} == {
        (OPEN, "crm"): 0,
        (OPEN, "lake"): 1,
        **{(CHANGES, change, name): 0 for name in ("crm", "lake") for change in ("opened", "closed")},
    }
    assert found["longstop_deliveries_delivered_total", "crm", "shop"] == 0
    assert found["longstop_deliveries_dead_total", "lake", "exhausted", "shop"] == 0
    assert found["longstop_attempts_total", "crm", "retry"] == 0
    assert found["longstop_delivery_latency_seconds_count", "lake"] == 0
    assert found["longstop_events_accepted_total", "quiet"] == 0
    assert found["longstop_store_deliveries", "crm", "scheduled"] == 0
    assert found["longstop_oldest_waiting_age_seconds", "crm"] == 0


@on_virtual_time
async def test_a_process_that_delivers_nothing_tells_nothing_of_deliveries() -> None:
    names = Names(NAMES.sources, (), NAMES.routes)
    found = await told(made(names))
    assert not any(key[0].startswith(("longstop_deliveries_", OPEN)) and len(key) > 1 for key in found)
    assert ("longstop_store_deliveries", "crm", "scheduled") in found, "how the store stands is everybody's"


@on_virtual_time
async def test_changes_are_counted() -> None:
    metrics = made()
    for change in ("opened", "closed", "opened"):
        metrics.circuit_changed(CircuitChange("crm", change, "why", 0))
    found = await told(metrics)
    assert (found[CHANGES, "opened", "crm"], found[CHANGES, "closed", "crm"]) == (2, 1)
    assert found[CHANGES, "opened", "lake"] == 0


@on_virtual_time
async def test_two_gateways_in_one_process_do_not_share_them() -> None:
    first, second = made(), made()
    first.circuit_changed(CircuitChange("crm", "opened", "why", 0))
    assert ((await told(first))[CHANGES, "opened", "crm"], (await told(second))[CHANGES, "opened", "crm"]) == (1, 0)


@on_virtual_time
async def test_it_is_the_text_that_scrapers_ask_for() -> None:
    answer = await made(is_open=lambda _: True).answer()
    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'\nlongstop_circuit_open{destination="crm"} 1.0\n' in answer.body


@on_virtual_time
async def test_an_open_circuit_is_still_open_after_a_restart() -> None:
    store, policy = MemoryStore(), BreakerPolicy(failures=4, probe_ms=600_000, probe_cap_ms=600_000)
    names = Names(destinations=("crm",))
    async with Works(store, breaker=policy, crm=(ScriptedSender(otherwise=FAILED), 4)) as works:
        await store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        assert (await told(made(names, works.dispatch.is_open)))[OPEN, "crm"] == 1
        await works.crash()
    async with Works(store, breaker=policy, crm=ScriptedSender()) as again:
        await settle_down()
        assert (await told(made(names, again.dispatch.is_open)))[OPEN, "crm"] == 1


@on_virtual_time
async def test_refused_requests_are_counted_by_source_and_reason_and_are_there_from_the_start() -> None:
    totals = {("shop", RejectionReason.WRONG_PROOF): 7, (UNKNOWN, RejectionReason.PATH): 2}
    metrics = made(refused=lambda: totals)
    name = "longstop_events_refused_total"
    found = await told(metrics)
    assert found[name, "wrong_proof", "shop"] == 7
    assert found[name, "path", UNKNOWN] == 2
    assert found[name, "no_proof", "quiet"] == 0
    assert found[name, "unknown_source", UNKNOWN] == 0
    totals["shop", RejectionReason.WRONG_PROOF] = 8
    assert (await told(metrics))[name, "wrong_proof", "shop"] == 8


# -- how the store stands -------------------------------------------------------------------------


@on_virtual_time
async def test_what_waits_since_when_and_who_is_there() -> None:
    store, clock = MemoryStore(), VirtualClock()
    now_ms = clock.now_ms()
    await store.append([make_append(n, received_at_ms=now_ms - 90_000 + n) for n in range(3)])
    await store.pause(Pause("crm", now_ms, "ada"))
    for name, roles, ago_ms in (("a:1", ("ingest", "work"), 0), ("b:2", ("work",), 0), ("c:3", ("work",), 2**16)):
        assert (ago_ms > GONE_AFTER_MS) is (name == "c:3")
        await store.beat(Node(name, roles, "1", now_ms, now_ms - ago_ms))
    found = await told(made(store=store))
    assert found["longstop_store_up",] == 1
    assert found["longstop_store_events", "shop"] == 3
    assert found["longstop_store_deliveries", "crm", "scheduled"] == 3
    assert found["longstop_store_deliveries", "crm", "dead"] == 0
    assert found["longstop_oldest_waiting_age_seconds", "crm"] == 90
    assert (found["longstop_destination_paused", "crm"], found["longstop_destination_paused", "lake"]) == (1, 0)
    assert (found["longstop_nodes", "ingest"], found["longstop_nodes", "work"]) == (1, 2)


@on_virtual_time
async def test_a_store_that_hangs_holds_up_no_scrape() -> None:
    store: Any = FaultyStore(MemoryStore())
    metrics, loop = made(store=store), asyncio.get_running_loop()
    gate = store.stall("counts")
    for scrape in (1, 2):
        began = loop.time()
        found = await told(metrics)
        assert loop.time() - began <= PATIENCE_S
        assert found["longstop_store_up",] == 0
        assert not any(key[0] in ("longstop_store_events", "longstop_store_deliveries") for key in found)
        assert ("longstop_events_accepted_total", "shop") in found, "what this process counts is there"
        assert store.calls["counts"] == 1, f"scrape {scrape} asks no more while a question is under way"
    gate.set()
    await settle_down()
    assert (await told(metrics))["longstop_store_up",] == 1


@on_virtual_time
async def test_a_store_that_fails_is_told_and_asked_again() -> None:
    store: Any = FaultyStore(MemoryStore())
    metrics = made(store=store)
    store.fail("pauses")
    assert (await told(metrics))["longstop_store_up",] == 0
    assert (await told(metrics))["longstop_store_up",] == 1


@on_virtual_time
async def test_however_often_they_are_asked_for_the_store_is_asked_once_a_second() -> None:
    store: Any = FaultyStore(MemoryStore())
    metrics = made(store=store)
    await asyncio.gather(*(metrics.answer() for _ in range(10)))
    await metrics.answer()
    assert store.calls["counts"] == 1
    await asyncio.sleep(FRESH_S)
    await metrics.answer()
    assert store.calls["counts"] == 2


@on_virtual_time
async def test_jobs_that_are_not_over_and_how_much_they_have_still_to_do() -> None:
    store = MemoryStore()
    for number, changes in enumerate(
        (
            {"total": 100, "done": 30, "failed": 5, "skipped": 5},
            {"total": 10, "state": JobState.PAUSED},
            {"total": 7, "done": 9, "action": JobAction.DISCARD},
            {"total": 50, "state": JobState.FAILED},
            {"total": 50, "state": JobState.DONE},
        )
    ):
        await store.add_job(make_job(number + 1, **changes))
    found = await told(made(store=store))
    states = {key[1]: number for key, number in found.items() if key[0] == "longstop_jobs"}
    assert states == {"running": 2, "paused": 1, "failed": 1}
    remaining = {key[1]: number for key, number in found.items() if key[0] == "longstop_job_deliveries_remaining"}
    # One that was estimated too low is no less than through.
    assert remaining == {"replay": 70, "discard": 0}


# -- bounds ---------------------------------------------------------------------------------------


@on_virtual_time
async def test_no_family_has_more_series_than_a_server_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "SERIES_MAX", 10)
    meter = Meter()
    for number in range(100):
        meter.accepted[f"s{number}"] += 2
        meter.durations[f"d{number}"].add(0.3)
    metrics = made(Names(), meter=meter)
    name = "longstop_events_accepted_total"
    first = await told(metrics)
    counted = {key: number for key, number in first.items() if key[0] == name}
    assert (len(counted), sum(counted.values())) == (10, 200)
    assert counted[name, families.OTHER] == 2 * 91
    assert first["longstop_attempt_duration_seconds_count", families.OTHER] == 91
    assert first["longstop_attempt_duration_seconds_bucket", families.OTHER, "0.5"] == 91
    assert first["longstop_attempt_duration_seconds_bucket", families.OTHER, "0.25"] == 0
    meter.accepted["s200"] += 1
    later = await told(metrics)
    assert all(later[key] >= number for key, number in counted.items()), "no counter goes back"


@on_virtual_time
async def test_a_disk_that_cannot_be_looked_at_breaks_nothing() -> None:
    def broken() -> int:
        raise OSError("no such disk")

    assert ("longstop_disk_free_bytes",) not in await told(made(free_bytes=broken))
    assert (await told(made(free_bytes=lambda: 7)))["longstop_disk_free_bytes",] == 7


@on_virtual_time
async def test_a_spool_is_shown_where_there_is_one() -> None:
    assert not any("spool" in key[0] for key in await told(made()))
    facts = SpoolFacts(True, 3, 300, 1, stuck=1, spooled=5, forwarded=2)
    found = {key[0]: value for key, value in (await told(made(spool=lambda: facts))).items() if "spool" in key[0]}
    assert found == {
        "longstop_spool_in_use": 1, "longstop_spool_events": 3, "longstop_spool_bytes": 300,
        "longstop_spool_stuck_events": 1, "longstop_spool_put_total": 5, "longstop_spool_forwarded_total": 2,
    }  # fmt: skip


def test_no_family_is_made_without_its_bound() -> None:
    """Every one is made by the functions that have it."""
    import longstop.telemetry.metrics as module

    assert "MetricFamily(" not in inspect.getsource(module)
