"""Clocks that were wrong: what one that was ahead has left behind does not wait for its time."""

from dataclasses import replace

from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.model.clock_guard import REPAIRS_MAX, ClockRepair
from longstop.model.event import ReceiptStatus
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_append, make_delivery, make_event
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    LEASE_MS,
    append_one,
    delivered,
    lease,
    lease_one,
    parked,
    replay,
    settled,
    standing,
    to_retry,
)

HOUR_MS = 3_600_000
NOW_MS = AT_MS - 6 * HOUR_MS
"""Everything here was accepted by a clock that was six hours ahead."""
WAIT_MS = 900_000
REPAIR = ClockRepair(NOW_MS, {"crm": WAIT_MS}, LEASE_MS, dedup_ms=HOUR_MS)
THOROUGH = replace(REPAIR, thorough=True)


async def check_what_would_wait_too_long_is_due(store: Store) -> None:
    """New or tried before; its round begins now, and what is of use for a time is so from now on."""
    first, brief = make_append(1), make_append(2)
    await store.append([first, replace(brief, deliveries=(make_delivery(brief.event, expires_at_ms=AT_MS + 60_000),))])
    await settled(store, to_retry((await lease(store, crm=1)).claims[0], AT_MS + 1_000))
    expect_equal(len((await lease(store, NOW_MS)).claims), 0, "claims before the repair")
    expect_equal(await store.repair_clock(REPAIR), 2, "what is repaired")
    expect_equal(len((await lease(store, NOW_MS)).claims), 2, "claims after it")
    tried, fresh = [await standing(store, each.deliveries[0].id) for each in (first, brief)]
    expect_equal((tried.due_at_ms, tried.round_at_ms, tried.tries), (NOW_MS, NOW_MS, 1), "the one that was tried")
    expect_equal(fresh.expires_at_ms, NOW_MS + 60_000, "until when it is of use")
    expect_equal(fresh.received_at_ms, AT_MS, "when it was received: what is on record stays so")
    expect_equal(await store.repair_clock(REPAIR), 0, "what is left to repair")


async def check_what_waits_as_it_should_is_left_alone(store: Store) -> None:
    """A backoff, a replay at a rate, and what belongs to a destination that is not known here."""
    await store.append([make_append(1), make_append(2), make_append(3, to=("lake",), due_at_ms=AT_MS + 9 * HOUR_MS)])
    backoff, other = (await lease(store)).claims
    await settled(store, to_retry(backoff, AT_MS + WAIT_MS))
    await settled(store, parked(other))
    asked = replay(other.delivery.id)
    slowly = replace(asked, transition=replace(asked.transition, due_at_ms=AT_MS + 9 * HOUR_MS))
    expect((await store.act([slowly]))[0] is not None, "it is replayed")
    before = [await standing(store, each.delivery.id) for each in (backoff, other)]
    now = replace(THOROUGH, now_ms=AT_MS + 2_000)
    expect_equal(await store.repair_clock(now), 0, "what is repaired")
    expect_equal([await standing(store, each.id) for each in before], before, "the deliveries")


async def check_a_replay_keeps_its_place_from_now_on(store: Store) -> None:
    """One that a person asked for by the wrong clock comes as much later as was asked for."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await settled(store, parked(claim))
    asked = replay(claim.delivery.id, AT_MS + 1_000)
    await store.act([replace(asked, transition=replace(asked.transition, due_at_ms=AT_MS + 8_000))])
    expect_equal(await store.repair_clock(REPAIR), 1, "what is repaired")
    expect_equal((await standing(store, claim.delivery.id)).due_at_ms, NOW_MS + 7_000, "when it is due")


async def check_a_lease_is_no_longer_than_a_lease(store: Store) -> None:
    """A worker that died is not waited for any longer; one that lives keeps its claim."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    expect_equal(await store.repair_clock(REPAIR), 1, "what is repaired")
    expect_equal(len(await store.expired(NOW_MS + LEASE_MS - 1, 10)), 0, "leases that have run out before their time")
    expect_equal(len(await store.expired(NOW_MS + LEASE_MS, 10)), 1, "leases that have run out")
    await settled(store, delivered(claim))


async def check_a_circuit_is_probed(store: Store) -> None:
    """A destination that is back is found so."""
    await store.append([make_append(1, due_at_ms=NOW_MS)])
    far = Circuit("crm", AT_MS, AT_MS + 1_000, answer_ms=15_000, why="…")
    await store.change_circuit("crm", 0, far)
    expect_equal(len((await lease(store, NOW_MS)).claims), 0, "probes before the repair")
    expect_equal(await store.repair_clock(REPAIR), 1, "what is repaired")
    (circuit,) = await store.circuits()
    expect_equal((circuit.opened_at_ms, circuit.version), (NOW_MS, far.version + 1), "the circuit")
    expect_equal(len((await lease(store, NOW_MS)).claims), 1, "probes after it")


async def check_what_is_held_is_repaired_where_it_is_thorough(store: Store) -> None:
    """Those behind the first of a lane come at once when it is done; until then it was not looked for."""
    for number in (1, 2, 3):
        event = make_event(number)
        await store.append([Append(event, (make_delivery(event, lane="talk"),))])
    expect_equal(await store.repair_clock(REPAIR), 1, "what is repaired of a lane: its first")
    await settled(store, delivered(await lease_one(store, NOW_MS)))
    expect_equal(len((await lease(store, NOW_MS)).claims), 0, "claims of the next one")
    expect_equal(await store.repair_clock(THOROUGH), 2, "what is repaired of a lane thoroughly")
    expect_equal(len((await lease(store, NOW_MS)).claims), 1, "claims of the next one")


async def check_a_dedup_key_is_kept_for_its_window(store: Store) -> None:
    """A clock that was a year ahead does not make a duplicate of what comes in half a year."""
    await append_one(store, make_append(1, dedup=b"k", window_ms=HOUR_MS))
    expect_equal(await store.repair_clock(THOROUGH), 2, "what is repaired: the key and the delivery")
    before = make_append(2, dedup=b"k", received_at_ms=NOW_MS + HOUR_MS - 1)
    expect_equal((await append_one(store, before)).status, ReceiptStatus.DUPLICATE, "within the window")
    after = make_append(3, dedup=b"k", received_at_ms=NOW_MS + HOUR_MS)
    expect_equal((await append_one(store, after)).status, ReceiptStatus.ACCEPTED, "after it")


async def check_much_is_repaired_in_several_goes(store: Store) -> None:
    """So that nothing else waits for long; whoever asks goes on while there is as much as that."""
    total = REPAIRS_MAX + 7
    await store.append([make_append(number) for number in range(1, total + 1)])
    expect_equal([await store.repair_clock(REPAIR) for _ in range(3)], [REPAIRS_MAX, 7, 0], "repaired in each go")
