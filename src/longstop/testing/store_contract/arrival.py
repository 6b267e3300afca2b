"""Arrival: whoever waits for work is woken when there is some, and not when there is none."""

import asyncio

from longstop.model.append import Append
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import delivered, lease_one, parked, replay, settled, to_retry

PATIENCE_S = 10
"""How long a wake may take before a check fails. A store that works wakes at once."""

TURNS = 20
"""Turns of the event loop in which a wake that should not come would have come."""


async def expect_wake(woken: asyncio.Event, after: str) -> None:
    """Raise AssertionError where nobody is woken after something."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await woken.wait()
    except TimeoutError:
        raise AssertionError(f"nobody was woken after {after}") from None
    woken.clear()


async def check_append_wakes(store: Store) -> None:
    """A new delivery wakes, in the event loop's own thread, every one that asked for it."""
    first, second = asyncio.Event(), asyncio.Event()
    loops = []

    def wake() -> None:
        loops.append(asyncio.get_running_loop())
        first.set()

    store.on_arrival(wake)
    store.on_arrival(second.set)
    await store.append([make_append(1)])
    await expect_wake(first, "an append")
    await expect_wake(second, "an append, of two that asked")
    expect_equal(set(loops), {asyncio.get_running_loop()}, "loops in which it was woken")


async def check_replay_wakes(store: Store) -> None:
    """So does a delivery that a person sends again."""
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    await store.act([replay(dead.id)])
    await expect_wake(woken, "a replay")


async def check_retry_wakes(store: Store) -> None:
    """So does a delivery that goes back to scheduled: another worker may be the one to take it."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    await settled(store, to_retry(claim, AT_MS))
    await expect_wake(woken, "a retry")


async def check_nothing_to_lease_wakes_nobody(store: Store) -> None:
    """An unrouted event, a quarantined one and an empty batch are no work."""
    wakes = []
    store.on_arrival(lambda: wakes.append("woken"))
    await store.append([make_append(1, to=())])
    await store.append([make_quarantined(2)])
    await store.append([])
    await store.counts()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    expect_equal(wakes, [], "wakes")


async def check_turn_in_a_lane_wakes(store: Store) -> None:
    """So does the end of a delivery that others of its lane waited for: the next one may go."""
    first, second = make_event(1, key="k"), make_event(2, key="k")
    await store.append([Append(each, (make_delivery(each, lane="k"),)) for each in (first, second)])
    woken = asyncio.Event()
    claim = await lease_one(store)
    store.on_arrival(woken.set)
    await settled(store, delivered(claim))
    await expect_wake(woken, "the delivery before it in its lane was done")
