"""Taking over what stood elsewhere: it stands as it stood, is found, counted and delivered as if it had come here."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from longstop.model.action import ActionRecord, Edit
from longstop.model.dedup import DedupKey, dedup_digest
from longstop.model.delivery import Attempt, DeadReason, Delivery, OutcomeKind, State, Trigger, Wait
from longstop.model.event import Headers, Origin, ReceiptStatus
from longstop.model.listing import DeliveryFilter, EventFilter, History, KeptEvent, Page
from longstop.model.retention import Cutoffs, Kind, WholeEvent
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_delivery, make_event, make_quarantined
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    append_one,
    delivered,
    discard,
    lease,
    lease_one,
    ordered_append,
    parked,
    settled,
    standing,
    to_retry,
)

NO_HISTORY = History((), ())
OLDEST_FIRST = Page(newest_first=False)


def _whole(number: int, *changes: Mapping[str, object], lane: str | None = None) -> WholeEvent:
    """An event with a delivery for each of the changes, to crm, lake, and so on."""
    event = make_event(number, key=lane or f"order-{number}")
    deliveries = tuple(
        make_delivery(event, name, place, **{"lane": lane, **each})
        for place, (name, each) in enumerate(zip(("crm", "lake", "pond"), changes, strict=False))
    )
    return WholeEvent(KeptEvent(event, 0, deliveries), (NO_HISTORY,) * len(deliveries))


def _ended(state: State, at_ms: int, **more: object) -> dict[str, object]:
    reason = {"reason": DeadReason.EXHAUSTED} if state is State.DEAD else {}
    return {"state": state, "ended_at_ms": at_ms, "attempts": 2, "tries": 2, "token": 2, **reason, **more}


def _rich() -> WholeEvent:
    """An event with something in every field of it and of its delivery."""
    event = make_event(
        7,
        body=b"\x00\xff not text",
        headers=Headers([("X-One", "1"), ("x-one", "caf\xe9")]),
        dedup=b"\x00k\xff",
        origin=Origin.REPLAY,
        parent=event_id(3),
        occurred_at_ms=AT_MS - 5,
    )
    delivery = make_delivery(
        event, state=State.SCHEDULED, due_at_ms=AT_MS + 900, lane="shop:a", round=2, round_at_ms=AT_MS + 400,
        attempts=3, tries=1, lost=1, token=4, last_status=503, last_error="busy", expires_at_ms=AT_MS + 10**6,
        skipped=True, wait=Wait.RETRY_AFTER, replaced_by=event_id(9),
    )  # fmt: skip
    attempts = (
        Attempt(1, 1, AT_MS + 1, 12, OutcomeKind.LOST),
        Attempt(2, 1, AT_MS + 20, 3, OutcomeKind.REJECT, 422, "no", b"\x00\xff", "a.py:3 in f"),
        Attempt(3, 2, AT_MS + 500, 7, OutcomeKind.RETRY, 503, "busy"),
    )
    actions = (ActionRecord(Trigger.REPLAY, AT_MS + 400, "ada", "again"), ActionRecord(Trigger.EXPEDITE, 1, "bo", None))
    made_by = Edit(event.id, event_id(3), AT_MS, "ada", "a wrong number")
    kept = KeptEvent(event, 4, (delivery,), made_by)
    return WholeEvent(kept, (History(attempts, actions),), AT_MS + 60_000)


async def check_all_of_an_event_is_put_in(store: Store) -> None:
    """Every field of it comes back, and so do its histories, its trail and its dedup key."""
    rich = _rich()
    expect_equal(list(await store.restore([rich])), [True], "what was put in")
    expect_equal(list(await store.whole([rich.kept.event.id])), [rich], "all there is of it")
    expect_equal(await store.event(rich.kept.event.id), rich.kept, "the event by its id")
    expect_equal(await store.history(rich.kept.deliveries[0].id), rich.histories[0], "its history")


async def check_whole_says_until_when_it_holds_its_key(store: Store) -> None:
    """The first of its key does; a later one whose key another holds, and one without a key, do not."""
    await store.append([make_append(1, dedup=b"k", window_ms=500), make_append(2)])
    await store.append([make_append(3, dedup=b"k", received_at_ms=AT_MS + 500, window_ms=500)])
    found = {each.kept.event.id: each.dedup_until_ms for each in await store.whole([event_id(n) for n in (1, 2, 3)])}
    expect_equal(found, {event_id(1): None, event_id(2): None, event_id(3): AT_MS + 1_000}, "until when each holds it")


async def check_whole_has_the_edits(store: Store) -> None:
    """Of the kept event and of the one in its place."""
    await store.append([make_append(1)])
    edit = Edit(event_id(2), event_id(1), AT_MS + 5, "ada", "a wrong number")
    await store.replace(make_append(2, parent=event_id(1)), edit, ())
    found = await store.whole([event_id(1), event_id(2)])
    for whole in found:
        expect_equal(whole.kept, await store.event(whole.kept.event.id), "the event, whole and by its id")
    expect_equal([each.kept.edits for each in found], [(edit,), ()], "edits")
    expect_equal([each.kept.made_by for each in found], [None, edit], "made by")


async def check_what_is_there_stays_as_it_is(store: Store) -> None:
    """Also where it comes twice in one batch, and where what is there came by itself."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await settled(store, delivered(claim))
    old = _whole(1, {})
    other = _whole(2, _ended(State.DISCARDED, AT_MS + 9))
    expect_equal(list(await store.restore([old, other, other])), [False, True, False], "what was put in")
    expect_equal(list(await store.restore([other])), [False], "what was put in again")
    expect_equal((await standing(store, claim.delivery.id)).state, State.DELIVERED, "what was delivered already")
    counts = await store.counts()
    expect_equal(counts.events, 2, "events")
    expect_equal((await store.recount()).drifts, (), "drifts")


