"""Settle: only the holder of the latest lease ends it, and what it says is recorded whole or not at all."""

import asyncio
from dataclasses import replace

from longstop.model.delivery import Attempt, OutcomeKind, State
from longstop.model.errors import LeaseLostError
from longstop.model.lease import Settlement
from longstop.model.listing import History
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    attempts_of,
    delivered,
    expect_unchanged,
    lease,
    lease_one,
    parked,
    rescued,
    settle_one,
    settled,
    standing,
    to_retry,
)


async def _expect_refused(store: Store, end: Settlement) -> None:
    """The settlement is refused, says which lease was lost, and leaves no trace."""
    before, history = await standing(store, end.delivery.id), await store.history(end.delivery.id)
    lost = await settle_one(store, end)
    if not isinstance(lost, LeaseLostError):
        raise AssertionError(f"a settlement without the latest lease was accepted: {end.delivery!r}")
    found = (lost.delivery_id, lost.token)
    expect_equal(found, (end.delivery.id, end.delivery.token), "delivery and token of the error")
    await expect_unchanged(store, before, history)


async def check_success_is_recorded(store: Store) -> None:
    """The delivery stands as settled, with its attempt."""
    await store.append([make_append(1)])
    end = delivered(await lease_one(store))
    expect_equal(await settled(store, end), end.delivery, "delivery")
    expect_equal((await standing(store, end.delivery.id)).state, State.DELIVERED, "state")
    expect_equal(await store.history(end.delivery.id), History(attempts_of(end), ()), "history")


async def check_death_is_recorded(store: Store) -> None:
    """A dead delivery keeps its reason and what the destination said last."""
    await store.append([make_append(1)])
    end = parked(await lease_one(store))
    expect_equal(await settled(store, end), end.delivery, "delivery")
    expect_equal(await store.history(end.delivery.id), History(attempts_of(end), ()), "history")


async def check_event_shows_the_settled_delivery(store: Store) -> None:
    """An event's deliveries are as they now stand, the others untouched."""
    wanted = make_append(1, to=("crm", "lake"))
    await store.append([wanted])
    end = delivered(await lease_one(store, crm=1))
    await settled(store, end)
    kept = await store.event(wanted.event.id)
    expect_equal(kept and kept.deliveries, (end.delivery, wanted.deliveries[1]), "deliveries")


async def check_retry_is_due_later(store: Store) -> None:
    """Back to scheduled: not before its time, and then with the next token."""
    await store.append([make_append(1)])
    due = AT_MS + 4_000
    end = to_retry(await lease_one(store), due)
    expect_equal(await settled(store, end), end.delivery, "delivery")
    early = await lease(store, due - 1)
    expect_equal((early.claims, early.next_due_at_ms), ((), due), "claims and next_due_at_ms before it is due")
    again = (await lease_one(store, due)).delivery
    expect_equal((again.token, again.attempts), (2, 1), "token and attempts under the second lease")


async def check_history_keeps_every_attempt(store: Store) -> None:
    """All attempts of this delivery and no other's, in order, with every byte of the answer."""
    await store.append([make_append(1), make_append(2)])
    claim, other = (await lease(store)).claims
    await settled(store, delivered(other))
    recorded = []
    for number in (1, 2, 3):
        attempt = Attempt(
            number=number,
            round=1,
            started_at_ms=AT_MS + number,
            duration_ms=number,
            outcome=OutcomeKind.RETRY,
            status=None if number == 1 else 502,
            error=f"nein\x00 № {number}",
            answer=bytes(range(256)) * (number - 1),
            frames=None if number == 1 else f"/app/handlers.py:{number} in № {number}\n/app/crm.py:7 in save",
        )
        await settled(store, replace(to_retry(claim, AT_MS + number), attempt=attempt))
        recorded.append(attempt)
        claim = await lease_one(store, AT_MS + number)
    expect_equal((await store.history(claim.delivery.id)).attempts, tuple(recorded), "attempts")


async def check_without_attempt_none_is_added(store: Store) -> None:
    """A lease may end without a try: a worker that stops gives back what it did not begin."""
    await store.append([make_append(1)])
    end = replace(to_retry(await lease_one(store), AT_MS), attempt=None)
    expect_equal(await settled(store, end), end.delivery, "delivery")
    expect_equal(await store.history(end.delivery.id), History((), ()), "history")


