"""Counts: how much of everything there is."""

from longstop.model.delivery import State
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import delivered, discard, lease, lease_one, parked, settled


async def _expect_deliveries(store: Store, expected: dict[str, dict[State, int]]) -> None:
    """Zeros may be said or left out."""
    found = (await store.counts()).deliveries
    said = {name: {state: n for state, n in states.items() if n} for name, states in found.items()}
    expect_equal({name: states for name, states in said.items() if states}, expected, "deliveries")


async def check_empty_store(store: Store) -> None:
    """Nothing, and nothing waiting."""
    counts = await store.counts()
    expect_equal((counts.events, counts.unrouted), (0, 0), "events and unrouted")
    expect_equal(counts.oldest_waiting_at_ms, None, "oldest_waiting_at_ms")
    await _expect_deliveries(store, {})


async def check_events_and_unrouted(store: Store) -> None:
    """Duplicates are no events; a quarantined one is not unrouted, for it has its dead delivery."""
    await store.append([make_append(1, dedup=b"k"), make_append(2, dedup=b"k")])
    await store.append([make_append(3, to=()), make_append(4, to=()), make_quarantined(5)])
    counts = await store.counts()
    expect_equal((counts.events, counts.unrouted), (4, 2), "events and unrouted")


async def check_deliveries_by_destination_and_state(store: Store) -> None:
    """Every state counts under its destination; a quarantined request under the empty name."""
    await store.append([make_append(n, to=("crm", "lake")) for n in range(1, 7)])
    await store.append([make_quarantined(7)])
    one, two, three, _held = (await lease(store, crm=4)).claims
    await settled(store, delivered(one))
    await settled(store, parked(two))
    await settled(store, parked(three))
    await store.act([discard(three.delivery.id)])
    crm = {State.SCHEDULED: 2, State.LEASED: 1, State.DELIVERED: 1, State.DEAD: 1, State.DISCARDED: 1}
    await _expect_deliveries(store, {"crm": crm, "lake": {State.SCHEDULED: 6}, "": {State.DEAD: 1}})


async def check_oldest_waiting(store: Store) -> None:
    """The oldest that is scheduled or leased; not what has ended, however old."""
    await store.append([make_append(n, received_at_ms=AT_MS + n) for n in (1, 2, 3)])
    await store.append([make_quarantined(4, received_at_ms=AT_MS - 9)])
    for oldest in (1, 2, 3):
        claim = await lease_one(store, AT_MS + 9, crm=1)
        expect_equal((await store.counts()).oldest_waiting_at_ms, AT_MS + oldest, "oldest_waiting_at_ms")
        await settled(store, delivered(claim))
    expect_equal((await store.counts()).oldest_waiting_at_ms, None, "oldest_waiting_at_ms when all have ended")
