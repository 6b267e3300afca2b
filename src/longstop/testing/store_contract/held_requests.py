"""Held requests: what was not verified is kept apart, within limits that no stranger can use up."""

from dataclasses import replace
from typing import Any

from longstop.model.event import Headers
from longstop.model.exchange import Request
from longstop.model.listing import EventFilter, Page
from longstop.model.rejection import HeldCount, HeldRequest, HoldSettings
from longstop.ports import Store
from longstop.testing.builders import AT_MS, event_id
from longstop.testing.store_contract.check import expect_equal

ROOM = HoldSettings(max_requests=100, max_bytes=100_000)
LIMITS = {"shop": ROOM, "other": ROOM}


def make_held(number: int, body: bytes = b"0123456789", **changes: Any) -> HeldRequest:
    """A request of `shop`, each from an address of its own; `changes` are fields of HeldRequest."""
    request = Request(Headers(), body, "POST", f"192.0.2.{number}", "/below", "a=1")
    made = HeldRequest(event_id(number), "shop", AT_MS + number, request, f"192.0.2.{number}")
    return replace(made, **changes)


async def _held(store: Store, source: str = "shop") -> list[str]:
    return [each.id for each in (await store.held_requests(source, Page(1_000, newest_first=False))).rows]


async def check_what_is_held_is_kept_whole_and_is_no_event(store: Store) -> None:
    """Every field comes back; there is nothing to deliver, list or count as an event."""
    request = Request(Headers([("X-Signature", "sha256=00"), ("X-Name", "\xe9")]), b"\x00\xff", "POST", None)
    held = make_held(1, request=request, sender="", fingerprint=b"\x00\xfe")
    expect_equal(list(await store.hold([held], LIMITS)), [True], "whether there was room")
    expect_equal((await store.held_requests("shop", Page())).rows, (held,), "what is held")
    expect_equal((await store.counts()).events, 0, "events")
    expect_equal((await store.find_events(EventFilter(), Page())).rows, (), "events listed")
    expect_equal((await store.held_requests("other", Page())).rows, (), "what is held of another source")


async def check_counts(store: Store) -> None:
    """Requests, bytes and the oldest, by source; nothing of a source of which nothing is held."""
    expect_equal(list(await store.held_counts()), [], "counts of an empty store")
    await store.hold([make_held(2), make_held(1, b"12345"), make_held(3, source="other")], LIMITS)
    expected = {HeldCount("shop", 2, 15, AT_MS + 1), HeldCount("other", 1, 10, AT_MS + 3)}
    expect_equal(set(await store.held_counts()), expected, "counts")
    await store.drop_held("other", [event_id(3)])
    expect_equal(list(await store.held_counts()), [HeldCount("shop", 2, 15, AT_MS + 1)], "counts")


async def check_the_number_is_limited(store: Store) -> None:
    """When a source is full, what is new is not kept, and what is kept stays; also within one batch."""
    limits = {"shop": HoldSettings(max_requests=4), "other": ROOM}
    many = [make_held(number) for number in range(1, 7)]
    expect_equal(list(await store.hold(many[:3], limits)), [True] * 3, "room for the first three")
    expect_equal(list(await store.hold(many[3:], limits)), [True, False, False], "room for three more")
    expect_equal(await _held(store), [each.id for each in many[:4]], "what is held")
    expect_equal(list(await store.hold([make_held(9, source="other")], limits)), [True], "room of another source")
    await store.drop_held("shop", [many[0].id])
    expect_equal(list(await store.hold(many[5:], limits)), [True], "room after one was let go")


async def check_the_bytes_are_limited(store: Store) -> None:
    """One that is too large finds no room, and a smaller one behind it does."""
    limits = {"shop": HoldSettings(max_requests=100, max_bytes=40)}
    asked = [make_held(1, b"x" * 20), make_held(2, b"x" * 15), make_held(3, b"x" * 6), make_held(4, b"x" * 5)]
    expect_equal(list(await store.hold(asked, limits)), [True, True, False, True], "whether there was room")


async def check_one_sender_takes_half_of_it_at_most(store: Store) -> None:
    """A stranger with one address leaves as much for all others, in number and in bytes."""
    limits = {"shop": HoldSettings(max_requests=6, max_bytes=100)}
    stranger = [make_held(number, b"x", sender="stranger") for number in range(1, 6)]
    expect_equal(list(await store.hold(stranger, limits)), [True, True, True, False, False], "room for a stranger")
    expect_equal(list(await store.hold([make_held(9)], limits)), [True], "room for another")
    heavy = [make_held(20, b"x" * 51, sender="heavy"), make_held(21, b"x" * 50, sender="heavy")]
    expect_equal(list(await store.hold(heavy, limits)), [False, True], "room for one with large bodies")


async def check_one_that_comes_again_is_one(store: Store) -> None:
    """A batch that comes a second time, because nobody knows whether the first time was done, is held once."""
    for _ in range(2):
        await store.hold([make_held(1)], LIMITS)
    expect_equal(await _held(store), [event_id(1)], "what is held")


async def check_paging_and_letting_go(store: Store) -> None:
    """Oldest first, page by page; what is let go is not there any more, and letting it go again does nothing."""
    many = [make_held(number) for number in range(1, 6)]
    await store.hold(many, LIMITS)
    first = await store.held_requests("shop", Page(2, newest_first=False))
    expect_equal(await store.drop_held("shop", [each.id for each in first.rows]), 2, "requests let go")
    expect_equal(await store.drop_held("shop", [first.rows[0].id, "nobody"]), 0, "requests let go twice")
    second = await store.held_requests("shop", Page(9, first.next_after, newest_first=False))
    expect_equal([*first.rows, *second.rows], many, "what was held, on two pages")
    expect_equal(second.next_after, None, "what follows the last page")


async def check_forgetting(store: Store) -> None:
    """What was received before a time goes; what is from that very time, or of another source, stays."""
    await store.hold([make_held(1), make_held(2), make_held(1, source="other")], LIMITS)
    expect_equal(await store.forget_held("shop", AT_MS + 2), 1, "requests that were forgotten")
    expect_equal(await _held(store), [event_id(2)], "what is held")
    expect_equal(await _held(store, "other"), [event_id(1)], "what is held of another source")