def _mixed() -> list[WholeEvent]:
    return [
        _whole(1, {}, _ended(State.DELIVERED, AT_MS + 10)),
        _whole(2, _ended(State.DEAD, AT_MS + 20, last_error="busy", last_status=503)),
        _whole(3, _ended(State.DISCARDED, AT_MS + 30)),
        _whole(4),
        WholeEvent(KeptEvent((dead := make_quarantined(5)).event, 0, dead.deliveries), (NO_HISTORY,)),
        _whole(6, {"state": State.LEASED, "token": 3, "leased_at_ms": AT_MS, "lease_until_ms": AT_MS + 50,
                   "worker": "worker-9"}),
        _whole(7, _ended(State.DEAD, AT_MS + 70, last_error="busy", last_status=503)),
    ]  # fmt: skip


async def check_what_was_put_in_is_counted_and_found(store: Store) -> None:
    """By counters that need no repair, in groups of the dead, by every filter, and when it is old enough."""
    await store.restore(_mixed())
    counts = await store.counts()
    found = {name: {state.value: n for state, n in each.items() if n} for name, each in counts.deliveries.items()}
    expected = {"crm": {"scheduled": 1, "dead": 2, "discarded": 1, "leased": 1}, "lake": {"delivered": 1},
                "": {"dead": 1}}  # fmt: skip
    expect_equal((counts.events, counts.unrouted, found), (7, 1, expected), "counts")
    expect_equal(dict(counts.sources), {"shop": 7}, "events by source")
    after: str | None = None
    while True:
        step = await store.recount(after)
        expect_equal(step.drifts, (), "drifts")
        if (after := step.next_after) is None:
            break
    (group,) = await store.dead_groups("crm")
    expect_equal((group.count, group.keys, group.status), (2, 2, 503), "the group of the dead")
    for wanted, numbers in (
        (EventFilter(), (1, 2, 3, 4, 5, 6, 7)),
        (EventFilter(source="shop", key="order-3"), (3,)),
        (EventFilter(unrouted=True), (4,)),
        (EventFilter(type="order.paid", since_ms=AT_MS, until_ms=AT_MS + 1), (1, 2, 3, 4, 6, 7)),
    ):
        rows = (await store.find_events(wanted, OLDEST_FIRST)).rows
        expect_equal([each.event.id for each in rows], [event_id(n) for n in numbers], f"events of {wanted}")
    dead = (await store.find_deliveries(DeliveryFilter(state=State.DEAD, destination="crm"), OLDEST_FIRST)).rows
    expect_equal([each.event_id for each in dead], [event_id(2), event_id(7)], "what is dead")
    old = await store.forgettable(Kind.DISCARDED, Cutoffs(0, 0, AT_MS + 31, 0), None, 10)
    expect_equal(old.event_ids, (event_id(3),), "what is old enough")


async def check_what_was_put_in_goes_on(store: Store) -> None:
    """What is scheduled is leased when it is due, in turns with what was tried; a lease is still its holder's, and is
    rescued when it has run out."""
    tried = {"attempts": 1, "tries": 1, "token": 1, "due_at_ms": AT_MS + 100}
    await store.restore([*_mixed(), _whole(8, tried)])
    batch = await lease(store)
    expect_equal([each.event.id for each in batch.claims], [event_id(1)], "leased at once")
    expect_equal(batch.next_due_at_ms, AT_MS + 100, "when the next is due")
    expect_equal([each.event_id for each in await store.expired(AT_MS + 50, 9)], [event_id(6)], "leases that ran out")
    claim = await lease_one(store, AT_MS + 100)
    expect_equal((claim.event.id, claim.delivery.token), (event_id(8), 2), "leased later, and its token")
    old = (await store.find_deliveries(DeliveryFilter(state=State.LEASED), OLDEST_FIRST)).rows[1]
    expect_equal((old.event_id, old.token), (event_id(6), 3), "the lease that was put in")
    ended = replace(claim, delivery=old)
    await settled(store, to_retry(ended, AT_MS + 10**6))
    expect_equal((await store.recount()).drifts, (), "drifts")


