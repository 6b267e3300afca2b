"""The steps that checks are written in: accept, lease, settle, and what they leave behind."""

from dataclasses import replace
from typing import Any

from longstop.model.action import Action
from longstop.model.append import Append
from longstop.model.delivery import Attempt, DeadReason, Delivery, Outcome, OutcomeKind, Transition, Trigger
from longstop.model.errors import LeaseLostError
from longstop.model.event import Receipt
from longstop.model.lease import Claim, LeaseBatch, LeaseRequest, Settlement
from longstop.model.listing import History
from longstop.ports import Store
from longstop.testing.builders import AT_MS, make_delivery, make_event
from longstop.testing.store_contract.check import expect, expect_equal

LEASE_MS = 30_000
"""How long the leases of checks last."""

SUCCESS = Outcome(OutcomeKind.SUCCESS, status=204)
FAILURE = Outcome(OutcomeKind.RETRY, status=503, error="the destination answered 503", answer=b"\x00\xffbusy")
REJECTED = Outcome(OutcomeKind.REJECT, status=422, error="the destination answered 422")
LOST = Outcome(OutcomeKind.LOST, error="the lease ran out")


async def append_one(store: Store, append: Append) -> Receipt:
    """Keep one event."""
    receipts = await store.append([append])
    expect_equal(len(receipts), 1, "receipts for one append")
    return receipts[0]


async def lease(store: Store, now_ms: int = AT_MS, **room: int) -> LeaseBatch:
    """Lease what is due, as `worker-1`; without `room`, up to 100 deliveries of `crm`."""
    return await store.lease(LeaseRequest("worker-1", room or {"crm": 100}, now_ms, now_ms + LEASE_MS))


async def lease_one(store: Store, now_ms: int = AT_MS, **room: int) -> Claim:
    """Lease what is due where that is exactly one delivery."""
    claims = (await lease(store, now_ms, **room)).claims
    expect_equal(len(claims), 1, f"claims at {now_ms}")
    return claims[0]


def settlement(claim: Claim, outcome: Outcome, transition: Transition) -> Settlement:
    """What a worker says at the end of a try."""
    tried = claim.delivery.tried(outcome)
    attempt = Attempt(
        number=tried.attempts,
        round=tried.round,
        started_at_ms=claim.delivery.leased_at_ms or 0,
        duration_ms=12,
        outcome=outcome.kind,
        status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
    )
    return Settlement(tried.after(transition), attempt)


def delivered(claim: Claim, at_ms: int = AT_MS + 12) -> Settlement:
    """The settlement of a try that succeeded."""
    return settlement(claim, SUCCESS, Transition(Trigger.SUCCEED, at_ms))


def to_retry(claim: Claim, due_at_ms: int, outcome: Outcome = FAILURE) -> Settlement:
    """The settlement of a try that failed and is due again later."""
    return settlement(claim, outcome, Transition(Trigger.RETRY, AT_MS + 12, due_at_ms=due_at_ms))


def parked(claim: Claim, at_ms: int = AT_MS + 12) -> Settlement:
    """The settlement of a try after which the delivery is dead."""
    return settlement(claim, REJECTED, Transition(Trigger.PARK, at_ms, reason=DeadReason.REJECTED))


def dead_of(claim: Claim, error: str, status: int | None, at_ms: int = AT_MS + 12) -> Settlement:
    """The settlement of a try that was refused for good, with this error."""
    outcome = Outcome(OutcomeKind.REJECT, status=status, error=error)
    return settlement(claim, outcome, Transition(Trigger.PARK, at_ms, reason=DeadReason.REJECTED))


def ordered_append(number: int, key: str, to: str = "crm") -> Append:
    """An event whose delivery stands in its key's lane."""
    event = make_event(number, key=key)
    return Append(event, (make_delivery(event, to, lane=key),))


async def settle_one(store: Store, end: Settlement) -> LeaseLostError | None:
    """Settle one; the error says that it was refused."""
    results = await store.settle([end])
    expect_equal(len(results), 1, "results of one settlement")
    return results[0]


async def settled(store: Store, end: Settlement) -> Delivery:
    """Settle one, which must be accepted; the delivery as it now stands."""
    lost = await settle_one(store, end)
    expect(lost is None, f"a settlement under the latest lease was refused: {lost}")
    return await standing(store, end.delivery.id)


async def standing(store: Store, delivery_id: str) -> Delivery:
    """A delivery that must be there."""
    delivery = await store.delivery(delivery_id)
    if delivery is None:
        raise AssertionError(f"delivery {delivery_id} is not there")
    return delivery


async def rescued(store: Store, claim: Claim, now_ms: int) -> Delivery:
    """End a lease as the rescuer does: scheduled again at once, the attempt lost; the delivery as it now stands."""
    return await settled(store, to_retry(claim, now_ms, LOST))


def attempts_of(*ends: Settlement) -> tuple[Attempt, ...]:
    """The attempts that these settlements record."""
    return tuple(end.attempt for end in ends if end.attempt is not None)


def replay(delivery_id: str, at_ms: int = AT_MS + 1_000, **changes: Any) -> Action:
    """A person's decision to try it again, at once."""
    transition = Transition(Trigger.REPLAY, at_ms, due_at_ms=at_ms)
    return Action(delivery_id, transition, **({"by": "ada", "why": None} | changes))


def discard(delivery_id: str, at_ms: int = AT_MS + 1_000, **changes: Any) -> Action:
    """A person's decision to let it go."""
    transition = Transition(Trigger.DISCARD, at_ms)
    return Action(delivery_id, transition, **({"by": "ada", "why": "a test order"} | changes))


def expedite(delivery_id: str, at_ms: int = AT_MS + 1_000, **changes: Any) -> Action:
    """A person's decision to have what waits tried at once."""
    transition = Transition(Trigger.EXPEDITE, at_ms, due_at_ms=at_ms)
    return Action(delivery_id, transition, **({"by": "ada", "why": None} | changes))


def in_lane(append: Append, lane: str = "lane") -> Append:
    """The same with its deliveries in a lane."""
    return replace(append, deliveries=tuple(replace(each, lane=lane) for each in append.deliveries))


async def expect_unchanged(store: Store, before: Delivery, history: History) -> None:
    """Nothing of a delivery has changed, its attempts and actions included."""
    expect_equal(await standing(store, before.id), before, "the delivery after what was refused")
    expect_equal(await store.history(before.id), history, "its history after what was refused")
