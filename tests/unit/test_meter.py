"""The meter, behind the store: each thing is counted once, where it happens, and what fails is not."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from services import FAILED, PLAIN, REJECTED, Works, on_virtual_time, settle_down

from longstop.delivering.attempt import settled
from longstop.model.action import Action
from longstop.model.append import Append, quarantine_delivery
from longstop.model.delivery import DeadReason, Outcome, OutcomeKind, Transition, Trigger
from longstop.model.errors import StoreUnavailableError
from longstop.model.lease import LeaseRef, LeaseRequest, Settlement
from longstop.model.statistics import LATENCY_BOUNDS_S, Series, latency_bin
from longstop.stores.memory import MemoryStore
from longstop.telemetry.meter import Meter
from longstop.telemetry.metered_store import metered
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.fakes import FaultyStore, ScriptedSender
from longstop.testing.store_contract.jobs import make_decision, make_job, make_step


@on_virtual_time
async def test_what_arrives_is_accepted_duplicate_quarantined_or_unrouted() -> None:
    meter = Meter()
    store = metered(MemoryStore(), meter)
    bad = make_event(5)
    await store.append([make_append(1, dedup=b"k"), make_append(2, dedup=b"k"), make_append(3, source="other")])
    await store.append([Append(make_event(4)), Append(bad, (quarantine_delivery(bad, "why", "d" * 36),))])
    assert meter.accepted == {"shop": 2, "other": 1}
    assert (meter.duplicate, meter.unrouted, meter.quarantined) == ({"shop": 1}, {"shop": 1}, {"shop": 1})
    assert (meter.sizes["append"].bins[:3], meter.sizes["append"].sum) == ([0, 1, 1], 5)
    assert sum(meter.operations["append"].bins) == 2


@on_virtual_time
async def test_an_append_that_fails_is_an_error_and_no_event() -> None:
    meter, behind = Meter(), FaultyStore(MemoryStore())
    store = metered(behind, meter)  # type: ignore[arg-type]
    behind.fail("append")
    with pytest.raises(StoreUnavailableError):
        await store.append([make_append(1)])
    assert (meter.errors, dict(meter.accepted), dict(meter.operations), dict(meter.sizes)) == (
        {"append": 1},
        {},
        {},
        {},
    )


@on_virtual_time
async def test_how_long_the_store_took_is_by_the_loops_time() -> None:
    meter, behind = Meter(), FaultyStore(MemoryStore())
    gate = behind.stall("append")
    waiting = asyncio.create_task(metered(behind, meter).append([make_append(1)]))  # type: ignore[arg-type]
    await asyncio.sleep(0.3)
    gate.set()
    await waiting
    assert meter.operations["append"].sum == pytest.approx(0.3)


@on_virtual_time
async def test_attempts_ends_and_latencies_are_counted_by_source_and_destination() -> None:
    meter = Meter()
    store = metered(MemoryStore(), meter)
    sender = ScriptedSender(FAILED, REJECTED, FAILED)
    async with Works(store, crm=(sender, 1)):
        await store.append([make_append(1), make_append(2)])
        await asyncio.sleep(60)
    assert meter.attempts == {
        ("shop", "crm", OutcomeKind.RETRY): 2,
        ("shop", "crm", OutcomeKind.REJECT): 1,
        ("shop", "crm", OutcomeKind.SUCCESS): 1,
    }
    assert meter.delivered == {("shop", "crm"): 1}
    assert meter.dead == {("shop", "crm", DeadReason.REJECTED): 1}
    assert sum(meter.durations["crm"].bins) == 4
    assert sum(meter.latencies["shop", "crm"].bins) == 1
    totals = meter.totals()
    assert totals[Series.FAILED_ATTEMPTS.value, "shop", "crm"] == 3
    assert totals[Series.DEAD.value, "shop", "crm"] == 1
    bins = {latency_bin(place): 1 for place in range(len(LATENCY_BOUNDS_S) + 1)}
    assert sum(number for (series, *_), number in totals.items() if series in bins) == 1


@on_virtual_time
async def test_what_a_person_replayed_has_no_latency_and_is_counted_as_an_action() -> None:
    meter = Meter()
    store = metered(MemoryStore(), meter)
    async with Works(store, crm=ScriptedSender()) as works:
        await store.append([make_append(1)])
        await settle_down()
        id_ = (await works.one()).id
        action = Action(id_, Transition(Trigger.REPLAY, AT_MS + 10**9), "ada")
        missing = Action("d" * 36, Transition(Trigger.DISCARD, AT_MS), "ada", "why")
        await store.act([action, missing])
        await settle_down()
    assert meter.delivered == {("shop", "crm"): 2}
    assert sum(meter.latencies["shop", "crm"].bins) == 1
    assert meter.actions == {"replay": 1}


@on_virtual_time
async def test_what_a_job_decides_is_counted_and_what_a_stale_worker_does_is_not() -> None:
    meter = Meter()
    store = metered(MemoryStore(), meter)
    async with Works(store, crm=ScriptedSender(REJECTED)) as works:
        await store.append([make_append(1)])
        await settle_down()
        dead = await works.one()
        await store.add_job(make_job())
        (job,) = await store.lease_jobs("w", AT_MS, AT_MS + 9, 1)
        step = make_step(job, [make_decision(dead)])
        assert await store.advance_job(replace(step, token=job.token + 1)) is None
        assert dict(meter.actions) == {}
        assert await store.advance_job(step) is not None
    assert meter.actions == {"replay": 1}
    assert sum(meter.operations["advance_job"].bins) == 2


@on_virtual_time
async def test_a_lease_that_somebody_else_has_by_now_is_lost_and_counts_as_no_attempt() -> None:
    meter = Meter()
    store: Any = metered(MemoryStore(), meter)
    await store.append([make_append(1)])
    (claim,) = (await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 9))).claims
    await store.extend([LeaseRef(claim.delivery.id, claim.delivery.token + 1)], AT_MS + 99)
    assert (meter.lost, dict(meter.attempts)) == (1, {})
    assert set(meter.operations) == {"append", "lease", "extend"}
    settlement = settled(claim.delivery, Outcome(OutcomeKind.SUCCESS), AT_MS, PLAIN, AT_MS + 5, random.Random(1))
    late = Settlement(replace(settlement.delivery, token=claim.delivery.token + 1), settlement.attempt)
    (refused,) = await store.settle([late])
    assert refused is not None
    assert (meter.lost, dict(meter.attempts), dict(meter.delivered)) == (2, {}, {})


@on_virtual_time
async def test_everything_else_goes_to_the_store_itself() -> None:
    meter, behind = Meter(), MemoryStore()
    store = metered(behind, meter)
    await store.append([Append(make_event(1), (make_delivery(make_event(1)),))])
    assert (await store.counts()) == (await behind.counts())
    assert store.ready()
