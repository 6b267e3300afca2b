"""Counts: how much of everything there is."""

from longstop.model.delivery import State
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import delivered, discard, lease, lease_one, parked, settled, to_retry


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


async def check_numbers_without_times(store: Store) -> None:
    """Who needs numbers alone gets the same."""
    await store.append([make_append(n, to=("crm", "lake")) for n in range(1, 4)])
    (one,) = (await lease(store, crm=1)).claims
    await settled(store, delivered(one))
    whole, numbers = await store.counts(), await store.counts(times=False)
    expect_equal(numbers.deliveries, whole.deliveries, "deliveries")
    expect_equal((numbers.events, numbers.unrouted, numbers.sources), (3, 0, whole.sources), "events and sources")


async def check_events_by_source(store: Store) -> None:
    """Duplicates within a batch and across batches count for nothing."""
    await store.append([make_append(1, dedup=b"k"), make_append(2, dedup=b"k"), make_append(3, source="till", to=())])
    await store.append(
        [make_append(4, dedup=b"k", to=()), make_append(5, source="till", dedup=b"k", to=("crm", "lake"))]
    )
    counts = await store.counts()
    expect_equal(dict(counts.sources), {"shop": 1, "till": 2}, "events by source")
    expect_equal((counts.events, counts.unrouted), (3, 1), "events and unrouted")
    await _expect_deliveries(store, {"crm": {State.SCHEDULED: 2}, "lake": {State.SCHEDULED: 1}})


async def check_a_large_batch(store: Store) -> None:
    """As many as are handed over at once; none is counted twice or left out."""
    await store.append([make_append(n, dedup=b"%d" % (n // 2), to=("crm", "lake")) for n in range(600)])
    counts = await store.counts()
    expect_equal((counts.events, counts.unrouted), (300, 0), "events and unrouted")
    await _expect_deliveries(store, {"crm": {State.SCHEDULED: 300}, "lake": {State.SCHEDULED: 300}})


async def check_what_waits_by_destination(store: Store) -> None:
    """The oldest and the next due of each; of what is held only the oldest, for it is not due."""
    await store.append([make_append(n, received_at_ms=AT_MS + n, to=("crm", "lake")) for n in (1, 2)])
    await settled(store, delivered(await lease_one(store, AT_MS + 9, lake=1)))
    await settled(store, to_retry(await lease_one(store, AT_MS + 9, crm=1), AT_MS + 500))
    counts = await store.counts()
    expect_equal(dict(counts.oldest_waiting), {"crm": AT_MS + 1, "lake": AT_MS + 2}, "oldest_waiting")
    expect_equal(dict(counts.next_due), {"crm": AT_MS + 2, "lake": AT_MS + 2}, "next_due")
    await lease(store, AT_MS + 600, crm=9)
    counts = await store.counts()
    expect_equal(dict(counts.oldest_waiting), {"crm": AT_MS + 1, "lake": AT_MS + 2}, "oldest_waiting while leased")
    expect_equal(dict(counts.next_due), {"lake": AT_MS + 2}, "next_due while leased")


async def check_recount_finds_nothing(store: Store) -> None:
    """Counters that nobody meddled with are right, and checking them ends."""
    await store.append([make_append(n, to=("crm", "lake")[: n % 3]) for n in range(1, 9)])
    await store.append([make_quarantined(9)])
    await settled(store, parked(await lease_one(store, crm=1)))
    after: str | None = None
    for _ in range(50):
        step = await store.recount(after)
        expect_equal(step.drifts, (), "drifts")
        after = step.next_after
        if after is None:
            return
    raise AssertionError("a recount of a few names does not end")


async def check_oldest_waiting(store: Store) -> None:
    """The oldest that is scheduled or leased; not what has ended, however old."""
    await store.append([make_append(n, received_at_ms=AT_MS + n) for n in (1, 2, 3)])
    await store.append([make_quarantined(4, received_at_ms=AT_MS - 9)])
    for oldest in (1, 2, 3):
        claim = await lease_one(store, AT_MS + 9, crm=1)
        expect_equal((await store.counts()).oldest_waiting_at_ms, AT_MS + oldest, "oldest_waiting_at_ms")
        await settled(store, delivered(claim))
    expect_equal((await store.counts()).oldest_waiting_at_ms, None, "oldest_waiting_at_ms when all have ended")
