"""A story that several stores are told alike, and questions about it: what searches are tried with."""

import random
from dataclasses import replace
from typing import Any

from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Delivery, Outcome, OutcomeKind, State, Transition, Trigger
from longstop.model.ids import format_uuid7
from longstop.model.lease import LeaseRequest
from longstop.model.listing import DeliveryFilter, Drift, EventFilter, Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_delivery, make_event, make_quarantined
from longstop.testing.store_contract.steps import LEASE_MS, discard, replay, settlement

ERRORS = ("refused", "order 4711 is unknown", "order 12 is unknown", "timed out after 2.5 s")
STATUSES = (None, 404, 503)


def an_append(rng: random.Random, number: int) -> Append:
    at_ms = AT_MS + 15 * number
    id_ = format_uuid7(at_ms, 8 * number)
    if rng.random() < 0.05:
        return make_quarantined(number, id=id_, received_at_ms=at_ms)
    event = make_event(
        number,
        id=id_,
        source=rng.choice(("shop", "till")),
        type=rng.choice(("paid", "sent", None)),
        key=rng.choice(("a", "b", "c", "", None)),
        dedup=rng.choice((None, b"%d" % rng.randrange(40))),
        received_at_ms=at_ms + rng.choice((0, 0, 0, -40, 25)),
        body=b"needle" if rng.random() < 0.1 else b"hay",
    )
    names = rng.sample(("crm", "lake", "log"), rng.randrange(4))
    made = (
        make_delivery(event, name, place, lane=event.key if name == "crm" else None)
        for place, name in enumerate(sorted(names))
    )
    return Append(event, tuple(_skewed(each, rng) for each in made), event.received_at_ms + 10_000)


def _skewed(delivery: Delivery, rng: random.Random) -> Delivery:
    """With an id that another process may have made, in another order than those of the events."""
    if delivery.lane is not None or rng.random() < 0.5:
        return delivery
    at_ms = delivery.received_at_ms + rng.choice((-100, 60, 80))
    return replace(delivery, id=format_uuid7(at_ms, rng.getrandbits(64)))


async def a_story(rng: random.Random, stores: list[Store]) -> None:
    """Events come, deliveries are tried, people decide; every store hears the same."""
    number = 0
    late: list[Append] = []
    for at in range(AT_MS, AT_MS + 1_500, 100):
        batch = [an_append(rng, number + n) for n in range(1, rng.randrange(2, 12))]
        number += len(batch)
        # Another process may have made its ids before, and come later.
        slow = [] if late else [item for item in batch if all(each.lane is None for each in item.deliveries)]
        batch, late = [*(item for item in batch if item not in slow), *late], slow
        for store in stores:
            await store.append(batch)
        request = LeaseRequest("w", {"crm": 4, "lake": 3, "log": 2}, at + 200, at + 200 + LEASE_MS)
        claims = (await stores[0].lease(request)).claims
        assert [list((await store.lease(request)).claims) for store in stores[1:]] == [list(claims)] * (len(stores) - 1)
        ends = [an_end(rng, claim, at + rng.choice((50, 50, -3_000))) for claim in claims if rng.random() < 0.9]
        for store in stores:
            assert await store.settle(ends) == [None] * len(ends)
        dead = [row.id for row in (await stores[0].find_deliveries(DeliveryFilter(state=State.DEAD), Page(9))).rows]
        chosen = rng.sample(dead, min(2, len(dead)))
        actions = [rng.choice((discard, replay))(id_, at + 60) for id_ in chosen]
        for store in stores:
            await store.act(actions)


def an_end(rng: random.Random, claim: Any, at_ms: int) -> Any:
    kind = rng.choice((OutcomeKind.SUCCESS, OutcomeKind.RETRY, OutcomeKind.REJECT, OutcomeKind.REJECT))
    if kind is OutcomeKind.SUCCESS:
        return settlement(claim, Outcome(kind, status=204), Transition(Trigger.SUCCEED, at_ms))
    outcome = Outcome(kind, status=rng.choice(STATUSES), error=rng.choice(ERRORS))
    if kind is OutcomeKind.RETRY:
        return settlement(claim, outcome, Transition(Trigger.RETRY, at_ms, due_at_ms=at_ms + 100))
    reason = rng.choice((DeadReason.REJECTED, DeadReason.EXHAUSTED))
    return settlement(claim, outcome, Transition(Trigger.PARK, at_ms, reason=reason))


def maybe(rng: random.Random, *values: Any) -> Any:
    return rng.choice((None, None, None, *values))


def a_delivery_filter(rng: random.Random) -> DeliveryFilter:
    at = lambda: AT_MS + rng.randrange(-2_000, 1_700)  # noqa: E731
    return DeliveryFilter(
        state=maybe(rng, *State, State.DEAD, State.DEAD),
        held=maybe(rng, True, False) if rng.random() < 0.3 else None,
        source=maybe(rng, "shop", "till", "nobody"),
        destination=maybe(rng, "crm", "lake", ""),
        type=maybe(rng, "paid", "sent"),
        key=maybe(rng, "a", "c", "", "z"),
        reason=maybe(rng, *DeadReason) if rng.random() < 0.5 else None,
        status=maybe(rng, 404, 503) if rng.random() < 0.5 else None,
        error=maybe(rng, "order", "4711", "order 47", "r 12 is unk", "after # s", "none")
        if rng.random() < 0.5
        else None,
        since_ms=at() if rng.random() < 0.2 else None,
        until_ms=at() if rng.random() < 0.2 else None,
        received_since_ms=at() if rng.random() < 0.2 else None,
        received_until_ms=at() if rng.random() < 0.2 else None,
        contains=b"needle" if rng.random() < 0.1 else None,
    )


def an_event_filter(rng: random.Random) -> EventFilter:
    wanted = a_delivery_filter(rng)
    return EventFilter(
        wanted.source, wanted.type, wanted.key, wanted.received_since_ms, wanted.received_until_ms, wanted.contains,
        unrouted=rng.random() < 0.2,
    )  # fmt: skip


async def every_page(store: Store, wanted: Any, page: Page) -> list[Any]:
    find: Any = store.find_events if isinstance(wanted, EventFilter) else store.find_deliveries
    found: list[Any] = []
    for _ in range(1_000):
        listing = await find(wanted, page)
        found += listing.rows
        assert len(listing.rows) <= page.limit
        if listing.next_after is None:
            return found
        assert listing.next_after != page.after
        page = replace(page, after=listing.next_after)
    raise AssertionError(f"{wanted!r} does not end")


def group_of(each: Any) -> tuple[Any, ...]:
    return (
        each.destination,
        each.reason,
        each.status,
        each.error,
        each.count,
        each.keys,
        each.first_at_ms,
        each.last_at_ms,
        each.over_time,
    )


async def recounted(store: Store) -> list[Drift]:
    drifts: list[Drift] = []
    after: str | None = None
    while True:
        step = await store.recount(after)
        drifts += step.drifts
        after = step.next_after
        if after is None:
            return drifts
