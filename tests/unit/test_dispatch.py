"""Dispatching: how much is under way at once, what wakes it, how it holds its leases and how it stops."""

import asyncio
from pathlib import Path

import pytest
from services import FAILED, LEASE_MS, REJECTED, Works, all_deliveries, on_virtual_time, settle_down, states
from structlog.testing import capture_logs

from longstop.delivering.dispatch import LOOK_AGAIN_S
from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import OutcomeKind, State, Transition, Trigger
from longstop.model.lease import LeaseRequest, Settlement
from longstop.model.retry import RetryPolicy
from longstop.ports import Store
from longstop.stores.memory import MemoryStore
from longstop.stores.sqlite import SqliteStore
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.fakes import ScriptedSender


def in_lane(number: int, key: str = "k", to: str = "crm") -> Append:
    event = make_event(number, key=key)
    return Append(event, (make_delivery(event, to, lane=key),))


# -- how much at once ---------------------------------------------------------------------------------


@on_virtual_time
async def test_no_more_than_its_concurrency_is_under_way_at_a_destination() -> None:
    sender = ScriptedSender()
    gate = sender.hold()
    async with Works(crm=(sender, 3)) as works:
        await works.store.append([make_append(n) for n in range(1, 11)])
        await settle_down()
        assert sender.running == 3
        gate.set()
        await settle_down()
        assert (sender.most_running, len(sender.sent)) == (3, 10)
        assert set(await states(works.store)) == {State.DELIVERED}


@on_virtual_time
async def test_a_full_destination_does_not_hold_up_another() -> None:
    slow, quick = ScriptedSender(), ScriptedSender()
    slow.hold()
    async with Works(slow=(slow, 2), quick=(quick, 2)) as works:
        await works.store.append([make_append(n, to=("slow",)) for n in range(1, 6)])
        await settle_down()
        await works.store.append([make_append(n, to=("quick",)) for n in range(6, 11)])
        await settle_down()
        assert (len(slow.sent), len(quick.sent)) == (2, 5)
        assert works.clock.now_ms() == AT_MS


@on_virtual_time
async def test_a_failing_event_of_a_lane_holds_only_its_own_key() -> None:
    sender = ScriptedSender(REJECTED)
    async with Works(crm=sender) as works:
        await works.store.append([in_lane(1, "a"), in_lane(2, "a"), in_lane(3, "b")])
        await settle_down()
        assert [sent.key for sent in sender.sent] == ["a", "b"]
        assert await states(works.store) == [State.DEAD, State.SCHEDULED, State.DELIVERED]


# -- what wakes it ------------------------------------------------------------------------------------


@on_virtual_time
async def test_an_arrival_wakes_an_idle_dispatcher_at_once() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        await works.clock.sleep(LOOK_AGAIN_S / 2)
        before_ms = works.clock.now_ms()
        await works.store.append([make_append(1)])
        await sender.began(1)
        assert works.clock.now_ms() == before_ms


@on_virtual_time
async def test_an_idle_dispatcher_does_not_poll() -> None:
    async with Works(crm=ScriptedSender()) as works:
        await works.clock.sleep(60)
        assert works.store.calls["lease"] <= 60 / LOOK_AGAIN_S + 1
        assert "extend" not in works.store.calls


@on_virtual_time
async def test_an_arrival_while_it_asks_the_store_is_not_missed() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        gate = works.store.withhold("lease")
        await works.store.append([make_append(1)])
        await settle_down()
        await works.store.append([make_append(2)])
        gate.set()
        await settle_down()
        assert len(sender.sent) == 2
        assert works.clock.now_ms() == AT_MS


@on_virtual_time
async def test_a_retry_is_sent_exactly_when_it_is_due() -> None:
    sender = ScriptedSender(FAILED, FAILED)
    # Shorter and longer than the time after which it looks again anyway.
    policy = RetryPolicy(first_ms=300, factor=5, jitter="none")
    async with Works(policy=policy, crm=sender) as works:
        await works.store.append([make_append(1)])
        await sender.began(3)
        assert works.clock.now_ms() == AT_MS + 300 + 1_500
        await settle_down()
        delivery = await works.one()
        attempts = (await works.store.history(delivery.id)).attempts
        assert [each.started_at_ms - AT_MS for each in attempts] == [0, 300, 1_800]
        assert [each.number for each in attempts] == [sent.attempt for sent in sender.sent] == [1, 2, 3]


