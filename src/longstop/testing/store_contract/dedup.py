"""Dedup: one event for each source and key within the window, also when requests race."""

import asyncio
from collections.abc import Sequence

from longstop.model.delivery import State
from longstop.model.event import Receipt, ReceiptStatus
from longstop.model.listing import EventFilter, Page
from longstop.ports import Store
from longstop.testing.builders import AT_MS, WINDOW_MS, event_id, make_append
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import append_one, lease

ACCEPTED, DUPLICATE = ReceiptStatus.ACCEPTED, ReceiptStatus.DUPLICATE


async def _statuses(store: Store, *keys: tuple[str, bytes | None]) -> list[ReceiptStatus]:
    """What becomes of events with these sources and keys, sent one by one."""
    appends = [make_append(n, source=source, dedup=key) for n, (source, key) in enumerate(keys, start=1)]
    return [(await append_one(store, append)).status for append in appends]


async def _redeliveries(store: Store, number: int) -> int | None:
    kept = await store.event(event_id(number))
    return kept.redeliveries if kept else None


async def check_duplicate_names_the_first(store: Store) -> None:
    """The second of one key is not kept; its receipt names the first, which counts it."""
    await append_one(store, make_append(1, dedup=b"k"))
    for count, number in enumerate((2, 3), start=1):
        receipt = await append_one(store, make_append(number, dedup=b"k"))
        expect_equal(receipt, Receipt(DUPLICATE, event_id(1)), "receipt of a duplicate")
        expect_equal(await store.event(event_id(number)), None, "event of a duplicate")
        expect_equal(await _redeliveries(store, 1), count, "redeliveries of the first")


async def check_duplicate_makes_no_delivery(store: Store) -> None:
    """What is not kept is not delivered."""
    await append_one(store, make_append(1, dedup=b"k"))
    duplicate = make_append(2, dedup=b"k")
    await append_one(store, duplicate)
    expect_equal(await store.delivery(duplicate.deliveries[0].id), None, "delivery of a duplicate")
    claims = (await lease(store)).claims
    expect_equal([claim.event.id for claim in claims], [event_id(1)], "events leased")


async def check_window_ends_exactly(store: Store) -> None:
    """The last millisecond of the window is within, the next one is not."""
    end = AT_MS + WINDOW_MS
    await append_one(store, make_append(1, dedup=b"k"))
    last = await append_one(store, make_append(2, dedup=b"k", received_at_ms=end - 1))
    expect_equal(last, Receipt(DUPLICATE, event_id(1)), "receipt a millisecond before the window's end")
    over = await append_one(store, make_append(3, dedup=b"k", received_at_ms=end))
    expect_equal(over, Receipt(ACCEPTED, event_id(3)), "receipt at the window's end")


async def check_window_is_the_first_events(store: Store) -> None:
    """Duplicates do not prolong the window."""
    await append_one(store, make_append(1, dedup=b"k"))
    await append_one(store, make_append(2, dedup=b"k", received_at_ms=AT_MS + WINDOW_MS - 1))
    after = await append_one(store, make_append(3, dedup=b"k", received_at_ms=AT_MS + WINDOW_MS))
    expect_equal(after.status, ACCEPTED, "status at the end of the first event's window")


async def check_new_window_has_a_new_first(store: Store) -> None:
    """After the window a new event opens its own, and its duplicates are counted on it."""
    later = AT_MS + WINDOW_MS
    await append_one(store, make_append(1, dedup=b"k"))
    await append_one(store, make_append(2, dedup=b"k", received_at_ms=later))
    receipt = await append_one(store, make_append(3, dedup=b"k", received_at_ms=later + WINDOW_MS - 1))
    expect_equal(receipt, Receipt(DUPLICATE, event_id(2)), "receipt within the second window")
    expect_equal(await _redeliveries(store, 1), 0, "redeliveries of the first window's event")
    expect_equal(await _redeliveries(store, 2), 1, "redeliveries of the second window's event")


