"""Act: what people decide is carried out where the delivery's state allows it, and recorded with their names."""

import asyncio
from dataclasses import replace

from longstop.model.action import Action, ActionRecord
from longstop.model.delivery import DeadReason, Delivery, State, Transition, Trigger, Wait
from longstop.model.lease import Settlement
from longstop.model.listing import History
from longstop.model.retry import expiry
from longstop.ports import Store
from longstop.testing.builders import AT_MS, delivery_id, event_id, make_append, make_quarantined
from longstop.testing.store_contract.arrival import expect_wake
from longstop.testing.store_contract.check import expect, expect_equal
from longstop.testing.store_contract.steps import (
    FAILURE,
    attempts_of,
    delivered,
    discard,
    expect_unchanged,
    expedite,
    in_lane,
    lease,
    lease_one,
    parked,
    replay,
    settle_one,
    settled,
    settlement,
    standing,
    to_retry,
)

LATER_MS = AT_MS + 1_000


async def _one(store: Store, action: Action) -> Delivery | None:
    results = await store.act([action])
    expect_equal(len(results), 1, "results of one action")
    return results[0]


async def _dead(store: Store, number: int = 1) -> Delivery:
    """A delivery that its destination refused."""
    await store.append([make_append(number)])
    return await settled(store, parked(await lease_one(store)))


async def _expect_refused(store: Store, action: Action) -> None:
    before, history = await standing(store, action.delivery_id), await store.history(action.delivery_id)
    expect_equal(await _one(store, action), None, f"result of {action.transition.trigger} from {before.state}")
    await expect_unchanged(store, before, history)


async def check_replay_starts_a_new_round(store: Store) -> None:
    """A dead delivery is scheduled again, due when the person said, with a fresh budget and all it went through."""
    dead = await _dead(store)
    action = replay(dead.id, LATER_MS)
    expected = dead.after(action.transition)
    expect_equal(await _one(store, action), expected, "result")
    expect_equal(await standing(store, dead.id), expected, "delivery")
    expect_equal((expected.round, expected.tries, expected.attempts), (2, 0, 1), "round, tries and attempts")
    early = await lease(store, LATER_MS - 1)
    expect_equal((early.claims, early.next_due_at_ms), ((), LATER_MS), "claims and next_due_at_ms before it is due")
    expect_equal((await lease_one(store, LATER_MS)).delivery.token, 2, "token of the next lease")


async def check_replay_of_what_expired(store: Store) -> None:
    """What was of no use any more is dead without an attempt; a person who replays it thinks otherwise."""
    appended = make_append(1)
    until_ms = AT_MS + 500
    fresh = replace(appended.deliveries[0], expires_at_ms=until_ms)
    await store.append([replace(appended, deliveries=(fresh,))])
    claim = await lease_one(store, until_ms)
    expect_equal(claim.delivery.expires_at_ms, until_ms, "expires_at_ms of the claim")
    transition = expiry(claim.delivery, until_ms)
    expect(transition is not None, "it should have expired")
    assert transition is not None
    dead = claim.delivery.after(transition)
    expect_equal(list(await store.settle([Settlement(dead)])), [None], "results of its end")
    expect_equal(await standing(store, dead.id), dead, "the expired delivery")
    expect_equal((dead.reason, dead.attempts), (DeadReason.EXPIRED, 0), "reason and attempts")
    await _one(store, replay(dead.id, LATER_MS))
    again = (await lease_one(store, LATER_MS)).delivery
    expect_equal((again.round, again.expires_at_ms), (2, None), "round and expires_at_ms after its replay")


async def check_discard_ends_it(store: Store) -> None:
    """A dead delivery is let go: discarded, and never leased."""
    dead = await _dead(store)
    action = discard(dead.id, LATER_MS)
    expected = dead.after(action.transition)
    expect_equal(await _one(store, action), expected, "result")
    expect_equal(await standing(store, dead.id), expected, "delivery")
    expect_equal((expected.state, expected.ended_at_ms), (State.DISCARDED, LATER_MS), "state and ended_at_ms")
    expect_equal((await lease(store, LATER_MS * 2)).claims, (), "claims")


