"""Extend: a holder may keep its lease longer; nobody else may."""

from dataclasses import replace

from longstop.model.errors import LeaseLostError
from longstop.model.lease import LeaseRef
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    delivered,
    expect_unchanged,
    lease,
    lease_one,
    rescued,
    settled,
    standing,
)

END_MS = AT_MS + LEASE_MS
LATER_MS = END_MS + LEASE_MS


async def _expect_refused(store: Store, hold: LeaseRef) -> None:
    before, history = await standing(store, hold.delivery_id), await store.history(hold.delivery_id)
    (lost,) = await store.extend([hold], LATER_MS)
    if not isinstance(lost, LeaseLostError):
        raise AssertionError(f"a lease that is not held was extended: {hold!r}")
    expect_equal((lost.delivery_id, lost.token), (hold.delivery_id, hold.token), "delivery and token of the error")
    await expect_unchanged(store, before, history)


async def check_lease_lasts_longer(store: Store) -> None:
    """It runs out at the new time; nothing else about the delivery changes."""
    await store.append([make_append(1)])
    held = (await lease_one(store)).delivery
    expect_equal(list(await store.extend([LeaseRef(held.id, held.token)], LATER_MS)), [None], "results")
    extended = replace(held, lease_until_ms=LATER_MS)
    expect_equal(await standing(store, held.id), extended, "delivery")
    expect_equal(list(await store.expired(LATER_MS - 1, 10)), [], "expired before the new end")
    expect_equal(list(await store.expired(LATER_MS, 10)), [extended], "expired at the new end")


async def check_extended_lease_is_settled(store: Store) -> None:
    """The token stays the same, so the claim in the worker's hand is still good."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await store.extend([LeaseRef(claim.delivery.id, claim.delivery.token)], LATER_MS)
    await settled(store, delivered(claim))


async def check_late_but_first_is_accepted(store: Store) -> None:
    """A lease that ran out and that nobody rescued is still its holder's to extend."""
    await store.append([make_append(1)])
    held = (await lease_one(store)).delivery
    expect_equal(len(await store.expired(END_MS, 10)), 1, "expired leases")
    expect_equal(list(await store.extend([LeaseRef(held.id, held.token)], LATER_MS)), [None], "results")
    expect_equal(list(await store.expired(END_MS, 10)), [], "expired after the extension")


async def check_lost_lease_is_refused(store: Store) -> None:
    """Neither after a rescue, nor after the next lease, nor after the end."""
    await store.append([make_append(1)])
    first = await lease_one(store)
    hold = LeaseRef(first.delivery.id, first.delivery.token)
    await rescued(store, first, END_MS)
    await _expect_refused(store, hold)
    second = await lease_one(store, END_MS)
    await _expect_refused(store, hold)
    await settled(store, delivered(second))
    await _expect_refused(store, LeaseRef(second.delivery.id, second.delivery.token))


async def check_batch_answers_each_in_order(store: Store) -> None:
    """A refused extension stops none of the others."""
    await store.append([make_append(1), make_append(2)])
    one, two = (claim.delivery for claim in (await lease(store)).claims)
    absent = LeaseRef(delivery_id(event_id(9), 0), 1)
    holds = [LeaseRef(one.id, one.token), absent, LeaseRef(two.id, two.token + 1), LeaseRef(two.id, two.token)]
    results = await store.extend(holds, LATER_MS)
    expect_equal([result is None for result in results], [True, False, False, True], "extensions accepted")
    for held in (one, two):
        expect_equal((await standing(store, held.id)).lease_until_ms, LATER_MS, "lease_until_ms")
    expect_equal(list(await store.extend([], LATER_MS)), [], "results of an empty batch")