@on_virtual_time
async def test_places_that_become_free_while_it_asks_the_store_are_filled_at_once() -> None:
    sender = ScriptedSender()
    async with Works(crm=(sender, 2)) as works:
        first = sender.hold()
        await works.store.append([make_append(1)])
        await settle_down()
        second = sender.hold()
        await works.store.append([make_append(n) for n in range(2, 6)])
        await settle_down()
        gate = works.store.withhold("lease")
        first.set()
        await settle_down()
        # It asks for one now; meanwhile the other place becomes free, too.
        second.set()
        await settle_down()
        gate.set()
        await settle_down()
        assert set(await states(works.store)) == {State.DELIVERED}
        assert works.clock.now_ms() == AT_MS


@on_virtual_time
async def test_a_place_that_becomes_free_is_filled_at_once_though_it_was_asked_for_while_all_were_taken() -> None:
    sender = ScriptedSender()
    gate = sender.hold()
    async with Works(crm=(sender, 1)) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        await works.store.append([make_append(2)])
        await settle_down()
        assert len(sender.sent) == 1
        gate.set()
        await settle_down()
        assert len(sender.sent) == 2
        assert works.clock.now_ms() == AT_MS


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("ended", ["delivered", "skipped", "discarded"])
def test_the_next_of_a_lane_goes_as_soon_as_its_turn_comes(kind: str, ended: str, tmp_path: Path) -> None:
    @on_virtual_time
    async def scenario() -> None:
        store: Store = MemoryStore()
        if kind == "sqlite":
            store = SqliteStore(tmp_path / "store.db", watch_s=None, threaded=False)
            await store.open()
        policy = RetryPolicy(on_dead="skip" if ended == "skipped" else "hold")
        sender = ScriptedSender(*([] if ended == "delivered" else [REJECTED]))
        async with Works(store, policy, crm=sender) as works:
            await works.store.append([in_lane(1), in_lane(2), in_lane(3)])
            await settle_down()
            if ended == "discarded":
                first = (await all_deliveries(store))[0]
                await works.store.act([Action(first.id, Transition(Trigger.DISCARD, AT_MS), "ada", "a test")])
            await settle_down()
            assert (len(sender.sent), sender.most_running) == (3, 1)
            assert works.clock.now_ms() == AT_MS
        await store.close()

    scenario()


@on_virtual_time
async def test_a_store_that_is_down_is_asked_again() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        works.store.fail("lease", times=3)
        with capture_logs() as logged:
            await works.store.append([make_append(1)])
            await sender.began(1)
        assert works.clock.now_ms() <= AT_MS + 3 * LOOK_AGAIN_S * 1000
        failures = [each["error"] for each in logged if each["event"] == "lease_failed"]
        assert len(failures) == 3
        assert all("told to fail" in each for each in failures)


# -- leases -------------------------------------------------------------------------------------------


@on_virtual_time
async def test_the_lease_of_a_long_attempt_is_extended_until_it_is_done() -> None:
    sender = ScriptedSender()
    gate = sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        for _ in range(10):
            await works.clock.sleep(LEASE_MS / 1000)
            assert await works.store.expired(works.clock.now_ms(), 10) == []
        gate.set()
        await settle_down()
        assert (await works.one()).state is State.DELIVERED
        assert len(sender.sent) == 1


@on_virtual_time
async def test_one_failed_extension_loses_no_lease() -> None:
    sender = ScriptedSender()
    sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        works.store.fail("extend")
        with capture_logs() as logged:
            await works.clock.sleep(LEASE_MS / 1000)
        assert await works.store.expired(works.clock.now_ms(), 10) == []
        assert [each["event"] for each in logged] == ["extend_failed"]
        assert "told to fail" in logged[0]["error"]


@on_virtual_time
async def test_a_lease_says_whose_it_is_and_until_when() -> None:
    sender = ScriptedSender()
    sender.hold()
    async with Works(crm=sender) as works:
        await works.clock.sleep(LOOK_AGAIN_S / 2)
        await works.store.append([make_append(1)])
        await settle_down()
        delivery, now_ms = await works.one(), works.clock.now_ms()
        assert (delivery.worker, delivery.leased_at_ms, delivery.lease_until_ms) == (
            "worker-1",
            now_ms,
            now_ms + LEASE_MS,
        )


@on_virtual_time
async def test_a_lease_is_extended_each_third_of_it_by_all_of_it() -> None:
    sender = ScriptedSender()
    sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        await works.clock.sleep(LEASE_MS / 3000 - 0.001)
        assert "extend" not in works.store.calls
        await works.clock.sleep(0.001)
        await settle_down()
        assert works.store.calls["extend"] == 1
        assert (await works.one()).lease_until_ms == works.clock.now_ms() + LEASE_MS


