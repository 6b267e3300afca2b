"""Reopen: what a store that persists acknowledged is there after it was closed and opened again, every byte."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from longstop.model.action import Pause
from longstop.model.breaker import Circuit
from longstop.model.delivery import State
from longstop.model.event import Headers, Origin, Receipt, ReceiptStatus
from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.model.listing import EventFilter, Page
from longstop.model.rejection import HoldSettings, RejectionCount, RejectionReason
from longstop.model.statistics import MINUTES, Bucket, StatisticsQuery
from longstop.ports import Store
from longstop.testing.builders import AT_MS, WINDOW_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.alerts import full_book
from longstop.testing.store_contract.check import Reopen, expect_equal
from longstop.testing.store_contract.held_requests import make_held
from longstop.testing.store_contract.jobs import NOW_MS, UNTIL_MS, make_decision, make_job, make_step
from longstop.testing.store_contract.rejections import make_rejection
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    append_one,
    delivered,
    discard,
    lease,
    lease_one,
    parked,
    replay,
    settled,
    standing,
    to_retry,
)


@asynccontextmanager
async def _again(store: Store, reopen: Reopen) -> AsyncIterator[Store]:
    await store.close()
    second = await reopen()
    try:
        yield second
    finally:
        await second.close()


async def check_events_survive(store: Store, reopen: Reopen) -> None:
    """Events with all their fields and bytes, redeliveries, and deliveries in order."""
    every = bytes(range(256))
    headers = Headers([("X-B", "2"), ("x-b", every.decode("latin-1")), ("X-Empty", "")])
    await store.append([
        make_append(1, to=("crm", "lake"), body=every * 300, headers=headers, dedup=every, key="ж\x00"),
        make_append(2, to=(), type=None, key=None, origin=Origin.REPLAY, parent=event_id(1), body=b""),
        make_quarantined(3),
        make_append(4, dedup=every),
    ])  # fmt: skip
    before = [await store.event(event_id(number)) for number in (1, 2, 3, 4)]
    async with _again(store, reopen) as second:
        for number, kept in enumerate(before, start=1):
            found = await second.event(event_id(number))
            expect_equal(found and found.event.body, kept and kept.event.body, f"body of event {number}")
            expect_equal(found, kept, f"event {number}")
        rows = (await second.find_events(EventFilter(), Page())).rows
        expect_equal([row.event.id for row in rows], [event_id(n) for n in (3, 2, 1)], "events listed")


async def check_pauses_survive(store: Store, reopen: Reopen) -> None:
    """A pause outlives the process: nothing is leased after it either."""
    pause = Pause("crm", AT_MS, "ann", "migration")
    await store.append([make_append(1)])
    await store.pause(pause)
    async with _again(store, reopen) as second:
        expect_equal(list(await second.pauses()), [pause], "pauses")
        expect_equal((await lease(second)).claims, (), "claims")


async def check_every_state_survives(store: Store, reopen: Reopen) -> None:
    """Deliveries in each state, with their attempts and actions, and the counts."""
    await store.append([make_append(n) for n in range(1, 7)])
    claims = (await lease(store, crm=5)).claims
    await settled(store, delivered(claims[0]))
    await settled(store, parked(claims[1]))
    await settled(store, parked(claims[2]))
    await settled(store, to_retry(claims[3], AT_MS + 7))
    await store.act([discard(claims[2].delivery.id, why="№ 5"), replay(claims[0].delivery.id)])
    ids = [make_append(n).deliveries[0].id for n in range(1, 7)]
    rows, histories = [await standing(store, id_) for id_ in ids], [await store.history(id_) for id_ in ids]
    expected_states = {State.SCHEDULED, State.DEAD, State.DISCARDED, State.LEASED}
    expect_equal({row.state for row in rows}, expected_states, "states before it was closed")
    counts = await store.counts()
    async with _again(store, reopen) as second:
        expect_equal([await standing(second, id_) for id_ in ids], rows, "deliveries")
        expect_equal([await second.history(id_) for id_ in ids], histories, "histories")
        expect_equal(await second.counts(), counts, "counts")


async def check_lease_survives(store: Store, reopen: Reopen) -> None:
    """A restart takes no lease away: the claim can be settled, or runs out, and is not given twice."""
    await store.append([make_append(1), make_append(2)])
    one, two = (await lease(store)).claims
    async with _again(store, reopen) as second:
        expect_equal((await lease(second)).claims, (), "claims after reopening")
        await settled(second, delivered(one))
        expect_equal(list(await second.expired(AT_MS + LEASE_MS, 10)), [two.delivery], "expired leases")


async def check_tokens_go_on(store: Store, reopen: Reopen) -> None:
    """The next lease has the next token, or a worker from before the restart could end it."""
    await store.append([make_append(1)])
    await settled(store, to_retry(await lease_one(store), AT_MS))
    async with _again(store, reopen) as second:
        expect_equal((await lease_one(second)).delivery.token, 2, "token")


async def check_dedup_survives(store: Store, reopen: Reopen) -> None:
    """Keys and their windows, to the millisecond."""
    await append_one(store, make_append(1, dedup=b"\x00k\xff"))
    end = AT_MS + WINDOW_MS
    async with _again(store, reopen) as second:
        last = await append_one(second, make_append(2, dedup=b"\x00k\xff", received_at_ms=end - 1))
        expect_equal(last, Receipt(ReceiptStatus.DUPLICATE, event_id(1)), "receipt within the window")
        over = await append_one(second, make_append(3, dedup=b"\x00k\xff", received_at_ms=end))
        expect_equal(over, Receipt(ReceiptStatus.ACCEPTED, event_id(3)), "receipt at the window's end")


async def check_closing_twice_is_safe(store: Store, reopen: Reopen) -> None:
    """The second time there is nothing left to do, and nothing is undone."""
    await append_one(store, make_append(1))
    await store.close()
    async with _again(store, reopen) as second:
        expect_equal((await second.counts()).events, 1, "events")


async def check_an_open_circuit_survives(store: Store, reopen: Reopen) -> None:
    """With all of its fields: a restart is no reason to hammer."""
    circuit = Circuit("crm", AT_MS, AT_MS + 9, answer_ms=7, why="it asked", version=4, failed=2, passed=1)
    await store.change_circuit("crm", 0, circuit)
    async with _again(store, reopen) as second:
        expect_equal(list(await second.circuits()), [circuit], "circuits")


async def check_a_keyed_request_survives(store: Store, reopen: Reopen) -> None:
    """One that was answered, and one that was under way when the process ended: nobody carries it out again."""
    answered = KeyedRequest("ann", "one", b"f", AT_MS, AT_MS + 9)
    begun = replace(answered, key="two")
    for each in (answered, begun):
        await store.begin_keyed(each)
    await store.answer_keyed(answered, KeptAnswer(200, b"{}"))
    async with _again(store, reopen) as second:
        expect_equal(await second.begin_keyed(answered), replace(answered, answer=KeptAnswer(200, b"{}")), "answered")
        expect_equal(await second.begin_keyed(begun), begun, "under way")


async def check_what_was_refused_survives(store: Store, reopen: Reopen) -> None:
    """Counts, samples and held requests: who looks for what is wrong may restart first."""
    rejection, request = make_rejection(1), make_held(2)
    count = RejectionCount("shop", RejectionReason.WRONG_PROOF, 3, AT_MS, AT_MS + 9)
    await store.record_rejections([count], [rejection])
    await store.hold([request], {"shop": HoldSettings()})
    async with _again(store, reopen) as second:
        expect_equal(list(await second.rejection_counts()), [count], "counts")
        expect_equal((await second.rejections("shop", Page())).rows, (rejection,), "samples")
        expect_equal((await second.held_requests("shop", Page())).rows, (request,), "held requests")


async def check_statistics_survive(store: Store, reopen: Reopen) -> None:
    """Once the store was closed in order; and what is added then adds up with them."""
    bucket = Bucket(MINUTES.step_ms, MINUTES.start(AT_MS), "dead", "shop", "crm", 3)
    await store.add_statistics([bucket])
    async with _again(store, reopen) as second:
        await second.add_statistics([bucket])
        wanted = StatisticsQuery("dead", bucket.step_ms, bucket.at_ms, bucket.at_ms + 1, bucket.step_ms)
        expect_equal([each.n for each in await second.statistics(wanted)], [6], "sum")


async def check_a_job_goes_on_where_it_was(store: Store, reopen: Reopen) -> None:
    """A step that was acknowledged is there whole, its deliveries with the job's place; the next one follows it."""
    await store.append([make_append(1), make_append(2)])
    one, two = [await settled(store, parked(claim)) for claim in (await lease(store)).claims]
    await store.add_job(make_job())
    (job,) = await store.lease_jobs("worker-1", NOW_MS, UNTIL_MS, 1)
    after = await store.advance_job(make_step(job, [make_decision(one)]))
    waiting = await standing(store, one.id)
    async with _again(store, reopen) as second:
        expect_equal(await second.job(job.id), after, "the job")
        expect_equal(await standing(second, one.id), waiting, "the delivery that was released")
        (again,) = await second.lease_jobs("worker-2", UNTIL_MS, UNTIL_MS + 1, 1)
        done = await second.advance_job(make_step(again, [make_decision(two)], places={}))
        expect_equal(done and done.done, 2, "done in the end")


async def check_the_book_of_alerts_survives(store: Store, reopen: Reopen) -> None:
    """So that a restart tells nothing twice, and forgets nothing."""
    await store.keep_alert_book(full_book())
    async with _again(store, reopen) as second:
        expect_equal(await second.alert_book(), full_book(version=1), "the book of alerts")