async def check_one_batch_is_told_in_its_order(store: Store) -> None:
    """What comes together is judged one after the other, also where the window ends among them."""
    end = AT_MS + WINDOW_MS
    await append_one(store, make_append(1, dedup=b"k"))
    times = {2: end - 1, 3: end, 4: end + 1, 5: end + WINDOW_MS}
    batch = [make_append(number, dedup=b"k", received_at_ms=at_ms) for number, at_ms in times.items()]
    receipts = await store.append([*batch, make_append(6, dedup=b"other"), make_append(7, dedup=b"other", to=())])
    told = [(DUPLICATE, 1), (ACCEPTED, 3), (DUPLICATE, 3), (ACCEPTED, 5), (ACCEPTED, 6), (DUPLICATE, 6)]
    expect_equal(list(receipts), [Receipt(status, event_id(number)) for status, number in told], "receipts")
    redeliveries = [await _redeliveries(store, number) for number in range(1, 8)]
    expect_equal(redeliveries, [1, None, 1, None, 0, 1, None], "redeliveries of each, None of what was not kept")
    counts = await store.counts()
    expect_equal((counts.events, counts.unrouted), (4, 0), "events and unrouted ones")
    waiting = sum(states.get(State.SCHEDULED, 0) for states in counts.deliveries.values())
    expect_equal(waiting, 4, "deliveries counted as scheduled")


async def check_clock_that_steps_back(store: Store) -> None:
    """An event that seems older than the first is its duplicate all the same."""
    await append_one(store, make_append(1, dedup=b"k"))
    receipt = await append_one(store, make_append(2, dedup=b"k", received_at_ms=AT_MS - 5_000))
    expect_equal(receipt, Receipt(DUPLICATE, event_id(1)), "receipt after the clock stepped back")


async def check_two_in_one_batch(store: Store) -> None:
    """A batch may hold a key twice: the first is kept, the second is its duplicate."""
    appends = [make_append(1, dedup=b"k"), make_append(2), make_append(3, dedup=b"k")]
    expected = [Receipt(ACCEPTED, event_id(1)), Receipt(ACCEPTED, event_id(2)), Receipt(DUPLICATE, event_id(1))]
    expect_equal(list(await store.append(appends)), expected, "receipts")
    expect_equal(await _redeliveries(store, 1), 1, "redeliveries")
    expect_equal(await store.event(event_id(3)), None, "event of the duplicate")


async def check_large_batch(store: Store) -> None:
    """In a batch of any size, to any number of destinations, a duplicate adds nothing and all others are whole."""
    number, to = 300, ("crm", "archive", "billing")
    appends = [make_append(n, to=to[: n % 4], dedup=b"%d" % (n % 200)) for n in range(1, number + 1)]
    receipts = await store.append(appends)
    for position, (item, receipt) in enumerate(zip(appends, receipts, strict=True), 1):
        first = event_id(position - 200) if position > 200 else item.event.id
        expect_equal(receipt.event_id, first, f"event named by receipt {position}")
        expect_equal(receipt.status, DUPLICATE if position > 200 else ACCEPTED, f"status of receipt {position}")
        kept = await store.event(item.event.id)
        found = None if kept is None else (kept.deliveries, kept.redeliveries)
        expected = None if position > 200 else (item.deliveries, int(position <= 100))
        expect_equal(found, expected, f"deliveries and redeliveries of event {position}")
    counts = await store.counts()
    scheduled = {name: by_state[State.SCHEDULED] for name, by_state in counts.deliveries.items()}
    expect_equal(scheduled, {"crm": 150, "archive": 100, "billing": 50}, "deliveries in all")


async def check_race_makes_one_event(store: Store) -> None:
    """Of many concurrent appends of one key exactly one is accepted, and all others name it."""
    racers = 20
    batches: Sequence[Sequence[Receipt]] = await asyncio.gather(
        *(store.append([make_append(n, dedup=b"k")]) for n in range(1, racers + 1))
    )
    receipts = [receipt for batch in batches for receipt in batch]
    accepted = [receipt.event_id for receipt in receipts if receipt.status is ACCEPTED]
    expect_equal(len(accepted), 1, "events accepted")
    expect_equal({receipt.event_id for receipt in receipts}, set(accepted), "events named by the receipts")
    rows = (await store.find_events(EventFilter(), Page(limit=racers))).rows
    expect_equal([row.event.id for row in rows], accepted, "events kept")
    expect_equal(rows[0].redeliveries, racers - 1, "redeliveries")


