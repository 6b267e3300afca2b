"""Edit: an event is sent in the place of a kept one, and both say so, with who, when and why."""

import contextlib

from longstop.model.action import Edit
from longstop.model.delivery import State
from longstop.model.event import Origin
from longstop.model.retention import Cutoffs
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import delivered, lease, lease_one, parked, replay, settled, standing

ALL_GONE = Cutoffs(*[AT_MS + 10**9] * 4)
FIRST, SECOND, THIRD = event_id(1), event_id(2), event_id(3)
DELIVERY = delivery_id(FIRST, 0)


def _edit(new: str = SECOND, parent: str = FIRST) -> Edit:
    return Edit(new, parent, AT_MS + 500, "ada", "the number was wrong")


async def _replace(store: Store, number: int = 2, parent: str = FIRST, of: str = DELIVERY) -> Edit:
    edit = _edit(event_id(number), parent)
    await store.replace(make_append(number, origin=Origin.REPLAY, parent=parent), edit, [of])
    return edit


async def check_both_events_say_so(store: Store) -> None:
    """The new one who made it, the kept one what was sent in its place; all else of it is as it was."""
    await store.append([make_append(1)])
    before = await settled(store, parked(await lease_one(store)))
    edit = await _replace(store)
    first, second = await store.event(FIRST), await store.event(SECOND)
    expect(first is not None and second is not None, "one of the events is not there")
    assert first is not None
    assert second is not None
    expect_equal((first.made_by, first.edits), (None, (edit,)), "the kept event's record")
    expect_equal((second.made_by, second.edits), (edit, ()), "the new event's record")
    expect_equal((second.event.parent, second.event.origin), (FIRST, Origin.REPLAY), "parent and origin")
    (now,) = first.deliveries
    expect_equal((now.replaced_by, now.state), (SECOND, State.DEAD), "the kept event's delivery")
    expect_equal((now.attempts, now.due_at_ms), (before.attempts, before.due_at_ms), "its attempts and due time")
    expect_equal((await lease_one(store)).event.id, SECOND, "the event that is leased")


async def check_edits_follow_each_other(store: Store) -> None:
    """An event may be edited again, and so may the edited one; each has its own."""
    await store.append([make_append(1)])
    one = await _replace(store)
    two = await _replace(store, 3)
    three = await _replace(store, 4, SECOND, delivery_id(SECOND, 0))
    kept = [await store.event(id_) for id_ in (FIRST, SECOND, THIRD)]
    expect_equal([each and each.edits for each in kept], [(one, two), (three,), ()], "edits of each")
    expect_equal([each and each.made_by for each in kept], [None, one, two], "who made each")
    expect_equal((await standing(store, DELIVERY)).replaced_by, THIRD, "what the first delivery was replaced by last")


async def check_a_settlement_leaves_it(store: Store) -> None:
    """A worker that had the delivery when a person edited its event does not undo that."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await _replace(store)
    now = await settled(store, delivered(claim))
    expect_equal((now.state, now.replaced_by), (State.DELIVERED, SECOND), "state and replaced_by")


async def check_a_replay_of_the_kept_one_ends_it(store: Store) -> None:
    """Whoever sends the kept one again thinks otherwise; the record stays."""
    await store.append([make_append(1)])
    await settled(store, parked(await lease_one(store)))
    edit = await _replace(store)
    await store.act([replay(DELIVERY, AT_MS)])
    expect_equal((await standing(store, DELIVERY)).replaced_by, None, "replaced_by")
    kept = await store.event(FIRST)
    expect_equal(kept and kept.edits, (edit,), "edits")


async def check_the_record_goes_with_the_new_event(store: Store) -> None:
    """For as long as that is there, also when the one in whose place it was sent is forgotten."""
    await store.append([make_append(1)])
    await settled(store, parked(await lease_one(store)))
    edit = await _replace(store)
    expect_equal(await store.forget([FIRST], ALL_GONE), 1, "events forgotten")
    second = await store.event(SECOND)
    expect_equal(second and second.made_by, edit, "the new event's record")
    await settled(store, delivered(await lease_one(store)))
    expect_equal(await store.forget([SECOND], ALL_GONE), 1, "events forgotten")
    await store.append([make_append(1), make_append(2)])
    kept = [await store.event(id_) for id_ in (FIRST, SECOND)]
    expect_equal([each and (each.made_by, each.edits) for each in kept], [(None, ())] * 2, "records of new events")


async def check_it_is_kept_whole_or_not_at_all(store: Store) -> None:
    """An id that is taken: neither the event nor the record is there, and no delivery says that it was replaced."""
    await store.append([make_append(1), make_append(2, key="other")])
    before = await standing(store, DELIVERY)
    # How a store refuses it is its own business.
    with contextlib.suppress(Exception):
        await _replace(store)
    kept = [await store.event(id_) for id_ in (FIRST, SECOND)]
    expect_equal([each and (each.made_by, each.edits) for each in kept], [(None, ())] * 2, "records")
    expect_equal(kept[1] and kept[1].event.key, "other", "the event that had the id")
    expect_equal(await standing(store, DELIVERY), before, "the delivery")
    expect_equal(len((await lease(store)).claims), 2, "claims")
