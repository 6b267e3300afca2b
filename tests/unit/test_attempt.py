"""One attempt: what is recorded of it, and that its settlement gets through."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from services import FAILED, PLAIN, REJECTED, Works, all_deliveries, on_virtual_time, settle_down, states
from structlog.testing import capture_logs

from longstop.delivering.attempt import SETTLE_AGAIN_S, AttemptRunner, Destination, settled
from longstop.delivering.dispatch import breaker_of
from longstop.group_commit import GroupCommit
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.delivery import ANSWER_BYTES_KEPT, DeadReason, Outcome, OutcomeKind, State
from longstop.model.lease import Claim, LeaseRequest, Settlement
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.fakes import ScriptedSender


async def claimed(works: Works, until_ms: int = AT_MS + 30_000) -> Claim:
    """The only delivery, leased by hand: the dispatcher of these tests is not running."""
    await works.store.append([make_append(1)])
    (claim,) = (await works.store.lease(LeaseRequest("worker-1", {"crm": 1}, AT_MS, until_ms))).claims
    return claim


@on_virtual_time
async def test_an_attempt_is_recorded_with_all_that_is_known_of_it() -> None:
    answer = b"\x00\xff" * (ANSWER_BYTES_KEPT // 2)
    works = Works(crm=ScriptedSender(Outcome(OutcomeKind.RETRY, 503, "busy", answer=answer)))
    claim = await claimed(works)
    sender = ScriptedSender(Outcome(OutcomeKind.RETRY, 503, "busy", answer=answer))
    gate = sender.hold()
    trying = asyncio.create_task(works.attempt(claim, Destination("crm", sender, PLAIN, 1)))
    await works.clock.sleep(0.25)
    gate.set()
    await trying
    delivery = await works.one()
    (attempt,) = (await works.store.history(delivery.id)).attempts
    assert (attempt.number, attempt.round, attempt.started_at_ms, attempt.duration_ms) == (1, 1, AT_MS, 250)
    assert (attempt.outcome, attempt.status, attempt.error) == (OutcomeKind.RETRY, 503, "busy")
    assert attempt.answer == answer
    assert (delivery.state, delivery.due_at_ms) == (State.SCHEDULED, AT_MS + 250 + 1_000)
    assert (delivery.last_status, delivery.last_error) == (503, "busy")


@on_virtual_time
async def test_exhausted_keeps_its_whole_history() -> None:
    async with Works(crm=ScriptedSender(otherwise=FAILED)) as works:
        await works.store.append([make_append(1)])
        await works.clock.sleep(60)
        delivery = await works.one()
        attempts = (await works.store.history(delivery.id)).attempts
        assert (delivery.state, delivery.reason, delivery.attempts) == (State.DEAD, DeadReason.EXHAUSTED, 3)
        assert [(each.number, each.status) for each in attempts] == [(1, 503), (2, 503), (3, 503)]


@on_virtual_time
async def test_what_comes_due_too_late_is_dead_and_never_sent() -> None:
    sender = ScriptedSender(FAILED)
    fresh_ms = 60_000
    async with Works(crm=(sender, 1)) as works:
        gate = sender.hold()
        made = [make_append(n) for n in (1, 2, 3)]
        late = [replace(each, expires_at_ms=AT_MS + fresh_ms) for item in made[1:] for each in item.deliveries]
        await works.store.append([made[0], *(Append(i.event, (d,)) for i, d in zip(made[1:], late, strict=True))])
        await works.clock.sleep(fresh_ms / 1000)
        gate.set()
        await works.clock.sleep(10)
        first, *others = await all_deliveries(works.store)
        assert (first.state, first.attempts) == (State.DELIVERED, 2)
        assert [(each.state, each.reason, each.attempts) for each in others] == [
            (State.DEAD, DeadReason.EXPIRED, 0)
        ] * 2
        assert len(sender.sent) == 2


@on_virtual_time
async def test_what_is_just_in_time_is_sent() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    for expires_at_ms, state in ((AT_MS + 1, State.DELIVERED), (AT_MS, State.DEAD)):
        sender = ScriptedSender()
        fresh = Claim(replace(claim.delivery, expires_at_ms=expires_at_ms), claim.event)
        tried: list[Settlement] = []

        async def settle(settlements: Sequence[Settlement], tried: list[Settlement] = tried) -> list[None]:
            tried.extend(settlements)
            return [None] * len(settlements)

        works.deliver = AttemptRunner(GroupCommit(settle), works.clock, random.Random(1))
        await works.attempt(fresh, Destination("crm", sender, PLAIN, 1))
        assert [each.delivery.state for each in tried] == [state]
        assert len(sender.sent) == (state is State.DELIVERED)


@on_virtual_time
async def test_a_never_is_dead_after_one_attempt() -> None:
    sender = ScriptedSender(REJECTED)
    async with Works(crm=sender) as works:
        await works.store.append([make_append(1)])
        await works.clock.sleep(60)
        delivery = await works.one()
        assert (delivery.state, delivery.reason, len(sender.sent)) == (State.DEAD, DeadReason.REJECTED, 1)


@on_virtual_time
async def test_a_settlement_is_tried_until_the_store_takes_it_and_the_destination_is_not_asked_again() -> None:
    sender = ScriptedSender()
    async with Works(crm=sender) as works:
        works.store.fail("settle", times=5)
        await works.store.append([make_append(1)])
        await works.clock.sleep(5 * SETTLE_AGAIN_S)
        await settle_down()
        assert await states(works.store) == [State.DELIVERED]
        delivery = await works.one()
        assert delivery.ended_at_ms == AT_MS
        assert (len(sender.sent), works.store.calls["settle"]) == (1, 6)


@on_virtual_time
async def test_a_settlement_under_a_lost_lease_is_dropped() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works, until_ms=AT_MS + 1)
    await works.attempt(claim, Destination("crm", ScriptedSender(), PLAIN, 1))
    before = await works.one()
    await works.attempt(claim, Destination("crm", ScriptedSender(FAILED), PLAIN, 1))
    assert await works.one() == before
    assert len((await works.store.history(before.id)).attempts) == 1


@on_virtual_time
async def test_a_sender_that_breaks_is_our_fault_and_the_event_is_tried_again() -> None:
    async with Works(crm=ScriptedSender(ValueError("SECRET"))) as works:
        await works.store.append([make_append(1)])
        await settle_down()
        delivery = await works.one()
        assert (delivery.state, delivery.last_error) == (State.SCHEDULED, "internal error: ValueError")
        await works.clock.sleep(1)
        await settle_down()
        assert await states(works.store) == [State.DELIVERED]


@on_virtual_time
async def test_attempts_that_end_together_share_a_commit() -> None:
    sender = ScriptedSender()
    gate = sender.hold()
    async with Works(crm=sender) as works:
        await works.store.append([make_append(n) for n in range(1, 21)])
        await settle_down()
        gate.set()
        await settle_down()
        assert len(await all_deliveries(works.store)) == 20
        assert works.store.calls["settle"] <= 2


def test_a_probe_that_fails_is_recorded_and_ends_no_round_however_spent() -> None:
    spent = make_delivery(make_event(1), attempts=9, tries=9).leased("w", AT_MS, AT_MS + 30_000)
    failed = replace(FAILED, frames="crm.py:7 in update")
    probed = settled(spent, failed, AT_MS, PLAIN, AT_MS, random.Random(1), probe=True)
    assert (probed.delivery.state, probed.delivery.tries) == (State.SCHEDULED, 9)
    assert probed.attempt is not None
    assert (probed.attempt.number, probed.attempt.duration_ms, probed.attempt.frames) == (10, 0, failed.frames)
    plain = settled(spent, failed, AT_MS, PLAIN, AT_MS, random.Random(1))
    assert (plain.delivery.state, plain.delivery.reason) == (State.DEAD, DeadReason.EXHAUSTED)


@on_virtual_time
async def test_the_probe_of_an_open_circuit_costs_nothing_and_moves_the_circuit() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    circuit = Circuit("crm", AT_MS, AT_MS, answer_ms=15_000, why="…")
    assert await works.store.change_circuit("crm", 0, circuit)
    crm = Destination("crm", ScriptedSender(FAILED), replace(PLAIN, attempts=1), 1)
    await works.deliver.run(claim, crm, breaker_of(crm, works.store, works.clock), circuit)
    delivery = await works.one()
    assert (delivery.state, delivery.attempts, delivery.tries) == (State.SCHEDULED, 1, 0)
    (after,) = await works.store.circuits()
    assert (after.failed, after.version) == (1, 2)


@on_virtual_time
async def test_the_limit_is_told_when_an_attempt_began() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    crm = Destination("crm", ScriptedSender(FAILED), PLAIN, 64, adaptive=True)
    breaker = breaker_of(crm, works.store, works.clock)
    before = breaker.room()
    await works.deliver.run(claim, crm, breaker)
    assert breaker.room() == before // 2


# -- what is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(OutcomeKind.SUCCESS, 204), {"event": "delivered", "log_level": "debug"}),
        (
            Outcome(OutcomeKind.RETRY, 503, "busy"),
            {"event": "retrying", "log_level": "warning", "error": "busy", "due_at_ms": AT_MS + 1_000},
        ),
        (
            Outcome(OutcomeKind.REJECT, 422, "no such customer"),
            {"event": "dead", "log_level": "error", "error": "no such customer", "reason": "rejected"},
        ),
    ],
)
def test_the_end_of_an_attempt_is_told_with_whose_it_is(outcome: Outcome, told: dict[str, object]) -> None:
    @on_virtual_time
    async def scenario() -> None:
        works = Works(crm=ScriptedSender())
        claim = await claimed(works)
        with capture_logs() as logged:
            await works.attempt(claim, Destination("crm", ScriptedSender(outcome), PLAIN, 1))
        assert logged == [{**told, **names(claim), "attempts": 1}]

    scenario()


@on_virtual_time
async def test_one_that_its_key_goes_on_without_is_told_as_skipped_and_one_that_came_too_late_without_an_error() -> (
    None
):
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    skipping, late = replace(claim.delivery, lane="k"), replace(claim.delivery, expires_at_ms=AT_MS)
    with capture_logs() as logged:
        crm = Destination("crm", ScriptedSender(REJECTED), replace(PLAIN, on_dead="skip"), 1)
        await works.attempt(Claim(skipping, claim.event), crm)
    assert [(each["event"], each["skipped"]) for each in logged] == [("dead", True)]
    works = Works(crm=ScriptedSender())
    await claimed(works)
    with capture_logs() as logged:
        await works.attempt(Claim(late, claim.event), crm)
    assert logged == [
        {"event": "dead", "log_level": "error", "reason": "expired", "error": None, **names(claim), "attempts": 0}
    ]


@on_virtual_time
async def test_a_handler_that_raised_is_told_with_its_traceback() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    raised = Outcome(OutcomeKind.RETRY, error="ValueError: no", traceback="Traceback …", raised=True)
    with capture_logs() as logged:
        await works.attempt(claim, Destination("crm", ScriptedSender(raised), PLAIN, 1))
    assert logged[0] == {
        "event": "handler_raised",
        "log_level": "warning",
        "exception": "Traceback …",
        "error": "ValueError: no",
        **names(claim),
        "attempts": 0,
    }


@on_virtual_time
async def test_a_settlement_that_fails_and_one_that_is_refused_are_told() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works, until_ms=AT_MS + 1)
    crm = Destination("crm", ScriptedSender(), PLAIN, 1)
    works.store.fail("settle")
    with capture_logs() as logged:
        await works.attempt(claim, crm)
        await works.attempt(claim, crm)
    assert [(each["event"], each["log_level"]) for each in logged] == [
        ("settle_failed", "debug"),
        ("delivered", "debug"),
        ("lease_lost", "warning"),
    ]
    assert "told to fail" in logged[0]["error"]
    assert all(each.items() >= names(claim).items() for each in logged)


@on_virtual_time
async def test_a_sender_that_breaks_is_told_as_what_it_is() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    with capture_logs() as logged:
        await works.attempt(claim, Destination("crm", ScriptedSender(ValueError("a bug")), PLAIN, 1))
    assert [(each["event"], each["log_level"]) for each in logged] == [
        ("sender_failed", "error"),
        ("retrying", "warning"),
    ]
    assert logged[0].items() >= names(claim).items()


@on_virtual_time
async def test_what_is_broken_off_says_so_on_its_record() -> None:
    works = Works(crm=ScriptedSender())
    claim = await claimed(works)
    sender = ScriptedSender()
    sender.hold()
    trying = asyncio.create_task(works.attempt(claim, Destination("crm", sender, PLAIN, 1)))
    await works.clock.sleep(3)
    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying
    delivery = await works.one()
    (attempt,) = (await works.store.history(delivery.id)).attempts
    assert attempt.error == "interrupted: the gateway stopped before the destination answered"
    assert (attempt.outcome, attempt.started_at_ms, attempt.duration_ms) == (OutcomeKind.INTERRUPTED, AT_MS, 3_000)


def names(claim: Claim) -> dict[str, object]:
    return {"delivery_id": claim.delivery.id, "event_id": claim.event.id, "destination": "crm"}
