"""Rescuing: a dead worker's deliveries come back, poison is parked, and completion always wins or loses whole."""

import asyncio
import random
from typing import Any, ClassVar

from services import FAILED, LEASE_MS, PLAIN, Works, on_virtual_time, settle_down, states
from structlog.testing import capture_logs

from longstop.delivering.attempt import settled
from longstop.delivering.rescue import BATCH, EVERY_S, FORGET_AFTER_MS, FORGET_EVERY_MS, Rescue
from longstop.model.delivery import DeadReason, Outcome, OutcomeKind, State
from longstop.model.lease import Claim, LeaseRequest
from longstop.model.retry import RetryPolicy
from longstop.stores.memory import MemoryStore
from longstop.testing.builders import AT_MS, WINDOW_MS, make_append
from longstop.testing.clock import VirtualClock, run
from longstop.testing.fakes import FaultyStore, ScriptedSender


def rescuer(store: Any, policy: RetryPolicy = PLAIN) -> Rescue:
    return Rescue(store, {"crm": policy}, VirtualClock(), random.Random(1))


async def lease(store: MemoryStore, now_ms: int = AT_MS, room: int = 10_000) -> list[Claim]:
    batch = await store.lease(LeaseRequest("worker-1", {"crm": room}, now_ms, now_ms + LEASE_MS))
    return list(batch.claims)


@on_virtual_time
async def test_what_a_crashed_worker_held_is_tried_again_and_the_loss_is_on_record() -> None:
    store, sender, clock = MemoryStore(), ScriptedSender(), VirtualClock()
    sender.hold()
    async with Works(store, crm=sender):
        await store.append([make_append(1)])
        await settle_down()
    assert await states(store) == [State.LEASED]
    await clock.sleep(LEASE_MS / 1000 - 0.001)
    assert await rescuer(store).rescue() == 0
    await clock.sleep(0.001)
    with capture_logs() as logged:
        assert await rescuer(store).rescue() == 1
    (told,) = logged
    assert (told["event"], told["log_level"], told["worker"]) == ("rescued", "warning", "worker-1")
    assert (told["delivery_id"], told["event_id"]) == (make_append(1).deliveries[0].id, make_append(1).event.id)
    async with Works(store, crm=ScriptedSender()) as works:
        delivery = await works.one()
        lost, success = (await store.history(delivery.id)).attempts
        assert (lost.outcome, lost.started_at_ms, lost.duration_ms) == (OutcomeKind.LOST, AT_MS, LEASE_MS)
        assert lost.error is not None
        assert lost.error.startswith("lost: worker worker-1 did not report before its lease ran out")
        assert (success.outcome, success.number) == (OutcomeKind.SUCCESS, 2)
        assert (delivery.state, delivery.tries, delivery.lost) == (State.DELIVERED, 1, 1)


@on_virtual_time
async def test_a_payload_under_which_every_worker_dies_is_parked_as_crashed() -> None:
    store, clock = MemoryStore(), VirtualClock()
    await store.append([make_append(1)])
    for _ in range(3):
        assert len(await lease(store, clock.now_ms())) == 1
        await clock.sleep(LEASE_MS / 1000)
        await rescuer(store, RetryPolicy(crashes=3)).rescue()
    (delivery,) = (await store.event(make_append(1).event.id)).deliveries  # type: ignore[union-attr]
    assert (delivery.state, delivery.reason, delivery.attempts) == (State.DEAD, DeadReason.CRASHED, 3)


@on_virtual_time
async def test_more_than_a_batch_comes_back_in_one_go() -> None:
    store, clock = MemoryStore(), VirtualClock()
    await store.append([make_append(n) for n in range(BATCH + 7)])
    await lease(store)
    await clock.sleep(LEASE_MS / 1000)
    assert await rescuer(store).rescue() == BATCH + 7
    assert set(await states(store)) == {State.SCHEDULED}


@on_virtual_time
async def test_a_destination_that_is_no_longer_configured_is_rescued_too() -> None:
    store, clock = MemoryStore(), VirtualClock()
    await store.append([make_append(1, to=("gone",))])
    await store.lease(LeaseRequest("w", {"gone": 1}, AT_MS, AT_MS + 1))
    await clock.sleep(1)
    assert await rescuer(store).rescue() == 1


