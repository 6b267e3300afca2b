"""Looking at the store: what the API and a desk at the store itself answer alike."""

from collections.abc import Sequence

from longstop.edges.rows.deliveries import delivery_row
from longstop.edges.rows.events import detail_row, event_row, history_row
from longstop.edges.rows.found import events_of, secret_headers
from longstop.edges.rows.looking import Looking
from longstop.edges.rows.status import refused_rows, spool_row, status_row, warning_row
from longstop.edges.rows.values import Row
from longstop.edges.rows.waiting import NOT, why_each_waits, why_they_wait
from longstop.model.delivery import Delivery, State
from longstop.model.listing import Counts, DeliveryFilter, EventFilter, History, KeptEvent, Listing, Page


async def status_of(looking: Looking) -> Row:
    """All of `longstop status`."""
    store, config = looking.store, looking.config
    # Those that routes name, too: an application may have their handlers in its code.
    described = [each.name for each in config.destinations]
    names = list(dict.fromkeys([*described, *(name for route in config.routes for name in route.to)]))
    counts, now_ms = await store.counts(), looking.clock.now_ms()
    row = status_row(counts, names, await store.pauses(), await store.circuits(), await store.nodes(), now_ms)
    totals = _totals(counts)
    return {
        **row,
        **refused_rows(await store.rejection_counts(), await store.held_counts()),
        "spool": spool_row(looking.spool()),
        "warnings": [warning_row(each) for each in (await store.health(now_ms)).warnings],
        "counts": totals,
        "backlog": totals["scheduled"] + totals["leased"],
        "sources": [{"source": name, "events": number} for name, number in sorted(counts.sources.items())],
    }


def _totals(counts: Counts) -> Row:
    states = {
        state.value: sum(of_destination.get(state, 0) for of_destination in counts.deliveries.values())
        for state in State
    }
    return {"events": counts.events, "unrouted": counts.unrouted, **states}


async def find_events(
    looking: Looking, wanted: EventFilter, of: DeliveryFilter | None, page: Page
) -> tuple[Listing[KeptEvent] | Listing[Delivery], Sequence[KeptEvent]]:
    """One page of events: as it was listed, and the events. of: those with such a delivery, in place of `wanted`."""
    if of is None:
        found = await looking.store.find_events(wanted, page)
        return found, found.rows
    deliveries = await looking.store.find_deliveries(of, page)
    return deliveries, await events_of(looking, deliveries)


async def event_rows(looking: Looking, events: Sequence[KeptEvent]) -> list[Row]:
    """Their rows, with what they wait for."""
    waits = await why_they_wait(looking, events)
    return [event_row(kept, waits) for kept in events]


async def event_detail(looking: Looking, kept: KeptEvent, histories: Sequence[History], archived_in: str | None) -> Row:
    """An event whole, but for its body."""
    waits = await why_they_wait(looking, [kept])
    row = detail_row(kept, histories, secret_headers(looking), waits)
    return {
        **row,
        "content_type": kept.event.content_type,
        "body_size": len(kept.event.body),
        "archived_in": archived_in,
    }


async def delivery_rows(looking: Looking, deliveries: Sequence[Delivery]) -> list[Row]:
    """Their rows, with what they wait for."""
    waits = await why_each_waits(looking, deliveries)
    return [delivery_row(each, waits.get(each.id, NOT)) for each in deliveries]


async def with_histories(looking: Looking, events: Sequence[KeptEvent]) -> list[Row]:
    """The rows of events of a conversation, with what was done with each delivery."""
    rows = await event_rows(looking, events)
    for row, kept in zip(rows, events, strict=True):
        row["history"] = [history_row(each, await looking.store.history(each.id)) for each in kept.deliveries]
    return rows
