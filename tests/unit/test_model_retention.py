"""What may be forgotten when: each kind by an age of its own, to the millisecond."""

import pytest

from longstop.model.delivery import Delivery, State
from longstop.model.retention import Cutoffs, Kind, RetentionSettings, cutoffs, delivery_may_go, event_may_go
from longstop.testing.builders import make_delivery, make_event

BEFORE = Cutoffs(delivered_ms=1_000, dead_ms=2_000, discarded_ms=3_000, unrouted_ms=4_000)
ENDS = [(State.DELIVERED, 1_000), (State.DEAD, 2_000), (State.DISCARDED, 3_000)]


def ended(state: State, at_ms: int, lane: str | None = None) -> Delivery:
    return make_delivery(make_event(1), state=state, ended_at_ms=at_ms, lane=lane)


def test_each_kind_is_kept_for_its_own_time_before_now() -> None:
    settings = RetentionSettings(delivered_ms=1, dead_ms=20, discarded_ms=300, unrouted_ms=4_000)
    before = cutoffs(settings, 10_000)
    assert before == Cutoffs(delivered_ms=9_999, dead_ms=9_980, discarded_ms=9_700, unrouted_ms=6_000)
    assert [before.of(kind) for kind in Kind] == [6_000, 9_999, 9_980, 9_700]


@pytest.mark.parametrize(("state", "cutoff_ms"), ENDS)
def test_what_ended_before_its_cutoff_may_go_and_nothing_else(state: State, cutoff_ms: int) -> None:
    assert delivery_may_go(ended(state, cutoff_ms - 1), BEFORE)
    assert not delivery_may_go(ended(state, cutoff_ms), BEFORE)


def test_what_has_not_ended_stays_and_so_does_what_holds_others() -> None:
    assert not delivery_may_go(make_delivery(make_event(1)), BEFORE)
    assert not delivery_may_go(ended(State.DEAD, 0, lane="k"), BEFORE)
    assert delivery_may_go(ended(State.DELIVERED, 0, lane="k"), BEFORE)


def test_an_event_goes_with_its_last_delivery_and_without_any_by_its_arrival() -> None:
    old, young = ended(State.DELIVERED, 0), ended(State.DEAD, 2_000)
    assert event_may_go(9_999, [old, old], BEFORE)
    assert not event_may_go(0, [old, young], BEFORE)
    assert event_may_go(3_999, [], BEFORE)
    assert not event_may_go(4_000, [], BEFORE)
