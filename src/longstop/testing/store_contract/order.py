"""Order: of the deliveries of one destination and lane, one goes at a time, by id, and a dead one holds the rest."""

from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import DeadReason, Transition, Trigger
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_delivery, make_event
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    REJECTED,
    delivered,
    discard,
    lease,
    lease_one,
    parked,
    replay,
    settled,
    settlement,
    standing,
    to_retry,
)


def _in_lane(number: int, lane: str | None = "c-1", destination: str = "crm", key: str | None = None) -> Append:
    event = make_event(number, key=key or lane)
    return Append(event, (make_delivery(event, destination, lane=lane),))


def _replay_into(number: int, lane: str) -> Action:
    return Action(_of(number), Transition(Trigger.REPLAY, AT_MS, due_at_ms=AT_MS, lane=lane), by="ada")


def _of(number: int) -> str:
    return delivery_id(event_id(number), 0)


async def _numbers(store: Store, now_ms: int = AT_MS, **room: int) -> list[int]:
    """What can be leased now, by the numbers of its events (1 to 9)."""
    claims = (await lease(store, now_ms, **(room or {"crm": 9}))).claims
    ids = {event_id(number): number for number in range(1, 10)}
    return [ids[claim.event.id] for claim in claims]


async def check_one_at_a_time_in_order(store: Store) -> None:
    """The next one of a lane can be leased only when the one before it is delivered."""
    await store.append([_in_lane(1), _in_lane(2), _in_lane(3)])
    for number in (1, 2, 3):
        claim = await lease_one(store)
        expect_equal(claim.event.id, event_id(number), "next in the lane")
        expect_equal(await _numbers(store), [], "claims while one of the lane is leased")
        await settled(store, delivered(claim))
    await store.append([_in_lane(4)])
    expect_equal(await _numbers(store), [4], "claims of a lane that was emptied")


async def check_lanes_are_parallel(store: Store) -> None:
    """Other lanes, other destinations and what has no lane do not wait."""
    await store.append([
        *(_in_lane(1), _in_lane(2), _in_lane(3, "c-2"), _in_lane(4, None), _in_lane(5, None)),
        _in_lane(6, "c-1", "lake"),
    ])  # fmt: skip
    expect_equal(await _numbers(store, crm=9, lake=9), [1, 3, 4, 5, 6], "claims")


async def check_a_retry_keeps_its_place(store: Store) -> None:
    """While the first one waits for its retry, those behind it wait too."""
    await store.append([_in_lane(1), _in_lane(2)])
    await settled(store, to_retry(await lease_one(store), due_at_ms=AT_MS + 500))
    batch = await lease(store, AT_MS + 499)
    expect_equal(batch.claims, (), "claims before the retry is due")
    expect_equal(batch.next_due_at_ms, AT_MS + 500, "next_due_at_ms")
    expect_equal(await _numbers(store, AT_MS + 500), [1], "claims when it is due")


async def check_a_dead_one_holds_its_lane(store: Store) -> None:
    """Only its own: until a person replays it, and then it goes first."""
    await store.append([_in_lane(1), _in_lane(2), _in_lane(3, "c-2")])
    await settled(store, parked((await lease(store, crm=1)).claims[0]))
    expect_equal(await _numbers(store), [3], "claims behind a dead one")
    await store.append([_in_lane(4)])
    expect_equal(await _numbers(store), [], "claims of what comes later")
    await store.act([replay(_of(1))])
    claim = await lease_one(store, AT_MS + 1_000)
    expect_equal(claim.event.id, event_id(1), "what goes first after a replay")
    await settled(store, delivered(claim))
    expect_equal(await _numbers(store, AT_MS + 1_000), [2], "claims after the replayed one")


async def check_a_discarded_one_lets_go(store: Store) -> None:
    """A discarded one holds nobody."""
    await store.append([_in_lane(1), _in_lane(2)])
    await settled(store, parked(await lease_one(store)))
    await store.act([discard(_of(1))])
    expect_equal(await _numbers(store), [2], "claims after the discard")


async def check_one_that_leaves_its_lane_lets_go(store: Store) -> None:
    """Where a dead one is to be skipped, its settlement takes it out of the lane."""
    await store.append([_in_lane(1), _in_lane(2)])
    skip = Transition(Trigger.PARK, AT_MS + 12, reason=DeadReason.REJECTED, leaves_lane=True)
    await settled(store, settlement(await lease_one(store), REJECTED, skip))
    expect_equal(await _numbers(store), [2], "claims behind a skipped one")
    expect((await standing(store, _of(1))).skipped, "that its key went on without it is recorded")
    await store.act([_replay_into(1, "c-1")])
    expect((await standing(store, _of(1))).skipped, "and stays so when it is replayed, out of order")
    expect_equal(await _numbers(store), [], "claims beside the one of its key that is under way")


async def check_one_key_in_two_lanes_does_not_wait(store: Store) -> None:
    """Lanes are told apart by their names alone: of two with the same key, a dead one holds its own."""
    await store.append([_in_lane(1, "shop:c-1", key="c-1"), _in_lane(2, "forum:c-1", key="c-1")])
    await settled(store, parked((await lease(store, crm=1)).claims[0]))
    await store.append([_in_lane(3, "shop:c-1", key="c-1")])
    expect_equal(await _numbers(store), [2], "claims beside a dead one of the same key in another lane")


async def check_a_replay_may_go_to_another_lane(store: Store) -> None:
    """It waits and holds there, and the lane it was in goes on."""
    await store.append([_in_lane(1, "old"), _in_lane(2, "old"), _in_lane(3, "new"), _in_lane(4, "new")])
    claims = (await lease(store, crm=2)).claims
    await settled(store, parked(claims[0]))
    await store.act([_replay_into(1, "new")])
    expect_equal((await standing(store, _of(1))).lane, "new", "its lane")
    expect_equal(await _numbers(store), [2], "claims while one of the new lane is under way")
    await settled(store, delivered(claims[1]))
    expect_equal(await _numbers(store), [1], "claims of the new lane")


async def check_a_replay_waits_for_the_one_under_way(store: Store) -> None:
    """One of a lane that is replayed while a later one is leased comes next, and not at the same time."""
    await store.append([_in_lane(1), _in_lane(2), _in_lane(3)])
    await settled(store, delivered(await lease_one(store)))
    second = await lease_one(store)
    await store.act([replay(_of(1), at_ms=AT_MS)])
    expect_equal(await _numbers(store), [], "claims while the second is under way")
    await settled(store, delivered(second))
    expect_equal(await _numbers(store), [1], "claims after it")


async def check_a_replay_goes_before_those_that_wait(store: Store) -> None:
    """One that is replayed while a later one is scheduled holds that one."""
    await store.append([_in_lane(1), _in_lane(2)])
    await settled(store, delivered(await lease_one(store)))
    await store.act([replay(_of(1), at_ms=AT_MS)])
    expect_equal(await _numbers(store), [1], "claims")
