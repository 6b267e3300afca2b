"""Pause: a paused destination is given nothing to try, and everything for it is kept."""

import asyncio

from longstop.model.action import Pause
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append
from longstop.testing.store_contract.arrival import expect_wake
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import delivered, lease, settle_one

PAUSE = Pause("crm", AT_MS, "ann", "the CRM is migrated")


async def check_nothing_is_leased_while_paused(store: Store) -> None:
    """What is due for a paused destination waits, and does not say when to ask again; others go on."""
    await store.append([make_append(1), make_append(2, to=("crm", "lake")), make_append(3, due_at_ms=AT_MS + 500)])
    expect(await store.pause(PAUSE), "a first pause changes something")
    expect_equal(list(await store.pauses()), [PAUSE], "pauses")
    batch = await lease(store, crm=10, lake=10)
    expect_equal([claim.delivery.destination for claim in batch.claims], ["lake"], "destinations of the claims")
    expect_equal(batch.next_due_at_ms, None, "next_due_at_ms with all that is left paused")


async def check_resumed_goes_on(store: Store) -> None:
    """After the end of a pause everything that was held is leased, the longest due first."""
    await store.append([make_append(1), make_append(2)])
    await store.pause(PAUSE)
    await lease(store, crm=10)
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    expect(await store.resume("crm"), "the end of a pause changes something")
    await expect_wake(woken, "the end of a pause")
    expect_equal(list(await store.pauses()), [], "pauses")
    expect_equal(len((await lease(store, crm=10)).claims), 2, "claims")


async def check_pausing_twice(store: Store) -> None:
    """A second pause says by whom and why from now on; the end of one that is not there changes nothing."""
    expect(not await store.resume("crm"), "nothing was paused")
    await store.pause(PAUSE)
    expect(not await store.pause(Pause("crm", AT_MS + 5, "bob", "until 14:00")), "it is paused already")
    expect_equal(list(await store.pauses()), [Pause("crm", AT_MS, "bob", "until 14:00")], "pauses")
    expect(await store.resume("crm"), "one pause is there, and ends")
    expect_equal(list(await store.pauses()), [], "pauses after its end")


async def check_what_is_under_way_ends(store: Store) -> None:
    """An attempt that was under way when the pause began is settled as any other."""
    await store.append([make_append(1)])
    (claim,) = (await lease(store, crm=1)).claims
    await store.pause(PAUSE)
    expect_equal(await settle_one(store, delivered(claim)), None, "result of the settlement")
