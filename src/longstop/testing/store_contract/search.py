"""Searching: by what an attempt came to, by what is held, by when it was received; and ending when patience does."""

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

from longstop.model.append import Append
from longstop.model.delivery import Delivery, Outcome, OutcomeKind, State
from longstop.model.ids import format_uuid7
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    dead_of,
    delivered,
    discard,
    lease,
    ordered_append,
    settled,
    to_retry,
)

PAGES_MAX = 500
"""A search that has not ended by then makes no way."""


async def _numbers(store: Store, wanted: DeliveryFilter) -> list[int]:
    rows = (await store.find_deliveries(wanted, Page(newest_first=False))).rows
    ids = {event_id(number): number for number in range(1, 100)}
    return [ids[row.event_id] for row in rows]


async def check_status_and_error(store: Store) -> None:
    """The last attempt's; the error as it stands, or with its variable parts taken out; dead or not."""
    await store.append([make_append(n) for n in range(1, 6)])
    await store.append([make_quarantined(6)])
    one, two, three, four, five = (await lease(store)).claims
    await settled(store, dead_of(one, "order 4711 is unknown", 404))
    await settled(store, dead_of(two, "order 4712 is unknown", 404))
    await settled(store, dead_of(three, "connection refused", None))
    await settled(store, to_retry(four, AT_MS + 5, Outcome(OutcomeKind.RETRY, status=503, error="busy, order 4711")))
    await settled(store, delivered(five))
    table: tuple[tuple[DeliveryFilter, list[int]], ...] = (
        (DeliveryFilter(status=404), [1, 2]),
        (DeliveryFilter(status=404, state=State.DEAD), [1, 2]),
        (DeliveryFilter(status=503), [4]),
        (DeliveryFilter(status=503, state=State.DEAD), []),
        (DeliveryFilter(status=204), [5]),
        (DeliveryFilter(error="is unknown"), [1, 2]),
        (DeliveryFilter(error="order # is unknown"), [1, 2]),
        (DeliveryFilter(error="4711"), [1, 4]),
        (DeliveryFilter(error="4711", state=State.DEAD), [1]),
        (DeliveryFilter(error="order #", state=State.DEAD, destination="crm"), [1, 2]),
        (DeliveryFilter(error="order #", state=State.SCHEDULED), [4]),
        (DeliveryFilter(error="ORDER"), []),
        (DeliveryFilter(error="refused", status=404), []),
        (DeliveryFilter(error="not JSON", destination=""), [6]),
    )
    for wanted, numbers in table:
        expect_equal(await _numbers(store, wanted), numbers, f"deliveries of {wanted!r}")


async def check_held(store: Store) -> None:
    """Scheduled, and another of its key goes first; or not."""
    await store.append([ordered_append(n, "a") for n in (1, 2, 3)])
    await store.append([ordered_append(4, "b"), make_append(5)])
    expect_equal(await _numbers(store, DeliveryFilter(held=True)), [2, 3], "held")
    expect_equal(await _numbers(store, DeliveryFilter(held=False)), [1, 4, 5], "not held")
    wanted = DeliveryFilter(state=State.SCHEDULED, held=True, destination="crm", key="a")
    expect_equal(await _numbers(store, wanted), [2, 3], "held, of a key")
    expect_equal(await _numbers(store, DeliveryFilter(held=True, destination="lake")), [], "held for another")
    first = next(claim for claim in (await lease(store)).claims if claim.delivery.key == "a")
    expect_equal(await _numbers(store, DeliveryFilter(held=True)), [2, 3], "held while the first is under way")
    await settled(store, delivered(first))
    expect_equal(await _numbers(store, DeliveryFilter(held=True)), [3], "held after the first was delivered")


async def check_received_times(store: Store) -> None:
    """Since is inclusive, until is not; whatever the ids say, and whatever the state."""
    offsets = {1: 500, 2: 2, 3: -7_000, 4: 4, 5: 5}
    await store.append([make_append(n, received_at_ms=AT_MS + at) for n, at in offsets.items()])
    await settled(store, delivered((await lease(store, AT_MS + 9, crm=1)).claims[0], AT_MS + 10_000))
    for since, until in ((None, None), (4, None), (None, 5), (-7_000, 5), (5, 5), (501, None), (None, -7_000)):
        expected = [n for n, at in offsets.items() if (since is None or since <= at) and (until is None or at < until)]
        bounds = (None if since is None else AT_MS + since, None if until is None else AT_MS + until)
        wanted = DeliveryFilter(received_since_ms=bounds[0], received_until_ms=bounds[1])
        expect_equal(await _numbers(store, wanted), expected, f"deliveries received since {since} until {until}")
        events = await store.find_events(EventFilter(since_ms=bounds[0], until_ms=bounds[1]), Page())
        found = sorted(row.event.id for row in events.rows)
        expect_equal(found, [event_id(n) for n in expected], f"events since {since} until {until}")