@on_virtual_time
async def test_an_attempt_whose_lease_is_lost_is_broken_off_and_changes_nothing() -> None:
    store, sender = MemoryStore(), ScriptedSender()
    sender.hold()
    async with Works(store, crm=sender) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        lost = (await works.one()).after(Transition(Trigger.RETRY, AT_MS, due_at_ms=AT_MS))
        # Behind its back: rescued, and leased by another.
        works.store.stall("lease")
        assert await store.settle([Settlement(lost)]) == [None]
        (claim,) = (await store.lease(LeaseRequest("other", {"crm": 1}, AT_MS, AT_MS + 10**9))).claims
        with capture_logs() as logged:
            await works.clock.sleep(LEASE_MS / 1000)
        assert {"event": "lease_lost", "log_level": "warning", "delivery_id": claim.delivery.id} in logged
        assert (sender.running, sender.cancelled) == (0, 1)
        assert await store.delivery(claim.delivery.id) == claim.delivery
        assert (await store.history(claim.delivery.id)).attempts == ()


@on_virtual_time
async def test_a_lease_that_is_being_given_back_is_not_called_lost() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        told = works.store.withhold("settle")
        await works.store.append([make_append(1)])
        with capture_logs() as logged:
            await works.clock.sleep(LEASE_MS / 1000)
            assert works.store.calls["extend"] > 0
            assert (await works.one()).state is State.DELIVERED
            told.set()
            await settle_down()
        assert "lease_lost" not in [each["event"] for each in logged]
        assert sender.cancelled == 0


# -- stopping -----------------------------------------------------------------------------------------


@on_virtual_time
async def test_a_stop_leases_nothing_more_and_waits_for_what_is_under_way() -> None:
    sender = ScriptedSender()
    gate = sender.hold()
    async with Works(crm=(sender, 1)) as works:
        await works.store.append([make_append(1), make_append(2)])
        await settle_down()
        stopping = asyncio.create_task(works.dispatch.stop(10))
        await works.clock.sleep(5)
        assert not stopping.done()
        gate.set()
        await stopping
        assert works.clock.now_ms() == AT_MS + 5_000
        await works.clock.sleep(60)
        assert await states(works.store) == [State.DELIVERED, State.SCHEDULED]


@on_virtual_time
async def test_what_takes_longer_than_the_limit_is_broken_off_and_rescheduled() -> None:
    sender = ScriptedSender()
    sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        await works.dispatch.stop(10)
        assert works.clock.now_ms() == AT_MS + 10_000
        delivery = await works.one()
        assert (delivery.state, delivery.due_at_ms) == (State.SCHEDULED, AT_MS + 10_000)
        (attempt,) = (await works.store.history(delivery.id)).attempts
        assert (attempt.outcome, attempt.duration_ms) == (OutcomeKind.INTERRUPTED, 10_000)
        assert (delivery.attempts, delivery.tries) == (1, 0)


@on_virtual_time
async def test_a_stop_ends_though_what_it_breaks_off_cannot_be_settled() -> None:
    sender = ScriptedSender()
    sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        works.store.stall("settle")
        assert works.dispatch.under_way
        with capture_logs() as logged:
            await works.dispatch.stop(10)
        assert works.clock.now_ms() == AT_MS + 20_000, "the limit to end by itself, and the limit to settle"
        assert logged == [{"event": "interrupted", "log_level": "warning", "attempts": 1, "after_s": 10}]


@on_virtual_time
async def test_what_was_being_leased_when_the_stop_came_is_waited_for_too() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        gate = works.store.stall("lease")
        await works.store.append([make_append(1)])
        await settle_down()
        stopping = asyncio.create_task(works.dispatch.stop(10))
        await settle_down()
        gate.set()
        await stopping
        assert await states(works.store) == [State.DELIVERED]


@on_virtual_time
async def test_a_stop_of_an_idle_dispatcher_ends_its_loop() -> None:
    async with Works(crm=ScriptedSender()) as works:
        assert not works.dispatch.under_way
        await works.dispatch.stop(10)
        await settle_down()
        assert works._tasks[0].done()
        assert works.clock.now_ms() == AT_MS


@on_virtual_time
async def test_a_fault_of_ours_in_an_attempt_stops_neither_the_loop_nor_loses_the_place() -> None:
    sender = ScriptedSender()
    async with Works(crm=(sender, 1)) as works:
        run = works.deliver.run

        async def broken(*_: object) -> None:
            works.deliver.run = run  # type: ignore[method-assign]
            raise RuntimeError("a bug")

        works.deliver.run = broken  # type: ignore[assignment, method-assign]
        with capture_logs() as logged:
            await works.store.append([make_append(1), make_append(2)])
            await settle_down()
        told, *others = logged
        assert (told["event"], told["delivery_id"]) == ("attempt_failed", make_append(1).deliveries[0].id)
        assert repr(told["exc_info"]) == "RuntimeError('a bug')"
        assert [each["event"] for each in others] == ["delivered"]
        assert await states(works.store) == [State.LEASED, State.DELIVERED]
