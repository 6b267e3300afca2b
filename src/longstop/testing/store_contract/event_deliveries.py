"""An event's deliveries are found by it, whatever ids they have: right behind its own, among others', or far away.

Mostly an event and its deliveries get their ids one after the other, and a store may be fast by that. It must not be
wrong where they do not: by a step that is carried far, two processes, a clock that went back.
"""

import uuid
from dataclasses import replace

from longstop.model.append import Append
from longstop.model.listing import DeliveryFilter, Page
from longstop.model.retention import Cutoffs, Kind
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_delivery, make_event
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import delivered, lease, settled

_TAIL = (1 << 38) + 5
"""In the lower 40 bits of every event's id here, so that there are ids before it that begin as it does."""
STEPS = (1, 1 << 32, (1 << 40) - _TAIL - 1, (1 << 40) - _TAIL, 1 << 60, 1 << 100, -1, -_TAIL, -_TAIL - 1, -(1 << 100))
"""How far a delivery's id is from its event's: around the borders of where most are."""
_ALL_GONE = Cutoffs(*[AT_MS + 10**9] * 4)


def _moved(id_: str, by: int) -> str:
    return str(uuid.UUID(int=uuid.UUID(id_).int + by))


def appends() -> list[Append]:
    """An event for each of the steps with a delivery so far away, and two for all of them at once."""
    made = []
    for number, steps in enumerate([*((step,) for step in STEPS), STEPS, tuple(step + 7 for step in STEPS)], 1):
        # Those of the last two are in the same milliseconds and begin alike.
        event = make_event(min(number, len(STEPS) + 1), key=f"key-{number}")
        event = replace(event, id=_moved(event.id, _TAIL + 3 * (number > len(STEPS) + 1)))
        deliveries = [
            replace(make_delivery(event, f"to-{place}"), id=_moved(event.id, step)) for place, step in enumerate(steps)
        ]
        made.append(Append(event, tuple(sorted(deliveries, key=lambda each: each.id))))
    return made


async def check_an_event_has_its_deliveries_wherever_they_are(store: Store) -> None:
    """By the event, by its key, and as a whole."""
    made = appends()
    await store.append(made)
    for each in made:
        kept = await store.event(each.event.id)
        expect_equal(kept and kept.deliveries, each.deliveries, f"deliveries of {each.event.key}")
        wanted = DeliveryFilter(key=each.event.key)
        listed = (await store.find_deliveries(wanted, Page(newest_first=False))).rows
        expect_equal(tuple(listed), each.deliveries, f"deliveries by {each.event.key}")
    wholes = await store.whole([each.event.id for each in made])
    found = {whole.kept.event.id: whole.kept.deliveries for whole in wholes}
    expect_equal(found, {each.event.id: each.deliveries for each in made}, "all there is of them")


async def check_what_is_forgotten_takes_its_deliveries_along_wherever_they_are(store: Store) -> None:
    """And none of another's; while one of them waits, the event stays."""
    made = appends()
    await store.append(made)
    for place in range(1, len(STEPS)):
        for claim in (await lease(store, **{f"to-{place}": 100})).claims:
            await settled(store, delivered(claim))
    ids = [each.event.id for each in made]
    expect_equal(await store.forget(ids, _ALL_GONE), 0, "forgotten while one delivery waits")
    # The first delivery of one that has all of them, and those of half of the others.
    done = [*ids[: len(STEPS) : 2], ids[-1]]
    for claim in (await lease(store, **{"to-0": 100})).claims:
        if claim.event.id in done:
            await settled(store, delivered(claim))
    found = (await store.forgettable(Kind.DELIVERED, _ALL_GONE, None, 100)).event_ids
    expect_equal(sorted(found), sorted(done), "forgettable")
    old = (await store.old_attempts(AT_MS + 10**6, None, 100)).event_ids
    expect_equal(sorted(old), sorted({*done, *ids[-2:]}), "with old attempts")
    expect_equal(await store.forget(ids, _ALL_GONE), len(done), "forgotten")
    left = (await store.find_deliveries(DeliveryFilter(), Page(100, newest_first=False))).rows
    staying = [delivery.id for each in made if each.event.id not in done for delivery in each.deliveries]
    expect_equal([each.id for each in left], sorted(staying), "deliveries that stayed")
    tries = await store.forget_attempts(ids, AT_MS + 10**6)
    expect_equal(tries, len(STEPS) - 1, "attempts forgotten of the one that stayed and was tried")