async def check_delivered_and_discarded_are_replayed(store: Store) -> None:
    """A person may send again what was delivered, and think better of what was discarded."""
    dead = await _dead(store, 1)
    await _one(store, discard(dead.id))
    await store.append([make_append(2)])
    done = await settled(store, delivered(await lease_one(store)))
    results = await store.act([replay(dead.id), replay(done.id)])
    expect_equal([r and (r.state, r.round) for r in results], [(State.SCHEDULED, 2)] * 2, "states and rounds")


async def check_states_are_guarded(store: Store) -> None:
    """What waits or is under way is not replayed, what is under way or delivered is not discarded, and only what
    waits is expedited."""
    await store.append([make_append(1), make_append(2, due_at_ms=AT_MS + 9_000)])
    waiting = delivery_id(event_id(2), 0)
    claim = await lease_one(store)
    await _expect_refused(store, replay(waiting))
    for action in (replay, discard, expedite):
        await _expect_refused(store, action(claim.delivery.id))
    await settled(store, delivered(claim))
    for action in (discard, expedite):
        await _expect_refused(store, action(claim.delivery.id))


async def check_expedited_is_due_at_once(store: Store) -> None:
    """What waits is leased at once, on the budget it had; who wanted it is on record."""
    await store.append([make_append(1)])
    late = await settled(store, to_retry(await lease_one(store), AT_MS + 9_000))
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    action = expedite(late.id, LATER_MS)
    expected = late.after(action.transition)
    expect_equal(await _one(store, action), expected, "result")
    await expect_wake(woken, "what is expedited")
    expect_equal((expected.due_at_ms, expected.round, expected.tries), (LATER_MS, 1, 1), "due time, round and tries")
    expect_equal((await lease_one(store, LATER_MS)).delivery.id, late.id, "the claim")
    records = (await store.history(late.id)).actions
    expect_equal(records, (ActionRecord(Trigger.EXPEDITE, LATER_MS, "ada", None),), "actions")


async def check_why_it_waits_is_kept(store: Store) -> None:
    """Until it is due for another reason or done with."""
    await store.append([make_append(1)])
    for wait in Wait:
        claim = await lease_one(store, LATER_MS)
        transition = Transition(Trigger.RETRY, LATER_MS, due_at_ms=LATER_MS, wait=wait)
        waiting = await settled(store, settlement(claim, FAILURE, transition))
        expect_equal(waiting.wait, wait, "why it waits")
    done = await settled(store, delivered(await lease_one(store, LATER_MS)))
    expect_equal(done.wait, None, "why it waits when it is delivered")


async def check_a_replay_is_taken_back(store: Store) -> None:
    """What is scheduled is let go: discarded, never leased, with the reason on record."""
    dead = await _dead(store)
    await _one(store, replay(dead.id, LATER_MS))
    result = await _one(store, discard(dead.id, LATER_MS))
    expect_equal(result and (result.state, result.ended_at_ms), (State.DISCARDED, LATER_MS), "state and its time")
    expect_equal((await lease(store, LATER_MS * 2)).claims, (), "claims")
    triggers = [each.trigger for each in (await store.history(dead.id)).actions]
    expect_equal(triggers, [Trigger.REPLAY, Trigger.DISCARD], "actions")


async def check_discarding_lets_the_next_of_a_lane_go(store: Store) -> None:
    """The first that waits is given up: the one behind it is free."""
    await store.append([in_lane(make_append(n, due_at_ms=AT_MS + 9_000 if n == 1 else None)) for n in (1, 2)])
    expect_equal((await lease(store)).claims, (), "claims while the first waits")
    woken = asyncio.Event()
    store.on_arrival(woken.set)
    await _one(store, discard(delivery_id(event_id(1), 0)))
    await expect_wake(woken, "what is behind one that was discarded")
    expect_equal((await lease_one(store)).event.id, event_id(2), "the event that may go")


