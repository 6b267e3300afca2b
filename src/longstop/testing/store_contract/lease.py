"""Lease: what is due, the longest due first, to one worker at a time, each time with the next token."""

import asyncio

from longstop.model.delivery import State
from longstop.model.event import Headers
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import LEASE_MS, delivered, lease, lease_one, settled, standing, to_retry


async def check_claim_is_the_delivery_under_lease(store: Store) -> None:
    """A claim says who holds the delivery, since when, until when and with which token; so does the store."""
    wanted = make_append(1)
    await store.append([wanted])
    claim = await lease_one(store, AT_MS + 7)
    expected = wanted.deliveries[0].leased("worker-1", AT_MS + 7, AT_MS + 7 + LEASE_MS)
    expect_equal(claim.delivery, expected, "claimed delivery")
    expect_equal(await standing(store, expected.id), expected, "delivery in the store")


async def check_event_comes_as_sent(store: Store) -> None:
    """A claim carries all that a worker needs, every byte as sent."""
    every = bytes(range(256))
    headers = Headers([("X-B", "2"), ("x-b", "1"), ("X-Raw", every.decode("latin-1"))])
    wanted = make_append(1, body=every * 300, headers=headers, dedup=b"\x00\xff")
    await store.append([wanted])
    event = (await lease_one(store)).event
    expect_equal(event.body, wanted.event.body, "body")
    expect_equal(list(event.headers), list(headers), "headers")
    expect_equal(event, wanted.event, "event")


async def check_due_boundary_is_exact(store: Store) -> None:
    """Not a millisecond before it is due; and when it is due."""
    await store.append([make_append(1, due_at_ms=AT_MS + 500)])
    early = await lease(store, AT_MS + 499)
    expect_equal(early.claims, (), "claims a millisecond too early")
    expect_equal(early.next_due_at_ms, AT_MS + 500, "next_due_at_ms")
    await lease_one(store, AT_MS + 500)


async def check_longest_due_comes_first(store: Store) -> None:
    """By due time, ties by id, across destinations; where room is short, those wait that are due last."""
    dues = {1: 30, 2: 10, 3: 20, 4: 10, 5: 20}
    for number, due in dues.items():
        to = ("lake",) if number == 3 else ("crm",)
        await store.append([make_append(number, to=to, due_at_ms=AT_MS + due)])
    claims = (await lease(store, AT_MS + 50, crm=3, lake=3)).claims
    expect_equal([c.event.id for c in claims], [event_id(n) for n in (2, 4, 3, 5)], "events, the longest due first")


async def check_room_is_respected(store: Store) -> None:
    """Each destination gets no more than it has room for, and the others are not held up by it."""
    await store.append([make_append(n, to=("crm", "lake", "mail")) for n in range(1, 6)])
    claims = (await lease(store, AT_MS, crm=2, lake=4, attic=9)).claims
    taken = [claim.delivery.destination for claim in claims]
    expect_equal({name: taken.count(name) for name in taken}, {"crm": 2, "lake": 4}, "claims for each destination")


async def check_no_room_no_claim(store: Store) -> None:
    """A destination without room, and one that is not asked for, get nothing."""
    await store.append([make_append(1, to=("crm", "lake"))])
    claims = (await lease(store, AT_MS, crm=0, mail=5)).claims
    expect_equal(claims, (), "claims")


async def check_leased_is_not_leased_again(store: Store) -> None:
    """A lease is exclusive, even after it ran out: rescuing brings it back, not leasing."""
    await store.append([make_append(1)])
    await lease_one(store)
    for now_ms in (AT_MS, AT_MS + LEASE_MS, AT_MS + 10 * LEASE_MS):
        expect_equal((await lease(store, now_ms)).claims, (), f"claims at {now_ms}")


async def check_concurrent_leases_share_nothing(store: Store) -> None:
    """Calls at the same time get different deliveries, and all of them together."""
    total = 24
    appends = [make_append(n) for n in range(1, total + 1)]
    await store.append(appends)
    batches = await asyncio.gather(*(lease(store, crm=5) for _ in range(6)))
    taken = [claim.delivery.id for batch in batches for claim in batch.claims]
    expect_equal(len(taken), len(set(taken)), "different deliveries among the claims")
    expect_equal(set(taken), {append.deliveries[0].id for append in appends}, "deliveries claimed")


async def check_each_lease_has_the_next_token(store: Store) -> None:
    """The fencing token goes up by one with each lease."""
    await store.append([make_append(1)])
    for expected in (1, 2, 3):
        claim = await lease_one(store, AT_MS)
        expect_equal(claim.delivery.token, expected, "token")
        await settled(store, to_retry(claim, due_at_ms=AT_MS))


async def check_next_due_is_the_earliest_to_come(store: Store) -> None:
    """Of the destinations asked for, and never what has been leased."""
    await store.append([
        make_append(1, due_at_ms=AT_MS),
        make_append(2, due_at_ms=AT_MS + 900),
        make_append(3, due_at_ms=AT_MS + 700),
        make_append(4, to=("lake",), due_at_ms=AT_MS + 100),
    ])  # fmt: skip
    expect_equal((await lease(store, crm=9)).next_due_at_ms, AT_MS + 700, "next_due_at_ms of crm")
    expect_equal((await lease(store, lake=9)).next_due_at_ms, AT_MS + 100, "next_due_at_ms of lake")
    expect_equal((await lease(store, crm=9, lake=9)).next_due_at_ms, AT_MS + 100, "next_due_at_ms of both")


async def check_next_due_is_none_when_nothing_waits(store: Store) -> None:
    """Nothing scheduled, nothing to wait for."""
    expect_equal((await lease(store)).next_due_at_ms, None, "next_due_at_ms of an empty store")
    await store.append([make_append(1)])
    expect_equal((await lease(store)).next_due_at_ms, None, "next_due_at_ms with everything leased")


async def check_next_due_lies_ahead(store: Store) -> None:
    """What is due and found no room does not count: whoever waits until next_due_at_ms must not spin."""
    await store.append([make_append(n) for n in (1, 2, 3)] + [make_append(4, due_at_ms=AT_MS + 800)])
    batch = await lease(store, AT_MS + 5, crm=1)
    expect_equal(len(batch.claims), 1, "claims")
    expect_equal(batch.next_due_at_ms, AT_MS + 800, "next_due_at_ms")


async def check_ended_deliveries_are_not_leased(store: Store) -> None:
    """Neither what was delivered nor what was born dead."""
    await store.append([make_append(1), make_quarantined(2)])
    await settled(store, delivered(await lease_one(store)))
    claims = (await lease(store, AT_MS + LEASE_MS, **{"crm": 9, "": 9})).claims
    expect_equal(claims, (), "claims")
    expect((await standing(store, make_quarantined(2).deliveries[0].id)).state is State.DEAD, "it is no longer dead")