async def check_sources_do_not_clash(store: Store) -> None:
    """The same key of two sources is two events."""
    statuses = await _statuses(store, ("shop", b"k"), ("till", b"k"), ("shop", b"k"), ("till", b"k"))
    expect_equal(statuses, [ACCEPTED, ACCEPTED, DUPLICATE, DUPLICATE], "statuses")
    expect_equal(await _redeliveries(store, 2), 1, "redeliveries of the other source's event")


async def check_source_and_key_are_not_joined(store: Store) -> None:
    """Where the source ends and the key begins makes a difference, whatever mark might join them."""
    keys = (("a", b"b:c"), ("a:b", b"c"), ("a", b"bc"), ("ab", b"c"), ("a", b"\x00b"), ("a\x00", b"b"))
    expect_equal(await _statuses(store, *keys), [ACCEPTED] * len(keys), "statuses")


async def check_without_key_never_a_duplicate(store: Store) -> None:
    """Events without a dedup key are all kept."""
    keys: tuple[tuple[str, bytes | None], ...] = (("shop", None), ("shop", None), ("shop", b""), ("shop", b""))
    expect_equal(await _statuses(store, *keys), [ACCEPTED, ACCEPTED, ACCEPTED, DUPLICATE], "statuses")


async def check_keys_compare_as_bytes(store: Store) -> None:
    """No normalisation, no end at NUL, no decoding, no folding of case, no numbers."""
    keys = (
        b"k", b"K", b"k\x00", b"k\x00a", b"\x00k", b"k ", b"\xff", b"\xff\xfe", b"\xc3\x28",
        "é".encode(), "e\u0301".encode(), b"1", b"1.0", b"01", b"x" * 2_000, b"x" * 1_999 + b"y",
    )  # fmt: skip
    found = await _statuses(store, *(("shop", key) for key in keys))
    expect_equal(found, [ACCEPTED] * len(keys), "statuses of keys that all differ")
    for number, key in enumerate(keys, start=1):
        receipt = await append_one(store, make_append(100 + number, dedup=key))
        expect_equal(receipt, Receipt(DUPLICATE, event_id(number)), f"receipt of key {key[:20]!r} sent again")


async def check_unrouted_events_have_keys_too(store: Store) -> None:
    """Dedup does not depend on deliveries."""
    await append_one(store, make_append(1, to=(), dedup=b"k"))
    receipt = await append_one(store, make_append(2, to=(), dedup=b"k"))
    expect_equal(receipt, Receipt(DUPLICATE, event_id(1)), "receipt")


async def check_forgetting_drops_what_is_over(store: Store) -> None:
    """Only keys whose window is over are dropped, each once; the events stay."""
    end = AT_MS + WINDOW_MS
    await store.append([make_append(1, dedup=b"a"), make_append(2, dedup=b"b", received_at_ms=AT_MS + 1)])
    expect_equal(await store.forget_dedup(end - 1), 0, "keys dropped before any window's end")
    expect_equal(await store.forget_dedup(end), 1, "keys dropped at the first window's end")
    expect_equal(await store.forget_dedup(end), 0, "keys dropped again")
    expect(await store.event(event_id(1)) is not None, "forgetting a key dropped its event")
    held = await append_one(store, make_append(3, dedup=b"b", received_at_ms=end))
    expect_equal(held, Receipt(DUPLICATE, event_id(2)), "receipt within a window that is not over")


async def check_forgetting_spares_a_renewed_key(store: Store) -> None:
    """A key that a later event uses anew is kept for that event's window."""
    later = AT_MS + WINDOW_MS
    await append_one(store, make_append(1, dedup=b"k"))
    await append_one(store, make_append(2, dedup=b"k", received_at_ms=later))
    expect_equal(await store.forget_dedup(later), 0, "keys dropped")
    receipt = await append_one(store, make_append(3, dedup=b"k", received_at_ms=later + 1))
    expect_equal(receipt, Receipt(DUPLICATE, event_id(2)), "receipt within the renewed window")
