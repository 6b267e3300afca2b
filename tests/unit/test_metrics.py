"""The metrics of circuits: there from the start, and true whoever opened or closed them."""

from prometheus_client.parser import text_string_to_metric_families
from services import FAILED, Works, on_virtual_time, settle_down

from longstop.model.breaker import BreakerPolicy, CircuitChange
from longstop.model.rejection import UNKNOWN, RejectionReason
from longstop.stores.memory import MemoryStore
from longstop.telemetry.metrics import Metrics
from longstop.testing.builders import make_append
from longstop.testing.fakes import ScriptedSender

OPEN = "longstop_circuit_open"
CHANGES = "longstop_circuit_changes_total"


def told(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The samples: (name, destination, change) to value, without what the library adds of its own."""
    text = metrics.answer().body.decode()
    return {
        (sample.name, *(sample.labels[key] for key in ("destination", "change") if key in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_every_destination_is_there_from_the_start() -> None:
    metrics = Metrics(["crm", "lake"], lambda name: name == "lake")
    assert told(metrics) == {
        (OPEN, "crm"): 0,
        (OPEN, "lake"): 1,
        **{(CHANGES, name, change): 0 for name in ("crm", "lake") for change in ("opened", "closed")},
    }


def test_changes_are_counted() -> None:
    metrics = Metrics(["crm", "lake"], lambda _: False)
    for change in ("opened", "closed", "opened"):
        metrics.circuit_changed(CircuitChange("crm", change, "why", 0))
    found = told(metrics)
    assert (found[CHANGES, "crm", "opened"], found[CHANGES, "crm", "closed"]) == (2, 1)
    assert found[CHANGES, "lake", "opened"] == 0


def test_two_gateways_in_one_process_do_not_share_them() -> None:
    first, second = Metrics(["crm"], lambda _: True), Metrics(["crm"], lambda _: False)
    first.circuit_changed(CircuitChange("crm", "opened", "why", 0))
    assert (told(first)[CHANGES, "crm", "opened"], told(second)[CHANGES, "crm", "opened"]) == (1, 0)


def test_it_is_the_text_that_scrapers_ask_for() -> None:
    answer = Metrics(["crm"], lambda _: True).answer()
    assert (answer.status, answer.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'\nlongstop_circuit_open{destination="crm"} 1.0\n' in answer.body


@on_virtual_time
async def test_an_open_circuit_is_still_open_after_a_restart() -> None:
    store, policy = MemoryStore(), BreakerPolicy(failures=4, probe_ms=600_000, probe_cap_ms=600_000)
    async with Works(store, breaker=policy, crm=(ScriptedSender(otherwise=FAILED), 4)) as works:
        await store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        assert told(Metrics(["crm"], works.dispatch.is_open))[OPEN, "crm"] == 1
        await works.crash()
    async with Works(store, breaker=policy, crm=ScriptedSender()) as again:
        await settle_down()
        assert told(Metrics(["crm"], again.dispatch.is_open))[OPEN, "crm"] == 1


def test_refused_requests_are_counted_by_source_and_reason_and_are_there_from_the_start() -> None:
    totals = {("shop", RejectionReason.WRONG_PROOF): 7, (UNKNOWN, RejectionReason.PATH): 2}
    metrics = Metrics([], lambda _: False)
    metrics.watch_refusals(["shop", "quiet"], lambda: totals)
    told = metrics.answer().body.decode()
    assert 'longstop_events_refused_total{reason="wrong_proof",source="shop"} 7.0' in told
    assert 'longstop_events_refused_total{reason="path",source="(unknown)"} 2.0' in told
    assert 'longstop_events_refused_total{reason="no_proof",source="quiet"} 0.0' in told
    assert 'longstop_events_refused_total{reason="unknown_source",source="(unknown)"} 0.0' in told
    totals["shop", RejectionReason.WRONG_PROOF] = 8
    assert 'longstop_events_refused_total{reason="wrong_proof",source="shop"} 8.0' in metrics.answer().body.decode()