async def check_refused_action_ends_no_lease(store: Store) -> None:
    """A worker that has a delivery when somebody tries to replay it can still settle."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    await _expect_refused(store, replay(claim.delivery.id))
    await settled(store, delivered(claim))


async def check_unknown_delivery_is_none(store: Store) -> None:
    """There is nothing to act on, and nothing is recorded."""
    absent = delivery_id(event_id(9), 0)
    expect_equal(await _one(store, replay(absent)), None, "result")
    expect_equal(await store.history(absent), History((), ()), "history of what is not there")


async def check_second_of_two_is_too_late(store: Store) -> None:
    """Two people, one dead delivery: the first decides, in one batch as in two at the same time."""
    one, two = await _dead(store, 1), await _dead(store, 2)
    results = await store.act([discard(one.id, by="ada"), discard(one.id, by="bob")])
    expect_equal([result is not None for result in results], [True, False], "actions carried out in one batch")
    raced = await asyncio.gather(*(store.act([replay(two.id, by=f"p{n}")]) for n in range(6)))
    expect_equal(sum(batch[0] is not None for batch in raced), 1, "actions carried out at the same time")
    expect_equal(len((await store.history(two.id)).actions), 1, "actions on record")
    expect_equal((await standing(store, two.id)).round, 2, "round")


async def check_batch_answers_each_in_order(store: Store) -> None:
    """A refused action stops none of the others."""
    one, two = await _dead(store, 1), await _dead(store, 2)
    absent = delivery_id(event_id(9), 0)
    results = await store.act([replay(two.id), replay(absent), discard(one.id)])
    expect_equal([r and (r.id, r.state) for r in results],
                 [(two.id, State.SCHEDULED), None, (one.id, State.DISCARDED)], "results")  # fmt: skip
    expect_equal(list(await store.act([])), [], "results of an empty batch")


async def check_history_names_people(store: Store) -> None:
    """Who did what, when and why, oldest first, beside the attempts."""
    await store.append([make_append(1)])
    first = parked(await lease_one(store))
    dead = await settled(store, first)
    await _one(store, discard(dead.id, LATER_MS, by="ada", why="доказано: test"))
    await _one(store, replay(dead.id, LATER_MS + 5, by="bob"))
    second = delivered(await lease_one(store, LATER_MS + 5))
    await settled(store, second)
    actions = (
        ActionRecord(Trigger.DISCARD, LATER_MS, "ada", "доказано: test"),
        ActionRecord(Trigger.REPLAY, LATER_MS + 5, "bob", None),
    )
    expect_equal(await store.history(dead.id), History(attempts_of(first, second), actions), "history")


async def check_old_lease_is_refused_after_replay(store: Store) -> None:
    """Replaying gives no token back: a worker of the round before cannot end a lease of the next."""
    await store.append([make_append(1)])
    claim = await lease_one(store)
    dead = await settled(store, parked(claim))
    await _one(store, replay(dead.id, AT_MS))
    await lease_one(store)
    lost = await settle_one(store, to_retry(claim, AT_MS))
    expect(lost is not None, "a settlement of an earlier round was accepted")


async def check_replay_without_a_time_keeps_the_old_one(store: Store) -> None:
    """A transition that names no due time leaves the delivery's own."""
    dead = await _dead(store)
    result = await _one(store, Action(dead.id, Transition(Trigger.REPLAY, LATER_MS), by="ada"))
    expect_equal(result and result.due_at_ms, dead.due_at_ms, "due_at_ms")


async def check_quarantined_is_discarded(store: Store) -> None:
    """What could not be read can be let go like anything dead."""
    wanted = make_quarantined(1)
    await store.append([wanted])
    dead = wanted.deliveries[0]
    action = discard(dead.id)
    expect_equal(await _one(store, action), dead.after(action.transition), "result")
    expect_equal(await standing(store, dead.id), dead.after(action.transition), "delivery")
