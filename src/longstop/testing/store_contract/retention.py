"""Retention: what may be forgotten is found by each of its ends, and goes whole; what anybody waits for stays."""

from longstop.model.delivery import State
from longstop.model.event import ReceiptStatus
from longstop.model.listing import Counts, DeliveryFilter, EventFilter, Page
from longstop.model.retention import Cutoffs, Kind
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    append_one,
    delivered,
    discard,
    lease,
    lease_one,
    ordered_append,
    parked,
    replay,
    settled,
)

STEPS_MAX = 100
ALL_GONE = Cutoffs(*[AT_MS + 10**9] * 4)


async def _found(store: Store, before: Cutoffs, limit: int = 100) -> list[str]:
    """What may be forgotten, by whatever kind brings it up."""
    ids: set[str] = set()
    for kind in Kind:
        after: str | None = None
        for _ in range(STEPS_MAX):
            step = await store.forgettable(kind, before, after, limit)
            ids |= set(step.event_ids)
            after = step.after
            if not step.more:
                break
        else:
            raise AssertionError(f"the search for what may be forgotten by {kind} does not end")
    return sorted(ids)


async def _mixed(store: Store) -> None:
    """1 delivered at +10, 2 dead at +20, 3 discarded at +30, 4 unrouted since +40, 5 quarantined at +50; 6 scheduled, 7
    leased, 8 delivered at +10 here and scheduled there, 9 delivered here at +10 and dead there at +90."""
    await store.append([make_append(n) for n in (1, 2, 3)])
    await store.append([make_append(4, to=(), received_at_ms=AT_MS + 40)])
    await store.append([make_quarantined(5, received_at_ms=AT_MS + 50)])
    one, two, three = (await lease(store)).claims
    await settled(store, delivered(one, AT_MS + 10))
    await settled(store, parked(two, AT_MS + 20))
    await settled(store, parked(three, AT_MS + 25))
    await store.act([discard(three.delivery.id, AT_MS + 30)])
    await store.append([make_append(n, to=("crm", "lake")) for n in (8, 9)])
    eight, nine = (await lease(store)).claims
    await settled(store, delivered(eight, AT_MS + 10))
    await settled(store, delivered(nine, AT_MS + 10))
    there = (await lease(store, lake=9)).claims[1]
    await settled(store, parked(there, AT_MS + 90))
    await store.append([make_append(7)])
    await lease_one(store)
    await store.append([make_append(6)])


def _ids(*numbers: int) -> list[str]:
    return [event_id(number) for number in numbers]


async def check_what_may_be_forgotten(store: Store) -> None:
    """Each kind by its own age, exclusive; an event when the last of its deliveries may go; never what waits."""
    await _mixed(store)
    none = Cutoffs(0, 0, 0, 0)
    table = (
        (none, ()),
        (ALL_GONE, (1, 2, 3, 4, 5, 9)),
        (Cutoffs(AT_MS + 11, 0, 0, 0), (1,)),
        (Cutoffs(AT_MS + 10, 0, 0, 0), ()),
        (Cutoffs(0, AT_MS + 21, 0, 0), (2,)),
        (Cutoffs(0, AT_MS + 51, 0, 0), (2, 5)),
        (Cutoffs(0, AT_MS + 99, 0, 0), (2, 5)),
        (Cutoffs(AT_MS + 11, AT_MS + 91, 0, 0), (1, 2, 5, 9)),
        (Cutoffs(AT_MS + 11, AT_MS + 90, 0, 0), (1, 2, 5)),
        (Cutoffs(0, 0, AT_MS + 31, 0), (3,)),
        (Cutoffs(0, 0, 0, AT_MS + 41), (4,)),
        (Cutoffs(0, 0, 0, AT_MS + 40), ()),
    )
    for before, numbers in table:
        for limit in (1, 2, 100):
            expect_equal(
                await _found(store, before, limit), _ids(*numbers), f"forgettable before {before!r} by {limit}"
            )


