"""Requests with an Idempotency-Key: one of a key is carried out, and its answer is kept for as long as the key is."""

import asyncio
from dataclasses import replace

from longstop.model.keyed_request import KeptAnswer, KeyedRequest
from longstop.ports import Store
from longstop.testing.builders import AT_MS
from longstop.testing.store_contract.check import expect_equal

REQUEST = KeyedRequest("ann", "k-1", b"\x00\xff", AT_MS, AT_MS + 1_000)
ANSWER = KeptAnswer(202, b'{"state": "scheduled"}')


async def check_a_key_is_taken_once(store: Store) -> None:
    """Whoever comes second is told of the first, whatever he asks for."""
    expect_equal(await store.begin_keyed(REQUEST), None, "the first")
    later = replace(REQUEST, fingerprint=b"other", began_at_ms=AT_MS + 5, expires_at_ms=AT_MS + 1_005)
    expect_equal(await store.begin_keyed(later), REQUEST, "the second, while the first is under way")
    await store.answer_keyed(REQUEST, ANSWER)
    expect_equal(await store.begin_keyed(later), replace(REQUEST, answer=ANSWER), "the second, once it is answered")


async def check_of_a_race_one_is_kept(store: Store) -> None:
    """Ten at the same time, in whatever order."""
    requests = [replace(REQUEST, fingerprint=bytes([number])) for number in range(10)]
    found = await asyncio.gather(*map(store.begin_keyed, requests))
    expect_equal(found.count(None), 1, "how many were kept")
    kept = requests[found.index(None)]
    expect_equal([each for each in found if each is not None], [kept] * 9, "what the others were told")


async def check_a_key_is_its_callers_own(store: Store) -> None:
    """Another person's request of the same key is another one."""
    other = replace(REQUEST, by="bob")
    expect_equal([await store.begin_keyed(each) for each in (REQUEST, other)], [None, None], "both")
    await store.answer_keyed(other, ANSWER)
    expect_equal(await store.begin_keyed(REQUEST), REQUEST, "the first's")


async def check_a_key_is_free_when_its_time_is_over(store: Store) -> None:
    """To the millisecond; and what took it then is not touched by the one before."""
    await store.begin_keyed(REQUEST)
    almost = replace(REQUEST, began_at_ms=REQUEST.expires_at_ms - 1, expires_at_ms=AT_MS + 5_000)
    expect_equal(await store.begin_keyed(almost), REQUEST, "just before")
    over = replace(REQUEST, began_at_ms=REQUEST.expires_at_ms, expires_at_ms=AT_MS + 5_000)
    expect_equal(await store.begin_keyed(over), None, "at its end")
    await store.answer_keyed(REQUEST, ANSWER)
    await store.drop_keyed(REQUEST)
    expect_equal(await store.begin_keyed(over), over, "what took it")


async def check_what_was_not_done_can_be_asked_again(store: Store) -> None:
    """Only while it is under way: an answer is not taken back."""
    await store.begin_keyed(REQUEST)
    await store.drop_keyed(REQUEST)
    expect_equal(await store.begin_keyed(REQUEST), None, "after it was dropped")
    await store.answer_keyed(REQUEST, ANSWER)
    await store.drop_keyed(REQUEST)
    expect_equal(await store.begin_keyed(REQUEST), replace(REQUEST, answer=ANSWER), "after it was answered")


async def check_what_has_expired_makes_room(store: Store) -> None:
    """None of those that are still in force goes with it."""
    for number in range(20):
        await store.begin_keyed(replace(REQUEST, key=f"old-{number}"))
    alive = replace(REQUEST, key="alive", expires_at_ms=AT_MS + 9_000)
    await store.begin_keyed(alive)
    at_ms = AT_MS + 2_000
    for number in range(20):
        again = replace(REQUEST, key=f"old-{number}", began_at_ms=at_ms, expires_at_ms=at_ms + 1)
        expect_equal(await store.begin_keyed(again), None, f"the expired key {number}")
    expect_equal(await store.begin_keyed(replace(alive, began_at_ms=at_ms)), alive, "the one in force")
