"""The table of transitions, and what each does to a delivery."""

from dataclasses import replace

import pytest

from longstop.model.action import Action
from longstop.model.delivery import (
    TRANSITIONS,
    DeadReason,
    Delivery,
    Outcome,
    OutcomeKind,
    State,
    Transition,
    Trigger,
    Wait,
    lane_of,
    next_state,
)
from longstop.model.errors import TransitionError
from longstop.testing.builders import AT_MS, make_delivery, make_event

EVERY = [(state, trigger) for state in State for trigger in Trigger]
NOT_IN_THE_TABLE = [pair for pair in EVERY if pair not in TRANSITIONS]


def delivery(state: State = State.SCHEDULED, **changes: object) -> Delivery:
    return make_delivery(make_event(1), state=state, **changes)


def leased() -> Delivery:
    return delivery(lane="k").leased("worker", AT_MS + 5, AT_MS + 100)


def test_the_table_is_the_one_that_was_agreed() -> None:
    assert {(s.value, t.value, to.value) for (s, t), to in TRANSITIONS.items()} == {
        ("scheduled", "lease", "leased"),
        ("scheduled", "expedite", "scheduled"),
        ("scheduled", "discard", "discarded"),
        ("leased", "succeed", "delivered"),
        ("leased", "retry", "scheduled"),
        ("leased", "park", "dead"),
        ("dead", "replay", "scheduled"),
        ("dead", "discard", "discarded"),
        ("delivered", "replay", "scheduled"),
        ("discarded", "replay", "scheduled"),
    }


@pytest.mark.parametrize(("state", "trigger"), NOT_IN_THE_TABLE)
def test_what_the_table_does_not_have_cannot_happen(state: State, trigger: Trigger) -> None:
    with pytest.raises(TransitionError, match=f"a delivery that is {state} cannot {trigger}; from {state} it can only"):
        next_state(state, trigger)
    with pytest.raises(TransitionError):
        delivery(state).after(Transition(trigger, AT_MS))


@pytest.mark.parametrize("state", [state for state in State if state is not State.SCHEDULED])
def test_only_what_is_scheduled_can_be_leased(state: State) -> None:
    with pytest.raises(TransitionError):
        delivery(state).leased("worker", AT_MS, AT_MS + 1)


def test_each_lease_has_the_next_token() -> None:
    one = leased()
    assert (one.token, one.worker, one.leased_at_ms, one.lease_until_ms) == (1, "worker", AT_MS + 5, AT_MS + 100)
    two = one.after(Transition(Trigger.RETRY, AT_MS + 9, due_at_ms=AT_MS + 50)).leased("other", AT_MS + 50, AT_MS + 99)
    assert two.token == 2


@pytest.mark.parametrize(
    ("transition", "state", "ended"),
    [
        (Transition(Trigger.SUCCEED, AT_MS + 9), State.DELIVERED, AT_MS + 9),
        (Transition(Trigger.RETRY, AT_MS + 9, due_at_ms=AT_MS + 50), State.SCHEDULED, None),
        (Transition(Trigger.PARK, AT_MS + 9, reason=DeadReason.REJECTED), State.DEAD, AT_MS + 9),
    ],
)
def test_the_lease_is_over_after_an_attempt(transition: Transition, state: State, ended: int | None) -> None:
    after = leased().after(transition)
    assert (after.state, after.ended_at_ms, after.reason) == (state, ended, transition.reason)
    assert (after.leased_at_ms, after.lease_until_ms, after.worker) == (None, None, None)
    assert after.due_at_ms == (transition.due_at_ms or AT_MS)
    assert (after.lane, after.token) == ("k", 1)


def test_who_leaves_the_lane_is_in_no_order() -> None:
    assert leased().after(Transition(Trigger.PARK, AT_MS, leaves_lane=True)).lane is None


@pytest.mark.parametrize("state", [State.DEAD, State.DELIVERED, State.DISCARDED])
def test_a_replay_begins_a_round_with_a_fresh_budget(state: State) -> None:
    old = delivery(state, tries=8, lost=3, attempts=11, token=11, reason=DeadReason.EXHAUSTED, ended_at_ms=AT_MS)
    new = old.after(Transition(Trigger.REPLAY, AT_MS + 7, due_at_ms=AT_MS + 9))
    assert (new.round, new.round_at_ms, new.due_at_ms) == (2, AT_MS + 7, AT_MS + 9)
    assert (new.tries, new.lost, new.attempts, new.token) == (0, 0, 11, 11)
    assert (new.reason, new.ended_at_ms) == (None, None)