async def check_what_is_forgotten_is_gone_whole(store: Store) -> None:
    """From listings, counts and groups; what may not go stays, though it was asked for."""
    await _mixed(store)
    delivery = (await store.find_deliveries(DeliveryFilter(state=State.DEAD), Page(newest_first=False))).rows[0]
    asked = [*_ids(*range(1, 10)), event_id(99)]
    expect_equal(await store.forget(asked, ALL_GONE), 6, "forgotten")
    expect_equal(await store.forget(asked, ALL_GONE), 0, "forgotten again")
    rows = (await store.find_events(EventFilter(), Page(newest_first=False))).rows
    expect_equal([row.event.id for row in rows], _ids(6, 7, 8), "events that stayed")
    deliveries = (await store.find_deliveries(DeliveryFilter(), Page(newest_first=False))).rows
    expect_equal([row.event_id for row in deliveries], _ids(6, 7, 8, 8), "deliveries that stayed")
    counts = await store.counts()
    expect_equal(_said(counts), (3, 0, {"crm": {"delivered": 1, "leased": 1, "scheduled": 1}, "lake": {"leased": 1}}),
                 "counts")  # fmt: skip
    expect_equal(list(await store.dead_groups()), [], "groups of the dead")
    expect_equal(await store.event(event_id(2)), None, "a forgotten event")
    expect_equal((await store.history(delivery.id)).attempts, (), "attempts of a forgotten delivery")
    expect_equal((await store.recount()).drifts, (), "drifts")


async def check_what_goes_by_the_span_and_by_the_row(store: Store) -> None:
    """Whatever spans a store is kept in: between them all goes that may, but what is to be kept, and nothing else."""
    await _mixed(store)
    await store.prepare_spans(AT_MS)
    forgotten = 0
    for _ in range(STEPS_MAX):
        span = await store.due_span(ALL_GONE)
        if span is None:
            break
        listed = (await store.span_events(span, None, 100)).event_ids
        expect(not span.staying & set(listed), "what stays of a span is listed as what goes")
        kept = [id_ for id_ in listed if id_ == event_id(1)]
        expect_equal(await store.forget_span(span, ALL_GONE, kept), len(listed) - len(kept), "forgotten of a span")
        forgotten += len(listed) - len(kept)
    else:
        raise AssertionError("there is no end of spans that may be forgotten")
    forgotten += await store.forget(await _found(store, ALL_GONE), ALL_GONE)
    expect_equal(forgotten, 6, "forgotten")
    rows = (await store.find_events(EventFilter(), Page(newest_first=False))).rows
    expect_equal([row.event.id for row in rows], _ids(6, 7, 8), "events that stayed")
    deliveries = (await store.find_deliveries(DeliveryFilter(), Page(newest_first=False))).rows
    expect_equal([row.event_id for row in deliveries], _ids(6, 7, 8, 8), "deliveries that stayed")
    after: str | None = None
    for _ in range(STEPS_MAX):
        step = await store.recount(after)
        expect_equal(step.drifts, (), "drifts")
        after = step.next_after
        if after is None:
            break


async def check_dead_of_one_key_forgotten_together(store: Store) -> None:
    """A group counts keys: one that several of those that go had counts once, and not while one of it stays."""
    await store.append([make_append(number, key=key) for number, key in enumerate("aabbc", start=1)])
    for number, claim in enumerate((await lease(store)).claims, start=1):
        await settled(store, parked(claim, AT_MS + number))
    (group,) = await store.dead_groups()
    expect_equal((group.count, group.keys), (5, 3), "deliveries and keys of the group before")
    expect_equal(await store.forget(_ids(1, 2, 3), ALL_GONE), 3, "forgotten")
    (group,) = await store.dead_groups()
    expect_equal((group.count, group.keys), (2, 2), "deliveries and keys of the group")
    expect_equal((await store.recount()).drifts, (), "drifts")


def _said(counts: Counts) -> tuple[int, int, dict[str, dict[str, int]]]:
    found = {name: {state.value: n for state, n in states.items() if n} for name, states in counts.deliveries.items()}
    return (
        counts.events,
        counts.unrouted,
        {name: dict(sorted(states.items())) for name, states in found.items() if states},
    )


async def check_a_dead_one_that_holds_its_key_stays(store: Store) -> None:
    """Those behind it would go without it. Once a person has given it up, it may go."""
    await store.append([ordered_append(n, "a") for n in (1, 2)])
    first = await settled(store, parked(await lease_one(store)))
    expect_equal(await _found(store, ALL_GONE), [], "forgettable while it holds its key")
    expect_equal(await store.forget(_ids(1, 2), ALL_GONE), 0, "forgotten")
    await store.act([discard(first.id)])
    expect_equal(await _found(store, ALL_GONE), _ids(1), "forgettable after a discard")


async def check_a_replay_in_between_keeps_it(store: Store) -> None:
    """What was found and is then sent again is not forgotten."""
    await store.append([make_append(1)])
    dead = await settled(store, parked(await lease_one(store)))
    found = await _found(store, ALL_GONE)
    expect_equal(found, _ids(1), "forgettable")
    await store.act([replay(dead.id)])
    expect_equal(await store.forget(found, ALL_GONE), 0, "forgotten")
    expect(await store.event(event_id(1)) is not None, "an event was forgotten that is scheduled")


