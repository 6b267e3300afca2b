"""What a worker lets begin at a destination: what counts for its limit, and what is kept for first tries."""

from dataclasses import replace

import pytest
from services import FAILED, REJECTED, Works, on_virtual_time

from longstop.delivering.attempt import Destination
from longstop.delivering.breaker import Breaker
from longstop.delivering.dispatch import breaker_of
from longstop.model.breaker import ASKS_HEARD, BreakerPolicy, Circuit
from longstop.model.concurrency_limit import START
from longstop.model.delivery import Delivery, Outcome, OutcomeKind
from longstop.model.evidence import VOICES
from longstop.model.retry import RetryPolicy
from longstop.testing.builders import make_delivery, make_event
from longstop.testing.fakes import ScriptedSender


def breaker(works: Works, concurrency: int = 64, adaptive: bool = False, enabled: bool = True) -> Breaker:
    policy = BreakerPolicy(enabled=enabled, failures=4, calls=1_000)
    crm = Destination("crm", ScriptedSender(), RetryPolicy(), concurrency, adaptive, breaker=policy)
    return breaker_of(crm, works.store, works.clock)


def delivery(number: int = 1, **changes: int) -> Delivery:
    return make_delivery(make_event(number), **changes)


REFUSED = Outcome(OutcomeKind.RETRY, error="connection refused")
BROKEN = Outcome(OutcomeKind.RETRY, status=500)
HALF = START // 2


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    ("outcome", "tries", "limit"),
    [
        (FAILED, 0, HALF),
        (REFUSED, 0, HALF),
        (BROKEN, 0, START),
        # One that has failed so often says nothing of the destination.
        (FAILED, VOICES - 1, HALF),
        (FAILED, VOICES, START),
        (REFUSED, VOICES, START),
        (Outcome(OutcomeKind.SUCCESS, 204), VOICES, START + 1),
        (REJECTED, 0, START + 1),
        (Outcome(OutcomeKind.INTERRUPTED), 0, START),
    ],
)
def test_an_adaptive_limit_follows_what_speaks_of_load(outcome: Outcome, tries: int, limit: int, enabled: bool) -> None:
    @on_virtual_time
    async def scenario() -> None:
        works = Works(crm=ScriptedSender())
        crm = breaker(works, adaptive=True, enabled=enabled)
        for number in range(START):
            crm.begun(delivery(number))
        assert crm.room() == 0
        await crm.ended(delivery(tries=tries), outcome, 0, None)
        assert crm.room() == limit - START

    scenario()


@on_virtual_time
async def test_it_is_lowered_once_for_all_that_were_under_way() -> None:
    works = Works(crm=ScriptedSender())
    crm = breaker(works, adaptive=True)
    await works.clock.sleep(0.1)
    for began_ms, limit in ((0, START // 2), (50, START // 2), (101, START // 4)):
        await works.clock.sleep(0.001 * (began_ms > 100))
        await crm.ended(delivery(began_ms), FAILED, began_ms, None)
        assert crm.room() == limit


@on_virtual_time
async def test_one_place_of_eight_is_kept_for_what_was_never_tried() -> None:
    works = Works(crm=ScriptedSender())
    assert [breaker(works, concurrency).retries() for concurrency in (1, 2, 8, 16, 64)] == [1, 1, 7, 14, 56]
    crm, again, first = breaker(works, 8), delivery(1, attempts=1), delivery(2)
    crm.begun(again)
    crm.begun(again)
    assert (crm.room(), crm.retries(), crm.retry_next) == (6, 5, False)
    crm.begun(first)
    assert (crm.room(), crm.retries(), crm.retry_next) == (5, 5, True)
    crm.done(again)
    crm.done(first)
    assert (crm.room(), crm.retries()) == (7, 6)
    pair = breaker(works, 2)
    pair.begun(again)
    assert (pair.room(), pair.retries(), pair.wait_s()) == (1, 0, 0.0)


@on_virtual_time
async def test_it_begins_with_one_when_the_circuit_is_closed_and_not_before() -> None:
    works = Works(crm=ScriptedSender())
    crm, circuit = breaker(works, 8), Circuit("crm", 0, 1_000, answer_ms=15_000, why="…")
    crm.seen(None)
    crm.seen(circuit)
    crm.seen(circuit.put_off(9_000))
    assert crm.room() == 8
    crm.seen(None)
    assert crm.room() == 1


@on_virtual_time
async def test_an_answer_to_a_question_of_before_its_own_change_is_not_believed() -> None:
    works = Works(crm=ScriptedSender())
    crm = breaker(works)
    crm.asking()
    await crm.ended(delivery(), replace(FAILED, retry_after_s=60.0), 0, None)
    assert crm.is_open
    crm.seen(None)
    assert crm.is_open, "the answer left the store before the circuit was opened"
    (kept,) = await works.store.circuits()
    crm.asking()
    assert await works.store.change_circuit("crm", kept.version, None), "by another worker"
    crm.seen(None)
    assert not crm.is_open


@on_virtual_time
async def test_an_event_that_asks_for_time_again_and_again_opens_nothing() -> None:
    for tries, opens in ((ASKS_HEARD - 1, True), (ASKS_HEARD, False)):
        works = Works(crm=ScriptedSender())
        crm = breaker(works)
        await crm.ended(delivery(tries=tries), replace(FAILED, retry_after_s=60.0), 0, None)
        assert crm.is_open is opens


@on_virtual_time
async def test_an_event_that_failed_before_has_half_a_voice_and_one_that_was_replayed_too() -> None:
    for changes in ({"tries": 1}, {"round": 2}):
        works = Works(crm=ScriptedSender())
        crm = breaker(works)
        for number in range(7):
            await crm.ended(delivery(number, **changes), BROKEN, 0, None)
        assert not crm.is_open
        await crm.ended(delivery(7, **changes), BROKEN, 0, None)
        assert crm.is_open
