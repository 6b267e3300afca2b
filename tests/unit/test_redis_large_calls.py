"""What a call writes goes out together (functions/writing.lua): in several commands where it is much, and all of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from longstop.model.append import Append
from longstop.model.delivery import State
from longstop.model.event import ReceiptStatus
from longstop.model.listing import DeliveryFilter, EventFilter, Page
from longstop.ports import Store
from longstop.stores.redis import RedisStore
from longstop.stores.redis.store.inbox import CALL_EVENTS_MAX
from longstop.testing.builders import make_append
from longstop.testing.store_contract.steps import delivered, lease
from stores_at_hand import Place

MANY = CALL_EVENTS_MAX + 203
"""More events than a call takes, and of one call more than a command takes."""


@pytest.fixture
async def store(redis_place: Place) -> AsyncIterator[RedisStore]:
    made = redis_place()
    await made.open()
    assert isinstance(made, RedisStore)
    yield made
    await made.close()


def many(first: int = 1) -> list[Append]:
    return [make_append(number, dedup=b"%d" % number) for number in range(first, first + MANY)]


async def drifts(store: Store) -> Sequence[object]:
    """The counters that differ from the sets that they count, after going through all of them."""
    found, step = [], await store.recount()
    found += step.drifts
    while step.next_after is not None:
        step = await store.recount(step.next_after)
        found += step.drifts
    return found


async def test_more_events_than_a_call_takes_are_all_kept_and_found(store: RedisStore) -> None:
    appends = many()
    receipts = await store.append(appends)
    assert [each.status for each in receipts] == [ReceiptStatus.ACCEPTED] * MANY
    assert (await store.counts()).events == MANY
    listed = await store.find_events(EventFilter(source="shop"), Page(MANY + 1))
    assert {each.event.id for each in listed.rows} == {each.event.id for each in appends}
    assert not await drifts(store)


async def test_of_what_comes_twice_in_a_call_one_is_kept(store: RedisStore) -> None:
    appends = many()
    again = [make_append(number + MANY, dedup=b"%d" % number) for number in range(1, MANY + 1)]
    mixed = [each for pair in zip(appends, again, strict=True) for each in pair]
    receipts = await store.append(mixed)
    assert [each.event_id for each in receipts[1::2]] == [each.event.id for each in appends]
    assert (await store.counts()).events == MANY
    assert len(await store.dedup_keys(None, 2 * MANY)) == MANY
    assert not await drifts(store)


async def test_a_call_that_settles_more_than_a_command_takes_leaves_nothing_behind(store: RedisStore) -> None:
    await store.append(many())
    claims = (await lease(store, crm=MANY)).claims
    assert len(claims) == MANY
    assert not any(await store.settle([delivered(each) for each in claims]))
    assert (await store.counts()).deliveries["crm"] == {State.DELIVERED: MANY}
    for state, n in ((State.DELIVERED, MANY), (State.SCHEDULED, 0), (State.LEASED, 0)):
        assert len((await store.find_deliveries(DeliveryFilter(state=state), Page(MANY + 1))).rows) == n
    assert not await store.expired(2**41, 10)
    assert not await drifts(store)


async def test_keys_are_forgotten_by_the_thousand(store: RedisStore) -> None:
    await store.append(many())
    assert await store.forget_dedup(2**41) == MANY
    assert not await store.dedup_keys(None, 1)
    assert not await store.forget_dedup(2**41)


async def test_large_bodies_are_read_some_at_a_time(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longstop.stores.redis.reading.BODIES_AT_ONCE_BYTES", 2_500)
    appends = [make_append(number, body=bytes([number]) * 1_000) for number in range(1, 9)]
    await store.append(appends)
    answers: list[int] = []
    ask = store.ask

    async def counted(function: str, *args: str | bytes | int) -> Any:
        answer = await ask(function, *args)
        answers.append(len(answer))
        return answer

    monkeypatch.setattr(store, "ask", counted)
    ids = [each.event.id for each in appends]
    wholes = await store.whole([*ids, make_append(99).event.id])
    assert [each.kept.event for each in wholes] == [each.event for each in appends]
    assert answers == [3, 3, 3], "nine were asked for, and as many came as have so many bytes"


async def test_a_lease_answers_with_the_first_of_large_bodies_and_the_others_are_asked_for(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    appends = [make_append(number, body=bytes([number]) * 2**20) for number in range(1, 10)]
    await store.append(appends)
    answers: list[Any] = []
    call = store.call

    async def seen(function: str, *args: str | bytes | int) -> Any:
        answers.append(await call(function, *args))
        return answers[-1]

    monkeypatch.setattr(store, "call", seen)
    claims = (await lease(store, crm=9)).claims
    assert [each.event for each in claims] == [each.event for each in appends]
    (found, _, _), *_ = answers
    assert [len(body) if isinstance(body, bytes) else body for _, _, body in found] == [2**20] * 4 + [1] * 5