async def check_a_search_goes_on_where_it_ended(store: Store) -> None:
    """On another day nothing is looked at twice, and what has ended since is found."""
    await store.append([make_append(n) for n in range(1, 5)])
    for place, claim in enumerate((await lease(store)).claims, 1):
        await settled(store, delivered(claim, AT_MS + place))
    first = await store.forgettable(Kind.DELIVERED, Cutoffs(AT_MS + 3, 0, 0, 0), None, 10)
    expect_equal((first.event_ids, first.more), (tuple(_ids(1, 2)), False), "the first day")
    await store.forget(first.event_ids, Cutoffs(AT_MS + 3, 0, 0, 0))
    second = await store.forgettable(Kind.DELIVERED, Cutoffs(AT_MS + 9, 0, 0, 0), first.after, 10)
    expect_equal((second.event_ids, second.more), (tuple(_ids(3, 4)), False), "the second day")


async def check_what_is_too_young_is_found_another_day(store: Store) -> None:
    """Also where its id is older than that of another that may go already."""
    await store.append([make_append(1, to=(), received_at_ms=AT_MS + 500), make_append(2, to=(), received_at_ms=AT_MS)])
    early, late = Cutoffs(0, 0, 0, AT_MS + 100), Cutoffs(0, 0, 0, AT_MS + 600)
    first = await store.forgettable(Kind.UNROUTED, early, None, 10)
    expect_equal(first.event_ids, tuple(_ids(2)), "the first day")
    await store.forget(first.event_ids, early)
    second = await store.forgettable(Kind.UNROUTED, late, first.after, 10)
    expect_equal(second.event_ids, tuple(_ids(1)), "the second day")


async def check_all_of_an_event(store: Store) -> None:
    """What is archived is all there is."""
    await _mixed(store)
    (whole,) = await store.whole([event_id(3), event_id(99)])
    expect_equal(whole.kept, await store.event(event_id(3)), "the event")
    expect_equal(whole.histories, (await store.history(whole.kept.deliveries[0].id),), "its histories")
    expect_equal((len(whole.histories[0].attempts), len(whole.histories[0].actions)), (1, 1), "attempts and actions")


async def check_attempts_by_themselves(store: Store) -> None:
    """Those of what had ended by then, and only those from before."""
    await store.append([make_append(n) for n in (1, 2)])
    one, two = (await lease(store)).claims
    await settled(store, parked(one, AT_MS + 10))
    await settled(store, delivered(two, AT_MS + 20))
    await store.act([replay(one.delivery.id, AT_MS + 100)])
    again = await lease_one(store, AT_MS + 100)
    expect_equal((await store.old_attempts(AT_MS + 15, None, 9)).event_ids, (), "old attempts of what is under way")
    await settled(store, parked(again, AT_MS + 110))
    found: list[str] = []
    after: str | None = None
    for _ in range(STEPS_MAX):
        step = await store.old_attempts(AT_MS + 200, after, 1)
        found += step.event_ids
        after = step.after
        if not step.more:
            break
    expect_equal(sorted(found), _ids(1, 2), "events with old attempts")
    expect_equal(await store.forget_attempts(_ids(1, 2), AT_MS + 111), 3, "attempts forgotten")
    expect_equal((await store.history(one.delivery.id)).attempts, (), "attempts of the first")
    expect_equal(len((await store.history(one.delivery.id)).actions), 1, "its actions")
    expect(await store.event(event_id(1)) is not None, "an event went with its attempts")


async def check_a_redelivery_of_what_was_forgotten(store: Store) -> None:
    """While the dedup window lasts it is a duplicate still."""
    await store.append([make_append(1, dedup=b"k")])
    await settled(store, delivered(await lease_one(store)))
    expect_equal(await store.forget(_ids(1), ALL_GONE), 1, "forgotten")
    receipt = await append_one(store, make_append(2, dedup=b"k"))
    expect_equal((receipt.status, receipt.event_id), (ReceiptStatus.DUPLICATE, event_id(1)), "its receipt")
    expect_equal((await store.counts()).events, 0, "events")


async def check_until_when_it_lived(store: Store) -> None:
    """Nothing at first; then the latest that was kept."""
    expect_equal(await store.lived_until(), None, "lived_until of a new store")
    for at_ms, kept in ((5, 5), (9, 9), (7, 9)):
        await store.live_until(at_ms)
        expect_equal(await store.lived_until(), kept, f"lived_until after {at_ms}")


async def check_giving_back_ends(store: Store) -> None:
    """Room is given back a little at a time, until there is no more."""
    await store.append([make_append(1)])
    for _ in range(STEPS_MAX):
        if not await store.give_back():
            return
    raise AssertionError("a store of one event has endless room to give back")
