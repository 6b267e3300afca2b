"""Outages of every length and kind, with the defaults: who is down is left alone, nobody dies of it, and all of it goes
out soon after the recovery.
"""

import itertools
from dataclasses import replace

import pytest
from shop import ANSWERED, REFUSED, TAKEN, Call, Shop, run_on, some
from test_delivery import _quiet

from longstop.delivering import dispatch
from longstop.model.breaker import BreakerPolicy
from longstop.model.delivery import Outcome, State
from longstop.model.lease import Claim
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import START_MS, run

__all__ = ["_quiet"]

DAY_S = 86_400
PROBE_S = BreakerPolicy().probe_cap_ms / 1000
RAMP = BreakerPolicy().failures + 32
"""Requests that may be under way, or follow each other, before the circuit is open."""
SOON_S = 16 * 60.0
"""One who waits by itself comes within its longest backoff."""


@pytest.fixture(autouse=True)
def _long_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks the store again every second even if nothing woke it: days of that take longer than all the rest."""
    monkeypatch.setattr(dispatch, "LOOK_AGAIN_S", 60.0)


def down_until(shop: Shop, end_s: float, outcome: Outcome = REFUSED) -> None:
    """Let the destination fail with `outcome` until so many seconds after the beginning."""

    def answers(_claim: Claim, at_ms: int) -> Outcome:
        return outcome if at_ms < START_MS + end_s * 1000 else TAKEN

    shop.answers = answers


def failed(calls: list[Call]) -> list[float]:
    """When requests went out that failed, in seconds from the beginning."""
    return sorted((call.at_ms - START_MS) / 1000 for call in calls if call.outcome is not TAKEN)


async def all_delivered(shop: Shop, within_s: float) -> None:
    """Returns when everything has arrived; fails where that takes longer, or anything is dead."""
    for _ in range(int(within_s)):
        states = (await shop.store.counts()).deliveries["crm"]
        assert State.DEAD not in states or not states[State.DEAD], "somebody died of the outage"
        if states.get(State.DELIVERED) == len(shop.accepted):
            return
        await shop.clock.sleep(1)
    raise AssertionError(f"{within_s} s after the recovery: {dict(states)}")


@pytest.mark.parametrize("events", [2, 7, 30])
@pytest.mark.parametrize("outcome", [REFUSED, ANSWERED], ids=["refused", "answered"])
def test_two_days_with_few_events_are_survived(events: int, outcome: Outcome) -> None:
    async def scenario() -> None:
        async with Shop(MemoryStore(), seed=events).open() as shop:
            down_until(shop, 2 * DAY_S, outcome)
            await shop.post(events)
            await shop.clock.sleep(2 * DAY_S)
            requests = failed(shop.calls)
            # In the ten minutes until few events are taken for an outage, each doubles its wait ten times.
            assert len(requests) <= 10 * events + 2 * DAY_S / PROBE_S, "about a request for each probe interval"
            await all_delivered(shop, SOON_S)
            attempts = [await shop.store.history(each.id) for each in await shop.deliveries()]
            assert max(len(each.attempts) for each in attempts) <= 2 * DAY_S / PROBE_S / min(events, 5)

    run(scenario)


def test_days_with_thousands_of_events_are_survived_and_it_is_left_alone(store: Store) -> None:
    # A file takes more than a minute for as many.
    events, outage_s = (50_000, 2 * DAY_S) if isinstance(store, MemoryStore) else (some(store, 1_500, 500), DAY_S / 8)

    async def scenario() -> None:
        async with Shop(store, seed=1).open() as shop:
            down_until(shop, outage_s)
            for _ in range(events // 500):
                await shop.post(500)
            await shop.clock.sleep(outage_s - 1)
            opened_s = ((await store.circuits())[0].opened_at_ms - START_MS) / 1000
            probes = [at_s for at_s in failed(shop.calls) if at_s > opened_s]
            assert len(shop.calls) - len(probes) <= RAMP
            gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
            assert min(gaps) >= 1.0, "never more than one for each interval"
            assert min(gaps[6:]) >= PROBE_S
            await shop.clock.sleep(PROBE_S + 2)
            await all_delivered(shop, 600)

    run_on(store, scenario)


@pytest.mark.parametrize("answer", [ANSWERED, replace(ANSWERED, status=503), REFUSED], ids=["500", "503", "refused"])
def test_whatever_it_says_to_everything_it_is_left_alone(store: Store, answer: Outcome) -> None:
    async def scenario() -> None:
        async with Shop(store, seed=2).open() as shop:
            down_until(shop, 3_600, answer)
            await shop.post(some(store, 2_000, 300))
            await shop.clock.sleep(3_600)
            assert len(failed(shop.calls)) <= RAMP + 5 + 3_600 / PROBE_S
            await all_delivered(shop, PROBE_S + 60)

    run_on(store, scenario)


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_for_time_gets_it(store: Store, status: int) -> None:
    asks = replace(ANSWERED, status=status, retry_after_s=120.0)

    async def scenario() -> None:
        async with Shop(store, seed=3).open() as shop:
            down_until(shop, 600, asks)
            await shop.post(some(store, 2_000, 300))
            await shop.clock.sleep(700)
            times = failed(shop.calls)
            assert len(times) <= 32 + 5, "those that were under way, and one for each time that it asked for"
            later = [at_s for at_s in times if at_s > 1]
            assert all(after - before >= 120 for before, after in itertools.pairwise([0.0, *later]))
            await all_delivered(shop, 60)

    run_on(store, scenario)


def test_one_that_comes_and_goes_gets_everything_and_is_not_hammered_while_it_is_gone() -> None:
    async def scenario() -> None:
        async with Shop(MemoryStore(), seed=4).open() as shop:
            # 20 s of every minute it works.
            shop.answers = lambda _, at_ms: TAKEN if (at_ms - START_MS) // 1000 % 60 < 20 else REFUSED
            for _ in range(1_200):
                await shop.post(2)
                await shop.clock.sleep(1)
            gone = len(failed(shop.calls)) / 20
            assert gone <= RAMP + 15, "requests for each time that it is gone"
            await all_delivered(shop, SOON_S)
            waits_s = sorted(shop.delays_s().values())
            assert waits_s[len(waits_s) // 2] <= 60

    run(scenario)


def test_poison_before_during_and_after_an_outage_changes_nothing_for_the_others() -> None:
    async def scenario() -> None:
        async with Shop(MemoryStore(), seed=5).open() as shop:

            def answers(claim: Claim, at_ms: int) -> Outcome:
                if 600 <= (at_ms - START_MS) / 1000 < 4_200:
                    return REFUSED
                return ANSWERED if claim.event.id in shop.poison else TAKEN

            shop.answers = answers
            for _ in range(480):
                await shop.post(poison=0.4)
                await shop.clock.sleep(10)
            await shop.clock.sleep(60)
            during = [call for call in shop.calls if 610 <= (call.at_ms - START_MS) / 1000 < 4_200]
            assert len(during) <= RAMP * 4 + 3_600 / PROBE_S
            waits_s = shop.delays_s()
            assert waits_s.keys() == shop.healthy
            back_ms = START_MS + 4_200_000
            late = [wait for id_, wait in waits_s.items() if shop.accepted[id_] > back_ms + 60_000]
            assert max(late) <= 5.0
            held = [shop.accepted[id_] / 1000 + wait for id_, wait in waits_s.items() if wait > 5]
            assert max(held) <= back_ms / 1000 + SOON_S

    run(scenario)


def test_longer_than_max_age_nobody_dies_of_being_the_probe() -> None:
    async def scenario() -> None:
        async with Shop(MemoryStore(), seed=6).open() as shop:
            down_until(shop, 4 * DAY_S)
            await shop.post(200)
            await shop.clock.sleep(4 * DAY_S)
            await all_delivered(shop, PROBE_S + 60)

    run(scenario)