def test_what_cannot_happen_is_refused_with_what_can() -> None:
    with pytest.raises(TransitionError) as refused:
        next_state(State.DEAD, Trigger.SUCCEED)
    assert str(refused.value) == "a delivery that is dead cannot succeed; from dead it can only: discard, replay"


def test_only_what_waits_has_a_wait_and_only_what_is_dead_a_reason() -> None:
    retried = Transition(Trigger.RETRY, AT_MS, AT_MS + 5, reason=DeadReason.REJECTED, wait=Wait.BACKOFF)
    assert (leased().after(retried).wait, leased().after(retried).reason) == (Wait.BACKOFF, None)
    parked = replace(retried, trigger=Trigger.PARK)
    assert (leased().after(parked).wait, leased().after(parked).reason) == (None, DeadReason.REJECTED)


def test_a_replay_is_of_use_for_ever_and_in_nobody_s_place() -> None:
    again = delivery(State.DEAD, expires_at_ms=AT_MS, replaced_by="other").after(REPLAYED)
    assert (again.expires_at_ms, again.replaced_by) == (None, None)


REPLAYED = Transition(Trigger.REPLAY, AT_MS)


def test_a_replay_of_what_was_skipped_goes_into_its_source_s_own_lane_for_its_key() -> None:
    skipped = delivery(key="k", lane="@all:k").leased("w", AT_MS, AT_MS + 1)
    skipped = skipped.after(Transition(Trigger.PARK, AT_MS, leaves_lane=True))
    assert (skipped.lane, skipped.skipped) == (None, True)
    assert skipped.after(REPLAYED).lane == lane_of(skipped.source, "k") == f"{skipped.source}:k"
    assert skipped.after(replace(REPLAYED, lane="@all:k")).lane == "@all:k", "whoever replays it may know better"
    assert replace(skipped, key=None).after(REPLAYED).lane is None, "without a key there is no order"


def test_a_replay_of_what_was_not_skipped_stays_in_its_lane() -> None:
    assert delivery(State.DEAD, key="k", lane="@all:k").after(REPLAYED).lane == "@all:k"
    assert delivery(State.DEAD, key="k").after(REPLAYED).lane is None


def test_what_was_in_no_lane_is_not_skipped() -> None:
    alone = delivery().leased("w", AT_MS, AT_MS + 1).after(Transition(Trigger.PARK, AT_MS, leaves_lane=True))
    assert not alone.skipped


def test_what_is_discarded_is_no_longer_dead_of_anything() -> None:
    gone = delivery(State.DEAD, reason=DeadReason.REJECTED).after(Transition(Trigger.DISCARD, AT_MS + 3))
    assert (gone.state, gone.reason, gone.ended_at_ms) == (State.DISCARDED, None, AT_MS + 3)


@pytest.mark.parametrize(
    ("kind", "tries", "lost"),
    [
        (OutcomeKind.SUCCESS, 1, 0),
        (OutcomeKind.RETRY, 1, 0),
        (OutcomeKind.REJECT, 1, 0),
        (OutcomeKind.LOST, 0, 1),
        (OutcomeKind.CRASHED, 0, 1),
        (OutcomeKind.INTERRUPTED, 0, 0),
    ],
)
def test_only_what_the_destination_did_is_paid_from_the_budget(kind: OutcomeKind, tries: int, lost: int) -> None:
    after = leased().tried(Outcome(kind, status=500, error="why"))
    assert (after.attempts, after.tries, after.lost) == (1, tries, lost)
    assert (after.last_status, after.last_error) == (500, "why")


@pytest.mark.parametrize("trigger", [Trigger.LEASE, Trigger.SUCCEED, Trigger.RETRY, Trigger.PARK])
def test_people_do_not_decide_what_workers_do(trigger: Trigger) -> None:
    with pytest.raises(ValueError, match="no decision of a person's"):
        Action("d", Transition(trigger, AT_MS), "ada")


def test_nothing_changes_in_place() -> None:
    before = leased()
    copy = replace(before)
    before.tried(Outcome(OutcomeKind.RETRY)).after(Transition(Trigger.PARK, AT_MS, reason=DeadReason.EXHAUSTED))
    assert before == copy