@on_virtual_time
async def test_a_clock_that_was_set_forward_takes_nobody_for_dead_until_the_living_have_extended_their_leases() -> None:
    store, clock = MemoryStore(), VirtualClock()
    rescue = Rescue(store, {"crm": PLAIN}, clock, random.Random(1), LEASE_MS)
    await store.append([make_append(1)])
    await lease(store)
    assert await rescue.rescue() == 0
    clock.jump(3_600)
    for _ in range(2):
        assert await rescue.rescue() == 0, "every lease seems to have run out"
        await clock.sleep(LEASE_MS / 2000)
    assert await rescue.rescue() == 1


@on_virtual_time
async def test_it_asks_for_no_more_than_a_batch_at_once() -> None:
    class Asked(MemoryStore):
        asked: ClassVar[list[int]] = []

        async def expired(self, now_ms: int, limit: int) -> Any:
            self.asked.append(limit)
            return await super().expired(now_ms, limit)

    assert await rescuer(Asked()).rescue() == 0
    assert Asked.asked == [BATCH]


@on_virtual_time
async def test_it_goes_on_for_ever_though_the_store_fails_now_and_then() -> None:
    store, clock = FaultyStore(MemoryStore()), VirtualClock()
    running = asyncio.create_task(rescuer(store).run())
    store.fail("expired", times=2)
    await store.append([make_append(1)])
    await store.lease(LeaseRequest("w", {"crm": 1}, AT_MS, AT_MS + 100))
    with capture_logs() as logged:
        await clock.sleep(3 * EVERY_S)
        await settle_down()
    assert await states(store) == [State.SCHEDULED]
    assert [each["event"] for each in logged] == ["rescue_failed", "rescue_failed", "rescued"]
    assert "told to fail" in logged[0]["error"]
    running.cancel()


@on_virtual_time
async def test_dedup_keys_are_forgotten_when_their_window_is_over_and_seldom_looked_for() -> None:
    store, clock = FaultyStore(MemoryStore()), VirtualClock()
    rescue = rescuer(store)
    await store.append([make_append(1, dedup=b"k")])
    await rescue.forget()
    await clock.sleep(FORGET_AFTER_MS / 1000 - 0.001)
    await rescue.forget()
    assert "forget_dedup" not in store.calls, "the clock may be set at any moment"
    await clock.sleep(0.001)
    await rescue.forget()
    await clock.sleep(FORGET_EVERY_MS / 1000 - 0.001)
    await rescue.forget()
    assert store.calls["forget_dedup"] == 1
    await clock.sleep(0.001)
    await rescue.forget()
    assert store.calls["forget_dedup"] == 2
    assert FORGET_EVERY_MS > WINDOW_MS
    assert await store.forget_dedup(clock.now_ms()) == 0


class Interleaved:
    """A store that lets others go first, as the dice will have it, before and after each of its operations."""

    def __init__(self, store: MemoryStore, rng: random.Random) -> None:
        self._store, self._rng = store, rng

    async def _dawdle(self) -> None:
        for _ in range(self._rng.randrange(4)):
            await asyncio.sleep(0)

    def __getattr__(self, name: str) -> object:
        async def call(*given: object) -> object:
            await self._dawdle()
            result = await getattr(self._store, name)(*given)
            await self._dawdle()
            return result

        return call


async def race(seed: int) -> str:
    """Complete and rescue, twice over, at the same time; who won."""
    rng, store, clock = random.Random(seed), MemoryStore(), VirtualClock()
    shared: Any = Interleaved(store, rng)
    await store.append([make_append(1)])
    (claim,) = await lease(store)
    await clock.sleep(LEASE_MS / 1000)
    outcome = rng.choice([Outcome(OutcomeKind.SUCCESS, 200), FAILED])
    end = settled(claim.delivery, outcome, AT_MS, PLAIN, clock.now_ms(), rng)
    (refused,), *rescued = await asyncio.gather(shared.settle([end]), *(rescuer(shared).rescue() for _ in range(2)))
    delivery = await store.delivery(end.delivery.id)
    (attempt,) = (await store.history(end.delivery.id)).attempts
    assert sum(rescued) + (refused is None) == 1
    if refused is None:
        assert (delivery, attempt) == (end.delivery, end.attempt)
        return "worker"
    assert delivery is not None
    assert (delivery.state, attempt.outcome) == (State.SCHEDULED, OutcomeKind.LOST)
    return "rescue"


def test_rescue_against_completion_has_one_winner_in_whatever_order() -> None:
    winners = []
    for seed in range(300):
        try:
            winners.append(run(race(seed)))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    # Both do win: otherwise one order would have been tried three hundred times.
    assert min(winners.count("worker"), winners.count("rescue")) > 20
