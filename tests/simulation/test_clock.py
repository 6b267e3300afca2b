"""A wall clock that is wrong and is put right: hours and years, either way, while the gateway runs and while not.

Nothing waits for a time that nobody asked for, nothing dies of a time that did not pass, and what is alive is not
taken for dead.
"""

import asyncio

import pytest
from shop import LEASE_MS, REFUSED, TAKEN, Shop, run_on, some
from test_delivery import _quiet

from longstop.delivering import clock_watch, dispatch, rescue
from longstop.model.delivery import DeadReason, OutcomeKind, State
from longstop.model.lease import LeaseRequest
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.testing.clock import run

__all__ = ["_quiet"]

HOUR_S = 3_600.0
JUMPS = [6 * HOUR_S, -6 * HOUR_S, 365 * 24 * HOUR_S, -365 * 24 * HOUR_S]
SOON_S = 12.0
"""A repair is looked for every ten seconds."""


def shop_over(store: Store, ordered: bool = False) -> Shop:
    shop = Shop(store, seed=1, ordered=ordered)
    shop.watched = True
    return shop


async def leased_by_nobody(shop: Shop) -> str:
    """The id of a delivery that was leased by somebody who is never heard of again, before the dispatcher looked."""
    for _ in range(100):
        await shop.post(1)
        now_ms = shop.clock.now_ms()
        if claims := (await shop.store.lease(LeaseRequest("gone", {"crm": 1}, now_ms, now_ms + LEASE_MS))).claims:
            return claims[0].delivery.id
    raise AssertionError("the dispatcher is always first")


async def states(shop: Shop) -> set[State]:
    return {each.state for each in await shop.deliveries()}


@pytest.mark.parametrize("by_s", JUMPS)
@pytest.mark.parametrize("ordered", [False, True], ids=["loose", "ordered"])
def test_what_was_accepted_and_tried_before_a_jump_is_delivered_soon_after_it(
    store: Store, by_s: float, ordered: bool
) -> None:
    async def scenario() -> None:
        async with shop_over(store, ordered).open() as shop:
            shop.answers = lambda _claim, _at_ms: REFUSED
            for _ in range(3):
                await shop.post(3, key="talk")
                await shop.post(5)
                await shop.clock.sleep(1)
            shop.clock.jump(by_s)
            shop.answers = lambda _claim, _at_ms: TAKEN
            await shop.clock.sleep(SOON_S)
            await shop.post(3)
            await shop.clock.sleep(SOON_S)
            assert await states(shop) == {State.DELIVERED}

    run_on(store, scenario)


@pytest.mark.parametrize("by_s", JUMPS)
@pytest.mark.parametrize("ordered", [False, True], ids=["loose", "ordered"])
def test_what_was_accepted_by_a_wrong_clock_before_the_start_does_not_wait_for_it(
    store: Store, by_s: float, ordered: bool
) -> None:
    async def scenario() -> None:
        shop = shop_over(store, ordered)
        await shop.post(5)
        await shop.post(5, key="talk")
        shop.clock.jump(by_s)
        async with shop.open():
            await shop.clock.sleep(SOON_S)
            assert await states(shop) == {State.DELIVERED}

    run_on(store, scenario)


@pytest.mark.parametrize("by_s", JUMPS)
def test_an_open_circuit_is_probed_and_closed_whatever_the_clock_does(store: Store, by_s: float) -> None:
    async def scenario() -> None:
        async with shop_over(store).open() as shop:
            shop.answers = lambda _claim, _at_ms: REFUSED
            await shop.post(200)
            await shop.clock.sleep(60)
            assert await store.circuits() != []
            shop.clock.jump(by_s)
            shop.answers = lambda _claim, _at_ms: TAKEN
            await shop.clock.sleep(60)
            assert await store.circuits() == []
            assert await states(shop) == {State.DELIVERED}

    run_on(store, scenario)


