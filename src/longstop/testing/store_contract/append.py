"""Append: an event and its deliveries are kept together, exactly as they came."""

from longstop.model.delivery import State
from longstop.model.event import Headers, Origin, Receipt, ReceiptStatus
from longstop.model.listing import History
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id, make_append, make_quarantined
from longstop.testing.store_contract.check import expect_equal
from longstop.testing.store_contract.steps import append_one, standing


async def check_event_and_deliveries_are_kept(store: Store) -> None:
    """What went in can be read, whole."""
    wanted = make_append(1, to=("crm", "lake"))
    receipt = await append_one(store, wanted)
    expect_equal(receipt, Receipt(ReceiptStatus.ACCEPTED, wanted.event.id), "receipt")
    kept = await store.event(wanted.event.id)
    if kept is None:
        raise AssertionError("the accepted event is not there")
    expect_equal(kept.event, wanted.event, "event")
    expect_equal(kept.redeliveries, 0, "redeliveries of a new event")
    expect_equal(kept.deliveries, wanted.deliveries, "deliveries, oldest first")
    for delivery in wanted.deliveries:
        expect_equal(await standing(store, delivery.id), delivery, "delivery")
        expect_equal(await store.history(delivery.id), History((), ()), "history of a new delivery")


async def check_bytes_are_kept_as_sent(store: Store) -> None:
    """Every byte value in body, headers and dedup key; repeated headers in their order."""
    every = bytes(range(256))
    headers = Headers([("X-A", "2"), ("x-a", "1"), ("X-Raw", every.decode("latin-1")), ("X-Empty", "")])
    wanted = make_append(1, body=every * 40, headers=headers, dedup=every, type="ж\x00'", key="\N{GRINNING FACE}")
    await append_one(store, wanted)
    kept = await store.event(wanted.event.id)
    if kept is None:
        raise AssertionError("the accepted event is not there")
    expect_equal(kept.event.body, wanted.event.body, "body")
    expect_equal(list(kept.event.headers), list(headers), "headers")
    expect_equal(kept.event.dedup, every, "dedup key")
    expect_equal(kept.event, wanted.event, "event")


async def check_absent_and_empty_are_not_confused(store: Store) -> None:
    """None stays None, and empty stays empty."""
    absent = make_append(1, type=None, key=None, dedup=None, headers=Headers())
    empty = make_append(2, type="", key="", dedup=b"", body=b"")
    await store.append([absent, empty])
    for wanted in (absent, empty):
        kept = await store.event(wanted.event.id)
        expect_equal(kept and kept.event, wanted.event, "event")
        expect_equal(kept and kept.deliveries, wanted.deliveries, "deliveries")


async def check_origin_and_parent_are_kept(store: Store) -> None:
    """An edited replay knows where it comes from, and an event when it happened."""
    edited = make_append(2, origin=Origin.REPLAY, parent=event_id(1), occurred_at_ms=AT_MS - 5_000)
    await store.append([make_append(1), edited])
    kept = await store.event(edited.event.id)
    expect_equal(kept and kept.event, edited.event, "event")


async def check_receipts_come_in_order(store: Store) -> None:
    """One receipt for each append, also where ids are not in order."""
    numbers = (5, 1, 9, 3)
    receipts = await store.append([make_append(number) for number in numbers])
    expect_equal([r.event_id for r in receipts], [event_id(n) for n in numbers], "ids of the receipts")
    expect_equal(list(await store.append([])), [], "receipts of an empty batch")


async def check_unrouted_event_is_kept(store: Store) -> None:
    """An event that no route wants is kept, without deliveries."""
    receipt = await append_one(store, make_append(1, to=()))
    kept = await store.event(receipt.event_id)
    expect_equal(kept and kept.deliveries, (), "deliveries of an unrouted event")


async def check_quarantined_request_is_born_dead(store: Store) -> None:
    """What could not be read is kept as dead, with its reason and without a destination."""
    wanted = make_quarantined(1)
    receipt = await append_one(store, wanted)
    expect_equal(receipt.status, ReceiptStatus.ACCEPTED, "receipt's status")
    kept = await store.event(wanted.event.id)
    expect_equal(kept and kept.event.body, wanted.event.body, "body")
    dead = await standing(store, wanted.deliveries[0].id)
    expect_equal(dead.state, State.DEAD, "state")
    expect_equal(dead, wanted.deliveries[0], "delivery")


async def check_unknown_ids_are_not_found(store: Store) -> None:
    """Asking for what is not there says so, and raises nothing."""
    wanted = make_append(1)
    await append_one(store, wanted)
    expect_equal(await store.event(event_id(2)), None, "event that was never kept")
    expect_equal(await store.event(wanted.deliveries[0].id), None, "event by a delivery's id")
    expect_equal(await store.delivery(wanted.event.id), None, "delivery by an event's id")
    expect_equal(await store.history(event_id(2)), History((), ()), "history of what is not there")
