"""Events that always fail, in every share, at a destination that works: it must not look like an outage, and those that
can be delivered are, soon.

The bound that is asserted: up to three poisonous events in five, no other waits for longer than WAITS_S. At four in
five, ten of them may be the last that came; where nothing else comes for ten minutes, that looks like an outage, and
the next one is a probe: PROBE_WAITS_S. At nine in ten a worker that has just begun, and knows nothing of the
destination yet, may take the first forty failures for an outage; then the others wait until enough probes have found
one of them, which is within RARELY_WAITS_S.
"""

import statistics
from dataclasses import replace

import pytest
from shop import ANSWERED, SILENT, TAKEN, Shop, poisonous, run_on
from test_delivery import _quiet

from longstop.model.breaker import BreakerPolicy, opened
from longstop.model.delivery import Outcome
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import run

__all__ = ["_quiet"]

WAITS_S = 5.0
PROBE_WAITS_S = 31.0
RARELY_WAITS_S = 20 * 60.0
SEEDS = range(5)


async def longest_wait_s(share: float, outcome: Outcome, seed: int) -> float:
    """Five minutes of traffic, an event a second, and a few more that come half an hour later."""
    async with Shop(MemoryStore(), seed).open() as shop:
        shop.answers = poisonous(shop, outcome)
        for _ in range(300):
            await shop.post(poison=share)
            await shop.clock.sleep(1)
        await shop.clock.sleep(1_800)
        for _ in range(5):
            await shop.post()
            await shop.clock.sleep(2)
        await shop.clock.sleep(RARELY_WAITS_S)
        delays_s = shop.delays_s()
        assert delays_s.keys() == shop.healthy, "what can be delivered was not"
        return max(delays_s.values())


@pytest.mark.parametrize("outcome", [ANSWERED, SILENT], ids=["answered", "silent"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.4, 0.6, 0.8])
def test_what_can_be_delivered_is_soon_whatever_share_fails(share: float, outcome: Outcome) -> None:
    for seed in SEEDS:
        bound_s = WAITS_S if share < 0.8 else PROBE_WAITS_S
        assert run(longest_wait_s(share, outcome, seed)) <= bound_s, f"seed {seed}"


@pytest.mark.parametrize("outcome", [ANSWERED, SILENT], ids=["answered", "silent"])
def test_where_nine_of_ten_fail_an_outage_is_suspected_rarely_and_not_for_long(outcome: Outcome) -> None:
    waits_s = [run(longest_wait_s(0.9, outcome, seed)) for seed in range(12)]
    assert max(waits_s) <= RARELY_WAITS_S
    assert statistics.median(waits_s) <= WAITS_S
    assert sum(each > WAITS_S for each in waits_s) <= 2


def test_thirty_five_that_always_fail_among_750_leave_the_circuit_closed(store: Store) -> None:
    async def scenario() -> None:
        async with Shop(store, seed=1).open() as shop:
            shop.answers = poisonous(shop)
            for number in range(785):
                await shop.post(poison=float(number % 22 == 0 and number < 770))
            assert len(shop.poison) == 35
            for _ in range(60):
                await shop.clock.sleep(60)
                assert await store.circuits() == []
            for _ in range(5):
                await shop.post()
                await shop.clock.sleep(1)
            delays_s = shop.delays_s()
            assert delays_s.keys() == shop.healthy
            assert max(delays_s.values()) <= WAITS_S

    run_on(store, scenario)


@pytest.mark.parametrize(("concurrency", "most_s"), [(32, 1.0), (2, 2.0), (1, 2.0)])
def test_thousands_of_retries_that_are_due_hold_up_nothing_new(concurrency: int, most_s: float) -> None:
    store = MemoryStore()

    async def scenario() -> None:
        async with Shop(store, seed=2, concurrency=32).open() as shop:
            shop.answers = poisonous(shop)
            await shop.post(2_500, poison=0.8)
            await shop.clock.sleep(900)
            assert await store.circuits() == []
        # As after a stop: all of them are due when the next worker begins.
        await shop.clock.sleep(3_600)
        async with Shop(store, seed=3, concurrency=concurrency).open() as later:
            later.answers = lambda claim, _: SILENT if claim.event.id in shop.poison else TAKEN
            for _ in range(20):
                await later.post()
                await later.clock.sleep(1)
            delays_s = later.delays_s()
            assert delays_s.keys() == later.healthy
            assert max(delays_s.values()) <= most_s
            retries = len(later.calls) - 20
            assert retries >= 20, "nor the reverse"

    run(scenario)


