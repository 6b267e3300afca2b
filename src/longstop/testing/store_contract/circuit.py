"""Circuits: what is leased for a destination whose circuit is open, and who may change it."""

import asyncio
from dataclasses import replace
from typing import Any

from longstop.model.action import Pause
from longstop.model.append import Append
from longstop.model.breaker import Circuit
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append
from longstop.testing.store_contract.arrival import expect_wake
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import FAILURE, LOST, lease, settled, to_retry

PROBE_AT_MS = AT_MS + 1_000
OPEN = Circuit("crm", AT_MS, PROBE_AT_MS, answer_ms=15_000, why="20 events in a row failed")


async def _opened(store: Store, circuit: Circuit = OPEN) -> None:
    expect(await store.change_circuit("crm", 0, circuit), "a closed circuit opens")


async def check_nothing_is_leased_while_open(store: Store) -> None:
    """Before the probe's time nothing goes out, and that time is when to ask again; others go on."""
    await store.append([make_append(1), make_append(2, to=("crm", "lake")), make_append(3, due_at_ms=AT_MS + 1)])
    await _opened(store)
    batch = await lease(store, crm=10, lake=10)
    expect_equal([claim.delivery.destination for claim in batch.claims], ["lake"], "destinations of the claims")
    expect_equal(batch.next_due_at_ms, PROBE_AT_MS, "next_due_at_ms while the circuit is open")
    expect_equal(dict(batch.circuits), {"crm": OPEN}, "circuits")


async def check_one_probe_goes_out(store: Store) -> None:
    """At the probe's time one delivery is leased, and no other until it has had the time to be heard of."""
    await store.append([make_append(number) for number in range(1, 4)])
    await _opened(store)
    batch = await lease(store, PROBE_AT_MS, crm=10)
    expect_equal(len(batch.claims), 1, "claims at the probe's time")
    probed = OPEN.probed(PROBE_AT_MS, batch.claims[0].delivery.key)
    expect_equal(dict(batch.circuits), {"crm": probed}, "circuits after the probe has left")
    expect_equal(list(await store.circuits()), [probed], "the circuit that is kept")
    again = await lease(store, PROBE_AT_MS + 14_999, crm=10)
    expect_equal(len(again.claims), 0, "claims while the probe is under way")
    expect_equal(again.next_due_at_ms, PROBE_AT_MS + 15_000, "next_due_at_ms while the probe is under way")
    expect_equal(len((await lease(store, PROBE_AT_MS + 15_000, crm=10)).claims), 1, "claims when it is overdue")


async def check_a_probe_that_finds_nothing_due_has_not_left(store: Store) -> None:
    """With nothing due at the probe's time, the circuit stays as it is, and the first that comes is the probe."""
    await store.append([make_append(1, due_at_ms=PROBE_AT_MS + 500)])
    await _opened(store)
    batch = await lease(store, PROBE_AT_MS, crm=10)
    expect_equal((len(batch.claims), batch.next_due_at_ms), (0, PROBE_AT_MS + 500), "claims and next_due_at_ms")
    expect_equal(len((await lease(store, PROBE_AT_MS + 500, crm=10)).claims), 1, "claims when something is due")


async def _probe(store: Store, now_ms: int, **changes: Any) -> str:
    """The event that goes out as the probe of an open circuit; then the circuit is as it was, but for `changes`."""
    probed = (await store.circuits())[0]
    circuit = replace(probed, version=probed.version + 1, probe_at_ms=now_ms, **changes)
    expect(await store.change_circuit("crm", probed.version, circuit), "the circuit is as it was seen")
    claims = (await lease(store, now_ms, crm=10)).claims
    expect_equal(len(claims), 1, "probes")
    return claims[0].event.id


async def check_a_probe_was_never_tried_and_is_the_newest_or_the_oldest_in_turn(store: Store) -> None:
    """Where some events fail whatever is done, another one tells sooner whether the destination works."""
    await store.append([make_append(1), make_append(2)])
    for claim in (await lease(store)).claims:
        await settled(store, to_retry(claim, AT_MS))
    await store.append([make_append(number, due_at_ms=AT_MS + number) for number in (3, 4, 5, 6)])
    await store.append([make_append(7, due_at_ms=AT_MS + 60_000)])
    await _opened(store)
    probes = [await _probe(store, AT_MS + 50, failed=failed) for failed in (0, 1, 2, 3)]
    expect_equal(probes, [event_id(number) for number in (6, 3, 5, 4)], "the probes")
    left = [await _probe(store, AT_MS + 50, failed=4), await _probe(store, AT_MS + 50, failed=5)]
    expect_equal(sorted(left), [event_id(1), event_id(2)], "what was tried before, when nothing else is due")


