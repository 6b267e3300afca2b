"""Rescue: leases that ran out are found, and bringing them back never overwrites what was completed."""

import asyncio

from longstop.model.delivery import State
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    LOST,
    attempts_of,
    delivered,
    expect_unchanged,
    lease,
    lease_one,
    rescued,
    settle_one,
    settled,
    standing,
    to_retry,
)

END_MS = AT_MS + LEASE_MS


async def check_expiry_boundary_is_exact(store: Store) -> None:
    """A lease has not run out in its last millisecond, and has at its end."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    expect_equal(list(await store.expired(END_MS - 1, 10)), [], "expired a millisecond before the end")
    expect_equal(list(await store.expired(END_MS, 10)), [claim.delivery], "expired at the end")


async def check_only_leases_expire(store: Store) -> None:
    """What is scheduled, delivered or scheduled again is not expired, however late it is."""
    await store.append([make_append(n) for n in (1, 2, 3, 4)])
    one, two, three = (await lease(store, crm=3)).claims
    await settled(store, delivered(one))
    await settled(store, to_retry(two, AT_MS))
    expect_equal(list(await store.expired(AT_MS + 100 * LEASE_MS, 10)), [three.delivery], "expired")


async def check_limit_is_respected(store: Store) -> None:
    """No more than asked for."""
    await store.append([make_append(n) for n in range(1, 6)])
    claims = (await lease(store)).claims
    expect_equal(len(await store.expired(END_MS, 3)), 3, "expired with a limit of 3")
    found = {delivery.id for delivery in await store.expired(END_MS, 10)}
    expect_equal(found, {claim.delivery.id for claim in claims}, "expired with room for all")


async def check_looking_changes_nothing(store: Store) -> None:
    """Finding expired leases only reads."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    history = await store.history(claim.delivery.id)
    for _ in range(2):
        expect_equal(list(await store.expired(END_MS, 10)), [claim.delivery], "expired")
    await expect_unchanged(store, claim.delivery, history)


async def check_rescued_is_leased_anew(store: Store) -> None:
    """Rescuing by settlement brings the delivery back, with the lost attempt on record and the next token."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    waiting = await rescued(store, claim, END_MS)
    expect_equal((waiting.state, waiting.attempts, waiting.lost), (State.SCHEDULED, 1, 1), "state, attempts and lost")
    expect_equal(list(await store.expired(END_MS, 10)), [], "expired after the rescue")
    expect_equal((await lease_one(store, END_MS)).delivery.token, 2, "token")
    expect_equal(len((await store.history(claim.delivery.id)).attempts), 1, "attempts on record")


async def check_completed_stays_completed(store: Store) -> None:
    """A rescuer that read the lease before its worker completed is refused."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    expect_equal(len(await store.expired(END_MS, 10)), 1, "expired")
    done = await settled(store, delivered(claim))
    history = await store.history(done.id)
    lost = await settle_one(store, to_retry(claim, END_MS, LOST))
    expect(lost is not None, "a rescue overwrote a completed delivery")
    await expect_unchanged(store, done, history)


async def check_race_has_one_winner(store: Store) -> None:
    """Completion and rescue at the same time: one of them counts, whole, and the other not at all."""
    total = 10
    await store.append([make_append(n) for n in range(1, total + 1)])
    for claim in (await lease(store)).claims:
        ends = [delivered(claim), to_retry(claim, END_MS, LOST)]
        results = await asyncio.gather(*(settle_one(store, end) for end in ends))
        winners = [end for end, lost in zip(ends, results, strict=True) if lost is None]
        expect_equal(len(winners), 1, "settlements accepted")
        expect_equal(await standing(store, claim.delivery.id), winners[0].delivery, "delivery")
        found = (await store.history(claim.delivery.id)).attempts
        expect_equal(found, attempts_of(winners[0]), "attempts")
