"""Looking: what is meant by a part of an id, what a held delivery waits for, what happened lately."""

from dataclasses import replace

from longstop.model.delivery import Trigger
from longstop.model.recent import Recent
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import (
    delivered,
    discard,
    in_lane,
    lease,
    lease_one,
    parked,
    settled,
    to_retry,
)

# -- ids ------------------------------------------------------------------------------------------


async def check_ids_by_their_beginning_and_end(store: Store) -> None:
    """Of events and deliveries, the youngest first."""
    await store.append([make_append(n) for n in (1, 300)] + [make_append(70_000, to=())])
    one, two, far = event_id(1), event_id(300), event_id(70_000)
    of_one, of_two = delivery_id(one, 0), delivery_id(two, 0)
    table: tuple[tuple[str, list[str]], ...] = (
        (one[:13], [one, of_one]),
        (two, [two]),
        (far[:13], [far]),
        (one[:8], [far, of_two, two, of_one, one] if far[:8] == one[:8] else [of_two, two, of_one, one]),
        (of_one[-8:], [of_two, of_one]),
        (one[-8:], [far, two, one]),
        ("ffffffff", []),
        (of_two[-7:], []),
        (of_two[-9:], []),
        ("%", []),
        ("_", []),
    )
    for part, expected in table:
        expect_equal(list(await store.find_ids(part)), sorted(expected, reverse=True), f"ids with {part!r}")


async def check_ids_are_no_more_than_asked_for(store: Store) -> None:
    """The youngest of them."""
    await store.append([make_append(n) for n in range(1, 5)])
    ids = sorted([id_ for n in range(1, 5) for id_ in (event_id(n), delivery_id(event_id(n), 0))], reverse=True)
    expect_equal(list(await store.find_ids(event_id(1)[:8], 3)), ids[:3], "ids")


# -- what goes first ------------------------------------------------------------------------------


async def check_what_a_held_delivery_waits_for(store: Store) -> None:
    """The first of its lane, whatever state it is in; what is not held waits for none."""
    await store.append([in_lane(make_append(n)) for n in (1, 2, 3)] + [make_append(4)])
    ids = [delivery_id(event_id(n), 0) for n in (1, 2, 3, 4)]

    async def ahead_of() -> list[str | None]:
        found = [await store.ahead(id_) for id_ in ids]
        return [each.id if each else None for each in found]

    expect_equal(await ahead_of(), [None, ids[0], ids[0], None], "what is ahead when all wait")
    claims = {claim.delivery.id: claim for claim in (await lease(store)).claims}
    expect_equal(await ahead_of(), [None, ids[0], ids[0], None], "what is ahead when the first is under way")
    await settled(store, parked(claims[ids[0]]))
    expect_equal(await ahead_of(), [None, ids[0], ids[0], None], "what is ahead when the first is dead")
    await store.act([discard(ids[0])])
    expect_equal(await ahead_of(), [None, None, ids[1], None], "what is ahead when the first is discarded")
    expect_equal(await store.ahead(delivery_id(event_id(9), 0)), None, "what is ahead of what is not there")


# -- lately ---------------------------------------------------------------------------------------


async def check_what_happened_lately(store: Store) -> None:
    """From the time on, oldest first: events without bodies, attempts by their end, actions; no more than asked for."""
    expect_equal(await store.recent(0, 10), Recent(), "what happened in an empty store")
    appends = [make_append(n, received_at_ms=AT_MS + n * 100) for n in (1, 2, 3)]
    await store.append([*appends, make_quarantined(4, received_at_ms=AT_MS + 400)])
    retried = await settled(store, to_retry(await lease_one(store, AT_MS + 150), AT_MS + 900))
    dead = await settled(store, parked(await lease_one(store, AT_MS + 250)))
    await settled(store, delivered(await lease_one(store, AT_MS + 350)))
    await store.act([discard(dead.id, AT_MS + 500), discard(delivery_id(event_id(4), 0), AT_MS + 600)])

    found = await store.recent(AT_MS + 200, 10)
    expect_equal(found.events, tuple(replace(appends[n].event, body=b"") for n in (1, 2)) + found.events[2:], "events")
    expect_equal([each.id for each in found.events], [event_id(n) for n in (2, 3, 4)], "ids of the events")
    ends = [(delivery.id, attempt.ended_at_ms) for delivery, attempt in found.attempts]
    three = delivery_id(event_id(3), 0)
    expect_equal(ends, [(dead.id, AT_MS + 262), (three, AT_MS + 362)], "attempts and when they ended")
    actions = [(delivery.id, record.trigger, record.by) for delivery, record in found.actions]
    quarantined = delivery_id(event_id(4), 0)
    expect_equal(actions, [(dead.id, Trigger.DISCARD, "ada"), (quarantined, Trigger.DISCARD, "ada")], "actions")
    first = await store.recent(AT_MS + 100, 1)
    expect_equal([each.id for each in first.events], [event_id(1)], "the first event")
    expect_equal([delivery.id for delivery, _ in first.attempts], [retried.id], "the first attempt's delivery")
    expect_equal([delivery.id for delivery, _ in first.actions], [dead.id], "the first action's delivery")