async def check_patience(store: Store) -> None:
    """Without any, each page gets a little further, and says how far; the pages together are the whole."""
    some = range(1, 301)
    await store.append([make_append(n, body=b"needle" if n % 97 == 0 else b"hay") for n in some])
    expected = [event_id(n) for n in some if n % 97 == 0]
    for newest_first in (True, False):
        found: list[str] = []
        after: str | None = None
        for _ in range(PAGES_MAX):
            page = Page(10, after, newest_first, patience_ms=0)
            listing = await store.find_events(EventFilter(contains=b"needle"), page)
            found += [row.event.id for row in listing.rows]
            expect((listing.searched_to_ms is not None) == (listing.next_after is not None), "patience or the end")
            if listing.next_after is None:
                break
            expect(listing.next_after != after, "a search without patience makes no way")
            after = listing.next_after
        else:
            raise AssertionError("a search without patience does not end")
        expect_equal(found, sorted(expected, reverse=newest_first), "what pages without patience found")


async def check_patience_is_not_needed(store: Store) -> None:
    """What an index answers is whole, without any patience."""
    await store.append([make_append(n, key="a" if n % 50 == 0 else f"k{n}") for n in range(1, 201)])
    for wanted in (EventFilter(), EventFilter(source="shop"), EventFilter(key="a"), EventFilter(type="order.paid")):
        listing = await store.find_events(wanted, Page(4, newest_first=False, patience_ms=0))
        expect_equal(len(listing.rows), 4, f"rows of a page of {wanted!r}")
        expect_equal(listing.searched_to_ms, None, f"searched_to_ms of {wanted!r}")


# -- what is not dead, of a type or the like ------------------------------------------------------------


def _skewed(number: int, rng: random.Random, skew_ms: int = 240) -> Append:
    """An event and its deliveries, whose ids were made about when it came: by several processes, in any order."""
    at_ms = AT_MS + 20 * number
    ids = [format_uuid7(at_ms + rng.randint(-skew_ms, skew_ms), 4 * number + place) for place in range(3)]
    named = ("shop", "paid") if number % 4 else ("till", "sent")
    key = "a" if number % 3 else "b"
    made = make_append(
        number, ("crm", "lake"), id=ids[0], source=named[0], type=named[1], key=key, received_at_ms=at_ms
    )
    skewed = (replace(each, id=id_) for each, id_ in zip(made.deliveries, ids[1:], strict=True))
    return replace(made, deliveries=tuple(skewed))


_OF_A_TYPE = (
    DeliveryFilter(state=State.SCHEDULED, type="paid"),
    DeliveryFilter(source="till", destination="crm"),
    DeliveryFilter(state=State.DISCARDED, type="paid", key="a"),
    DeliveryFilter(type="paid", received_since_ms=AT_MS + 500, received_until_ms=AT_MS + 6_000),
)
_ONE_EACH = DeliveryFilter(state=State.SCHEDULED, type="paid", destination="crm")
_SIZES = range(34, 64, 2)
"""A store that goes through 64 events in one go has the last row of some of these pages among the last of those."""


async def check_pages_of_a_type(store: Store) -> None:
    """However the ids of deliveries lie beside those of their events, pages are whole and in order, wherever cut."""
    rng = random.Random(4)
    some = [_skewed(number, rng) for number in range(320)]
    await store.append(some)
    kept = {each.id: each for item in some for each in item.deliveries}
    await _discard_some(store, kept, rng)
    for wanted in _OF_A_TYPE:
        await _expect_pages(store, kept.values(), wanted, rng, (1, 20, 100))
    await _expect_pages(store, kept.values(), _ONE_EACH, rng, _SIZES)
    # Made by a clock that was put back since: from now on any delivery may be far from its event.
    ahead = _skewed(320, rng, skew_ms=40_000)
    await store.append([ahead])
    await _expect_pages(store, [*kept.values(), *ahead.deliveries], _ONE_EACH, rng, (1, 60))


async def _discard_some(store: Store, kept: dict[str, Delivery], rng: random.Random) -> None:
    chosen = [each.id for each in kept.values() if each.destination == "lake" and rng.random() < 0.5]
    await store.act([discard(id_) for id_ in chosen])
    kept.update({id_: replace(kept[id_], state=State.DISCARDED) for id_ in chosen})


async def _expect_pages(
    store: Store, kept: Collection[Delivery], wanted: DeliveryFilter, rng: random.Random, limits: Sequence[int]
) -> None:
    fitting = sorted(each.id for each in kept if _fits(each, wanted))
    for newest_first in (True, False):
        expected = fitting[::-1] if newest_first else fitting
        for limit in limits:
            begin = max(0, rng.randint(-20, len(expected) // 2))
            page = Page(limit, expected[begin - 1] if begin else None, newest_first, 60_000)
            found, shown = await store.find_deliveries(wanted, page), expected[begin : begin + limit]
            expect_equal([row.id for row in found.rows], shown, f"{page!r} of {wanted!r}")
            next_after = shown[-1] if begin + limit < len(expected) else None
            expect_equal(found.next_after, next_after, f"next_after of {page!r} of {wanted!r}")


def _fits(delivery: Delivery, wanted: DeliveryFilter) -> bool:
    return (
        wanted.state in (None, delivery.state)
        and wanted.source in (None, delivery.source)
        and wanted.destination in (None, delivery.destination)
        and wanted.type in (None, delivery.type)
        and wanted.key in (None, delivery.key)
        and (wanted.received_since_ms or 0) <= delivery.received_at_ms
        and (wanted.received_until_ms is None or delivery.received_at_ms < wanted.received_until_ms)
    )