async def check_a_probe_is_of_another_key(store: Store) -> None:
    """What fails may be one conversation: the next probe is of another key than the last one, where there is one."""
    keys = ("a", "b", None, "b", "b")
    await store.append([make_append(n, due_at_ms=AT_MS + n, key=key) for n, key in enumerate(keys, 1)])
    await _opened(store)
    expect_equal(await _probe(store, AT_MS + 50, probe_key="b"), event_id(3), "the newest of another key or none")
    expect_equal(await _probe(store, AT_MS + 50, probe_key="b"), event_id(1), "the newest of another key")
    expect_equal((await store.circuits())[0].probe_key, "a", "the key that is remembered")
    expect_equal(await _probe(store, AT_MS + 50, probe_key="b"), event_id(5), "the newest, where all are of that key")


async def check_a_probe_that_was_tried_is_one_of_the_fewest_tries(store: Store) -> None:
    """What has failed often fails again; of equals the longest due, so that each comes to its turn."""
    tries = {1: 4, 2: 1, 3: 3, 4: 1, 5: 0}
    await store.append([make_append(number) for number in tries])
    for claim in (await lease(store)).claims:
        number = next(each for each in tries if event_id(each) == claim.event.id)
        due_at_ms = AT_MS + (900 if number == 5 else 50 - number)
        end = to_retry(claim, due_at_ms, FAILURE if tries[number] else LOST)
        await settled(store, replace(end, delivery=replace(end.delivery, tries=tries[number])))
    await _opened(store)
    probes = [await _probe(store, AT_MS + 60) for _ in range(4)]
    expect_equal(probes, [event_id(number) for number in (4, 2, 3, 1)], "the probes, of those that are due")


async def check_only_the_version_that_was_seen_is_changed(store: Store) -> None:
    """A change names the version it is made of; where another is kept, it changes nothing."""
    expect(not await store.change_circuit("crm", 1, OPEN), "a closed circuit has version 0")
    await _opened(store)
    expect(not await store.change_circuit("crm", 0, replace(OPEN, why="later")), "it is open already")
    expect_equal(list(await store.circuits()), [OPEN], "circuits")
    longer = OPEN.put_off(AT_MS + 60_000)
    expect(await store.change_circuit("crm", OPEN.version, longer), "the version that was seen is changed")
    expect(not await store.change_circuit("crm", OPEN.version, None), "a version that is gone closes nothing")
    expect_equal(list(await store.circuits()), [longer], "circuits")


async def check_closed_goes_on(store: Store) -> None:
    """Closed, everything that is due is leased at once, and whoever waits is woken."""
    await store.append([make_append(1), make_append(2)])
    await _opened(store)
    await lease(store, crm=10)
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    expect(await store.change_circuit("crm", OPEN.version, None), "an open circuit closes")
    await expect_wake(woken, "the closing of a circuit")
    expect_equal(list(await store.circuits()), [], "circuits")
    expect_equal(len((await lease(store, crm=10)).claims), 2, "claims")


async def check_what_has_expired_is_leased_all_the_same(store: Store) -> None:
    """It is not going to be sent, so it neither waits for the circuit nor is its probe."""
    await store.append([_useful_until(1, AT_MS + 10), make_append(2), _useful_until(3, AT_MS + 10)])
    await _opened(store)
    expect_equal(len((await lease(store, AT_MS + 9, crm=10)).claims), 0, "claims before anything has expired")
    batch = await lease(store, AT_MS + 10, crm=10)
    ends = [claim.delivery.expires_at_ms for claim in batch.claims]
    expect_equal(ends, [AT_MS + 10] * 2, "expires_at_ms of the claims")
    expect_equal(await store.circuits(), [OPEN], "no probe has left")


async def check_a_pause_holds_probes_too(store: Store) -> None:
    """While paused, not even a probe goes out."""
    await store.append([make_append(1)])
    await _opened(store)
    await store.pause(Pause("crm", AT_MS, "ann"))
    expect_equal(len((await lease(store, PROBE_AT_MS, crm=10)).claims), 0, "claims while paused")
    await store.resume("crm")
    expect_equal(len((await lease(store, PROBE_AT_MS, crm=10)).claims), 1, "claims after the pause")


def _useful_until(number: int, expires_at_ms: int) -> Append:
    append = make_append(number)
    return replace(append, deliveries=tuple(replace(each, expires_at_ms=expires_at_ms) for each in append.deliveries))