async def check_stale_token_is_refused(store: Store) -> None:
    """A worker whose delivery was rescued and leased anew changes nothing, not even the attempts."""
    await store.append([make_append(1)])
    first = await lease_one(store)
    later = AT_MS + LEASE_MS
    await rescued(store, first, later)
    second = await lease_one(store, later)
    await _expect_refused(store, delivered(first))
    await settled(store, delivered(second))


async def check_rescued_lease_is_refused(store: Store) -> None:
    """Nor does one whose delivery was rescued and waits: its token is the latest, but no lease stands."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await rescued(store, claim, AT_MS + LEASE_MS)
    await _expect_refused(store, delivered(claim))


async def check_token_to_come_is_refused(store: Store) -> None:
    """A token that was never given out ends nothing."""
    await store.append([make_append(1)])
    end = delivered(await lease_one(store))
    await _expect_refused(store, replace(end, delivery=replace(end.delivery, token=2)))
    await settled(store, end)


async def check_without_lease_is_refused(store: Store) -> None:
    """A delivery that nobody leased cannot be settled, nor one that is not there."""
    wanted = make_append(1)
    await store.append([wanted])
    claim = wanted.deliveries[0].leased("worker-1", AT_MS, AT_MS + LEASE_MS)
    success = replace(claim, state=State.DELIVERED, ended_at_ms=AT_MS)
    for token in (0, 1):
        await _expect_refused(store, Settlement(replace(success, token=token)))
    absent = Settlement(replace(success, id=delivery_id(event_id(9), 0)))
    lost = await settle_one(store, absent)
    expect_equal(type(lost), LeaseLostError, "result for a delivery that is not there")
    expect_equal(await store.delivery(absent.delivery.id), None, "delivery that is not there")


async def check_late_but_first_is_accepted(store: Store) -> None:
    """A lease that ran out is its holder's for as long as nobody rescued it: clocks decide nothing."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    expect_equal(len(await store.expired(AT_MS + 2 * LEASE_MS, 10)), 1, "expired leases")
    await settled(store, delivered(claim, AT_MS + 2 * LEASE_MS))


async def check_second_settlement_is_refused(store: Store) -> None:
    """A lease ends once."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await settled(store, delivered(claim))
    for again in (delivered(claim), parked(claim), to_retry(claim, AT_MS)):
        await _expect_refused(store, again)


async def check_batch_answers_each_in_order(store: Store) -> None:
    """A refused settlement stops none of the others, and stands where its result stands."""
    await store.append([make_append(n) for n in (1, 2, 3)])
    one, two, three = (await lease(store)).claims
    await rescued(store, two, AT_MS + LEASE_MS)
    # The last one ends a lease for the second time within the batch.
    ends = [delivered(one), delivered(two), delivered(three), parked(one)]
    results = await store.settle(ends)
    expect_equal([result is None for result in results], [True, False, True, False], "settlements accepted")
    expect_equal(await standing(store, one.delivery.id), ends[0].delivery, "delivery settled twice in the batch")
    expect_equal(await standing(store, three.delivery.id), ends[2].delivery, "delivery after the refused one")
    expect_equal(
        (await store.history(one.delivery.id)).attempts, attempts_of(ends[0]), "attempts of the one settled twice"
    )
    expect_equal(list(await store.settle([])), [], "results of an empty batch")


async def check_concurrent_settlements_have_one_winner(store: Store) -> None:
    """Of many settlements of one lease at the same time exactly one counts."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    ends = [delivered(claim, AT_MS + n) for n in range(8)]
    results = await asyncio.gather(*(settle_one(store, end) for end in ends))
    winners = [end for end, lost in zip(ends, results, strict=True) if lost is None]
    expect_equal(len(winners), 1, "settlements accepted")
    expect_equal(await standing(store, claim.delivery.id), winners[0].delivery, "delivery")
    expect_equal((await store.history(claim.delivery.id)).attempts, attempts_of(winners[0]), "attempts")