def _laned(number: int, **changes: object) -> WholeEvent:
    return _whole(number, changes, lane="a")


async def check_lanes_are_as_they_were(store: Store) -> None:
    """One at a time, by id, whatever came into the store first: what is dead, or leased, holds those behind it."""
    await store.restore([_laned(3), _laned(2)])
    await store.restore([_laned(1, **_ended(State.DEAD, AT_MS + 5))])
    await append_one(store, ordered_append(4, "a"))
    expect_equal((await lease(store)).claims, (), "leased behind a dead one")
    held = (await store.find_deliveries(DeliveryFilter(held=True), OLDEST_FIRST)).rows
    expect_equal([each.event_id for each in held], [event_id(n) for n in (2, 3, 4)], "what is held")
    await store.act([discard(_delivery_of(_laned(1)).id)])
    for number in (2, 3, 4):
        claim = await lease_one(store)
        expect_equal(claim.event.id, event_id(number), "the next of its lane")
        await settled(store, delivered(claim))


async def check_whoever_waits_for_work_is_woken(store: Store) -> None:
    """Where what was put in may be leased."""
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    await store.restore([_whole(1, {})])
    await asyncio.sleep(0)
    expect(woken.is_set(), "nobody was woken")


async def check_one_that_is_leased_holds_its_lane(store: Store) -> None:
    """As it did where it was: against those behind it, and against those before it, whichever comes in first."""
    leased = {"state": State.LEASED, "token": 1, "leased_at_ms": AT_MS, "lease_until_ms": AT_MS + 9, "worker": "w"}
    await store.restore([_laned(2, **leased), _laned(3)])
    expect_equal((await lease(store)).claims, (), "leased beside one of its lane")
    await store.restore([_laned(1)])
    expect_equal((await lease(store)).claims, (), "leased beside one of its lane, with a lower id")
    await store.restore([_whole(4, {}, lane="b"), _whole(5, leased, lane="b")])
    expect_equal((await lease(store)).claims, (), "leased beside one of its lane that came in later")


def _delivery_of(whole: WholeEvent) -> Delivery:
    return whole.kept.deliveries[0]


async def check_a_key_that_was_put_in_is_taken(store: Store) -> None:
    """Within its window what comes is a duplicate of what was put in; then it is a new event."""
    rich = _rich()
    await store.restore([rich])
    again = make_append(20, dedup=rich.kept.event.dedup)
    expect_equal((await append_one(store, again)).event_id, rich.kept.event.id, "the first of its key")
    (whole,) = await store.whole([rich.kept.event.id])
    expect_equal(whole.kept.redeliveries, 5, "redeliveries")
    later = make_append(21, dedup=rich.kept.event.dedup, received_at_ms=AT_MS + 60_000)
    expect_equal((await append_one(store, later)).status, ReceiptStatus.ACCEPTED, "after its window")


async def check_keys_by_themselves(store: Store) -> None:
    """Those of forgotten events too, page by page; what is kept stays unless its window ends earlier."""
    await store.append([make_append(n, dedup=b"k%d" % n) for n in (1, 2, 3)])
    await settled(store, parked((await lease(store)).claims[0]))
    await store.forget([event_id(1)], Cutoffs(*[AT_MS + 10**9] * 4))
    found: list[DedupKey] = []
    while page := await store.dedup_keys(found[-1].digest if found else None, 2):
        found += page
    expected = [DedupKey(dedup_digest("shop", b"k%d" % n), event_id(n), AT_MS + 60_000) for n in (1, 2, 3)]
    expect_equal(found, sorted(expected, key=lambda each: each.digest), "all keys")
    mine = [dedup_digest("shop", b"k%d" % n) for n in (1, 2, 8)]
    ends = zip(mine, (AT_MS + 1, AT_MS + 90_000, AT_MS + 5), strict=True)
    await store.keep_dedup_keys([DedupKey(digest, event_id(50), until_ms) for digest, until_ms in ends])
    for number, first in ((1, 1), (2, 50), (8, 50)):
        receipt = await append_one(store, make_append(60 + number, dedup=b"k%d" % number))
        expect_equal(receipt.event_id, event_id(first), f"the first of key {number}")
        expect(receipt.status is ReceiptStatus.DUPLICATE, f"key {number} was not taken")