def test_retries_that_time_out_do_not_take_every_place() -> None:
    async def scenario() -> None:
        async with Shop(MemoryStore(), seed=4, concurrency=16).open() as shop:
            shop.answers = poisonous(shop, SILENT)
            shop.takes_s = lambda claim: 10.0 if claim.event.id in shop.poison else 0.05
            for _ in range(60):
                await shop.post(10, poison=1.0)
                await shop.post()
                await shop.clock.sleep(60)
            began = len(shop.accepted)
            for _ in range(30):
                await shop.post()
                await shop.clock.sleep(3)
            late = [wait for id_, wait in shop.delays_s().items() if id_ in list(shop.accepted)[began:]]
            assert len(late) == 30
            assert max(late) <= 0.1, "there is a place for what is new"

    run(scenario)


def test_in_order_a_key_that_fails_holds_itself_and_no_other(store: Store) -> None:
    async def scenario() -> None:
        async with Shop(store, seed=5, ordered=True).open() as shop:
            shop.answers = poisonous(shop)
            for number in range(60):
                await shop.post(poison=1.0, key=f"bad-{number}")
                await shop.post(3, key=f"good-{number}")
                await shop.post(2, key=f"bad-{number}")
            behind = {id_ for id_, key in shop.keys.items() if key.startswith("bad")} - shop.poison
            for _ in range(10):
                await shop.clock.sleep(60)
                await shop.post(3, key="good-0")
            await shop.clock.sleep(1)
            delays_s = shop.delays_s()
            assert delays_s.keys() == shop.healthy - behind
            assert max(delays_s.values()) <= WAITS_S
            assert await store.circuits() == []

    run_on(store, scenario)


def test_behind_an_open_circuit_the_poison_of_one_conversation_does_not_take_every_probe(store: Store) -> None:
    async def scenario() -> None:
        async with Shop(store, seed=6).open() as shop:
            shop.answers = poisonous(shop)
            now_ms = shop.clock.now_ms()
            await store.change_circuit("crm", 0, opened("crm", "…", BreakerPolicy(), now_ms, 0, 15_000))
            await shop.post(20)
            await shop.clock.sleep(0.1)
            await shop.post(500, poison=1.0, key="talk")
            await shop.clock.sleep(15)
            assert shop.delays_s().keys() == shop.healthy

    run_on(store, scenario)


def test_healthy_traffic_closes_a_circuit_behind_which_only_poison_was_left() -> None:
    store = MemoryStore()

    async def scenario() -> None:
        async with Shop(store, seed=7).open() as shop:
            shop.answers = poisonous(shop)
            await shop.post(200, poison=1.0)
            await shop.clock.sleep(3_600)
            assert await store.circuits() != [], "nothing but failures: that is what an outage looks like"
            for _ in range(120):
                await shop.post()
                await shop.clock.sleep(31)
            delays_s = list(shop.delays_s().values())
            assert len(delays_s) == 120
            assert max(delays_s) <= 62, "every second probe at least is the newest of what was never tried"
            assert await store.circuits() == []
            assert max(delays_s[60:]) <= 1.0, "what has failed so often says nothing any more"

    run(scenario)


def test_an_event_that_is_always_answered_with_retry_after_stops_asking_for_all() -> None:
    store = MemoryStore()
    asks = replace(ANSWERED, status=503, retry_after_s=60.0)

    async def scenario() -> None:
        async with Shop(store, seed=8).open() as shop:
            shop.answers = poisonous(shop, asks)
            await shop.post(poison=1.0)
            await shop.clock.sleep(3_600)
            for _ in range(600):
                await shop.post()
                await shop.clock.sleep(6)
            delays_s = shop.delays_s()
            assert delays_s.keys() == shop.healthy
            assert max(delays_s.values()) <= 3 * 60 + 1
            assert max(delays_s[id_] for id_ in list(shop.accepted)[-300:]) <= 1.0

    run(scenario)