@pytest.mark.parametrize("by_s", JUMPS)
def test_an_attempt_that_is_under_way_keeps_its_lease_and_one_whose_worker_died_comes_back(
    store: Store, by_s: float
) -> None:
    async def scenario() -> None:
        async with shop_over(store).open() as shop:
            shop.takes_s = lambda _claim: 120.0
            await shop.post(1)
            await shop.clock.sleep(5)
            shop.clock.jump(by_s)
            await shop.clock.sleep(200)
            (alive,) = await shop.deliveries()
            assert (alive.state, alive.attempts) == (State.DELIVERED, 1), "it was not taken for dead"
            shop.takes_s = lambda _claim: 0.05
            lost = await leased_by_nobody(shop)
            shop.clock.jump(by_s)
            await shop.clock.sleep(2 * LEASE_MS / 1000 + SOON_S)
            kinds = [each.outcome for each in (await store.history(lost)).attempts]
            assert kinds == [OutcomeKind.LOST, OutcomeKind.SUCCESS]

    run_on(store, scenario)


@pytest.mark.parametrize("by_s", JUMPS)
def test_nothing_dies_of_a_time_that_did_not_pass_and_what_is_late_is_late_all_the_same(
    store: Store, by_s: float
) -> None:
    async def scenario() -> None:
        async with shop_over(store).open() as shop:
            shop.answers = lambda _claim, _at_ms: REFUSED
            shop.fresh_s = 300.0
            await shop.post(2)
            shop.fresh_s = None
            await shop.post(2)
            await shop.clock.sleep(20)
            shop.clock.jump(by_s)
            await shop.clock.sleep(100)
            assert await states(shop) == {State.SCHEDULED}, "neither too late nor too old"
            await shop.clock.sleep(1_000)
            found = await shop.deliveries()
            assert [each.reason for each in found[:2]] == [DeadReason.EXPIRED] * 2
            assert [each.state for each in found[2:]] == [State.SCHEDULED] * 2

    run_on(store, scenario)


@pytest.mark.parametrize("by_s", JUMPS)
def test_three_days_are_three_days_whatever_the_clock_says(by_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((dispatch, "LOOK_AGAIN_S"), (clock_watch, "LOOK_EVERY_S"), (rescue, "EVERY_S")):
        monkeypatch.setattr(module, name, 60.0)

    async def scenario() -> None:
        async with shop_over(MemoryStore()).open() as shop:
            shop.answers = lambda _claim, _at_ms: REFUSED
            await shop.post(2)
            await shop.clock.sleep(20)
            shop.clock.jump(by_s)
            await shop.clock.sleep(71 * HOUR_S)
            assert await states(shop) == {State.SCHEDULED}
            await shop.clock.sleep(2 * HOUR_S)
            assert {each.reason for each in await shop.deliveries()} == {DeadReason.EXHAUSTED}

    run(scenario)


def test_a_clock_that_was_wrong_for_long_and_is_put_right_leaves_nothing_behind(store: Store) -> None:
    async def scenario() -> None:
        async with shop_over(store).open() as shop:
            for by_s in (365 * 24 * HOUR_S, 0.0, -365 * 24 * HOUR_S):
                shop.clock.jump(by_s)
                shop.answers = lambda _claim, _at_ms: REFUSED
                await shop.post(5)
                await shop.clock.sleep(some(store, 1_800, 300))
            shop.answers = lambda _claim, _at_ms: TAKEN
            await shop.clock.sleep(16 * 60)
            assert await states(shop) == {State.DELIVERED}

    run_on(store, scenario)


def test_two_processes_that_notice_one_after_the_other_repair_once(store: Store) -> None:
    async def scenario() -> None:
        async with shop_over(store).open() as shop, shop_over(store).open():
            shop.answers = lambda _claim, _at_ms: REFUSED
            await shop.post(10)
            await asyncio.gather(shop.clock.sleep(5))
            shop.clock.jump(-6 * HOUR_S)
            await shop.clock.sleep(60)
            shop.answers = lambda _claim, _at_ms: TAKEN
            # The longest that a retry waits: the order in which a server answers is its own, and so are the dice.
            await shop.clock.sleep(16 * 60)
            assert await states(shop) == {State.DELIVERED}
            assert len({each.id for each in await shop.deliveries()}) == 10

    run_on(store, scenario)
