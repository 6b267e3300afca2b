"""Listing: filters select exactly what they say, and pages go on where the last one ended, whatever happens between."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from longstop.model.delivery import DeadReason, State
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import delivered, discard, lease, lease_one, parked, replay, settled

PAGES_MAX = 50
"""A listing that has not ended by then goes in circles."""


async def _events(store: Store, wanted: EventFilter) -> list[str]:
    rows = (await store.find_events(wanted, Page(newest_first=False))).rows
    return [row.event.id for row in rows]


async def _deliveries(store: Store, wanted: DeliveryFilter) -> list[str]:
    rows = (await store.find_deliveries(wanted, Page(newest_first=False))).rows
    return [row.event_id for row in rows]


def _ids(numbers: Iterable[int]) -> list[str]:
    return [event_id(number) for number in numbers]


async def _pages(store: Store, limit: int, newest_first: bool) -> AsyncIterator[list[str]]:
    """The events page by page, until the store says that it was the last."""
    after = None
    for _ in range(PAGES_MAX):
        listing = await store.find_events(EventFilter(), Page(limit, after, newest_first))
        yield [row.event.id for row in listing.rows]
        after = listing.next_after
        if after is None:
            return
    raise AssertionError(f"a listing of a few rows did not end after {PAGES_MAX} pages")


# -- events -------------------------------------------------------------------------------------


async def _mixed_events(store: Store) -> None:
    await store.append([
        make_append(1, source="shop", type="paid", key="a", received_at_ms=AT_MS),
        make_append(2, source="shop", type="paid", key="b", received_at_ms=AT_MS + 10),
        make_append(3, source="shop", type="sent", key="a", received_at_ms=AT_MS + 20, to=()),
        make_append(4, source="till", type="paid", key="a", received_at_ms=AT_MS + 30, to=("crm", "lake")),
        make_append(5, source="till", type=None, key=None, received_at_ms=AT_MS + 40, to=()),
        make_append(6, source="till", type="", key="", received_at_ms=AT_MS + 50),
        make_quarantined(7, source="shop", received_at_ms=AT_MS + 60),
    ])  # fmt: skip


async def check_event_filters(store: Store) -> None:
    """Each filter alone, and together."""
    await _mixed_events(store)
    table = (
        (EventFilter(), (1, 2, 3, 4, 5, 6, 7)),
        (EventFilter(source="shop"), (1, 2, 3, 7)),
        (EventFilter(source="nobody"), ()),
        (EventFilter(source="sho"), ()),
        (EventFilter(type="paid"), (1, 2, 4)),
        (EventFilter(type=""), (6,)),
        (EventFilter(key="a"), (1, 3, 4)),
        (EventFilter(key=""), (6,)),
        (EventFilter(unrouted=True), (3, 5)),
        (EventFilter(source="shop", type="paid", key="a"), (1,)),
        (EventFilter(source="till", unrouted=True), (5,)),
        (EventFilter(key="a", since_ms=AT_MS + 1, until_ms=AT_MS + 30), (3,)),
        (EventFilter(contains=b'"number":4', source="till", type="paid"), (4,)),
        (EventFilter(contains=b'"number":4', source="shop"), ()),
    )
    for wanted, numbers in table:
        expect_equal(await _events(store, wanted), _ids(numbers), f"events of {wanted!r}")


async def check_event_times(store: Store) -> None:
    """Since is inclusive, until is not."""
    await store.append([make_append(n, received_at_ms=AT_MS + n) for n in (1, 2, 3, 4)])
    table = (
        (2, None, (2, 3, 4)),
        (None, 3, (1, 2)),
        (2, 3, (2,)),
        (2, 2, ()),
        (4, 2, ()),
        (5, None, ()),
        (None, 1, ()),
    )
    for since, until, numbers in table:
        wanted = EventFilter(
            since_ms=None if since is None else AT_MS + since, until_ms=None if until is None else AT_MS + until
        )
        expect_equal(await _events(store, wanted), _ids(numbers), f"events since {since} until {until}")


async def check_contains_is_about_bytes(store: Store) -> None:
    """Any bytes, anywhere in the body; nothing in them is a wildcard, a pattern or an end."""
    bodies = (b"a\x00b\xff\xfec", b"100% of_it", b"100 of it", b"ABC*[x]?", "é".encode(), b"\\d'\"--", b"")
    await store.append([make_append(n, body=body) for n, body in enumerate(bodies, start=1)])
    table = (
        (b"\x00", (1,)),
        (b"b\xff\xfec", (1,)),
        (b"a\x00b\xff\xfec", (1,)),
        (b"\xfec\x00", ()),
        (b"%", (2,)),
        (b"100%", (2,)),
        (b"f_i", (2,)),
        (b"100", (2, 3)),
        (b"abc", ()),
        (b"ABC*", (4,)),
        (b"[x]", (4,)),
        (b"\xa9", (5,)),
        (b"\\d'\"", (6,)),
    )
    for wanted, numbers in table:
        expect_equal(await _events(store, EventFilter(contains=wanted)), _ids(numbers), f"events with {wanted!r}")
        found = await _deliveries(store, DeliveryFilter(contains=wanted))
        expect_equal(found, _ids(numbers), f"deliveries of events with {wanted!r}")


async def check_filters_are_values(store: Store) -> None:
    """What stands in a filter is compared, never run."""
    names = ("' OR 1=1 --", "a%", "a", '"; DROP TABLE events; --', "a\x00b", "\\")
    await store.append([make_append(n, key=name, type=name) for n, name in enumerate(names, start=1)])
    for number, name in enumerate(names, start=1):
        found = await _events(store, EventFilter(key=name, type=name))
        expect_equal(found, _ids([number]), f"events of key {name!r}")
        found = await _deliveries(store, DeliveryFilter(key=name, type=name))
        expect_equal(found, _ids([number]), f"deliveries of key {name!r}")


async def check_listed_event_is_whole_but_for_its_body(store: Store) -> None:
    """A row says all that asking for its event says: redeliveries and deliveries as they stand; of the body, its size.

    A page is asked for by people, and the largest might be as large as the store.
    """
    await store.append([make_append(1, to=("crm", "lake"), dedup=b"k"), make_append(2, dedup=b"k")])
    await settled(store, delivered(await lease_one(store, crm=1)))
    rows = (await store.find_events(EventFilter(), Page())).rows
    kept = await store.event(event_id(1))
    assert kept is not None
    expect(len(kept.event.body) > 0, "an event that is asked for has its body")
    size = len(kept.event.body)
    expect_equal(rows, (replace(kept, event=replace(kept.event, body=b""), listed_bytes=size),), "rows")
    expect_equal((rows[0].body_bytes, kept.body_bytes), (size, size), "size of the body")
    expect_equal(rows[0].redeliveries, 1, "redeliveries")


# -- deliveries ---------------------------------------------------------------------------------


async def _mixed_deliveries(store: Store) -> None:
    """1 scheduled, 2 leased, 3 delivered at +30, 4 dead at +40, 5 discarded at +50, 6 dead at +60 and of another
    source, 7 quarantined at +70, 8 scheduled for another destination."""
    await store.append([make_append(n, key="a" if n % 2 else "b") for n in range(2, 6)])
    await store.append([make_append(6, source="till", type="sent"), make_append(8, to=("lake",))])
    await store.append([make_quarantined(7, received_at_ms=AT_MS + 70)])
    claims = {claim.event.id: claim for claim in (await lease(store)).claims}
    await settled(store, delivered(claims[event_id(3)], AT_MS + 30))
    for number in (4, 5, 6):
        await settled(store, parked(claims[event_id(number)], AT_MS + number * 10))
    await store.act([discard(claims[event_id(5)].delivery.id, AT_MS + 50)])
    await store.append([make_append(1)])


async def check_delivery_filters(store: Store) -> None:
    """Each filter alone, and together."""
    await _mixed_deliveries(store)
    table = (
        (DeliveryFilter(), (1, 2, 3, 4, 5, 6, 7, 8)),
        (DeliveryFilter(state=State.SCHEDULED), (1, 8)),
        (DeliveryFilter(state=State.LEASED), (2,)),
        (DeliveryFilter(state=State.DELIVERED), (3,)),
        (DeliveryFilter(state=State.DEAD), (4, 6, 7)),
        (DeliveryFilter(state=State.DISCARDED), (5,)),
        (DeliveryFilter(source="till"), (6,)),
        (DeliveryFilter(destination="lake"), (8,)),
        (DeliveryFilter(destination=""), (7,)),
        (DeliveryFilter(type="sent"), (6,)),
        (DeliveryFilter(key="a"), (3, 5)),
        (DeliveryFilter(reason=DeadReason.REJECTED), (4, 6)),
        (DeliveryFilter(reason=DeadReason.MALFORMED), (7,)),
        (DeliveryFilter(contains=b'"number":5'), (5,)),
        (DeliveryFilter(state=State.DEAD, source="shop", reason=DeadReason.REJECTED), (4,)),
        (DeliveryFilter(state=State.DEAD, key="a"), ()),
        (DeliveryFilter(state=State.DEAD, destination="crm", contains=b"6", type="sent"), (6,)),
    )
    for wanted, numbers in table:
        expect_equal(await _deliveries(store, wanted), _ids(numbers), f"deliveries of {wanted!r}")


async def check_delivery_times(store: Store) -> None:
    """By when they ended, since inclusive, until exclusive; what has not ended has no such time."""
    await _mixed_deliveries(store)
    table = (
        (40, None, (4, 5, 6, 7)),
        (None, 50, (3, 4)),
        (30, 60, (3, 4, 5)),
        (40, 40, ()),
        (60, 30, ()),
        (71, None, ()),
    )
    for since, until, numbers in table:
        wanted = DeliveryFilter(
            since_ms=None if since is None else AT_MS + since, until_ms=None if until is None else AT_MS + until
        )
        expect_equal(await _deliveries(store, wanted), _ids(numbers), f"deliveries since {since} until {until}")


# -- pages --------------------------------------------------------------------------------------


async def check_pages_have_no_gaps_or_repeats(store: Store) -> None:
    """In both directions, each row once and in order; the last page says so, also when it is full."""
    await store.append([make_append(n) for n in (3, 1, 6, 4, 2, 5)])
    for limit in (1, 2, 4, 6, 7):
        for newest_first in (True, False):
            numbers = range(6, 0, -1) if newest_first else range(1, 7)
            pages = [page async for page in _pages(store, limit, newest_first)]
            direction = "newest" if newest_first else "oldest"
            expect_equal([row for page in pages for row in page], _ids(numbers), f"rows, {direction} first")
            expect_equal(len(pages), -(-6 // limit), f"pages of {limit}, {direction} first")


async def check_empty_listing_ends(store: Store) -> None:
    """No rows, and no page after."""
    events = await store.find_events(EventFilter(), Page())
    expect_equal((events.rows, events.next_after), ((), None), "listing of events")
    deliveries = await store.find_deliveries(DeliveryFilter(), Page())
    expect_equal((deliveries.rows, deliveries.next_after), ((), None), "listing of deliveries")


async def check_new_rows_shift_no_page(store: Store) -> None:
    """Rows that come while somebody pages appear at the young end and move nothing."""
    await store.append([make_append(n) for n in range(1, 7)])
    seen = []
    young = iter(range(7, PAGES_MAX))
    async for page in _pages(store, 2, newest_first=True):
        seen += page
        await store.append([make_append(next(young))])
    expect_equal(seen, _ids(range(6, 0, -1)), "rows, newest first, while newer ones came")


async def check_new_rows_are_met_going_forward(store: Store) -> None:
    """Going from the oldest to the newest, rows that come meanwhile are met at the end."""
    await store.append([make_append(n) for n in range(1, 5)])
    seen = []
    young = iter((5, 6))
    async for page in _pages(store, 2, newest_first=False):
        seen += page
        number = next(young, None)
        if number is not None:
            await store.append([make_append(number)])
    # The first page is followed by 5, the second, which then has 5 behind it, by 6.
    expect_equal(seen, _ids(range(1, 7)), "rows, oldest first, while newer ones came")


async def check_filter_holds_on_every_page(store: Store) -> None:
    """Pages of a filtered listing hold as many rows as asked for, of the wanted ones only."""
    await store.append([make_append(n, key="a" if n % 3 == 0 else "b") for n in range(1, 16)])
    wanted = EventFilter(key="a")
    first = await store.find_events(wanted, Page(3, newest_first=False))
    second = await store.find_events(wanted, Page(3, first.next_after, newest_first=False))
    expect_equal([row.event.id for row in first.rows], _ids((3, 6, 9)), "first page")
    expect_equal([row.event.id for row in second.rows], _ids((12, 15)), "second page")
    expect_equal(second.next_after, None, "next_after of the last page")


async def check_deliveries_are_paged_while_they_change(store: Store) -> None:
    """Replaying the dead page by page meets each once, though what was replayed is no longer dead."""
    await store.append([make_append(n, to=("crm", "lake")) for n in range(1, 6)])
    for claim in (await lease(store, crm=9, lake=9)).claims:
        await settled(store, parked(claim))
    for newest_first in (True, False):
        ids: list[str] = []
        after = None
        for _ in range(PAGES_MAX):
            listing = await store.find_deliveries(DeliveryFilter(state=State.DEAD), Page(3, after, newest_first))
            ids += [row.id for row in listing.rows]
            await store.act([replay(row.id, AT_MS) for row in listing.rows])
            after = listing.next_after
            if after is None:
                break
        expect_equal(ids, sorted(ids, reverse=newest_first), "order of the deliveries")
        expect_equal((len(ids), len(set(ids))), (10, 10), "deliveries met, and different ones among them")
        for claim in (await lease(store, crm=9, lake=9)).claims:
            await settled(store, parked(claim))
